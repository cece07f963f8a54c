"""The exercises of lesson 01: solutions pass, and typical mistakes have their own hints."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from migrationlab.course.feedback import AnswerState
from migrationlab.course.lesson import Lesson
from migrationlab.plan.plan import Plan
from migrationlab.runs.run import Outcome, Runs

LESSON = Lesson("01", live=False)
RUNS = LESSON.runs()
WAY = "tcp://10.0.0.2"
SSH = "qemu+ssh://root@node2/system"


@pytest.mark.parametrize(
    "answer",
    [
        WAY,
        f" {WAY} ",
        f"{WAY}/",
        "tcp:10.0.0.2",
        "tcp://root@10.0.0.2",
        "tcp://[::ffff:10.0.0.2]",
        "tcp://10.0.0.2:49200",
    ],
)
def test_solution_for_the_uri_passes(answer: str) -> None:
    """The TCP address in the migration network is right, with and without a port."""
    assert LESSON.check("uri", answer).passed


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (SSH, "is a libvirt connection URI"),  # the mistake of 2011
        ("qemu+ssh://root@10.0.0.2/system", "is a libvirt connection URI"),
        ("10.0.0.2", "scheme"),
        ("tcp://10.0.0.2:80", "only root may listen"),
        ("TCP://10.0.0.2", "scheme tcp"),
        ("rdma://10.0.0.2", "RDMA needs"),
        ("tcp://localhost", "back to itself"),
        ("tcp://10.0.0.2:22", "that of sshd"),
        ("tcp://node2", "office network"),
        ("tcp://10.0.0.1", "the host that the guest leaves"),
        ("tcp://node1", "the host that the guest leaves"),
        ("tcp://10.0.0.7", "On the migration network node2 is"),
        ("ssh://10.0.0.2", "ssh"),
        (22, "not a text"),
    ],
)
def test_mistakes_about_the_uri_are_named(answer: object, words: str) -> None:
    """The wrong kind of URI, the wrong host and the wrong network have their own hints."""
    checked = LESSON.check("uri", answer)
    assert checked.state is AnswerState.WRONG
    assert words in f"{checked.text} {checked.hint}"
    assert checked.hint


@given(answer=st.one_of(st.text(), st.text().map("tcp://{}".format), st.floats(), st.binary()))
def test_any_answer_gets_a_result(answer: object) -> None:
    """The check has a result for any answer of a learner."""
    assert LESSON.check("uri", answer).text
    assert LESSON.check("plan", answer).text
    assert LESSON.check("pair", answer).text


def test_solution_for_the_plan_passes() -> None:
    """Each of the two URIs is in its place."""
    for uri in (
        SSH,
        "qemu+ssh://root@10.0.0.2/system",
        "qemu+ssh://root@NODE2/system",
        "qemu+ssh://root@node2:22/system",
        "qemu+ssh://node2/system",
        "qemu+libssh2://root@node2/system",
    ):
        plan = Plan(mode="peer2peer", connection_uri=uri, migration_uri=WAY)
        assert LESSON.check("plan", plan).passed


def test_reply_names_who_connects_for_the_memory() -> None:
    """libvirtd connects for the memory; with parallel connections QEMU does."""
    plan = Plan(mode="peer2peer", connection_uri=SSH, migration_uri=WAY)
    assert "libvirtd connects to node2's QEMU" in LESSON.check("plan", plan).text
    parallel = replace(plan, parallel=True)
    assert "QEMU connects to node2's QEMU" in LESSON.check("plan", parallel).text


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (Plan(connection_uri=SSH, migration_uri=WAY), "this client cannot reach it"),
        (Plan(mode="peer2peer", migration_uri=WAY), "connection_uri"),
        (Plan(mode="peer2peer", connection_uri=WAY, migration_uri=WAY), "is a migration URI"),
        (
            Plan(mode="peer2peer", connection_uri="qemu:///system"),
            "the libvirtd of the source host itself",
        ),
        (
            Plan(mode="peer2peer", connection_uri="qemu+ssh://root@node1/system"),
            "node1",
        ),
        (
            Plan(mode="peer2peer", connection_uri="qemu+ssh://root@node3/system"),
            "leads to node3",
        ),
        (
            Plan(mode="peer2peer", connection_uri="qemu+tls://node2/system", migration_uri=WAY),
            "does not lead by SSH",
        ),
        (Plan(mode="peer2peer", connection_uri=SSH), "Without a migration URI"),
        (Plan(mode="peer2peer", connection_uri=SSH, migration_uri="auto"), "Without a migration"),
        (
            Plan(mode="peer2peer", connection_uri="qemu+ssh://root@node2/session"),
            "does not lead by SSH",
        ),
        (
            Plan(mode="peer2peer", connection_uri="qemu+ssh://eve@node2/system", migration_uri=WAY),
            "logs in as eve",
        ),
        (
            Plan(mode="peer2peer", connection_uri="qemu+ssh://root@10.0.0.1/system"),
            "the guest leaves",
        ),
        (
            Plan(mode="peer2peer", connection_uri=SSH, migration_uri=WAY, listen_address="node2"),
            "does not arrive",
        ),
        (
            Plan(mode="peer2peer", connection_uri=SSH, migration_uri="tcp://10.0.0.2:80"),
            "only root may listen",
        ),
        (Plan(mode="peer2peer", connection_uri=SSH, migration_uri=SSH), "connection URI"),
        (Plan(mode="peer2peer", connection_uri=SSH, migration_uri="tcp://node2"), "office"),
        (Plan(mode="peer2peer", connection_uri=SSH, migration_uri=WAY, tunnelled=True), "tunnel"),
        (WAY, "not a plan"),
    ],
)
def test_mistakes_about_the_plan_are_named(answer: object, words: str) -> None:
    """Mistakes in mode, connection URI and migration URI have their own hints."""
    checked = LESSON.check("plan", answer)
    assert checked.state is AnswerState.WRONG
    assert words in f"{checked.text} {checked.hint}"
    assert checked.hint


@pytest.mark.parametrize("rows", [(0, 2), (2, 0), (3, 1), (4, 2), (3, 5)])
def test_solution_for_the_pair_passes(rows: tuple[int, int]) -> None:
    """One run of each mode with the same direction is right, in any order."""
    assert LESSON.check("pair", [RUNS[row] for row in rows]).passed
    assert LESSON.check("pair", Runs(RUNS[row] for row in rows)).passed


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ([RUNS[0], RUNS[1]], "two things differ"),
        ([RUNS[0], RUNS[4]], "Both are normal migrations"),
        ([RUNS[2], RUNS[2]], "one run, twice"),
        ([RUNS[0], replace(RUNS[2], outcome=Outcome.CANCELLED)], "did not complete: cancelled"),
        (
            [RUNS[0], replace(RUNS[2], plan=replace(RUNS[2].plan, bandwidth_mib_s=20))],
            "more than the mode: bandwidth_mib_s",
        ),
        ([RUNS[0]], "A pair is two runs"),
        (RUNS, "these are 6"),
        ([0, 2], "Not all of these are runs"),
        ({0, 2}, "not a pair"),
        ("0, 2", "not a pair"),
    ],
)
def test_mistakes_about_the_pair_are_named(answer: object, words: str) -> None:
    """Another direction, another plan, the same mode and numbers have their own hints."""
    checked = LESSON.check("pair", answer)
    assert checked.state is AnswerState.WRONG
    assert words in f"{checked.text} {checked.hint}"
    assert checked.hint


@pytest.mark.parametrize("exercise", ["uri", "plan", "pair"])
@pytest.mark.parametrize("answer", [..., None, ""])
def test_missing_answer_is_reported(exercise: str, answer: object) -> None:
    """A missing answer is reported as missing, and not as a mistake."""
    assert LESSON.check(exercise, answer).state is AnswerState.UNFINISHED
