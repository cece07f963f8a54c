"""A guess, made before the measurement: a field to write it down, and the two side by side after.

Whoever has guessed looks at a measurement with other eyes. A guess is never demanded: without one,
the truth is told alone. Compares, and decides nothing.
"""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass

import ipywidgets as widgets
import pandas as pd

from migrationlab.course.feedback import number_of

_LINES = "line-height:1.5"
#: A guess that is off by less than this factor is close.
CLOSE = 1.25


class Prediction(widgets.VBox):  # type: ignore[misc]
    """A question, and the learner's guess.

    Args:
        question: What to guess.
        unit: What a number is in, as "ms"; left out for a choice.
        choices: The answers to choose from; left out for a number.
    """

    def __init__(
        self, question: str, *, unit: str = "", choices: Sequence[str] | None = None
    ) -> None:
        self._question, self._unit = question, unit
        asked = widgets.HTML(f'<div style="{_LINES}"><b>{html.escape(question)}</b></div>')
        if choices is None:
            self._field: widgets.Widget = widgets.Text(
                description=f"Your guess, {unit}" if unit else "Your guess",
                placeholder="a number",
                style={"description_width": "initial"},
                layout=widgets.Layout(width="22em"),
            )
            line = widgets.HBox([self._field])
        else:
            self._field = widgets.RadioButtons(
                options=list(choices),
                value=None,
                description="Your guess",
                style={"description_width": "6em"},
                layout=widgets.Layout(width="max-content"),
            )
            line = widgets.HBox([self._field])
        self._note = widgets.HTML()
        self._field.observe(self._look, names="value")
        super().__init__([asked, line, self._note])

    def __repr__(self) -> str:
        return f"Prediction({self._question!r})"

    @property
    def guess(self) -> float | str | None:
        """The guess; None as long as there is none, or none that can be read."""
        value = self._field.value
        if isinstance(self._field, widgets.RadioButtons):
            return str(value) if value is not None else None
        return _number(value, self._unit)

    @guess.setter
    def guess(self, value: float | str | None) -> None:
        if isinstance(self._field, widgets.RadioButtons):
            self._field.value = value
        else:
            self._field.value = "" if value is None else f"{value}"

    def against(self, truth: float | str | None) -> Comparison:
        """Lay the guess beside what turned out.

        Args:
            truth: What was measured, in the unit that was asked for, or which choice is right; None
                or NaN where nothing was measured, as of a migration that did not complete.
        """
        return Comparison(self._question, self.guess, truth, self._unit)

    def _look(self, _change: object) -> None:
        text = ""
        if isinstance(self._field, widgets.Text) and self._field.value.strip():
            guess = self.guess
            known = f"Noted: {guess:g} {self._unit}".rstrip() + "." if guess is not None else ""
            text = known or "That is no number that can be read: write it as 300."
        elif self.guess is not None:
            text = "Noted."
        self._note.value = f'<div role="status" style="{_LINES}">{text}</div>'


@dataclass(frozen=True, slots=True, repr=False)
class Comparison:
    """A guess beside the truth; a notebook shows both.

    Attributes:
        question: What was asked.
        guess: The learner's guess, or None.
        truth: What turned out; None or NaN where it was not measured.
        unit: What numbers are in.
    """

    question: str
    guess: float | str | None
    truth: float | str | None
    unit: str

    def __repr__(self) -> str:
        return f"{self.question} {self._sentence()}"

    def _repr_html_(self) -> str:
        return (
            f'<div role="status" style="{_LINES}"><b>{html.escape(self.question)}</b><br>'
            f"{html.escape(self._sentence())}</div>"
        )

    def _sentence(self) -> str:
        if self.truth is None or pd.isna(self.truth):
            said = "made no guess" if self.guess is None else f"said: {self._words(self.guess)}"
            return f"You {said}. It was not measured."
        truth = self._words(self.truth)
        if self.guess is None:
            return f"You made no guess. It is: {truth}."
        guess = self._words(self.guess)
        if isinstance(self.truth, str) or isinstance(self.guess, str):
            same = self.guess == self.truth
            return f"You said: {guess}. " + ("So it is." if same else f"It is: {truth}.")
        return f"You said {guess}; it is {truth}: {_off(self.guess, self.truth)}."

    def _words(self, value: float | str) -> str:
        if isinstance(value, str):
            return value
        text = f"{value:.3g}" if abs(value) < 1000 else f"{value:.0f}"
        return f"{text} {self.unit}".rstrip()


def _off(guess: float, truth: float) -> str:
    if guess == truth:
        return "exactly"
    if guess <= 0 or truth <= 0:
        return f"{abs(guess - truth):.3g} apart"
    factor = max(guess, truth) / min(guess, truth)
    side = "too much" if guess > truth else "too little"
    if factor < CLOSE:
        return f"close, {100 * abs(guess - truth) / truth:.0f} % {side}"
    return f"{factor:.1f} times {side}"


def _number(text: str, unit: str) -> float | None:
    """Read a number as people write it: 300, 0.3, 0,3, 1,500, 300 ms; None where it is none."""
    return number_of(text.strip().removesuffix(unit))
