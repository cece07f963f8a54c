"""What was found in an examination: checks, each with its hint, and the table of them.

Plain frozen records without any look at the machine. Imports nothing of the kit.
"""

from __future__ import annotations

import html
from dataclasses import dataclass
from enum import StrEnum


class Status(StrEnum):
    """How a check went: ``warn`` costs a feature or could not be known, ``fail`` the whole."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class Check:
    """One finding.

    Attributes:
        name: What was looked at.
        status: How it went.
        detail: What was found.
        hint: What to do about it; empty where the status is ``ok``.
    """

    name: str
    status: Status
    detail: str
    hint: str = ""


@dataclass(frozen=True, slots=True)
class Messages:
    """The whole in one sentence: where all is well, and with the names of what is not.

    Attributes:
        ok: Where nothing was found.
        warned: Where something is limited; ``{}`` stands for what.
        failed: Where it cannot be; likewise.
    """

    ok: str = "The lab can run here."
    warned: str = "The lab can run here, without {}."
    failed: str = "The lab cannot run here yet: mend {}."


@dataclass(frozen=True, slots=True, repr=False)
class Diagnosis:
    """All findings; ``str()`` is a table of them, and a notebook shows them as one.

    Attributes:
        checks: The findings, in the order in which to mend them.
        messages: What they amount to.
    """

    checks: tuple[Check, ...]
    messages: Messages = Messages()

    @property
    def ok(self) -> bool:
        """Whether nothing stands in the way."""
        return not any(check.status is Status.FAIL for check in self.checks)

    @property
    def verdict(self) -> str:
        """The whole in one sentence."""
        if failed := self._names(Status.FAIL):
            return self.messages.failed.format(", ".join(failed))
        if warned := self._names(Status.WARN):
            return self.messages.warned.format(", ".join(warned))
        return self.messages.ok

    def to_dict(self) -> dict[str, object]:
        """Return plain values, ready for JSON."""
        checks = [
            {"name": c.name, "status": str(c.status), "detail": c.detail, "hint": c.hint}
            for c in self.checks
        ]
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
        left = "style='text-align:left'"  # JupyterLab's own choice for cells is the right
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
