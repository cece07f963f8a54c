"""The exercises of lesson 10: solutions pass, and typical mistakes have their own hints."""

from __future__ import annotations

import pytest

from migrationlab.course.exercises.lesson_10 import PHASES, SAFE, SITUATIONS, first_safe_phase
from migrationlab.course.feedback import AnswerState
from migrationlab.course.lesson import Lesson
from migrationlab.migrate.recovery import Action, Kind, decide

LESSON = Lesson("10", live=False)


def test_answers_are_what_recover_says() -> None:
    """It is where recover resumes the guest; where it refuses, nobody can be sure."""
    for name, (source, destination) in SITUATIONS.items():
        verdict = decide(source, destination)
        resumed = [act.side for act in verdict.acts if act.action is Action.RESUME]
        said = {Kind.REFUSED: "wait", Kind.LOST: "lost"}.get(verdict.kind)
        assert SAFE[name] == (said or resumed[0])


@pytest.mark.parametrize(
    "answer",
    [
        SAFE,
        {"A": "the source", "B": "wait!", "C": "Destination", "D": "lost", "E": "nobody"},
        {"A": "src", "B": "refuse", "C": "dest", "D": "gone", "E": "unsure"},
    ],
)
def test_solution_for_what_is_safe_passes(answer: dict[str, str]) -> None:
    """Other words for the same answer count too."""
    assert LESSON.check("safe", answer).passed


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"A": "destination"}, "has not run"),
        ({"A": "wait"}, "Which copy has all"),
        ({"B": "source"}, "is a guess"),
        ({"C": "lost"}, "switched off"),
        ({"D": "source"}, "Where is the other part"),
        ({"E": "destination"}, "is a guess"),
        ({"E": "both of them"}, "none of the words"),
    ],
)
def test_mistake_about_what_is_safe_has_a_hint(change: dict[str, str], words: str) -> None:
    """The hint asks the question that leads on."""
    found = LESSON.check("safe", SAFE | change)
    assert found.state is AnswerState.WRONG
    assert words in f"{found.text} {found.hint}"


def test_unfinished_answer_is_no_mistake() -> None:
    """Places that are not filled in are named."""
    found = LESSON.check("safe", dict.fromkeys(SAFE, ...))
    assert found.state is AnswerState.UNFINISHED
    assert LESSON.check("phase", ...).state is AnswerState.UNFINISHED


def test_phase_is_the_one_of_the_recorded_matrix() -> None:
    """From there on the guest survives in each later phase too."""
    right = first_safe_phase()
    assert LESSON.check("phase", right).passed
    assert LESSON.check("phase", f"in {right.capitalize()}").passed
    for phase in PHASES:
        if phase != right:
            found = LESSON.check("phase", phase)
            early = PHASES.index(phase) < PHASES.index(right)
            assert ("says lost" if early else "earlier phase") in found.text
    assert "does not name one phase" in LESSON.check("phase", "the third").text
