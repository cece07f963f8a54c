"""The checks of lesson 04: a downtime computed from events, and one for a change request."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import pandas as pd

from migrationlab.analysis.downtimes import KINDS
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

#: What a change request says of the downtime.
KEYS = ("kind", "downtime_ms", "low_ms", "high_ms")
#: Read off a table, a number may be rounded.
ROUNDED_MS = 1.0
#: Why a number is not the one that clients of the service are told.
_UNFIT = {
    "requested": (
        "That is what QEMU was allowed, and not what anybody measured.",
        "Limits are missed: take a number that was measured.",
    ),
    "reported": (
        "libvirt stops counting when the guest runs; clients do not hear it yet.",
        "Which of the numbers is measured where the clients are?",
    ),
    "event": (
        "It ends when QEMU lets the guest run; clients do not hear it yet.",
        "Which of the numbers is measured where the clients are?",
    ),
    "guest": (
        "The guest's own clock stood still with it: by that, almost nothing happened.",
        "Which of the numbers is measured where the clients are?",
    ),
}
_NO_RUN = "Give the run too: lesson.check(…, run)."


def check_event(answer: object, run: object = None) -> Feedback:
    """Check the event downtime, as computed from a run's events.

    Args:
        answer: A number of milliseconds.
        run: The run whose events were looked at.
    """
    if is_unfinished(answer):
        return unfinished("Put an expression in the place of the dots: milliseconds.")
    if not isinstance(run, Run):
        return wrong("The check got no run.", _NO_RUN)
    if (number := number_of(answer)) is None:
        return wrong(f"{answer!r} is no length of time.", "Write a number, or an expression.")
    known = _known(run)
    if (wanted := known.get("event")) is None:
        return wrong("This run has no event downtime.", "Give a run that completed.")
    if math.isclose(number, wanted, abs_tol=0.1):
        return right(f"{wanted:.1f} ms, from QEMU's own two stamps.")
    mistakes = (
        (wanted * 1e6, "That is in nanoseconds.", "A millisecond has 10**6 of them."),
        (wanted * 1e3, "That is in microseconds.", "A millisecond has 10**6 nanoseconds."),
        (wanted / 1e3, "That is in seconds.", "Wanted are milliseconds."),
        (-wanted, "That is the wrong way round.", "RESUME less STOP: later less earlier."),
        (_between(run, "qemu", "STOP", "RESUME", "received_ns"),
         "That is when this machine heard of the two events.",
         "Take time_ns, QEMU's own stamps: between them lies no way that a message had to go."),
        (_between(run, "libvirt", "lifecycle.SUSPENDED.MIGRATED", "lifecycle.RESUMED.MIGRATED"),
         "That is between libvirt's own events, which bear no stamp of their own.",
         "Take the rows whose origin is qemu: STOP and RESUME."),
        (known.get("reported"), "That is the reported downtime.",
         "Compute it from the rows STOP and RESUME of run.events."),
        (known.get("network"), "That is the network downtime.",
         "Compute it from the rows STOP and RESUME of run.events."),
    )  # fmt: skip
    for value, said, hint in mistakes:
        if value is not None and math.isclose(number, value, rel_tol=1e-4, abs_tol=1e-3):
            return wrong(said, hint)
    return wrong(
        f"It is not {number:g} ms.",
        "Two rows of run.events: name STOP and name RESUME; take column time_ns of both.",
    )


def check_request(answer: object, run: object = None) -> Feedback:
    """Check what is told to the users of a service: a number, and how far off it may be.

    Args:
        answer: A dictionary with ``kind``, ``downtime_ms``, ``low_ms`` and ``high_ms``.
        run: The rehearsal that it was measured in.
    """
    places = places_of(answer, KEYS)
    if isinstance(places, Feedback):
        return places
    if not isinstance(run, Run):
        return wrong("The check got no run.", _NO_RUN)
    kind = str(places["kind"]).strip().lower()
    if kind not in KINDS:
        return wrong(f"{places['kind']!r} is none of the kinds.", f"They are {', '.join(KINDS)}.")
    if kind in _UNFIT:
        return wrong(*_UNFIT[kind])
    given = {key: number_of(places[key]) for key in KEYS[1:]}
    for key, number in given.items():
        if number is None:
            return wrong(f"{key}: {places[key]!r} is no number.", "Write milliseconds.")
    numbers = {key: number for key, number in given.items() if number is not None}
    true = run.timeline().downtimes.set_index("kind").loc["network"]
    if pd.isna(true["downtime_ms"]) or pd.isna(true["low_ms"]):
        return wrong("This run has no network downtime.", "Give a run with beats that completed.")
    return _check_numbers(numbers, true, _known(run))


def _check_numbers(
    numbers: Mapping[str, float], true: pd.Series, known: Mapping[str, float]
) -> Feedback:
    told, low, high = (numbers[key] for key in KEYS[1:])
    if math.isclose(told * 1000, true["downtime_ms"], abs_tol=ROUNDED_MS):
        return wrong("That is in seconds.", "Wanted are milliseconds.")
    if not math.isclose(told, true["downtime_ms"], abs_tol=ROUNDED_MS):
        for kind, other in known.items():
            if kind != "network" and math.isclose(told, other, abs_tol=ROUNDED_MS):
                return wrong(
                    f"The kind is right, but {told:g} ms is {kind}.", "Read off the row network."
                )
        return wrong(
            f"The kind is right, but in this run it is not {told:g} ms.",
            "Read it off the table: row network, column downtime_ms.",
        )
    if math.isclose(low, high, abs_tol=1e-9):
        return wrong(
            "Nobody measures that to the millisecond.",
            "The columns low_ms and high_ms say how far off it may be.",
        )
    if low > high:
        return wrong("The bounds are the wrong way round.", "low_ms is the smaller of the two.")
    for key, number in (("low_ms", low), ("high_ms", high)):
        if not math.isclose(number, true[key], abs_tol=ROUNDED_MS):
            return wrong(
                f"{key} is not {number:g}.", "Read both bounds off the same row as the number."
            )
    return right(
        f"In the rehearsal clients heard nothing for {told:.0f} ms, and that is sure to between "
        f"{low:.0f} and {high:.0f} ms. The next migration can differ by more than that: how much, "
        "only repeats tell."
    )


def _known(run: Run) -> dict[str, float]:
    """Give the downtimes that are known, by their kinds."""
    table = run.timeline().downtimes.dropna(subset=["downtime_ms"])
    return {str(row.kind): float(row.downtime_ms) for row in table.itertuples()}


def _between(
    run: Run, origin: str, first: str, second: str, column: str = "time_ns"
) -> float | None:
    """Give the milliseconds from the last event of one name to the last of another."""
    events = run.events[run.events["origin"] == origin]
    times = [events.loc[events["name"] == name, column] for name in (first, second)]
    if not all(map(len, times)):
        return None
    return (int(times[1].iloc[-1]) - int(times[0].iloc[-1])) / 1e6


CHECKS: dict[str, Callable[..., Feedback]] = {"event": check_event, "request": check_request}
