"""The checks of lesson 03: a phase read off a run, and how long the call outlasts the stop."""

from __future__ import annotations

import math
from collections.abc import Callable

import pandas as pd

from migrationlab.course.feedback import (
    Feedback,
    is_unfinished,
    number_of,
    places_of,
    right,
    unfinished,
    wrong,
)
from migrationlab.runs.run import Run

#: The phase in which memory is sent.
SENDING = "Perform"
#: A figure's legend has three digits; read off its axis, a length is less sure.
READ_OFF = 0.1
KEYS = ("phase", "by", "ms")
_NO_RUN = "Give the run too: lesson.check(…, run)."


def check_phase(answer: object, run: object = None) -> Feedback:
    """Check which phase took the longest of those that send no memory, who worked, and how long.

    Args:
        answer: A dictionary with ``phase``, ``by`` and ``ms``.
        run: The run that was looked at.
    """
    places = places_of(answer, KEYS)
    if isinstance(places, Feedback):
        return places
    if not isinstance(run, Run):
        return wrong("The check got no run.", _NO_RUN)
    table = run.timeline().phases.set_index("phase")
    wanted = str(table["duration_ms"].drop(SENDING).idxmax())
    phase = str(places["phase"]).strip().capitalize()
    if phase not in table.index:
        return wrong(f"{places['phase']!r} is no phase.", f"They are {', '.join(table.index)}.")
    if phase == SENDING:
        return wrong(
            "It is the longest, but it is the one that sends memory.",
            f"Look at the four others: which of them is longest, with {SENDING} left out?",
        )
    if phase != wanted:
        return wrong(
            f"{phase} is not the longest of the four.",
            "Compare the bars of the phases' lane, or the lengths in the figure's legend.",
        )
    sides = {str(run.source["name"]): "source", str(run.destination["name"]): "destination"}
    words = str(places["by"]).lower().replace("’", "'").replace("'s", "").replace("_", " ").split()
    by = " ".join(sides.get(word, word) for word in words if word != "the")
    return _check_by(by, table, wanted) or _check_length(places["ms"], table["duration_ms"], wanted)


def _check_by(by: str, table: pd.DataFrame, wanted: str) -> Feedback | None:
    """Say what is wrong with who is said to spend the time; None where nothing is."""
    true = str(table.loc[wanted, "by"])
    if by == true:
        return None
    if by == str(table.loc[wanted, "asked_by"]):
        return wrong(
            f"{wanted} is right, but {by} only asks for it, and waits.",
            "Column by says who works, column asked_by who asks, and waits.",
        )
    side, _, program = true.partition(" ")
    if by in {side, program}:
        return wrong(f"{by!r} is half of it.", "Say the side and the program, as source QEMU does.")
    return wrong(
        f"{wanted} is right, but it is not {by} that works then.",
        "The table under One call, five phases says at which host each phase takes place.",
    )


def _check_length(answer: object, lengths: pd.Series, wanted: str) -> Feedback:
    number, true = number_of(answer), float(lengths[wanted])
    if number is None or number <= 0:
        return wrong(f"{answer!r} is no length.", "Write a number of milliseconds.")
    if math.isclose(number, true, rel_tol=READ_OFF):
        return right(f"{wanted} took {true:.0f} ms, and nothing of the guest went over in it.")
    if math.isclose(number * 1000, true, rel_tol=READ_OFF):
        return wrong("That is in seconds.", "Wanted are milliseconds: times 1000.")
    for phase, other in lengths.drop(wanted).items():
        if math.isclose(number, float(other), rel_tol=0.02):
            return wrong(f"That is the length of {phase}.", f"Read off that of {wanted}.")
    return wrong(
        f"{wanted} did not take {number:g} ms in this run.",
        "The figure's legend has each phase's length. Is it the figure of run 5?",
    )


def check_early(answer: object, run: object = None) -> Feedback:
    """Check how long the guest ran at the destination before the call returned.

    Args:
        answer: A number of milliseconds.
        run: The run that was looked at.
    """
    if is_unfinished(answer):
        return unfinished("Put an expression in the place of the dots: milliseconds.")
    if not isinstance(run, Run):
        return wrong("The check got no run.", _NO_RUN)
    if (number := number_of(answer)) is None:
        return wrong(f"{answer!r} is no length.", "Write a number, or an expression.")
    line = run.timeline()
    if line.resume_ns is None or line.stop_ns is None or line.completed_ns is None:
        return wrong("The guest of this run did not arrive.", "Give a run that completed.")
    wanted = (line.returned_ns - line.resume_ns) / 1e6
    if math.isclose(number, wanted, abs_tol=1):
        return right(
            f"For {wanted:.0f} ms the guest had long been running, and the call still was not back."
        )
    confirm = line.phases.set_index("phase")["duration_ms"]["Confirm"]
    mistakes = (
        (wanted * 1e6, "That is in nanoseconds.", "A millisecond has 10**6 of them."),
        (wanted / 1e3, "That is in seconds.", "Wanted are milliseconds."),
        (-wanted, "That is the wrong way round.", "Later less earlier: the call returned last."),
        (float(confirm), "That is Confirm alone.",
         "The guest already runs in the last part of Finish: begin at resume_ns."),
        ((line.resume_ns - line.stop_ns) / 1e6, "For so long it stood still.",
         "Begin where that ends, and end where the call returned."),
        ((line.returned_ns - line.stop_ns) / 1e6, "That begins where the guest stopped.",
         "Begin where it ran again: resume_ns."),
        ((line.returned_ns - line.completed_ns) / 1e6,
         "That begins where QEMU had sent everything.",
         "The guest does not run yet then: begin at resume_ns."),
        (line.call_ms, "That is the whole call.", "Begin where the guest ran again: resume_ns."),
    )  # fmt: skip
    for value, said, hint in mistakes:
        if math.isclose(number, value, rel_tol=1e-3, abs_tol=1e-3):
            return wrong(said, hint)
    return wrong(
        f"It is not {number:g} ms.", "(line.returned_ns - line.resume_ns), in milliseconds."
    )


CHECKS: dict[str, Callable[..., Feedback]] = {"phase": check_phase, "early": check_early}
