"""The exercises of lesson 07: solutions pass, and typical mistakes have their own hints."""

from __future__ import annotations

import dataclasses

import pytest

from migrationlab.course.exercises.lesson_07 import MESSAGES, TURNS, load_log
from migrationlab.course.feedback import AnswerState
from migrationlab.course.lesson import Lesson
from migrationlab.explain.explanation import NoticedBy, explain
from migrationlab.plan.plan import Plan
from migrationlab.plan.uris import Mode
from migrationlab.runs.run import Outcome

LESSON = Lesson("07", live=False)
OPEN = "tcp://host-b:49300"


def test_messages_of_the_exercise_are_explained() -> None:
    """migrationlab explains each message of the exercise."""
    for mode, text in MESSAGES.values():
        opened_by = NoticedBy.CLIENT if mode == "normal" else NoticedBy.SOURCE_DAEMON
        assert explain(text, opened_by=opened_by).known
    assert TURNS.keys() == MESSAGES.keys()


def test_solution_for_the_turns_passes() -> None:
    """The four places are right in each notation."""
    assert LESSON.check("turn", TURNS).passed
    assert LESSON.check("turn", {name: f" {place.upper()}" for name, place in TURNS.items()}).passed


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (TURNS | {"A": "source"}, "in normal mode"),
        (TURNS | {"B": "client"}, "another machine connects"),
        (TURNS | {"B": "plan"}, "next plan fails again"),
        (TURNS | {"C": "source"}, "side that listens"),
        (TURNS | {"C": "plan"}, "by another plan"),
        (TURNS | {"D": "destination"}, "wrong place"),
        (TURNS | {"A": "my phone"}, "not one of the places"),
        ("client", "Keep the braces"),
    ],
)
def test_mistakes_about_the_turns_are_named(answer: object, words: str) -> None:
    """The check names the first wrong place and a hint to the right one."""
    checked = LESSON.check("turn", answer)
    assert checked.state is AnswerState.WRONG
    assert words in f"{checked.text} {checked.hint}"
    assert checked.hint


@pytest.mark.parametrize(
    "answer",
    [
        Plan(mode=Mode.PEER2PEER, migration_uri=OPEN),
        Plan(migration_uri="tcp://host-b:49310"),
        Plan(migration_uri="tcp://HOST-B:49310/"),
        Plan(migration_uri="tcp:host-b:49310"),
        Plan(migration_uri=OPEN, listen_address="10.11.0.2"),
        Plan(migration_uri=OPEN, listen_address="0.0.0.0"),
        Plan(migration_uri=OPEN, connection_uri="qemu+tcp://host-b/system"),
        Plan(migration_uri="tcp://10.11.0.2:49300"),
        Plan(mode=Mode.PEER2PEER, tunnelled=True),
    ],
)
def test_plans_that_pass_the_firewall_are_right(answer: Plan) -> None:
    """An open port in the migration URI is right in both modes, and a tunnel is too."""
    assert LESSON.check("fix", answer).passed


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (Plan(mode=Mode.PEER2PEER), "its own ports"),
        (Plan(migration_uri="tcp://host-b"), "libvirt chooses"),
        (Plan(migration_uri="tcp://host-b:49153"), "port 49153"),
        (Plan(migration_uri="tcp://host-b:5000"), "5000 through either"),
        (Plan(connection_uri="qemu+tcp://host-b:49300/system"), "in the migration URI"),
        (Plan(migration_uri="tcp://host-c:49300"), "host-c"),
        (Plan(migration_uri="qemu+ssh://root@host-b/system"), "migration URI"),
        (Plan(migration_uri=OPEN, offline=True, persistent=True), "definition only"),
        (Plan(migration_uri="tcp://10.11.0.1:49300"), "the guest leaves"),
        (Plan(migration_uri="rdma://host-b:49300"), "RDMA needs"),
        (Plan(migration_uri=OPEN, listen_address="host-a"), "the guest leaves"),
        (Plan(migration_uri=OPEN, listen_address="10.0.0.9"), "listen at 10.0.0.9 only"),
        (Plan(migration_uri=OPEN, listen_address="127.0.0.1"), "means itself"),
        (Plan(migration_uri=OPEN, connection_uri="qemu+tcp://host-c/system"), "leads to host-c"),
        (OPEN, "not a plan"),
    ],
)
def test_mistakes_about_the_plan_are_named(answer: object, words: str) -> None:
    """A closed port, the wrong URI and the wrong host have their own hints."""
    checked = LESSON.check("fix", answer)
    assert checked.state is AnswerState.WRONG
    assert words in f"{checked.text} {checked.hint}"
    assert checked.hint


def test_plan_that_failed_is_wrong() -> None:
    """The result of a tried plan decides, and libvirt's message is the hint."""
    plan = Plan(mode=Mode.PEER2PEER, migration_uri=OPEN)
    failed = LESSON.recorded("07-port-closed")
    checked = LESSON.check("fix", plan, failed)
    assert checked.state is AnswerState.WRONG
    assert "No route to host" in checked.text
    done = dataclasses.replace(failed, outcome=Outcome.COMPLETED, error=None)
    assert LESSON.check("fix", plan, done).passed


def line_with(words: str, *, last: bool = False) -> int:
    """Return the number of the first line of the exercise's log with some words, or of the last."""
    found = [number for number, line in enumerate(load_log(), 1) if words in line]
    return found[-1 if last else 0]


REASON = line_with("Certificate does not match the hostname")


def test_the_log_is_a_whole_one() -> None:
    """The log is of two hosts and four programs, in the order of time, without the fault's name."""
    starts = {line.partition(":")[0] for line in load_log()}
    assert starts == {f"host-{side} {who}" for side in "ab" for who in ("libvirtd", "qemu")}
    stamps = [line.partition(": ")[2][:23].replace("T", " ") for line in load_log()]
    assert stamps == sorted(stamps)
    assert len(stamps) > 40


def test_explain_finds_the_culprit_of_the_log() -> None:
    """migrationlab's own answer is the exercise's."""
    found = explain("\n".join(load_log()))
    assert (found.id, found.line) == ("certificate-wrong-name", REASON)


@pytest.mark.parametrize("act", ["destination", "host-b", "the destination's QEMU"])
@pytest.mark.parametrize("line", [REASON, str(REASON), f" {REASON} "])
def test_solution_for_the_log_passes(line: object, act: str) -> None:
    """The line and the host are right in each notation."""
    assert LESSON.check("log", {"line": line, "act": act}).passed


@pytest.mark.parametrize(
    ("line", "act", "words"),
    [
        (line_with("Not a migration stream"), "destination", "after-effect: no memory came"),
        (line_with("load of migration failed"), "source", "got no memory to load"),
        (line_with("Certificate does not", last=True), "destination", "Which line had it first"),
        (line_with("guest agent"), "destination", "not about the migration that failed"),
        (0, "source", "no line of the log"),
        (REASON + 0.5, "source", "no line of the log"),
        ("the certificate", "source", "not the number of a line"),
        (REASON, "source", "of who listens"),
        (REASON, "plan", "not of the plan"),
        (REASON, "my phone", "not one of the places"),
    ],
)
def test_mistakes_about_the_log_are_named(line: object, act: str, words: str) -> None:
    """After-effects, noise, the repetition and the wrong host have their own hints."""
    checked = LESSON.check("log", {"line": line, "act": act})
    assert checked.state is AnswerState.WRONG
    assert words in f"{checked.text} {checked.hint}"
    assert checked.hint


@pytest.mark.parametrize(
    ("exercise", "answer"),
    [
        ("turn", ...),
        ("turn", dict.fromkeys(TURNS, ...)),
        ("fix", None),
        ("fix", ...),
        ("log", ...),
        ("log", {"line": 1, "act": ...}),
    ],
)
def test_missing_answer_is_reported(exercise: str, answer: object) -> None:
    """A missing answer is reported as missing, and not as a mistake."""
    assert LESSON.check(exercise, answer).state is AnswerState.UNFINISHED
