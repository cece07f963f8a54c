"""The exercises of lesson 12: solutions pass, and typical mistakes have their own hints."""

from __future__ import annotations

import pytest

from migrationlab.course.exercises.lesson_12 import slow_requests
from migrationlab.course.feedback import AnswerState
from migrationlab.course.lesson import Lesson

LESSON = Lesson("12", live=False)
RUNS = {name: LESSON.recorded(f"12-{name}") for name in ("plain", "limit", "zstd")}
SLOW = {name: slow_requests(run) for name, run in RUNS.items()}
BEST = min(SLOW, key=lambda name: SLOW[name])
WORST = max(SLOW, key=lambda name: SLOW[name])
SOLUTION = {"plan": BEST, "slow": SLOW[BEST]}


def test_recorded_runs_differ_only_in_their_plan() -> None:
    """The three runs have the same service, load and guest; every acknowledged write is there."""
    runs = list(RUNS.values())
    assert {run.outcome for run in runs} == {"completed"}
    for run in runs:
        assert run.service_check is not None
        assert run.service_check["intact"] is True
    same = ("service", "requests_s", "connections", "working_set_mib", "dirty_mib_s")
    assert len({tuple(run.guest[key] for key in same) for run in runs}) == 1
    assert RUNS["plain"].plan.changed().keys() <= {"migration_uri", "connection_uri"}


@pytest.mark.parametrize("answer", [60, "60", 60_000 * 0.001, 60_000 * (1 - 0.999)])
def test_solution_for_the_budget_passes(answer: object) -> None:
    """A thousandth of a minute is 60 ms."""
    assert LESSON.check("budget", answer).passed


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (0.06, "in seconds"),
        (600, "of a p99."),
        (6, "p99.99"),
        (59_940, "must be fast"),
        (100, "not 100 ms"),
        ("long", "not a length"),
    ],
)
def test_mistakes_about_the_budget_are_named(answer: object, words: str) -> None:
    """Wrong units and wrong percentiles have their own hints."""
    checked = LESSON.check("budget", answer)
    assert checked.state is AnswerState.WRONG
    assert words in checked.text
    assert checked.hint


@pytest.mark.parametrize("answer", [SOLUTION, {"plan": BEST.upper(), "slow": str(SLOW[BEST])}])
def test_solution_for_the_plan_passes(answer: dict[str, object]) -> None:
    """The plan with the fewest slow requests is right; the answer says if it keeps the target."""
    checked = LESSON.check("choice", answer, RUNS)
    assert checked.passed
    assert "the target" in checked.text


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"plan": WORST}, "another plan has fewer"),
        ({"plan": "faster"}, "none of the plans"),
        ({"slow": SLOW[BEST] + 1}, "does not have"),
        ({"slow": "few"}, "not a number"),
    ],
)
def test_mistakes_about_the_plan_are_named(changed: dict[str, object], words: str) -> None:
    """Another plan and another number have their own hints."""
    checked = LESSON.check("choice", SOLUTION | changed, RUNS)
    assert checked.state is AnswerState.WRONG
    assert words in checked.text
    assert checked.hint


@pytest.mark.parametrize(
    ("exercise", "answer"),
    [("budget", ...), ("choice", ...), ("choice", {"plan": BEST, "slow": ...})],
)
def test_missing_answer_is_reported(exercise: str, answer: object) -> None:
    """A missing answer is reported as missing, and not as a mistake."""
    assert LESSON.check(exercise, answer, *([RUNS] if exercise == "choice" else [])).state is (
        AnswerState.UNFINISHED
    )


@pytest.mark.parametrize("runs", [None, [], {}, {"plain": 1}, {"plain": Lesson("04", live=False)}])
def test_choice_needs_runs_of_a_service(runs: object) -> None:
    """Without runs, the check says how to give them."""
    assert "lesson.check" in LESSON.check("choice", SOLUTION, runs).hint
    other = {"plain": Lesson("04", live=False).recorded("04-plain")}
    assert "got no runs of a service" in LESSON.check("choice", SOLUTION, other).text
