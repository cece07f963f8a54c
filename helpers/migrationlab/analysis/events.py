"""Read the frame ``events`` as records in order of time, on one clock.

QEMU stamps its events with the clock of its host. :func:`read_clocks` computes the shift from
these stamps to the time of the machine that recorded, and the error of the result.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from migrationlab.analysis.frames import MS

#: Unmeasured clocks that seem to differ by less than this count as equal.
CLOCK_TOLERANCE_NS = 50 * MS
#: The name of the recording machine's clock, beside "source" and "destination".
HERE = "here"


@dataclass(frozen=True, kw_only=True, eq=False)
class Recording:
    """The recording of one migration: frames and facts of a run, under the run's names."""

    events: pd.DataFrame
    job: pd.DataFrame
    beats: pd.DataFrame
    echoes: pd.DataFrame
    wire_bytes: pd.DataFrame
    called_ns: int
    returned_ns: int
    completed: bool  # whether the guest runs at the destination now
    completed_job: Mapping[str, int | str]
    downtime_requested_ms: int | None
    clock: Mapping[str, Mapping[str, Any] | None] | None = None
    offline: bool = False  # whether only the domain's definition was moved
    mode: str | None = None  # "normal" or "peer2peer", which says who asked for each phase

    @property
    def end_ns(self) -> int:
        """Return when the call returned; not before the call, even if the clock was set back."""
        return max(self.called_ns, self.returned_ns)


@dataclass(frozen=True, slots=True)
class Event:
    """One row of the frame: its detail parsed, its time on this machine's clock."""

    time_ns: int
    side: str
    origin: str
    name: str
    detail: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Clocks:
    """The shifts from the hosts' stamps to this machine's time: in nanoseconds, by side."""

    shifts: Mapping[str, int]  # the shift to add to the stamps
    errors: Mapping[str, int | None]  # largest error of the shift, either way; None if unknown
    notes: tuple[str, ...]  # facts that a reader of the numbers must know

    def apart_ns(self) -> int | None:
        """Return the largest possible difference of the hosts' clocks, None if unknown."""
        error = self.error_ns("source", "destination")
        if error is None:
            return None
        return abs(self.shifts.get("source", 0) - self.shifts.get("destination", 0)) + error

    def error_ns(self, *clocks: str) -> int | None:
        """Return the largest error of a time between stamps of these clocks; None if unknown."""
        if len(set(clocks)) < 2:
            return 0  # one clock: its offset cancels out
        errors = [0 if clock == HERE else self.errors.get(clock) for clock in clocks]
        return None if None in errors else sum(error for error in errors if error is not None)


def read_clocks(
    events: pd.DataFrame, measured: Mapping[str, Mapping[str, Any] | None] | None
) -> Clocks:
    """Work out the shift of each host's clock, and its error.

    A measured clock is corrected by its offset. A clock that could not be measured is corrected by
    the smallest delay between stamp and receipt, with unknown error. If no measurement was tried,
    the clocks count as equal, unless that delay is more than 50 ms.
    ``measured`` is the run's ``clock``; None if no measurement was tried.
    """
    stamped = events[events["origin"] == "qemu"]
    delays = (stamped["received_ns"] - stamped["time_ns"]).groupby(stamped["side"]).min()
    shifts: dict[str, int] = {}
    errors: dict[str, int | None] = {}
    notes: list[str] = []
    for name, delay in delays.items():
        side = str(name)
        offset = (measured or {}).get(side)
        if offset is not None:
            shifts[side] = -round(offset["offset_ms"] * 1e6)
            errors[side] = round(offset["error_ms"] * 1e6)
            continue
        errors[side] = 0 if measured is None else None
        if measured is not None:
            notes.append(f"The offset between the {side}'s clock and this machine's is not known.")
        if abs(int(delay)) > CLOCK_TOLERANCE_NS:
            shifts[side] = int(delay)
            notes.append(
                f"The {side}'s clock differs from this machine's by {abs(int(delay)) / 1e9:.1f} s. "
                "Its stamps were corrected, so numbers across hosts are less exact."
            )
    return Clocks(shifts, errors, tuple(notes))


def read(events: pd.DataFrame, shifts: Mapping[str, int], *, not_before_ns: int) -> list[Event]:
    """Return the events since a moment, in order, QEMU's stamps corrected by their host's shift."""
    columns = (events[name].tolist() for name in ("time_ns", "side", "origin", "name", "detail"))
    found = []
    for stamp, side, origin, name, detail in zip(*columns, strict=True):
        time_ns = stamp + (shifts.get(side, 0) if origin == "qemu" else 0)
        if time_ns >= not_before_ns:
            found.append(Event(time_ns, side, origin, name, json.loads(detail or "{}")))
    return sorted(found, key=lambda event: event.time_ns)


def first(
    events: Iterable[Event], *, origin: str, name: str, side: str | None = None, **detail: str
) -> int | None:
    """Return the time of the first event that matches, or None."""
    for event in events:
        same = (event.origin, event.name) == (origin, name) and side in (None, event.side)
        if same and all(event.detail.get(key) == value for key, value in detail.items()):
            return event.time_ns
    return None


def lifecycle(events: Iterable[Event], name: str, side: str) -> int | None:
    """Return the time of libvirt's first lifecycle event of a name, e.g. ``RESUMED.MIGRATED``."""
    return first(events, origin="libvirt", name=f"lifecycle.{name}", side=side)


def status(events: Iterable[Event], side: str, value: str) -> int | None:
    """Return when QEMU's migration first had a status (``MigrationStatus``) on a side."""
    return first(events, origin="qemu", name="MIGRATION", side=side, status=value)


def last_stop(events: Iterable[Event]) -> int | None:
    """Return the time of the migration's own STOP at the source.

    A user can pause and resume the guest during a migration. The migration's stop is the last.
    """
    stops = [e.time_ns for e in events if (e.origin, e.name, e.side) == ("qemu", "STOP", "source")]
    return stops[-1] if stops else None


def coalesce(*times: int | None) -> int | None:
    """Return the first time that is known, or None."""
    return next((time_ns for time_ns in times if time_ns is not None), None)
