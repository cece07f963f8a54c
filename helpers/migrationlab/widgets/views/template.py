"""Fill a template of ``widgets/templates`` with values; every value is escaped."""

from __future__ import annotations

import functools
from pathlib import Path

import jinja2

_FOLDER = Path(__file__).parents[1] / "templates"


def fill(template: str, **values: object) -> str:
    """Return a template's text with these values in it."""
    return _environment().get_template(template).render(**values)


@functools.cache
def _environment() -> jinja2.Environment:
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(_FOLDER),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
