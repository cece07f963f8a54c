"""The exercises of lesson 13: solutions pass, and typical mistakes have their own hints."""

from __future__ import annotations

import pandas as pd
import pytest

from migrationlab.course.exercises.lesson_13 import BANDWIDTH_MBIT_S, DATABASE
from migrationlab.course.feedback import AnswerState
from migrationlab.course.lesson import Lesson
from migrationlab.forecast import DirtyCurve, advise, forecast
from migrationlab.forecast.advice import SURE
from migrationlab.forecast.lab_guest import lab_memory
from migrationlab.forecast.precopy import PAYLOAD_SHARE
from migrationlab.plan.plan import Mode, Plan
from migrationlab.runs.run import Outcome

LESSON = Lesson("13", live=False)
#: Two runs of three lie in the interval of the total time, one in that of the downtime.
SCORED = pd.DataFrame(
    {
        "total_s": [2.0, 3.0, 5.0, None],
        "total_s_low": [1.8, 2.5, 3.0, 4.0],
        "total_s_high": [2.2, 3.5, 4.0, None],
        "downtime_ms": [300.0, 500.0, 900.0, None],
        "downtime_ms_low": [250.0, 300.0, 300.0, None],
        "downtime_ms_high": [350.0, 400.0, 400.0, None],
    }
)
SCORE = {"inside": 2, "runs": 3}


def test_recorded_run_has_the_plan_that_is_advised() -> None:
    """The lesson migrates by advice: without a lab, the recorded run has that very plan."""
    made = reversed(LESSON.experiment("fixes").measured)
    runs = {run.experiment["cell"]: run for run in made if run.experiment is not None}
    curve = DirtyCurve.from_run(runs["nothing"])
    advice = advise(
        curve, lab_memory(256, 64), 500 * PAYLOAD_SHARE, downtime_ms=1500, within_s=15,
        plan=Plan(mode=Mode.PEER2PEER, deadline_s=60),
    )  # fmt: skip
    advised, recorded = advice.plans[0].plan, runs["longer-downtime"]
    assert recorded.outcome is Outcome.COMPLETED
    uris = {"migration_uri", "connection_uri"}
    changed = {name: value for name, value in recorded.plan.changed().items() if name not in uris}
    assert advised.changed() == changed
    assert recorded.guest["working_set_mib"] == 64
    assert recorded.guest["memory_mib"] == 256


@pytest.mark.parametrize(
    "plan",
    [
        Plan(max_downtime_ms=900),
        Plan(mode=Mode.PEER2PEER, max_downtime_ms=900),
        Plan(max_downtime_ms=900, auto_converge=True),
    ],
)
def test_plans_within_the_goal_pass(plan: Plan) -> None:
    """Any plan whose forecast keeps the goal is right, not only the solution's."""
    checked = LESSON.check("plan", plan)
    assert checked.passed, checked
    assert "By the forecast" in checked.text


@pytest.mark.parametrize(
    ("plan", "words"),
    [
        (Plan(), "not sure that this ends"),
        (Plan(max_downtime_ms=1000), "downtime can reach"),
        (Plan(max_downtime_ms=3000), "downtime can reach"),
        (Plan(postcopy=True, postcopy_after_iteration=1), "post-copy"),
        (Plan(max_downtime_ms=900, bandwidth_mib_s=100), "not sure that this ends"),
        (Plan(max_downtime_ms=900, deadline_s=30), "not sure that this ends"),
        (Plan(max_downtime_ms=900, tls=True), "cannot speak about this plan"),
        (Plan(policy="nova"), "not sure that this ends"),
        ("limit", "not a plan"),
    ],
)
def test_plans_beyond_the_goal_are_named(plan: object, words: str) -> None:
    """Each part of the goal that a plan misses has its own hint."""
    checked = LESSON.check("plan", plan)
    assert checked.state is AnswerState.WRONG
    assert words in checked.text
    assert checked.hint


@pytest.mark.parametrize("answer", [SCORE, {"inside": "2", "runs": 3.0}, pd.Series(SCORE)])
def test_right_score_passes(answer: object) -> None:
    """Numbers and texts are read alike."""
    checked = LESSON.check("score", answer, SCORED)
    assert checked.passed
    assert "2 of 3" in checked.text


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"runs": 4}, "reached their deadline"),
        ({"runs": 7}, "not the number of completed runs"),
        ({"inside": 3}, "3 of them are not inside"),
        ({"inside": 67}, "percentage"),
        ({"inside": "most"}, "not a number"),
    ],
)
def test_mistakes_about_the_score_are_named(changed: dict[str, object], words: str) -> None:
    """Runs without an end, percentages and miscounts have their own hints."""
    checked = LESSON.check("score", SCORE | changed, SCORED)
    assert checked.state is AnswerState.WRONG
    assert words in checked.text
    assert checked.hint


def test_outside_and_downtime_are_told_apart() -> None:
    """The count of runs outside, and that of the downtime, are typical mistakes."""
    more = pd.concat([SCORED, SCORED.head(2), SCORED.head(1)])
    right = {"inside": 5, "runs": 6}
    assert LESSON.check("score", right, more).passed
    assert "runs outside" in LESSON.check("score", right | {"inside": 1}, more).text
    assert "score of the downtime" in LESSON.check("score", right | {"inside": 3}, more).text


@pytest.mark.parametrize(
    ("exercise", "answer"),
    [("plan", ...), ("plan", None), ("score", ...), ("score", {"inside": 2, "runs": ...})],
)
def test_missing_answer_is_reported(exercise: str, answer: object) -> None:
    """A missing answer is reported as missing, and not as a mistake."""
    given = [SCORED] if exercise == "score" else []
    assert LESSON.check(exercise, answer, *given).state is AnswerState.UNFINISHED


@pytest.mark.parametrize("scored", [None, [], pd.DataFrame(), SCORED[["total_s"]]])
def test_score_needs_the_table(scored: object) -> None:
    """Without the table, or with a part of it, the check says how to give it."""
    assert "lesson.check" in LESSON.check("score", SCORE, scored).hint


def test_database_is_not_helped_by_the_default_limit() -> None:
    """The exercise has a point: QEMU's own limit does not end the migration for certain."""
    assert forecast(Plan(), DATABASE, bandwidth_mbit_s=BANDWIDTH_MBIT_S).ends < SURE
