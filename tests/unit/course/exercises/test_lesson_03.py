"""The exercises of lesson 03: solutions pass, and typical mistakes have their own hints."""

from __future__ import annotations

import pytest

from migrationlab.course.feedback import AnswerState
from migrationlab.course.lesson import Lesson

LESSON = Lesson("03", live=False)
RUN = LESSON.runs()[4]
LINE = RUN.timeline()
LENGTHS = LINE.phases.set_index("phase")["duration_ms"]
LONGEST = str(LENGTHS.drop("Perform").idxmax())
BY = str(LINE.phases.set_index("phase")["by"][LONGEST])
SOLUTION = {"phase": LONGEST, "by": BY, "ms": float(LENGTHS[LONGEST])}
EARLY_MS = (LINE.returned_ns - LINE.resume_ns) / 1e6


def test_run_of_the_exercise_fits_its_text() -> None:
    """In the run of the exercise Prepare is the longest phase except for Perform."""
    assert LENGTHS.idxmax() == "Perform"
    assert (LONGEST, BY) == ("Prepare", "destination libvirtd")


@pytest.mark.parametrize(
    "answer",
    [
        SOLUTION,
        SOLUTION | {"ms": f"{SOLUTION['ms'] * 1.05:.0f}"},
        SOLUTION | {"phase": f" {LONGEST.lower()}", "by": "Destination's libvirtd"},
        SOLUTION | {"by": "the destination’s libvirtd"},
        SOLUTION | {"by": f"{RUN.destination['name']}'s libvirtd"},
    ],
)
def test_solution_for_the_phase_passes(answer: object) -> None:
    """The phase, who works in it and its length within a tenth are right."""
    assert LESSON.check("phase", answer, RUN).passed


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"phase": "Perform"}, "sends memory"),
        ({"phase": "Confirm"}, "not the longest"),
        ({"phase": "Sending"}, "is not a phase"),
        ({"by": "client"}, "only asks"),
        ({"by": "the client"}, "asks, and waits"),
        ({"by": f"{RUN.source['name']}'s libvirtd"}, "it is not source libvirtd"),
        ({"by": "destination"}, "half of it"),
        ({"by": "source QEMU"}, "it is not source qemu"),
        ({"ms": SOLUTION["ms"] / 1000}, "in seconds"),
        ({"ms": float(LENGTHS["Confirm"])}, "length of Confirm"),
        ({"ms": SOLUTION["ms"] * 1.3}, "run 5"),
        ({"ms": "long"}, "not a length"),
    ],
)
def test_mistakes_about_the_phase_are_named(changed: dict[str, object], words: str) -> None:
    """Perform, who only asks, seconds and another phase's length have their own hints."""
    checked = LESSON.check("phase", SOLUTION | changed, RUN)
    assert checked.state is AnswerState.WRONG
    assert words in f"{checked.text} {checked.hint}"
    assert checked.hint


@pytest.mark.parametrize(
    ("exercise", "answer"),
    [
        ("phase", ...),
        ("phase", {"phase": ..., "by": ..., "ms": ...}),
        ("phase", SOLUTION | {"ms": None}),
        ("early", ...),
        ("early", ""),
    ],
)
def test_missing_answer_is_reported(exercise: str, answer: object) -> None:
    """A missing answer is reported as missing, and not as a mistake."""
    assert LESSON.check(exercise, answer, RUN).state is AnswerState.UNFINISHED


@pytest.mark.parametrize("answer", [EARLY_MS, round(EARLY_MS), f"{EARLY_MS:.1f}"])
def test_solution_for_the_end_passes(answer: object) -> None:
    """The time from the guest's RESUME to the call's return is right."""
    assert LESSON.check("early", answer, RUN).passed


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (EARLY_MS * 1e6, "nanoseconds"),
        (EARLY_MS / 1000, "in seconds"),
        (-EARLY_MS, "wrong way round"),
        (float(LENGTHS["Confirm"]), "Confirm alone"),
        (LINE.downtime_event_ms, "the downtime"),
        ((LINE.returned_ns - LINE.stop_ns) / 1e6, "where the guest stopped"),
        ((LINE.returned_ns - LINE.completed_ns) / 1e6, "sent everything"),
        (LINE.call_ms, "whole call"),
        (12.3, "not 12.3 ms"),
        ([1], "not a length"),
    ],
)
def test_mistakes_about_the_end_are_named(answer: object, words: str) -> None:
    """Wrong units, the wrong direction and each wrong moment have their own hints."""
    checked = LESSON.check("early", answer, RUN)
    assert checked.state is AnswerState.WRONG
    assert words in checked.text
    assert checked.hint


def test_run_whose_guest_did_not_arrive_is_reported() -> None:
    """A cancelled run has no moment at which its guest ran at the destination."""
    measured = LESSON.experiment("convergence").measured
    cut = next(run for run in measured if run.outcome == "timed_out")
    assert "did not arrive" in LESSON.check("early", 200, cut).text


@pytest.mark.parametrize(("exercise", "answer"), [("phase", SOLUTION), ("early", EARLY_MS)])
def test_check_without_a_run_asks_for_one(exercise: str, answer: object) -> None:
    """If the run is missing from the call, the check asks for a run."""
    assert "Give the run too" in LESSON.check(exercise, answer).hint
