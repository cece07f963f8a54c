"""Pieces of HTML that widgets are made of, each also readable without eyes or colours.

Pure: records in, escaped HTML out. Imports neither IPython nor ipywidgets, nor pandas, which would
make every widget wait for it; what is said of runs is in ``results``.
"""

from __future__ import annotations

import html
import shlex
from collections.abc import Iterable

from migrationlab.errors import MigrationLabError
from migrationlab.plan.plan import Plan, Problem

# ipywidgets gives an HTML widget the height of one line.
_LINES = "line-height:1.45"
# Okabe and Ito's vermilion and green, for marks and borders, which are seen on white and on black
# alike. As text they could be read on neither, so text keeps the page's own colour.
_RED, _GREEN = "#D55E00", "#009E73"
_FRAMED = f"{_LINES};border-left:4px solid {_RED};padding-left:0.6em"


def note(text: str) -> str:
    """Give an explanation beside a field."""
    return f'<div style="{_LINES};opacity:0.8">{html.escape(text)}</div>'


def status(text: str, *, hint: str = "", bad: bool = False) -> str:
    """Give a message that a screen reader reads out when it appears."""
    look = _FRAMED if bad else _LINES
    more = f"<br>{html.escape(hint)}" if hint else ""
    return f'<div role="status" style="{look}"><b>{html.escape(text)}</b>{more}</div>'


def failed(error: BaseException, what: str = "") -> str:
    """Say why something could not be done: what the kit refuses with its hint, else a fault.

    Args:
        error: Why.
        what: What it concerns, as "run 2"; left out where that is plain.
    """
    of = f"{what}: " if what else ""
    if isinstance(error, MigrationLabError):
        return status(f"{of}{error}", hint=error.hint, bad=True)
    return status(f"{of}A fault in the kit: {error!r}", bad=True)


def good(text: str) -> str:
    """Give a word for what works; the mark says it without the colour."""
    return f'<b><span style="color:{_GREEN}">✓</span> {html.escape(text)}</b>'


def bad(text: str) -> str:
    """Give a word for what does not work; the mark says it without the colour."""
    return f'<b><span style="color:{_RED}">✗</span> {html.escape(text)}</b>'


def explained(problems: Iterable[Problem]) -> str:
    """Say what is wrong with a field and what would do; nothing where nothing is wrong."""
    items = "".join(
        f"<div>⚠ {html.escape(problem.reason)} <b>{html.escape(problem.hint)}</b></div>"
        for problem in problems
    )
    return f'<div role="status" style="{_FRAMED}">{items}</div>' if items else ""


def progress(text: str, fraction: float | None) -> str:
    """Give a bar and, in words, what it says."""
    value = "" if fraction is None else f' value="{fraction:.3f}"'
    return (
        f'<div style="{_LINES}"><progress max="1"{value} style="width:14em;vertical-align:middle" '
        f'aria-label="Share of the guest\'s memory that has arrived"></progress> '
        f"<span>{html.escape(text)}</span></div>"
    )


def virsh_line(plan: Plan, domain: str) -> str:
    """Give the ``virsh migrate`` that does the same."""
    # Broken at spaces only: a browser would break at hyphens too.
    words = (html.escape(shlex.quote(word)) for word in plan.virsh(domain))
    line = " ".join(f'<span style="white-space:nowrap">{word}</span>' for word in words)
    return (
        f'<pre style="{_LINES};white-space:pre-wrap;margin:0;'
        f'padding:0.4em 0.6em;background:#F4F6F8;color:#222222"><code>{line}</code></pre>'
    )
