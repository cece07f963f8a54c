"""The checks of lesson 03: a phase read off a run, and how long the call outlasts the downtime."""

from __future__ import annotations

import math
from collections.abc import Callable

import pandas as pd

from migrationlab.course.answers import (
    need,
    need_number,
    need_places,
    need_run,
    refuse_mistakes,
)
from migrationlab.course.feedback import Feedback, right, wrong

#: The phase that sends memory.
SENDING = "Perform"
#: A figure's legend has three digits; a length read off the axis is less exact.
READ_OFF = 0.1
KEYS = ("phase", "by", "ms")


def check_phase(answer: object, run: object = None) -> Feedback:
    """Check which phase took longest of those that send no memory, who worked, and how long.

    Args:
        answer: A dictionary with ``phase``, ``by`` and ``ms``.
        run: The run that was looked at.
    """
    places, run = need_places(answer, KEYS), need_run(run)
    table = run.timeline().phases.set_index("phase")
    wanted = str(table["duration_ms"].drop(SENDING).idxmax())
    phase = str(places["phase"]).strip().capitalize()
    if phase not in table.index:
        return wrong(
            f"{places['phase']!r} is not a phase.", f"The phases are {', '.join(table.index)}."
        )
    if phase == SENDING:
        return wrong(
            "It is the longest, but it is the one that sends memory.",
            f"Look at the four others: which of them is longest, without {SENDING}?",
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
    """Return what is wrong with who worked in the phase; None where nothing is."""
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
        return wrong(
            f"{by!r} is half of it.", "Name the side and the program, for example source QEMU."
        )
    return wrong(
        f"{wanted} is right, but it is not {by} that works then.",
        "The table under One call, five phases says at which host each phase takes place.",
    )


def _check_length(answer: object, lengths: pd.Series, wanted: str) -> Feedback:
    how = "Write a number of milliseconds."
    number = need_number(answer, "a length", how, positive=True)
    true = float(lengths[wanted])
    if math.isclose(number, true, rel_tol=READ_OFF):
        return right(f"{wanted} took {true:.0f} ms, and it moved nothing of the guest.")
    if math.isclose(number * 1000, true, rel_tol=READ_OFF):
        return wrong("This is in seconds.", "Give milliseconds: times 1000.")
    for phase, other in lengths.drop(wanted).items():
        if math.isclose(number, float(other), rel_tol=0.02):
            return wrong(f"This is the length of {phase}.", f"Read the length of {wanted}.")
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
    need(answer, "Put an expression in the place of the dots: milliseconds.")
    line = need_run(run).timeline()
    number = need_number(answer, "a length", "Write a number, or an expression.")
    if line.resume_ns is None or line.stop_ns is None or line.completed_ns is None:
        return wrong("The guest of this run did not arrive.", "Give a run that completed.")
    wanted = (line.returned_ns - line.resume_ns) / 1e6
    if math.isclose(number, wanted, abs_tol=1):
        return right(f"The guest had run for {wanted:.0f} ms before the call returned.")
    confirm = float(line.phases.set_index("phase")["duration_ms"]["Confirm"])
    refuse_mistakes(
        number,
        (
            (wanted * 1e6, "This is in nanoseconds.", "A millisecond has 10**6 of them."),
            (wanted / 1e3, "This is in seconds.", "Give milliseconds."),
            (-wanted, "This is the wrong way round.",
             "Later minus earlier: the call returned last."),
            (confirm, "This is Confirm alone.",
             "The guest already runs in the last part of Finish: begin at resume_ns."),
            ((line.resume_ns - line.stop_ns) / 1e6, "This is the downtime.",
             "Begin where it ends, and end where the call returned."),
            ((line.returned_ns - line.stop_ns) / 1e6, "This begins where the guest stopped.",
             "Begin where it ran again: resume_ns."),
            ((line.returned_ns - line.completed_ns) / 1e6,
             "This begins where QEMU had sent everything.",
             "The guest does not run yet then: begin at resume_ns."),
            (line.call_ms, "This is the whole call.",
             "Begin where the guest ran again: resume_ns."),
        ),
        rel_tol=1e-3,
        abs_tol=1e-3,
    )  # fmt: skip
    return wrong(
        f"It is not {number:g} ms.", "(line.returned_ns - line.resume_ns), in milliseconds."
    )


CHECKS: dict[str, Callable[..., Feedback]] = {"phase": check_phase, "early": check_early}
