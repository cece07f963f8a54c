"""The exercises of lesson 14: solutions pass, and typical mistakes have their own hints."""

from __future__ import annotations

import math

import pandas as pd
import pytest

from migrationlab.course.exercises.lesson_14 import NOT_CERTAIN, NOT_MEASURED, POLICY, SCENE
from migrationlab.course.feedback import AnswerState
from migrationlab.course.lesson import Lesson
from migrationlab.experiment.arena import Arena, evaluate

LESSON = Lesson("14", live=False)
#: On one guest only proxmox completes; on another one libvirt and proxmox are alike.
TIMES = {
    ("sequential", "libvirt"): [math.inf] * 7,
    ("sequential", "nova"): [math.inf] * 7,
    ("sequential", "proxmox"): [8000.0 + number for number in range(7)],
    ("hot-cold", "libvirt"): [2000.0, 2010, 2020, 2030, 2040, 2050, 2060],
    ("hot-cold", "proxmox"): [2061.0, 2052, 2041, 2032, 2021, 2012, 2001],
    ("hot-cold", "nova"): [3000.0 + number for number in range(7)],
    ("redis", "libvirt"): [6000.0 + number for number in range(7)],
    ("redis", "nova"): [5000.0 + number for number in range(7)],
    ("redis", "proxmox"): [7000.0 + number for number in range(7)],
}
RULE = {
    "sequential": "proxmox", "hot-cold": NOT_CERTAIN, "redis": "nova", "64 GiB": NOT_MEASURED
}  # fmt: skip


@pytest.fixture(scope="module")
def arena() -> Arena:
    """Return an arena of TIMES, in which the downtimes are other numbers."""
    rows = [
        {
            "block": block, "scene": scene, "contestant": name, "completed": math.isfinite(value),
            "total_ms": 0 if math.isinf(value) else value,
            "downtime_event_ms": 300 if name == "libvirt" else 500,
        }
        for (scene, name), values in TIMES.items()
        for block, value in enumerate(values, 1)
    ]  # fmt: skip
    return evaluate(pd.DataFrame(rows), ("total_ms", "downtime_event_ms"))


@pytest.mark.parametrize("answer", [973, "973", "973.0", pd.Series([973.0])])
def test_right_regret_passes(arena: Arena, answer: object) -> None:
    """3003 less 2030: numbers and texts are read alike."""
    assert (POLICY, SCENE) == ("nova", "hot-cold")
    checked = LESSON.check("regret", answer, arena)
    assert checked.passed
    assert "libvirt" in checked.text


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (-973, "never negative"),
        (0.973, "in seconds"),
        (3003, "median of nova itself"),
        (0, "distance to the slowest"),
        (200, "by the downtime"),
        (12, "not the regret"),
        ("long", "not a number of ms"),
    ],
)
def test_mistakes_about_the_regret_are_named(arena: Arena, answer: object, words: str) -> None:
    """Sign, unit, metric and the wrong rival have their own hints."""
    checked = LESSON.check("regret", answer, arena)
    assert checked.state is AnswerState.WRONG
    assert words in checked.text
    assert checked.hint


@pytest.mark.parametrize("answer", [RULE, RULE | {"sequential": "Proxmox "}, pd.Series(RULE)])
def test_rule_that_the_data_supports_passes(arena: Arena, answer: object) -> None:
    """A policy where it is certain, and no more."""
    assert LESSON.check("rule", answer, arena).passed


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"64 GiB": "proxmox"}, "not in this arena"),
        ({"hot-cold": "libvirt"}, "no policy is best"),
        ({"hot-cold": NOT_MEASURED}, "was measured"),
        ({"sequential": NOT_CERTAIN}, "one policy is best"),
        ({"sequential": "nova"}, "has not the lowest median"),
        ({"sequential": "the best"}, "is no answer here"),
    ],
)
def test_rules_beyond_the_data_are_named(arena: Arena, changed: dict[str, str], words: str) -> None:
    """A claim too much and a claim too little have their own hints."""
    checked = LESSON.check("rule", RULE | changed, arena)
    assert checked.state is AnswerState.WRONG
    assert words in checked.text
    assert checked.hint


@pytest.mark.parametrize(
    ("exercise", "answer"),
    [("regret", ...), ("regret", None), ("rule", ...), ("rule", RULE | {"hot-cold": ...})],
)
def test_missing_answer_is_reported(arena: Arena, exercise: str, answer: object) -> None:
    """A missing answer is reported as missing, and not as a mistake."""
    assert LESSON.check(exercise, answer, arena).state is AnswerState.UNFINISHED


@pytest.mark.parametrize(("exercise", "answer"), [("regret", 973), ("rule", RULE)])
@pytest.mark.parametrize("arena", [None, [], pd.DataFrame()])
def test_check_needs_the_arena(exercise: str, answer: object, arena: object) -> None:
    """Without the arena the check says how to give it."""
    assert "lesson.check" in LESSON.check(exercise, answer, arena).hint
