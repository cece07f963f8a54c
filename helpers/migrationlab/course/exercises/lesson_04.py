"""Check the exercises of lesson 04: a downtime from events, and a downtime for a change request."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import pandas as pd

from migrationlab.analysis.downtimes import KINDS
from migrationlab.course.answers import (
    need,
    need_number,
    need_places,
    need_run,
    refuse_mistakes,
    words_of,
)
from migrationlab.course.feedback import Feedback, Texts
from migrationlab.runs.run import Run

#: The words of a change request about the downtime.
KEYS = ("kind", "downtime_ms", "low_ms", "high_ms")
#: A number read off a table may be rounded.
ROUNDED_MS = 1.0
say = Texts(__file__, kinds=", ".join(KINDS))


def check_event(answer: object, run: object = None) -> Feedback:
    """Check the event downtime that the learner computed from a run's events."""
    need(answer, "Put an expression in the place of the dots: milliseconds.")
    run = need_run(run)
    number = need_number(answer, "a length of time", "Write a number, or an expression.")
    known = _known(run)
    if (wanted := known.get("event")) is None:
        return say.wrong("no-event")
    if math.isclose(number, wanted, abs_tol=0.1):
        return say.right("event", wanted=wanted)
    suspended, resumed = "lifecycle.SUSPENDED.MIGRATED", "lifecycle.RESUMED.MIGRATED"
    refuse_mistakes(
        number,
        (
            (wanted * 1e6, say.wrong("event-nanoseconds")),
            (wanted * 1e3, say.wrong("event-microseconds")),
            (wanted / 1e3, say.wrong("event-seconds")),
            (-wanted, say.wrong("event-inverted")),
            (_between(run, "qemu", "STOP", "RESUME", "received_ns"), say.wrong("event-received")),
            (_between(run, "libvirt", suspended, resumed), say.wrong("event-libvirt")),
            (known.get("reported"), say.wrong("event-reported")),
            (known.get("network"), say.wrong("event-network")),
        ),
        rel_tol=1e-4,
        abs_tol=1e-3,
    )
    return say.wrong("event", number=number)


def check_request(answer: object, run: object = None) -> Feedback:
    """Check the downtime for the users of a service: a number, and its bounds."""
    places, run = need_places(answer, KEYS), need_run(run)
    kind = " ".join(word for word in words_of(places["kind"]) if word != "downtime")
    if kind not in KINDS:
        return say.wrong("no-kind", kind=places["kind"])
    if kind != "network":
        return say.wrong(f"kind-{kind}")
    numbers = {
        key: need_number(places[key], f"a number for {key}", "Write milliseconds.")
        for key in KEYS[1:]
    }
    true = run.timeline().downtimes.set_index("kind").loc["network"]
    if pd.isna(true["downtime_ms"]) or pd.isna(true["low_ms"]):
        return say.wrong("no-network")
    return _check_numbers(numbers, true, _known(run))


def _check_numbers(
    numbers: Mapping[str, float], true: pd.Series, known: Mapping[str, float]
) -> Feedback:
    downtime, low, high = (numbers[key] for key in KEYS[1:])
    if math.isclose(downtime * 1000, true["downtime_ms"], abs_tol=ROUNDED_MS):
        return say.wrong("seconds")
    if not math.isclose(downtime, true["downtime_ms"], abs_tol=ROUNDED_MS):
        for kind, other in known.items():
            if kind != "network" and math.isclose(downtime, other, abs_tol=ROUNDED_MS):
                return say.wrong("other-kind", downtime=downtime, kind=kind)
        return say.wrong("downtime", downtime=downtime)
    if math.isclose(low, high, abs_tol=1e-9):
        return say.wrong("no-bounds")
    if low > high:
        return say.wrong("bounds-exchanged")
    for key, number in (("low_ms", low), ("high_ms", high)):
        if not math.isclose(number, true[key], abs_tol=ROUNDED_MS):
            return say.wrong("bound", key=key, number=number)
    return say.right("request", downtime=downtime, low=low, high=high)


def _known(run: Run) -> dict[str, float]:
    """Return the known downtimes by their kinds."""
    table = run.timeline().downtimes.dropna(subset=["downtime_ms"])
    return {str(row.kind): float(row.downtime_ms) for row in table.itertuples()}


def _between(
    run: Run, origin: str, first: str, second: str, column: str = "time_ns"
) -> float | None:
    """Return the milliseconds from the last event of one name to the last of another."""
    events = run.events[run.events["origin"] == origin]
    times = [events.loc[events["name"] == name, column] for name in (first, second)]
    if not all(map(len, times)):
        return None
    return (int(times[1].iloc[-1]) - int(times[0].iloc[-1])) / 1e6


CHECKS: dict[str, Callable[..., Feedback]] = {"event": check_event, "request": check_request}
