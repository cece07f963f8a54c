"""Write a report: one file with the question, the method, the results, and how to repeat it.

The file has its figures with their descriptions, and loads nothing. The template ``report.html``
has the text and the style; :mod:`~migrationlab.report.runs` and
:mod:`~migrationlab.report.experiment` gather the values. The same runs give the same page.
"""

from __future__ import annotations

from collections.abc import Iterable
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

import jinja2

from migrationlab.errors import StoreError
from migrationlab.runs import store
from migrationlab.runs.run import Run, Runs

if TYPE_CHECKING:
    from migrationlab.experiment.results import Results

SUFFIXES = (".html", ".htm", ".pdf")


def write(recorded: Results | Iterable[Run], path: str | Path) -> Path:
    """Write the report of some runs, or of an experiment.

    Args:
        recorded: The subject: an experiment, or at least one run.
        path: A file whose name ends in ``.html``, or in ``.pdf`` if this machine has a
            browser. An existing file is replaced.

    Returns:
        The file.

    Raises:
        StoreError: There are no runs, the name ends otherwise, there is no browser for a PDF, or
            the disk refused.
    """
    place = Path(path)
    if place.suffix not in SUFFIXES:
        raise StoreError(
            f"path must end in .html, .htm or .pdf (got {place.name})",
            hint=f"Write {place.with_suffix('.html').name}.",
        )
    if place.suffix != ".pdf":
        return store.write_file(place, render(recorded).encode())
    from migrationlab.report import pdf  # noqa: PLC0415 (for a PDF only)

    pdf.find()  # checked before the page is made, which takes a while
    return store.write_file(place, pdf.print_page(render(recorded), place))


def render(recorded: Results | Iterable[Run]) -> str:
    """Return the report of some runs, or of an experiment, as the text of an HTML file.

    Raises:
        StoreError: There are no runs.
    """
    # matplotlib is slow to load, and the command's help does not need it.
    from migrationlab.report import experiment, runs  # noqa: PLC0415

    known = _runs(recorded)
    if not known:
        raise StoreError(
            "a report must have at least one run (got none)",
            hint="Record some runs: migrationlab demo",
        )
    page = runs.page(known) if isinstance(recorded, Iterable) else experiment.page(recorded)
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    template = (
        resources.files("migrationlab.report").joinpath("report.html").read_text(encoding="utf-8")
    )
    return environment.from_string(template).render(page)


def _runs(recorded: Results | Iterable[Run]) -> Runs:
    if isinstance(recorded, Runs):
        return recorded  # the result has the unreadable runs, too
    return Runs(recorded) if isinstance(recorded, Iterable) else recorded.runs
