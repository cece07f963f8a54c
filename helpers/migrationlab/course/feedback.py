"""What a check says of a learner's answer. Pure; imports nothing of the kit."""

from __future__ import annotations

import html
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum


class AnswerState(StrEnum):
    """How an answer is."""

    RIGHT = "right"
    WRONG = "wrong"
    UNFINISHED = "unfinished"


_MARKS = {AnswerState.RIGHT: "✓", AnswerState.WRONG: "✗", AnswerState.UNFINISHED: "…"}
# Okabe and Ito's green and vermilion, and a grey, for the border and the mark, which are seen on
# white and on black alike; the text keeps the page's own colour.
_COLOURS = {
    AnswerState.RIGHT: "#009E73",
    AnswerState.WRONG: "#D55E00",
    AnswerState.UNFINISHED: "#808080",
}
#: As the kit writes large numbers: 1,836. None begins with 0, so 0,345 is a decimal.
_GROUPED = re.compile(r"[+-]?[1-9]\d{0,2}(,\d{3})+(\.\d*)?")


@dataclass(frozen=True, slots=True, repr=False)
class Feedback:
    """What a check found; a notebook shows it.

    Attributes:
        state: How the answer is.
        said: What is right or wrong about it.
        hint: What to look at next; empty where it is right.
    """

    state: AnswerState
    said: str
    hint: str = ""

    @property
    def passed(self) -> bool:
        """Whether the answer is right."""
        return self.state is AnswerState.RIGHT

    def __repr__(self) -> str:
        text = f"{_MARKS[self.state]} {self.said}"
        return f"{text}\n  → {self.hint}" if self.hint else text

    def _repr_html_(self) -> str:
        more = f"<br>→ {html.escape(self.hint)}" if self.hint else ""
        return (
            f'<div role="status" style="line-height:1.5;border-left:4px solid '
            f'{_COLOURS[self.state]};padding-left:0.6em">'
            f'<b><span style="color:{_COLOURS[self.state]}">{_MARKS[self.state]}</span> '
            f"{self.state.capitalize()}.</b> "
            f"{html.escape(self.said)}{more}</div>"
        )


def right(said: str) -> Feedback:
    """Say that an answer is right, and why."""
    return Feedback(AnswerState.RIGHT, said)


def wrong(said: str, hint: str) -> Feedback:
    """Say what is off, and what to look at."""
    return Feedback(AnswerState.WRONG, said, hint)


def unfinished(hint: str) -> Feedback:
    """Say that there is no answer yet, and where it goes."""
    return Feedback(AnswerState.UNFINISHED, "There is no answer here yet.", hint)


def is_unfinished(answer: object) -> bool:
    """Return whether the place of an answer is as the lesson left it: ``...``, None or empty."""
    return answer is ... or answer is None or (isinstance(answer, str) and not answer.strip())


def places_of(
    answer: object, names: Sequence[str], of_each: str = ""
) -> Mapping[str, object] | Feedback:
    """Return the answer to an exercise of several places; what to say where one isn't filled in.

    Args:
        answer: What the learner gave: is to be a dictionary.
        names: Its keys, each of which must have an answer.
        of_each: What is to be given for a name, where it isn't the thing itself: "a place for ".
    """
    given = dict.fromkeys(names, ...) if is_unfinished(answer) else answer
    if not isinstance(given, Mapping):
        kept = f"Keep the braces, and fill in {of_each}{', '.join(names)}."
        return wrong(f"That is a {type(answer).__name__}, and no dictionary.", kept)
    if missing := [name for name in names if is_unfinished(given.get(name))]:
        return unfinished(f"Fill in {of_each}{', '.join(missing)}.")
    return given


def number_of(answer: object) -> float | None:
    """Return the number that an answer is, also as text; None where it is none.

    Commas between groups of three digits are left out, as the kit's tables have them; any other
    comma is a decimal point.
    """
    text = str(answer).strip()
    text = text.replace(",", "" if _GROUPED.fullmatch(text) else ".")
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None
