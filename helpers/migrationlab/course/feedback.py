"""Represent a check's feedback on a learner's answer."""

from __future__ import annotations

import html
import tomllib
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path


class AnswerState(StrEnum):
    """The state of an answer after a check."""

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
    """The result of a check; a notebook shows it.

    Attributes:
        state: Whether the answer is right.
        text: The reason why the answer is right or wrong.
        hint: The next thing to look at; empty if the text says it all.
    """

    state: AnswerState
    text: str
    hint: str = ""

    @property
    def passed(self) -> bool:
        """Return whether the answer is right."""
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
    """Return the feedback on a right answer, with the reason."""
    return Feedback(AnswerState.RIGHT, text)


def wrong(text: str, hint: str) -> Feedback:
    """Return the feedback on a wrong answer, with a hint."""
    return Feedback(AnswerState.WRONG, text, hint)


def unfinished(hint: str) -> Feedback:
    """Return the feedback on a missing answer, with the place for it."""
    return Feedback(AnswerState.UNFINISHED, "There is no answer here yet.", hint)


class Texts:
    """The texts of a lesson's checks, from the TOML file beside their module.

    Args:
        module: The module's file.
        shared: Values that any of the texts may name in braces.
    """

    def __init__(self, module: str, /, **shared: object) -> None:
        self._texts = tomllib.loads(Path(module).with_suffix(".toml").read_text(encoding="utf-8"))
        self._shared = shared

    def right(self, key: str, /, **values: object) -> Feedback:
        """Return the feedback on a right answer, with the text of this key."""
        return right(self._texts["right"][key].format(**self._shared | values))

    def wrong(self, key: str, /, **values: object) -> Feedback:
        """Return the feedback on a wrong answer, with the text and the hint of this key."""
        said, known = self._texts["wrong"][key], self._shared | values
        return wrong(said["text"].format(**known), said["hint"].format(**known))
