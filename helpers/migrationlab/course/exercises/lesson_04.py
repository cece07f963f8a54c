"""The checks of lesson 04: a downtime computed from events, and one for a change request."""

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
)
from migrationlab.course.feedback import Feedback, right, wrong
from migrationlab.runs.run import Run

#: What a change request says of the downtime.
KEYS = ("kind", "downtime_ms", "low_ms", "high_ms")
#: A number read off a table may be rounded.
ROUNDED_MS = 1.0
_WHERE = "Which of the numbers is measured where the clients are?"
#: Why a kind of downtime is not the one for the clients of the service.
_UNFIT = {
    "requested": (
        "This is the limit that QEMU was given; nobody measured it.",
        "A limit can be missed: take a number that was measured.",
    ),
    "reported": (
        "libvirt stops counting when the guest runs; clients do not hear it yet.",
        _WHERE,
    ),
    "event": ("It ends when QEMU lets the guest run; clients do not hear it yet.", _WHERE),
    "guest": (
        "The guest's own clock was paused with it: by that clock, almost nothing happened.",
        _WHERE,
    ),
}


def check_event(answer: object, run: object = None) -> Feedback:
    """Check the event downtime, as computed from a run's events.

    Args:
        answer: A number of milliseconds.
        run: The run whose events were used.
    """
    need(answer, "Put an expression in the place of the dots: milliseconds.")
    run = need_run(run)
    number = need_number(answer, "a length of time", "Write a number, or an expression.")
    known = _known(run)
    if (wanted := known.get("event")) is None:
        return wrong("This run has no event downtime.", "Give a run that completed.")
    if math.isclose(number, wanted, abs_tol=0.1):
        return right(f"{wanted:.1f} ms, from QEMU's own two timestamps.")
    suspended, resumed = "lifecycle.SUSPENDED.MIGRATED", "lifecycle.RESUMED.MIGRATED"
    compute = "Compute it from the rows STOP and RESUME of run.events."
    refuse_mistakes(
        number,
        (
            (wanted * 1e6, "This is in nanoseconds.", "A millisecond has 10**6 of them."),
            (wanted * 1e3, "This is in microseconds.", "A millisecond has 10**6 nanoseconds."),
            (wanted / 1e3, "This is in seconds.", "Give milliseconds."),
            (-wanted, "This is the wrong way round.", "RESUME minus STOP: later minus earlier."),
            (_between(run, "qemu", "STOP", "RESUME", "received_ns"),
             "This is when this machine heard of the two events.",
             "Take time_ns, QEMU's own timestamps: they contain no time that a message traveled."),
            (_between(run, "libvirt", suspended, resumed),
             "This is between libvirt's own events, which have no timestamps of their own.",
             "Take the rows whose origin is qemu: STOP and RESUME."),
            (known.get("reported"), "This is the reported downtime.", compute),
            (known.get("network"), "This is the network downtime.", compute),
        ),
        rel_tol=1e-4,
        abs_tol=1e-3,
    )  # fmt: skip
    return wrong(
        f"It is not {number:g} ms.",
        "Two rows of run.events: name STOP and name RESUME; take column time_ns of both.",
    )


def check_request(answer: object, run: object = None) -> Feedback:
    """Check the downtime for the users of a service: a number, and its bounds.

    Args:
        answer: A dictionary with ``kind``, ``downtime_ms``, ``low_ms`` and ``high_ms``.
        run: The rehearsal that it was measured in.
    """
    places, run = need_places(answer, KEYS), need_run(run)
    kind = str(places["kind"]).strip().lower()
    if kind not in KINDS:
        return wrong(
            f"{places['kind']!r} is none of the kinds.", f"The kinds are {', '.join(KINDS)}."
        )
    if kind in _UNFIT:
        return wrong(*_UNFIT[kind])
    numbers = {
        key: need_number(places[key], f"a number for {key}", "Write milliseconds.")
        for key in KEYS[1:]
    }
    true = run.timeline().downtimes.set_index("kind").loc["network"]
    if pd.isna(true["downtime_ms"]) or pd.isna(true["low_ms"]):
        return wrong("This run has no network downtime.", "Give a run with beats that completed.")
    return _check_numbers(numbers, true, _known(run))


def _check_numbers(
    numbers: Mapping[str, float], true: pd.Series, known: Mapping[str, float]
) -> Feedback:
    downtime, low, high = (numbers[key] for key in KEYS[1:])
    if math.isclose(downtime * 1000, true["downtime_ms"], abs_tol=ROUNDED_MS):
        return wrong("This is in seconds.", "Give milliseconds.")
    if not math.isclose(downtime, true["downtime_ms"], abs_tol=ROUNDED_MS):
        for kind, other in known.items():
            if kind != "network" and math.isclose(downtime, other, abs_tol=ROUNDED_MS):
                return wrong(
                    f"The kind is right, but {downtime:g} ms is {kind}.", "Read the row network."
                )
        return wrong(
            f"The kind is right, but in this run it is not {downtime:g} ms.",
            "Read it off the table: row network, column downtime_ms.",
        )
    if math.isclose(low, high, abs_tol=1e-9):
        return wrong(
            "Nobody measures this to the millisecond.",
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
        f"In the rehearsal clients heard nothing for {downtime:.0f} ms; the true value is between "
        f"{low:.0f} and {high:.0f} ms. The next migration can differ by more than that: only "
        "repeats show how much."
    )


def _known(run: Run) -> dict[str, float]:
    """Return the downtimes that are known, by their kinds."""
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
