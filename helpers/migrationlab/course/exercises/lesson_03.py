"""Check the exercises of lesson 03: a phase of a run, and the time from RESUME to the return."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import pandas as pd

from migrationlab.course.answers import (
    need,
    need_number,
    need_places,
    need_run,
    refuse_mistakes,
    words_of,
)
from migrationlab.course.feedback import Feedback, Texts

#: The phase that sends memory.
SENDING = "Perform"
#: A figure's legend has three digits; a length read from the axis is less exact.
READ_OFF = 0.1
KEYS = ("phase", "by", "ms")
say = Texts(__file__, sending=SENDING)


def check_phase(answer: object, run: object = None) -> Feedback:
    """Check the longest phase that sends no memory: its name, who worked, and its length."""
    places, run = need_places(answer, KEYS), need_run(run)
    table = run.timeline().phases.set_index("phase")
    wanted = str(table["duration_ms"].drop(SENDING).idxmax())
    given = words_of(places["phase"], {"phase": ""})
    phase = " ".join(filter(None, given)).capitalize()
    if phase not in table.index:
        return say.wrong("no-phase", phase=places["phase"], phases=", ".join(table.index))
    if phase == SENDING:
        return say.wrong("sending")
    if phase != wanted:
        return say.wrong("not-longest", phase=phase)
    sides = {str(run.source["name"]): "source", str(run.destination["name"]): "destination"}
    by = words_of(places["by"], sides)
    return _check_by(by, table, wanted) or _check_length(places["ms"], table["duration_ms"], wanted)


def _check_by(given: Sequence[str], table: pd.DataFrame, wanted: str) -> Feedback | None:
    """Return the feedback on a wrong worker of the phase; None for the right one."""
    true = set(str(table.loc[wanted, "by"]).lower().split())
    by = " ".join(given)
    if set(given) == true:
        return None
    if set(given) == set(str(table.loc[wanted, "asked_by"]).lower().split()):
        return say.wrong("by-asked", wanted=wanted, by=by)
    if set(given) < true:
        return say.wrong("by-half", by=by)
    return say.wrong("by", wanted=wanted, by=by)


def _check_length(answer: object, lengths: pd.Series, wanted: str) -> Feedback:
    how = "Write a number of milliseconds."
    number = need_number(answer, "a length", how, positive=True)
    true = float(lengths[wanted])
    if math.isclose(number, true, rel_tol=READ_OFF):
        return say.right("length", wanted=wanted, true=true)
    if math.isclose(number * 1000, true, rel_tol=READ_OFF):
        return say.wrong("length-seconds")
    for phase, other in lengths.drop(wanted).items():
        if math.isclose(number, float(other), rel_tol=0.02):
            return say.wrong("length-other", phase=phase, wanted=wanted)
    return say.wrong("length", wanted=wanted, number=number)


def check_early(answer: object, run: object = None) -> Feedback:
    """Check how long the guest ran at the destination before the call returned."""
    need(answer, "Put an expression in the place of the dots: milliseconds.")
    line = need_run(run).timeline()
    number = need_number(answer, "a length", "Write a number, or an expression.")
    if line.resume_ns is None or line.stop_ns is None or line.completed_ns is None:
        return say.wrong("not-arrived")
    wanted = (line.returned_ns - line.resume_ns) / 1e6
    if math.isclose(number, wanted, abs_tol=1):
        return say.right("early", wanted=wanted)
    confirm = float(line.phases.set_index("phase")["duration_ms"]["Confirm"])
    refuse_mistakes(
        number,
        (
            (wanted * 1e6, say.wrong("early-nanoseconds")),
            (wanted / 1e3, say.wrong("early-seconds")),
            (-wanted, say.wrong("early-inverted")),
            (confirm, say.wrong("early-confirm")),
            ((line.resume_ns - line.stop_ns) / 1e6, say.wrong("early-downtime")),
            ((line.returned_ns - line.stop_ns) / 1e6, say.wrong("early-stop")),
            ((line.returned_ns - line.completed_ns) / 1e6, say.wrong("early-completed")),
            (line.call_ms, say.wrong("early-call")),
        ),
        rel_tol=1e-3,
        abs_tol=1e-3,
    )
    return say.wrong("early", number=number)


CHECKS: dict[str, Callable[..., Feedback]] = {"phase": check_phase, "early": check_early}
