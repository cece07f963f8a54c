"""A learner's prediction, and its comparison with the measured value."""

from __future__ import annotations

import math

import pandas as pd
import pytest

from migrationlab.widgets import Prediction
from migrationlab.widgets.prediction import Comparison


@pytest.mark.parametrize(
    ("typed", "guess"),
    [
        ("300", 300.0), (" 0.5 ", 0.5), ("0,5", 0.5), ("1e3", 1000.0), ("-2", -2.0),
        ("300 ms", 300.0), ("1,500", 1500.0), ("12,345,678.5", 12345678.5), ("0,345", 0.345),
        ("", None), ("about 300", None), ("300 s", None), ("nan", None), ("inf", None),
    ],
)  # fmt: skip
def test_number_is_read_in_usual_notations(typed: str, guess: float | None) -> None:
    """A readable number is noted; unreadable text is reported and is no prediction."""
    prediction = Prediction("How long?", unit="ms")
    prediction._field.value = typed
    assert prediction.guess == guess
    note = prediction._note.value
    assert ("Noted" in note) == (guess is not None)
    assert ("not a number" in note) == (guess is None and typed.strip() != "")


def test_no_option_is_chosen_at_first() -> None:
    """The widget chooses no option for the learner."""
    prediction = Prediction("Who connects?", choices=["the client", "the source's libvirtd"])
    assert prediction.guess is None
    assert "You made no guess. It is: the client." in repr(prediction.against("the client"))
    prediction.guess = "the client"
    assert prediction.guess == "the client"
    assert "That is right." in repr(prediction.against("the client"))
    assert "It is: the source's libvirtd." in repr(prediction.against("the source's libvirtd"))


@pytest.mark.parametrize(
    ("guess", "truth", "words"),
    [
        (300.0, 300.0, "exactly"),
        (330.0, 300.0, "close, 10 % too much"),
        (600.0, 300.0, "2.0 times too much"),
        (100.0, 300.0, "3.0 times too little"),
        (0.0, 300.0, "300 apart"),
        (-5.0, 300.0, "305 apart"),
        (5.0, 0.0, "5 apart"),
    ],
)
def test_number_is_compared_with_the_measured_value(guess: float, truth: float, words: str) -> None:
    """The text states the difference as people usually compare two numbers."""
    comparison = Comparison("How long?", guess, truth, "ms")
    assert words in repr(comparison)
    assert words in comparison._repr_html_()


@pytest.mark.parametrize("truth", [None, math.nan, pd.NA])
def test_unmeasured_value_is_reported(truth: float | None) -> None:
    """After a failed migration the text states that there is no measured value."""
    prediction = Prediction("How long?", unit="ms")
    comparison = prediction.against(truth)
    assert repr(comparison) == "How long? You made no guess. It was not measured."
    prediction.guess = 300
    assert "You said: 300 ms. It was not measured." in prediction.against(truth)._repr_html_()


def test_question_is_escaped_and_comparison_is_read_aloud() -> None:
    """A question never becomes markup, and a screen reader reads the comparison."""
    html = Comparison("a < b?", None, "<b>", "")._repr_html_()
    assert "a &lt; b?" in html
    assert "&lt;b&gt;" in html
    assert 'role="status"' in html


def test_measured_value_is_shown_without_a_prediction() -> None:
    """A learner who skipped the question sees the measured value alone."""
    prediction = Prediction("How long?", unit="ms")
    assert repr(prediction) == "Prediction('How long?')"
    assert repr(prediction.against(1234.4)) == "How long? You made no guess. It is: 1234 ms."
