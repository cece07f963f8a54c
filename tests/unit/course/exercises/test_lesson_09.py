"""The exercises of lesson 09: solutions pass, and typical mistakes have their own hints."""

from __future__ import annotations

import pytest

from migrationlab.course.feedback import AnswerState
from migrationlab.course.lesson import Lesson
from migrationlab.plan.plan import Plan

LESSON = Lesson("09", live=False)
WAY = "tcp://10.0.5.2:49160"
SSH = "qemu+ssh://root@node2/system"
RIGHT = {
    "host-key-unknown": "source",
    "port-closed": "destination",
    "disk-not-shared": "plan",
}


@pytest.mark.parametrize(
    "answer",
    [
        Plan(migration_uri=WAY),
        Plan(migration_uri="tcp:10.0.5.2:49160"),
        Plan(migration_uri="tcp://root@10.0.5.2:49160"),
        Plan(migration_uri="tcp://[::ffff:10.0.5.2]:49160/"),
        Plan(migration_uri=WAY, connection_uri=SSH),
        Plan(migration_uri=WAY, connection_uri="qemu+ssh://root@NODE2.:22/system"),
    ],
)
def test_solution_for_the_plan_passes(answer: Plan) -> None:
    """The laptop is the client, and memory uses the open address and port."""
    assert LESSON.check("plan", answer).passed


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (Plan(mode="peer2peer", migration_uri=WAY), "cannot log in"),
        (Plan(), "storage network"),
        (Plan(migration_uri="tcp://node2:49160"), "storage network"),
        (Plan(migration_uri="tcp://10.0.5.2"), "firewall"),
        (Plan(migration_uri="tcp://10.0.5.2:49152"), "port 49152"),
        (Plan(migration_uri="qemu+ssh://root@10.0.5.2/system"), "connection URI"),
        (Plan(connection_uri="tcp://10.0.5.2:49160"), "migration URI"),
        (Plan(migration_uri=WAY, connection_uri="qemu+ssh://root@10.0.5.2/system"), "by that name"),
        (Plan(migration_uri="auto"), "storage network"),
        (Plan(migration_uri=WAY, connection_uri="qemu+tcp://node2/system"), "by SSH"),
        (Plan(migration_uri=WAY, connection_uri="qemu+ssh://root@node2/session"), "by SSH"),
        (Plan(migration_uri="rdma://10.0.5.2:49160"), "RDMA needs"),
        (Plan(migration_uri=WAY, copy_storage="full"), "Copy disks beside the memory"),
        (Plan(migration_uri=WAY, listen_address="node2"), "does not arrive"),
        (Plan(migration_uri=WAY, connection_uri="qemu+ssh://node2/system"), "root"),
        (Plan(migration_uri=WAY, connection_uri="qemu+ssh://root@node2:49160/system"), "port 22"),
        (Plan(migration_uri="unix:///run/way.sock"), "needs a program"),
        (Plan(offline=True, persistent=True, live=False), "is paused before the first byte"),
        ("tcp://10.0.5.2:49160", "not a plan"),
    ],
)
def test_mistakes_about_the_plan_are_named(answer: object, words: str) -> None:
    """Mistakes in mode, address, port and the two kinds of URI have their own hints."""
    checked = LESSON.check("plan", answer)
    assert checked.state is AnswerState.WRONG
    assert words in f"{checked.text} {checked.hint}"
    assert checked.hint


def test_solution_for_the_fixes_passes() -> None:
    """Each fault is at its place: source, destination or plan."""
    assert LESSON.check("fix", RIGHT).passed


def test_two_faults_can_be_fixed_in_two_places() -> None:
    """Ports and disks have a fix by the plan and one at the destination, and both are right."""
    two = {"port-closed": "plan", "disk-not-shared": "node2's pool"}
    assert LESSON.check("fix", RIGHT | two).passed
    assert LESSON.check("fix", RIGHT | {"disk-not-shared": ("plan", "destination")}).passed


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"host-key-unknown": "destination"}, "known_hosts"),
        ({"port-closed": "source"}, "ports"),
        ({"host-key-unknown": "plan"}, "not fixed by a plan"),
        ({"disk-not-shared": "Source"}, "takes the disk along"),
        ({"disk-not-shared": "laptop"}, "not one of the places"),
    ],
)
def test_mistakes_about_the_fixes_are_named(changes: dict[str, str], words: str) -> None:
    """A fault in the wrong place is reported with a hint to the right one."""
    checked = LESSON.check("fix", RIGHT | changes)
    assert checked.state is AnswerState.WRONG
    assert words in f"{checked.text} {checked.hint}"


def test_fixes_in_a_list_are_reported() -> None:
    """An answer that is no mapping is reported."""
    assert "braces" in LESSON.check("fix", ["source", "destination", "plan"]).hint


@pytest.mark.parametrize(
    ("exercise", "answer"),
    [("plan", ...), ("plan", None), ("fix", ...), ("fix", RIGHT | {"port-closed": ...})],
)
def test_missing_answer_is_reported(exercise: str, answer: object) -> None:
    """A missing answer is reported as missing, and not as a mistake."""
    assert LESSON.check(exercise, answer).state is AnswerState.UNFINISHED
