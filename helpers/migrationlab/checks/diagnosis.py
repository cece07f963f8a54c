"""Hold the result of an examination: checks, each with its hint, and their table."""

from __future__ import annotations

import html
import tomllib
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import Any


class Status(StrEnum):
    """The status of a check: ``warn`` costs one feature or is unknown, ``fail`` blocks all."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class Check:
    """One finding: the subject of the check, its status, the detail, and a fix if it is bad."""

    name: str
    status: Status
    detail: str
    hint: str = ""

    def named(self, name: str) -> Check:
        """Return the same finding under a name."""
        return replace(self, name=name)


def finding(
    file: str, check: str, outcome: str, status: Status | None = None, /, **values: object
) -> Check:
    """Return a finding with the texts of a TOML file of this package.

    Args:
        file: The file's stem.
        check: The table of the check.
        outcome: The outcome's table in it, with the detail under the name of its status, and the
            hint, or else that of the check.
        status: A status instead of the outcome's own.
        values: The values for the names in braces.
    """
    about = texts(file)[check]
    entry = about[outcome]
    own = next(each for each in Status if each in entry)
    hint = "" if own is Status.OK else entry.get("hint") or about["hint"]
    detail, hint = (" ".join(text.split()).format(**values) for text in (entry[own], hint))
    return Check(check, status or own, detail, hint)


@cache
def texts(file: str) -> dict[str, Any]:
    """Return the texts of a TOML file of this package, by check and outcome."""
    return tomllib.loads(Path(__file__).with_name(f"{file}.toml").read_text(encoding="utf-8"))


def combine(checks: Iterable[Check], good: str) -> Check:
    """Combine findings into one: the bad ones, else all; ``good`` for an empty list."""
    found = list(checks)
    bad = [check for check in found if check.status is not Status.OK]
    if not bad:
        return Check("", Status.OK, "; ".join(check.detail for check in found) or good)
    worst = max((check.status for check in bad), key=list(Status).index)
    hints = dict.fromkeys(check.hint for check in bad)
    return Check("", worst, "; ".join(check.detail for check in bad), " ".join(hints))


@dataclass(frozen=True, slots=True)
class Messages:
    """The summary of a diagnosis in one sentence; ``{}`` stands for the names of bad checks."""

    ok: str = "The lab can run here."
    warned: str = "The lab can run here, without {}."
    failed: str = "The lab cannot run here yet. Fix: {}."


@dataclass(frozen=True, slots=True, repr=False)
class Diagnosis:
    """All findings, in the order in which to fix them; ``str()`` and a notebook show a table."""

    checks: tuple[Check, ...]
    messages: Messages = Messages()

    @property
    def ok(self) -> bool:
        """Return whether no check failed."""
        return not self._names(Status.FAIL)

    @property
    def verdict(self) -> str:
        """Return the summary in one sentence."""
        if failed := self._names(Status.FAIL):
            return self.messages.failed.format(", ".join(failed))
        if warned := self._names(Status.WARN):
            return self.messages.warned.format(", ".join(warned))
        return self.messages.ok

    def to_dict(self) -> dict[str, object]:
        """Return plain values, ready for JSON."""
        checks = [asdict(check) | {"status": str(check.status)} for check in self.checks]
        return {"ok": self.ok, "verdict": self.verdict, "checks": checks}

    def _names(self, status: Status) -> list[str]:
        return [check.name for check in self.checks if check.status is status]

    def __repr__(self) -> str:
        warned, failed = (len(self._names(status)) for status in (Status.WARN, Status.FAIL))
        word = "ok" if self.ok else "not ok"
        return f"Diagnosis({word}, {len(self.checks)} checks, {warned} warned, {failed} failed)"

    def __str__(self) -> str:
        width = max((len(check.name) for check in self.checks), default=0)
        lines = []
        for check in self.checks:
            lines.append(f"{check.status:4}  {check.name:{width}}  {check.detail}")
            if check.hint:
                lines.append(f"{'':4}  {'':{width}}  → {check.hint}")
        return "\n".join([*lines, "", self.verdict])

    def _repr_html_(self) -> str:
        left = "style='text-align:left'"  # JupyterLab aligns cells to the right
        cells = [
            (f"<b>{check.status}</b>", *map(html.escape, (check.name, check.detail, check.hint)))
            for check in self.checks
        ]
        rows = "".join(
            f"<tr>{''.join(f'<td {left}>{cell}</td>' for cell in row)}</tr>" for row in cells
        )
        titles = ("status", "what", "found", "what to do")
        head = "".join(f"<th {left}>{title}</th>" for title in titles)
        return (
            f"<table><caption>{html.escape(self.verdict)}</caption>"
            f"<thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"
        )
