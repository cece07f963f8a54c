"""The exercises of lesson 06: solutions pass, and typical mistakes have their own hints."""

from __future__ import annotations

import pytest

from migrationlab.course.feedback import AnswerState
from migrationlab.course.lesson import Lesson
from migrationlab.experiment.experiment import Experiment
from migrationlab.plan.plan import Plan

LESSON = Lesson("06", live=False)
ENDS = {"web": True, "database": False, "counter": True, "night": False}


@pytest.fixture(scope="module")
def fixes() -> Experiment:
    """Return the recorded fixes."""
    return LESSON.experiment("fixes")


def test_solution_for_which_guests_converge_passes() -> None:
    """Two of the four migrations end: one by its dirty rate, one by its working set."""
    assert LESSON.check("ends", ENDS).passed


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("web", "size"),
        ("database", "Convert"),
        ("counter", "working set"),
        ("night", "slower of wire and limit"),
    ],
)
def test_mistakes_about_convergence_are_named(name: str, words: str) -> None:
    """The check names a wrongly judged guest and the overlooked fact."""
    checked = LESSON.check("ends", ENDS | {name: not ENDS[name]})
    assert checked.state is AnswerState.WRONG
    assert checked.text.startswith(f"{name}: ")
    assert words in checked.hint


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (True, "not a dictionary"),
        (["web"], "not a dictionary"),
        (ENDS | {"mail": True}, "mail is not one"),
        (ENDS | {"web": "perhaps"}, "neither True nor False"),
        (ENDS | {"web": 2}, "neither True nor False"),
    ],
)
def test_invalid_answers_are_reported(answer: object, said: str) -> None:
    """Other types, other guests and other words are reported and raise no error."""
    checked = LESSON.check("ends", answer)
    assert checked.state is AnswerState.WRONG
    assert said in checked.text


@pytest.mark.parametrize(
    "switch",
    [
        {"postcopy_after_iteration": 2},
        {"postcopy_after_s": 3.0},
        {"postcopy_after_iteration": 1, "postcopy_after_s": 60.0, "max_downtime_ms": 400},
        {"postcopy_after_iteration": 2, "bandwidth_mib_s": 50, "deadline_s": 30.0},
    ],
)
def test_postcopy_that_switches_by_itself_passes(
    switch: dict[str, float], fixes: Experiment
) -> None:
    """Post-copy ends in time with a short downtime, and the check states its cost."""
    checked = LESSON.check("fix", Plan(postcopy=True, **switch), fixes)
    assert checked.passed
    assert "lost" in checked.text


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({}, "does not end"),
        ({"postcopy": True}, "nothing switches"),
        ({"postcopy": True, "postcopy_after_s": 14.0}, "too late"),
        ({"postcopy": True, "postcopy_after_iteration": 20}, "too late"),
        ({"postcopy": True, "postcopy_after_iteration": 2, "deadline_s": 3.0}, "within 3 s"),
        ({"postcopy": True, "postcopy_after_iteration": 2, "max_downtime_ms": 3000}, "before it"),
        ({"postcopy": True, "postcopy_after_iteration": 2, "max_downtime_ms": 600}, "paused"),
        ({"postcopy": True, "postcopy_after_iteration": 2, "parallel": True}, "refuses"),
        ({"postcopy": True, "postcopy_after_iteration": 2, "bandwidth_mib_s": 5}, "less than"),
        ({"postcopy": True, "postcopy_after_s": 4.0, "abort_when_diverging_s": 2.0}, "diverges"),
        ({"max_downtime_ms": 500}, "does not end"),
        ({"max_downtime_ms": 1500}, "is paused"),
        ({"suspend_after_s": 3.0}, "is paused"),
        ({"live": False}, "is paused"),
        ({"auto_converge": True}, "and not 15"),
        ({"auto_converge": True, "auto_converge_initial_percent": 80}, "no recorded run"),
        ({"parallel": True, "compression": ("zstd",)}, "encrypted"),
        ({"compression": ()}, "encrypted"),
        ({"parallel": True}, "full wire"),
        ({"bandwidth_mib_s": 40}, "less than the wire carries"),
        ({"postcopy_after_iteration": 2}, "needs postcopy=True"),
    ],
)
def test_wrong_fixes_get_their_reasons(
    settings: dict[str, object], words: str, fixes: Experiment
) -> None:
    """Each other fix and each wrong use of post-copy gets the reason why it fails."""
    checked = LESSON.check("fix", Plan(**settings), fixes)
    assert checked.state is AnswerState.WRONG
    assert words in checked.text
    assert checked.hint


def test_invalid_plans_and_records_are_reported(fixes: Experiment) -> None:
    """A value that is no plan, missing records and another experiment's are reported."""
    assert "not a plan" in LESSON.check("fix", "postcopy", fixes).text
    assert "fixes)" in LESSON.check("fix", Plan()).hint
    other = Lesson("08", live=False).experiment("modes")
    assert "fixes)" in LESSON.check("fix", Plan(), other).hint


@pytest.mark.parametrize(
    ("exercise", "answer"),
    [
        ("ends", ...),
        ("ends", None),
        ("ends", {}),
        ("ends", dict.fromkeys(ENDS, ...)),
        ("ends", ENDS | {"night": ...}),
        ("fix", ...),
        ("fix", None),
    ],
)
def test_missing_answer_is_reported(exercise: str, answer: object) -> None:
    """One or several missing answers are reported as missing, and not as mistakes."""
    assert LESSON.check(exercise, answer).state is AnswerState.UNFINISHED
