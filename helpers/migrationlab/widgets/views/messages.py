"""Make the short pieces of every widget: notes, messages, problems, progress, commands.

Each piece can be read without eyes or colours. This module does not import pandas, because every
widget would wait for the import. Tables of runs are in ``run_tables``.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable

from migrationlab.errors import MigrationLabError
from migrationlab.plan.plan import Plan, Problem
from migrationlab.widgets.views.template import fill


def note(text: str) -> str:
    """Return an explanation beside a field."""
    return fill("note.html", text=text)


def status(text: str, *, hint: str = "", bad: bool = False) -> str:
    """Return a message that a screen reader reads out when the message appears."""
    return fill("status.html", text=text, hint=hint, bad=bad)


def failed(error: BaseException, what: str = "") -> str:
    """Return the reason of a failure: an error of migrationlab with its hint, or a bug."""
    prefix = f"{what}: " if what else ""
    if isinstance(error, MigrationLabError):
        return status(f"{prefix}{error}", hint=error.hint, bad=True)
    return status(f"{prefix}A bug in migrationlab: {error!r}", bad=True)


def problems_of(problems: Iterable[Problem]) -> str:
    """Return the problems of a field and their fixes; empty if there are none."""
    found = tuple(problems)
    return fill("problems.html", problems=found) if found else ""


def progress(text: str, fraction: float | None) -> str:
    """Return a progress bar, with the same progress in words."""
    return fill("progress.html", text=text, fraction=fraction)


def virsh_line(plan: Plan, domain: str) -> str:
    """Return the ``virsh migrate`` command that does the same."""
    return command_lines([("", plan.virsh(domain))])


def command_lines(commands: Iterable[tuple[str, Iterable[str]]]) -> str:
    """Return command lines as their words, each below its purpose, if that is not ""."""
    quoted = [(about, [shlex.quote(word) for word in words]) for about, words in commands]
    return fill("commands.html", commands=quoted)
