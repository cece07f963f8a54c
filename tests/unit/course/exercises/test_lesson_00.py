"""The exercise of lesson 00: its solution passes, typical mistakes are distinguished."""

from __future__ import annotations

import pytest

from migrationlab.course.exercises.lesson_00 import CHECKS
from migrationlab.course.feedback import AnswerState
from migrationlab.course.lesson import Lesson

LESSON = Lesson("00", live=False)
TABLE = LESSON.runs().frame()
LONGEST = float(TABLE["downtime_reported_ms"].max())


@pytest.mark.parametrize("answer", [LONGEST, int(LONGEST), str(LONGEST), f"{LONGEST:.0f},0"])
def test_the_solution_passes(answer: object) -> None:
    """The largest number of the column is right, as a number or as people write one."""
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
        (-5, "none of the six"),
        ("a while", "not a number"),
    ],
)
def test_typical_mistakes_are_distinguished(answer: object, said: str) -> None:
    """Each wrong number is said to be what it is, with a hint."""
    checked = LESSON.check("longest", answer, TABLE)
    assert checked.state is AnswerState.WRONG
    assert said in checked.text
    assert checked.hint


@pytest.mark.parametrize("answer", [..., None, " "])
def test_unfinished_is_reported(answer: object) -> None:
    """An empty place is no mistake."""
    assert LESSON.check("longest", answer, TABLE).state is AnswerState.UNFINISHED


def test_a_check_without_its_table_says_so() -> None:
    """The names of cells that were not run lead to them, and not to an error."""
    assert "Run the cell" in CHECKS["longest"](300).hint
