"""A guess, and what becomes of it."""

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
def test_numbers_are_read_as_people_write_them(typed: str, guess: float | None) -> None:
    """What can be read is noted; what cannot is reported, and is no guess."""
    prediction = Prediction("How long?", unit="ms")
    prediction._field.value = typed
    assert prediction.guess == guess
    note = prediction._note.value
    assert ("Noted" in note) == (guess is not None)
    assert ("not a number" in note) == (guess is None and typed.strip() != "")


def test_a_choice_is_none_until_it_is_made() -> None:
    """Nothing is chosen for the learner."""
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
def test_a_number_is_laid_beside_the_truth(guess: float, truth: float, words: str) -> None:
    """By how much it is off is reported in the way that people compare."""
    comparison = Comparison("How long?", guess, truth, "ms")
    assert words in repr(comparison)
    assert words in comparison._repr_html_()


@pytest.mark.parametrize("truth", [None, math.nan, pd.NA])
def test_what_was_not_measured_is_reported_as_such(truth: float | None) -> None:
    """After a migration that failed there is nothing to lay beside the guess, and no error."""
    prediction = Prediction("How long?", unit="ms")
    comparison = prediction.against(truth)
    assert repr(comparison) == "How long? You made no guess. It was not measured."
    prediction.guess = 300
    assert "You said: 300 ms. It was not measured." in prediction.against(truth)._repr_html_()


def test_what_is_shown_is_escaped_and_read_aloud() -> None:
    """A question is text, whatever it holds, and a screen reader says the comparison."""
    html = Comparison("a < b?", None, "<b>", "")._repr_html_()
    assert "a &lt; b?" in html
    assert "&lt;b&gt;" in html
    assert 'role="status"' in html


def test_without_a_guess_the_truth_is_shown_alone() -> None:
    """A learner who went past the question is not stopped by it."""
    prediction = Prediction("How long?", unit="ms")
    assert repr(prediction) == "Prediction('How long?')"
    assert repr(prediction.against(1234.4)) == "How long? You made no guess. It is: 1234 ms."
