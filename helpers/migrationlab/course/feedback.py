"""What a check says about a learner's answer."""

from __future__ import annotations

import html
from dataclasses import dataclass
from enum import StrEnum


class AnswerState(StrEnum):
    """What a check thinks of an answer."""

    RIGHT = "right"
    WRONG = "wrong"
    UNFINISHED = "unfinished"


# A mark, and Okabe and Ito's green and vermilion or a grey for it and the border: they are seen on
# white and on black alike. The text keeps the page's own colour.
_LOOKS = {
    AnswerState.RIGHT: ("✓", "#009E73"),
    AnswerState.WRONG: ("✗", "#D55E00"),
    AnswerState.UNFINISHED: ("…", "#808080"),
}


@dataclass(frozen=True, slots=True, repr=False)
class Feedback:
    """What a check found; a notebook shows it.

    Attributes:
        state: Whether the answer is right.
        text: What is right or wrong about it.
        hint: What to look at next; empty for a right answer.
    """

    state: AnswerState
    text: str
    hint: str = ""

    @property
    def passed(self) -> bool:
        """Whether the answer is right."""
        return self.state is AnswerState.RIGHT

    def __repr__(self) -> str:
        text = f"{_LOOKS[self.state][0]} {self.text}"
        return f"{text}\n  → {self.hint}" if self.hint else text

    def _repr_html_(self) -> str:
        mark, colour = _LOOKS[self.state]
        hint = f"<br>→ {html.escape(self.hint)}" if self.hint else ""
        return (
            f'<div role="status" style="line-height:1.5;border-left:4px solid {colour};'
            f'padding-left:0.6em"><b><span style="color:{colour}">{mark}</span> '
            f"{self.state.capitalize()}.</b> {html.escape(self.text)}{hint}</div>"
        )


def right(text: str) -> Feedback:
    """Return that an answer is right, and why."""
    return Feedback(AnswerState.RIGHT, text)


def wrong(text: str, hint: str) -> Feedback:
    """Return what is wrong, and what to look at."""
    return Feedback(AnswerState.WRONG, text, hint)


def unfinished(hint: str) -> Feedback:
    """Return that there is no answer yet, and where it goes."""
    return Feedback(AnswerState.UNFINISHED, "There is no answer here yet.", hint)
