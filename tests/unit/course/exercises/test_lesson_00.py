"""The exercise of lesson 00: its solution passes, and typical mistakes have their own hints."""

from __future__ import annotations

import pytest

from migrationlab.course.exercises.lesson_00 import CHECKS
from migrationlab.course.feedback import AnswerState
from migrationlab.course.lesson import Lesson

LESSON = Lesson("00", live=False)
TABLE = LESSON.runs().frame()
LONGEST = float(TABLE["downtime_reported_ms"].max())


@pytest.mark.parametrize("answer", [LONGEST, int(LONGEST), str(LONGEST), f"{LONGEST:.0f},0"])
def test_solution_passes(answer: object) -> None:
    """The largest number of the column is right, as a number and as text."""
    assert LESSON.check("longest", answer, TABLE).passed


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (LONGEST / 1000, "seconds"),
        (float(TABLE["downtime_reported_ms"].min()), "shortest"),
        (float(TABLE["downtime_requested_ms"].max()), "limit"),
        (float(TABLE["downtime_network_ms"].max()), "heard"),
        (float(TABLE["call_ms"].max()), "whole migration"),
        (float(TABLE["downtime_reported_ms"].sort_values().iloc[-2]), "another is longer"),
        (-5, "not one of the six"),
        ("a while", "not a number"),
    ],
)
def test_typical_mistakes_are_distinguished(answer: object, said: str) -> None:
    """Each wrong number gets its explanation and a hint."""
    checked = LESSON.check("longest", answer, TABLE)
    assert checked.state is AnswerState.WRONG
    assert said in checked.text
    assert checked.hint


@pytest.mark.parametrize("answer", [..., None, " "])
def test_missing_answer_is_reported(answer: object) -> None:
    """A missing answer is reported as missing, and not as a mistake."""
    assert LESSON.check("longest", answer, TABLE).state is AnswerState.UNFINISHED


def test_check_without_its_table_names_the_cell() -> None:
    """If a cell was not run, the check names the cell and raises no error."""
    assert "Run the cell" in CHECKS["longest"](300).hint
