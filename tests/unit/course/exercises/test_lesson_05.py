"""The exercises of lesson 05: solutions pass, and typical mistakes have their own hints."""

from __future__ import annotations

import pytest

from migrationlab.course.exercises.lesson_05 import on_the_wire_mbit_s
from migrationlab.course.feedback import AnswerState
from migrationlab.course.lesson import Lesson
from migrationlab.plan.plan import Plan
from migrationlab.runs.run import Run

LESSON = Lesson("05", live=False)


@pytest.fixture(scope="module")
def plain() -> Run:
    """Return the recorded migration without any setting."""
    return LESSON.recorded("05-plain")


def share(run: Run, group: str, side: str = "source") -> float:
    """Return the percentage of time in which a group of QEMU's threads was busy."""
    processors = run.cost().processors.set_index(["side", "process", "group"])
    cpu_s = float(processors.loc[(side, "qemu", group), "cpu_s"])
    return 100 * cpu_s / (run.summary()["total_ms"] / 1000)


def test_wire_rule_fits_the_recorded_runs(plain: Run) -> None:
    """The check's rule for headers gives the bytes that the wire's queue counted."""
    rate, seconds = plain.cost().payload_bytes, plain.summary()["total_ms"] / 1000
    assert rate is not None
    sent_bits = plain.wire_bytes["cable_sent_bytes"].iloc[-1] * 8
    said = on_the_wire_mbit_s(rate / 2**20 / seconds) * 1e6 * seconds
    assert said == pytest.approx(sent_bits, rel=0.005)


@pytest.mark.parametrize(
    "plan",
    [
        Plan(bandwidth_mib_s=57),
        Plan(bandwidth_mib_s=50),
        Plan(mode="peer2peer", bandwidth_mib_s=56, parallel=True),
        Plan(bandwidth_mib_s=57, postcopy=True, postcopy_bandwidth_mib_s=57),
    ],
)
def test_plan_for_half_of_the_wire_passes(plan: Plan) -> None:
    """From 50 to 57 MiB/s are right in each mode; post-copy needs its own limit."""
    assert LESSON.check("half", plan).passed


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (57, "not a plan"),
        (Plan(), "no limit"),
        (Plan(bandwidth_mib_s=500), "limits nothing"),
        (Plan(bandwidth_mib_s=500), "divide by 8"),
        (Plan(bandwidth_mib_s=125), "whole wire"),
        (Plan(bandwidth_mib_s=119), "whole wire"),
        (Plan(bandwidth_mib_s=80), "Convert"),
        (Plan(bandwidth_mib_s=62), "5 % more"),
        (Plan(bandwidth_mib_s=60), "rounded up"),
        (Plan(bandwidth_mib_s=250), "Convert"),
        (Plan(bandwidth_mib_s=59), "headers"),
        (Plan(bandwidth_mib_s=7), "longer than it has to"),
        (Plan(bandwidth_mib_s=57, postcopy=True), "postcopy_bandwidth_mib_s"),
        (Plan(bandwidth_mib_s=57, parallel_connections=4), "needs parallel=True"),
    ],
)
def test_mistakes_about_half_of_the_wire_are_named(answer: object, words: str) -> None:
    """Bits, millions, headers, the whole wire and post-copy have their own hints."""
    checked = LESSON.check("half", answer)
    assert checked.state is AnswerState.WRONG
    assert words in f"{checked.text} {checked.hint}"
    assert checked.hint


def test_share_of_the_sending_thread_passes(plain: Run) -> None:
    """The right row divided by the right time is right, as a number and as text."""
    busy = share(plain, "migration")
    assert LESSON.check("busy", busy, plain).passed
    assert LESSON.check("busy", f"{busy:.3g}", plain).passed


@pytest.mark.parametrize(("factor", "words"), [(0.01, "percent"), (0.001, "1000 times")])
def test_mistakes_about_the_unit_of_the_share_are_named(
    plain: Run, factor: float, words: str
) -> None:
    """A fraction instead of a percentage and ms instead of s have their own hints."""
    checked = LESSON.check("busy", share(plain, "migration") * factor, plain)
    assert checked.state is AnswerState.WRONG
    assert words in f"{checked.text} {checked.hint}"


@pytest.mark.parametrize(("busy", "words"), [(0.2, "more"), (90, "less")])
def test_share_of_no_row_is_too_small_or_too_large(plain: Run, busy: float, words: str) -> None:
    """A share that is no typical mistake is reported as too small or too large."""
    checked = LESSON.check("busy", busy, plain)
    assert checked.state is AnswerState.WRONG
    assert words in checked.text


@pytest.mark.parametrize(("group", "side"), [("vCPU", "source"), ("all", "destination")])
def test_share_of_another_row_names_the_row(plain: Run, group: str, side: str) -> None:
    """The check names the row of the table that the learner used."""
    checked = LESSON.check("busy", share(plain, group, side), plain)
    assert checked.state is AnswerState.WRONG
    assert f"{side}, qemu, {group}" in checked.text


@pytest.mark.parametrize(("answer", "run"), [(1.0, None), (1.0, 5), ("much", "plain"), (-1, None)])
def test_share_without_a_run_asks_for_one(answer: object, run: object) -> None:
    """If the run is missing from the call, the check asks for a run."""
    assert "plain)" in LESSON.check("busy", answer, run).hint


def test_share_that_is_no_number_is_reported(plain: Run) -> None:
    """A word instead of a number is reported and raises no error."""
    assert "not a share" in LESSON.check("busy", "much", plain).text


@pytest.mark.parametrize("answer", [12 * 1024 / 400, "30.7", "30,7"])
def test_solution_for_the_forecast_passes(answer: object) -> None:
    """12 GiB at 400 MiB/s are right within a percent, with a point or a comma."""
    assert LESSON.check("seconds", answer).passed


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (16 * 1024 / 400, "zeros"),
        (30, "1024"),
        (12 * 2**30 / 1e6 / 400, "binary"),
        (12 * 1024 / (10e9 / 8 / 2**20), "slower"),
        (12 * 1024 / (10e9 / 8 / 2**20) * 1514 / 1448, "slower"),
        (12 * 1024 / 400 * 8, "MiB/s already"),
        (12 * 1024 / 400 * 1514 / 1448, "66 bytes"),
        (30720, "milliseconds"),
        (100, "less"),
        (5, "more"),
        (0, "not a time"),
        ("long", "not a time"),
    ],
)
def test_mistakes_about_the_forecast_are_named(answer: object, words: str) -> None:
    """Zeros, units, the wire's rate and headers have their own hints."""
    checked = LESSON.check("seconds", answer)
    assert checked.state is AnswerState.WRONG
    assert words in f"{checked.text} {checked.hint}"


@pytest.mark.parametrize("exercise", ["half", "busy", "seconds"])
@pytest.mark.parametrize("answer", [..., None, ""])
def test_missing_answer_is_reported(exercise: str, answer: object) -> None:
    """A missing answer is reported as missing, and not as a mistake."""
    assert LESSON.check(exercise, answer).state is AnswerState.UNFINISHED
