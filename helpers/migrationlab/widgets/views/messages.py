"""The short pieces that every widget shows: notes, messages, problems, progress, commands.

Each can be read without eyes or colours. Nothing here imports pandas: every widget would wait for
it. Tables of runs are in ``run_tables``.
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
    """Return a message that a screen reader reads out when it appears."""
    return fill("status.html", text=text, hint=hint, bad=bad)


def failed(error: BaseException, what: str = "") -> str:
    """Return why something failed: an error of migrationlab with its hint, or a bug."""
    prefix = f"{what}: " if what else ""
    if isinstance(error, MigrationLabError):
        return status(f"{prefix}{error}", hint=error.hint, bad=True)
    return status(f"{prefix}A bug in migrationlab: {error!r}", bad=True)


def problems_of(problems: Iterable[Problem]) -> str:
    """Return what is wrong with a field and how to fix it; empty where nothing is wrong."""
    found = tuple(problems)
    return fill("problems.html", problems=found) if found else ""


def progress(text: str, fraction: float | None) -> str:
    """Return a bar and the same in words."""
    return fill("progress.html", text=text, fraction=fraction)


def virsh_line(plan: Plan, domain: str) -> str:
    """Return the ``virsh migrate`` command that does the same."""
    return command_lines([("", plan.virsh(domain))])


def command_lines(commands: Iterable[tuple[str, Iterable[str]]]) -> str:
    """Return command lines as their words, each below what it does, if that is not ""."""
    quoted = [(about, [shlex.quote(word) for word in words]) for about, words in commands]
    return fill("commands.html", commands=quoted)
