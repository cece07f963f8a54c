"""The exercise of lesson 11: the solution passes, and typical mistakes have their own hints."""

from __future__ import annotations

import pytest

from migrationlab.course.feedback import AnswerState
from migrationlab.course.lesson import Lesson

LESSON = Lesson("11", live=False)


@pytest.mark.parametrize(
    "answer", ["CADB", "c a d b", "C, A, D, B", "C → A → D → B", ["C", "A", "D", "B"], ("ca", "db")]
)
def test_solution_passes(answer: object) -> None:
    """Empty a host, upgrade it, boot the guests there, upgrade the other."""
    assert LESSON.check("order", answer).passed


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ("CAEB", "is refused"),
        ("ACDB", "Where are its guests"),
        ("CDAB", "not booted on a new host"),
        ("CAB", "not booted on a new host"),
        ("CAD", "left on the old release"),
        ("CADBC", "a step too many"),
        ("XYZ", "not letters of steps"),
        (42, "not letters of steps"),
        ({"first": 1}, "not letters of steps"),
        (object(), "not letters of steps"),
    ],
)
def test_mistakes_have_their_hint(answer: object, words: str) -> None:
    """Each typical mistake has its own text, and nothing that a learner may write raises."""
    feedback = LESSON.check("order", answer)
    assert not feedback.passed
    assert words in feedback.text


def test_unanswered_exercise_is_unfinished() -> None:
    """Three dots are no answer yet."""
    assert LESSON.check("order", ...).state is AnswerState.UNFINISHED
