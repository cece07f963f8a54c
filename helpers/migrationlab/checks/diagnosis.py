"""Hold what an examination found: checks, each with its hint, and the table of them."""

from __future__ import annotations

import html
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from enum import StrEnum


class Status(StrEnum):
    """How a check ended: ``warn`` costs one feature or is not known, ``fail`` blocks everything."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class Check:
    """One finding.

    Attributes:
        name: What was examined.
        status: How it ended.
        detail: What was found.
        hint: What to do about it; empty if the status is ``ok``.
    """

    name: str
    status: Status
    detail: str
    hint: str = ""

    def named(self, name: str) -> Check:
        """Return the same finding under a name."""
        return replace(self, name=name)


def ok(detail: str) -> Check:
    """Return a good finding; its caller names it."""
    return Check("", Status.OK, detail)


def warn(detail: str, hint: str) -> Check:
    """Return a finding that costs one feature, or that something is not known."""
    return Check("", Status.WARN, detail, hint)


def fail(detail: str, hint: str) -> Check:
    """Return a finding that blocks everything."""
    return Check("", Status.FAIL, detail, hint)


def combine(checks: Iterable[Check], good: str) -> Check:
    """Return the findings on several things as one: the bad ones, or all if none is bad.

    Args:
        checks: The findings.
        good: The detail if there are none.
    """
    found = list(checks)
    bad = [check for check in found if check.status is not Status.OK]
    if not bad:
        return ok("; ".join(check.detail for check in found) or good)
    worst = fail if any(check.status is Status.FAIL for check in bad) else warn
    hints = dict.fromkeys(check.hint for check in bad)
    return worst("; ".join(check.detail for check in bad), " ".join(hints))


@dataclass(frozen=True, slots=True)
class Messages:
    """The summary of a diagnosis in one sentence; ``{}`` stands for the names of bad checks.

    Attributes:
        ok: If every check is good.
        warned: If some checks warn.
        failed: If some checks fail.
    """

    ok: str = "The lab can run here."
    warned: str = "The lab can run here, without {}."
    failed: str = "The lab cannot run here yet. Fix: {}."


@dataclass(frozen=True, slots=True, repr=False)
class Diagnosis:
    """All findings; ``str()`` and a notebook show them as a table.

    Attributes:
        checks: The findings, in the order in which to fix them.
        messages: The summaries to choose from.
    """

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
