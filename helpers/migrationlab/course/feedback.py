"""What a check says about a learner's answer."""

from __future__ import annotations

import html
import tomllib
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path


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


class Texts:
    """What the checks of a lesson say, from the TOML file beside their module.

    Args:
        module: The module's file.
        shared: Values that any of the texts may name in braces.
    """

    def __init__(self, module: str, /, **shared: object) -> None:
        self._texts = tomllib.loads(Path(module).with_suffix(".toml").read_text(encoding="utf-8"))
        self._shared = shared

    def right(self, key: str, /, **values: object) -> Feedback:
        """Return that an answer is right, in the words of this key."""
        return right(self._texts["right"][key].format(**self._shared | values))

    def wrong(self, key: str, /, **values: object) -> Feedback:
        """Return what is wrong, and what to look at, in the words of this key."""
        said, known = self._texts["wrong"][key], self._shared | values
        return wrong(said["text"].format(**known), said["hint"].format(**known))
