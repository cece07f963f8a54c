"""The exercises of lesson 08: solutions pass, and typical mistakes have their own hints."""

from __future__ import annotations

import pytest

from migrationlab.course.exercises.lesson_08 import CELLS, _check_numbers
from migrationlab.course.feedback import AnswerState
from migrationlab.course.lesson import Lesson

LESSON = Lesson("08", live=False)
MODES = LESSON.experiment("modes")
ROW = MODES.summary(["total_ms"]).set_index("cell").loc[CELLS[1]]
RIGHT = {
    "n": int(ROW["n"]),
    "median_ms": float(ROW["median"]),
    "low_ms": float(ROW["low"]),
    "high_ms": float(ROW["high"]),
}
#: One setting with an outlier: its mean, its median and the median without it lie apart.
ODD = [100.0, 104.0, 108.0, 112.0, 116.0, 120.0, 500.0]
ODD_FIGURE = {"n": 7.0, "median_ms": 112.0, "low_ms": 100.0, "high_ms": 120.0}


@pytest.mark.parametrize("answer", ["too few", " Too few "])
def test_solution_for_the_claim_passes(answer: str) -> None:
    """Three runs of each setting are too few for any claim."""
    assert LESSON.check("claim", answer, MODES).passed


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ("different", "p = 0.1"),
        ("equivalent", "fewer than 6"),
        ("unclear", "n = 3 says more"),
        ("peer2peer is slower", "not one of the verdicts"),
        (105, "not one of the verdicts"),
    ],
)
def test_mistakes_about_the_claim_are_named(answer: object, words: str) -> None:
    """A difference at n = 3 and equality without an interval get their reasons."""
    checked = LESSON.check("claim", answer, MODES)
    assert checked.state is AnswerState.WRONG
    assert words in f"{checked.text} {checked.hint}"
    assert checked.hint


@pytest.mark.parametrize("answer", [RIGHT, {name: f"{value:.1f}" for name, value in RIGHT.items()}])
def test_solution_for_the_figure_passes(answer: object) -> None:
    """n, median and both ends of the interval are right, as in the summary."""
    assert LESSON.check("figure", answer, MODES).passed


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (RIGHT["median_ms"], "how sure it is"),
        (RIGHT | {"n": ...}, "Without n"),
        (RIGHT | {"n": 20}, "this one setting"),
        (RIGHT | {"n": "many"}, "not a number"),
        (RIGHT | {"median_ms": RIGHT["median_ms"] + 50}, "not"),
        (RIGHT | {"low_ms": RIGHT["high_ms"], "high_ms": RIGHT["low_ms"]}, "exchanged"),
        (
            RIGHT | {"low_ms": float(ROW["min"]), "high_ms": float(ROW["max"])},
            "minimum and the maximum",
        ),
        (RIGHT | {"low_ms": 1}, "not the ends"),
    ],
)
def test_mistakes_about_the_figure_are_named(answer: object, words: str) -> None:
    """A figure without n and extremes instead of an interval have their own hints."""
    checked = LESSON.check("figure", answer, MODES)
    assert checked.state is AnswerState.WRONG
    assert words in f"{checked.text} {checked.hint}"
    assert checked.hint


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"n": 6.0}, "marked as outliers"),
        ({"median_ms": sum(ODD) / 7}, "the mean"),
        ({"median_ms": 110.0}, "without the outliers"),
    ],
)
def test_dropped_outlier_and_mean_are_reported(changed: dict[str, float], words: str) -> None:
    """With one outlier the check detects a dropped run and a mean instead of a median."""
    checked = _check_numbers(ODD_FIGURE | changed, ODD)
    assert checked.state is AnswerState.WRONG
    assert words in checked.text
    assert checked.hint


@pytest.mark.parametrize(
    ("exercise", "answer"),
    [("claim", ...), ("claim", ""), ("figure", None), ("figure", dict.fromkeys(RIGHT, ...))],
)
def test_missing_answer_is_reported(exercise: str, answer: object) -> None:
    """A missing answer is reported as missing, and not as a mistake."""
    assert LESSON.check(exercise, answer, MODES).state is AnswerState.UNFINISHED


@pytest.mark.parametrize("exercise", ["claim", "figure"])
def test_check_without_its_experiment_names_the_cell(exercise: str) -> None:
    """If the experiment is missing or another one, the check names the cell to run."""
    for other in (None, LESSON.experiment("fixes")):
        assert "Run the cell" in LESSON.check(exercise, "different", other).hint
