"""The exercises of lesson 04: solutions pass, and typical mistakes have their own hints."""

from __future__ import annotations

import pytest

from migrationlab.course.feedback import AnswerState
from migrationlab.course.lesson import Lesson

LESSON = Lesson("04", live=False)
RUN = LESSON.recorded("04-plain")
TABLE = RUN.timeline().downtimes.set_index("kind")
EVENT_MS = float(TABLE.loc["event", "downtime_ms"])
NETWORK = {key: float(TABLE.loc["network", key]) for key in ("downtime_ms", "low_ms", "high_ms")}
SUSPENDED, RESUMED = "lifecycle.SUSPENDED.MIGRATED", "lifecycle.RESUMED.MIGRATED"
SOLUTION = {"kind": "network", **NETWORK}


def between(origin: str, first: str, second: str, column: str) -> float:
    """Return the milliseconds between two events, as a learner computes them."""
    events = RUN.events[RUN.events["origin"] == origin].set_index("name")[column]
    return float(events[second] - events[first]) / 1e6


def test_recorded_runs_differ_only_in_their_limit() -> None:
    """The three runs have the limits that the lesson names, and completed."""
    runs = [RUN, LESSON.recorded("04-limit-100"), LESSON.recorded("04-limit-1000")]
    assert [run.downtime_requested_ms for run in runs] == [300, 100, 1000]
    assert [run.outcome for run in runs] == ["completed"] * 3
    assert (
        len({str(run.wire) for run in runs}) == len({run.guest["dirty_mib_s"] for run in runs}) == 1
    )
    assert all(len(run.echoes) for run in runs)


@pytest.mark.parametrize(
    "answer", [between("qemu", "STOP", "RESUME", "time_ns"), f"{EVENT_MS:.1f}", EVENT_MS]
)
def test_solution_for_the_event_downtime_passes(answer: object) -> None:
    """RESUME minus STOP, by QEMU's own stamps, is right."""
    assert LESSON.check("event", answer, RUN).passed


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (EVENT_MS * 1e6, "nanoseconds"),
        (EVENT_MS * 1e3, "microseconds"),
        (EVENT_MS / 1e3, "in seconds"),
        (-EVENT_MS, "wrong way round"),
        (between("qemu", "STOP", "RESUME", "received_ns"), "heard of the two events"),
        (
            between("libvirt", SUSPENDED, RESUMED, "time_ns"),
            "libvirt's own events",
        ),
        (float(TABLE.loc["reported", "downtime_ms"]), "reported downtime"),
        (NETWORK["downtime_ms"], "network downtime"),
        (1234.5, "not 1234.5 ms"),
        ("soon", "not a length"),
        (float("nan"), "not a length"),
    ],
)
def test_mistakes_about_the_event_downtime_are_named(answer: object, words: str) -> None:
    """Wrong units, direction, stamps and downtimes have their own hints."""
    checked = LESSON.check("event", answer, RUN)
    assert checked.state is AnswerState.WRONG
    assert words in checked.text
    assert checked.hint


@pytest.mark.parametrize(
    "answer",
    [SOLUTION, {key: v if key == "kind" else str(round(float(v))) for key, v in SOLUTION.items()}],
)
def test_solution_for_the_change_request_passes(answer: object) -> None:
    """The network downtime with its bounds is right, rounded or not."""
    assert LESSON.check("request", answer, RUN).passed


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"kind": "requested"}, "was given"),
        ({"kind": "reported"}, "clients do not hear it yet"),
        ({"kind": "event"}, "clients do not hear it yet"),
        ({"kind": "guest"}, "own clock"),
        ({"kind": "total"}, "not one of the kinds"),
        ({"downtime_ms": EVENT_MS}, "is event"),
        ({"downtime_ms": NETWORK["downtime_ms"] / 1000}, "in seconds"),
        ({"downtime_ms": NETWORK["downtime_ms"] + 7}, "it is not"),
        ({"downtime_ms": "much"}, "not a number"),
        ({"low_ms": NETWORK["downtime_ms"], "high_ms": NETWORK["downtime_ms"]}, "bounds are equal"),
        ({"low_ms": NETWORK["high_ms"], "high_ms": NETWORK["low_ms"]}, "wrong way round"),
        ({"low_ms": 0}, "low_ms is not 0"),
        ({"high_ms": 5000}, "high_ms is not 5000"),
    ],
)
def test_mistakes_about_the_change_request_are_named(
    changed: dict[str, object], words: str
) -> None:
    """The wrong kind, the wrong row, seconds and wrong bounds have their own hints."""
    checked = LESSON.check("request", SOLUTION | changed, RUN)
    assert checked.state is AnswerState.WRONG
    assert words in checked.text
    assert checked.hint


@pytest.mark.parametrize("answer", [5, "network", [1, 2]])
def test_answer_that_is_no_dictionary_is_reported(answer: object) -> None:
    """A bare number does not state which downtime it is."""
    assert "not a dictionary" in LESSON.check("request", answer, RUN).text


@pytest.mark.parametrize(
    ("exercise", "answer"),
    [
        ("event", ...),
        ("event", None),
        ("request", ...),
        ("request", dict.fromkeys(SOLUTION, ...)),
        ("request", SOLUTION | {"high_ms": ...}),
    ],
)
def test_missing_answer_is_reported(exercise: str, answer: object) -> None:
    """A missing answer is reported as missing, and not as a mistake."""
    assert LESSON.check(exercise, answer, RUN).state is AnswerState.UNFINISHED


@pytest.mark.parametrize(("exercise", "answer"), [("event", EVENT_MS), ("request", SOLUTION)])
def test_check_needs_a_completed_run(exercise: str, answer: object) -> None:
    """Without a run whose guest stopped, the check states which run it needs."""
    assert "Give the run too" in LESSON.check(exercise, answer).hint
    measured = LESSON.experiment("convergence").measured
    cut = next(run for run in measured if run.outcome == "timed_out")
    assert "completed" in LESSON.check(exercise, answer, cut).hint
