"""Show where in a pasted log the answer stands: the culprit line, and what followed from it."""

from __future__ import annotations

from dataclasses import dataclass

from migrationlab.explain.explanation import Also, Explanation, Kind
from migrationlab.widgets.views.template import fill

#: The lines shown before and after each line that means something.
AROUND = 2
#: A shorter text is shown whole in its field.
FEWEST_LINES = 2
LONGEST_LINE = 400
#: What another finding is to the culprit.
_ROLES = {
    Kind.CAUSE: "another fault",
    Kind.GENERAL: "another refusal",
    Kind.CANDIDATES: "one message of several possible causes",
    Kind.AFTER_EFFECT: "an after-effect: its cause was said earlier",
    Kind.SIDE: "says only where it failed",
}
#: An after-effect before the culprit follows from nothing that the answer rests on.
_ENDED = "says only that something ended: it is not the reason"
_CULPRIT = "the line that the answer rests on"


@dataclass(frozen=True, slots=True)
class ShownLine:
    """A line of a log; without a number it stands for lines that are left out.

    Attributes:
        number: Its number, from 1; 0 for a gap.
        text: Its text.
        role: What it means; empty for an ordinary line.
        id: The name of its cause; empty for an ordinary line.
        culprit: Whether the answer rests on it.
    """

    number: int
    text: str = ""
    role: str = ""
    id: str = ""
    culprit: bool = False


def log_excerpt(explanation: Explanation | None) -> str:
    """Return the lines around the findings in a log; empty for a message of few lines."""
    if explanation is None or explanation.line is None:
        return ""
    found = found_lines(explanation)
    lines = explanation.text.split("\n")
    if len(lines) <= FEWEST_LINES:
        return ""
    shown = _with_gaps(lines, {each.number: each for each in found})
    # First the culprit, then what came after it, then what stood before.
    culprit = explanation.line
    chain = sorted(found, key=lambda each: (each.number < culprit, each.number))
    return fill("log_excerpt.html", lines=shown, chain=chain, total=len(lines))


def found_lines(explanation: Explanation) -> list[ShownLine]:
    """Return the lines that mean something, the culprit first."""
    if explanation.line is None:
        return []
    role = _CULPRIT
    if explanation.kind in (Kind.AFTER_EFFECT, Kind.SIDE, Kind.CANDIDATES):
        role = f"{_CULPRIT}; it is {_ROLES[explanation.kind]}"
    first = ShownLine(explanation.line, explanation.quote, role, explanation.id, culprit=True)
    others = (each for each in explanation.others if each.line != explanation.line)
    return [first, *(_other(each, explanation.line) for each in others)]


def _other(also: Also, culprit: int) -> ShownLine:
    before = also.kind is Kind.AFTER_EFFECT and also.line < culprit
    return ShownLine(also.line, also.quote, _ENDED if before else _ROLES[also.kind], also.id)


def _with_gaps(lines: list[str], found: dict[int, ShownLine]) -> list[ShownLine]:
    """Return the lines near the findings, with a gap wherever others are left out."""
    near = sorted(
        {
            number
            for middle in found
            for number in range(max(1, middle - AROUND), min(len(lines), middle + AROUND) + 1)
        }
    )
    shown: list[ShownLine] = []
    before = 0
    for number in near:
        if number != before + 1:
            shown.append(ShownLine(0))
        text = lines[number - 1].rstrip("\r")[:LONGEST_LINE]
        about = found.get(number)
        shown.append(
            ShownLine(number, text, about.role, about.id, about.culprit)
            if about
            else ShownLine(number, text)
        )
        before = number
    if before < len(lines):
        shown.append(ShownLine(0))
    return shown
