"""Plans as answers: each setting, added to a right plan, is refused or accepted by its effect."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any, NamedTuple

import pytest

from generated_plans import variants
from migrationlab.course.feedback import AnswerState, Feedback
from migrationlab.course.lesson import Lesson
from migrationlab.plan.plan import Plan
from migrationlab.plan.setting import Effect, Setting
from migrationlab.plan.settings import settings


class Exercise(NamedTuple):
    """An exercise that asks for a plan.

    Attributes:
        lesson: Its lesson.
        name: Its name.
        right: A right answer.
        about: The settings that the exercise is about; its own tests have their values.
    """

    lesson: str
    name: str
    right: Plan
    about: frozenset[str] = frozenset()

    def check(self, plan: Plan) -> Feedback:
        """Check a plan."""
        lesson = Lesson(self.lesson, live=False)
        more = (fixes(),) if self.lesson == "06" else ()
        return lesson.check(self.name, plan, *more)


@cache
def fixes() -> Any:
    """Return the recorded fixes, which the check of lesson 06 needs."""
    return Lesson("06", live=False).experiment("fixes")


SSH = "qemu+ssh://root@node2/system"
EXERCISES = {
    "01": Exercise(
        "01", "plan", Plan(mode="peer2peer", connection_uri=SSH, migration_uri="tcp://10.0.0.2")
    ),
    "05": Exercise(
        "05",
        "half",
        Plan(bandwidth_mib_s=57),
        frozenset({"postcopy", "postcopy_after_iteration", "postcopy_after_s"}),
    ),
    "06": Exercise(
        "06",
        "fix",
        Plan(postcopy=True, postcopy_after_iteration=2),
        frozenset(
            {
                "bandwidth_mib_s", "postcopy_bandwidth_mib_s", "postcopy_after_s", "deadline_s",
                "max_downtime_ms", "downtime_steps", "downtime_step_s", "abort_when_diverging_s",
                "parallel",
            }
        ),
    ),
    "07": Exercise("07", "fix", Plan(migration_uri="tcp://host-b:49300")),
    "09": Exercise("09", "plan", Plan(migration_uri="tcp://10.0.5.2:49160"), frozenset({"mode"})),
}  # fmt: skip
REFUSED = {Effect.GUEST, Effect.DISKS, Effect.RISK}
CASES = [
    (exercise, about, plan)
    for exercise in EXERCISES.values()
    for about, plan in variants(exercise.right)
]


def changed(exercise: Exercise, plan: Plan) -> list[Setting]:
    """Return the settings in which a plan differs from the right one."""
    known = exercise.right.changed()
    return [settings()[name] for name, value in plan.changed().items() if known.get(name) != value]


@pytest.mark.parametrize(
    ("exercise", "about", "plan"),
    CASES,
    ids=[f"{exercise.lesson}-{plan!r}" for exercise, _, plan in CASES],
)
def test_each_setting_is_refused_or_accepted_by_its_effect(
    exercise: Exercise, about: Setting, plan: Plan
) -> None:
    """What does something else than asked is refused with the reason; the rest is accepted."""
    checked = exercise.check(plan)
    found = changed(exercise, plan)
    refused = [
        each
        for each in found
        if each.effect in REFUSED and not (each.harmless_with and getattr(plan, each.harmless_with))
    ]
    rdma = (plan.migration_uri or "").startswith("rdma")
    if plan.problems() or refused or rdma:
        assert checked.state is AnswerState.WRONG
        assert checked.hint
        said = f"{checked.text} {checked.hint}"
        assert any(each.name in said for each in found) or rdma
    elif {each.name for each in found} & exercise.about:
        assert checked.state is not AnswerState.UNFINISHED
    else:
        assert checked.passed, checked


def test_every_exercise_with_a_plan_is_tried() -> None:
    """Each check that takes a plan is in the table above."""
    takes = set()
    for number in (f"{n:02}" for n in range(10)):
        lesson = Lesson(number, live=False)
        module = __import__(f"migrationlab.course.exercises.lesson_{number}", fromlist=["CHECKS"])
        for name in module.CHECKS:
            if "not a plan" in lesson.check(name, 5).text:
                takes.add((number, name))
    assert takes == {(each.lesson, each.name) for each in EXERCISES.values()}


def test_each_right_plan_passes() -> None:
    """The plans that the tests vary are right."""
    for exercise in EXERCISES.values():
        assert exercise.check(replace(exercise.right)).passed
