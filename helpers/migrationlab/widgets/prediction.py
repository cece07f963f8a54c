"""Ask for a guess before a measurement, and compare the guess with the measurement afterwards.

A guess is optional: without one, the comparison shows the measurement alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import ipywidgets as widgets
import pandas as pd

from migrationlab.course.answers import number_of
from migrationlab.widgets import fields
from migrationlab.widgets.views import messages
from migrationlab.widgets.views.template import fill

#: A guess is close if it is wrong by less than this factor.
CLOSE = 1.25


class Prediction(widgets.VBox):  # type: ignore[misc]
    """A question, and the learner's guess.

    Args:
        question: The question.
        unit: The unit of a number, for example "ms"; empty for a choice.
        choices: The answers to choose from; None for a number.
    """

    def __init__(
        self, question: str, *, unit: str = "", choices: Sequence[str] | None = None
    ) -> None:
        self._question, self._unit = question, unit
        if choices is None:
            self._field: widgets.Widget = fields.text(
                f"Your guess, {unit}" if unit else "Your guess",
                placeholder="a number",
                label="initial",
                width="22em",
            )
        else:
            self._field = widgets.RadioButtons(
                options=list(choices),
                value=None,
                description="Your guess",
                style={"description_width": "6em"},
                layout=widgets.Layout(width="max-content"),
            )
        self._note = widgets.HTML()
        fields.on_change(self._refresh, self._field)
        title = widgets.HTML(fill("question.html", question=question, answer=""))
        super().__init__([title, widgets.HBox([self._field]), self._note])

    def __repr__(self) -> str:
        return f"Prediction({self._question!r})"

    @property
    def guess(self) -> float | str | None:
        """Return the guess; None while the field is empty or cannot be read."""
        value = self._field.value
        if isinstance(self._field, widgets.RadioButtons):
            return str(value) if value is not None else None
        # People write a number as 300, 0.3, 0,3, 1,500 or 300 ms.
        return number_of(value.strip().removesuffix(self._unit))

    @guess.setter
    def guess(self, value: float | str | None) -> None:
        if isinstance(self._field, widgets.RadioButtons):
            self._field.value = value
        else:
            self._field.value = "" if value is None else f"{value}"

    def against(self, truth: float | str | None) -> Comparison:
        """Compare the guess with the measurement.

        Args:
            truth: The measurement, in the unit of the question, or the right choice; None or NaN
                if nothing was measured, for example because a migration did not complete.
        """
        return Comparison(self._question, self.guess, truth, self._unit)

    def _refresh(self) -> None:
        text, guess = "", self.guess
        if isinstance(guess, float):
            text = f"Noted: {guess:g} {self._unit}".rstrip() + "."
        elif guess is not None:
            text = "Noted."
        elif str(self._field.value or "").strip():
            text = "This is not a number. Write it as 300."
        self._note.value = messages.status(text) if text else ""


@dataclass(frozen=True, slots=True, repr=False)
class Comparison:
    """A guess beside the truth; a notebook shows both."""

    question: str
    guess: float | str | None
    truth: float | str | None
    unit: str

    def __repr__(self) -> str:
        return f"{self.question} {self._sentence()}"

    def _repr_html_(self) -> str:
        return fill("question.html", question=self.question, answer=self._sentence())

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
            return f"You said: {guess}. " + ("That is right." if same else f"It is: {truth}.")
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
