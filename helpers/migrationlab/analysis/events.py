"""The frame ``events`` as records in the order of their happening, on one clock.

Pure functions; no libvirt, no files, no clock of their own.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

CLOCK_TOLERANCE_NS = 50_000_000


@dataclass(frozen=True, slots=True)
class Event:
    """One row of the frame, its detail read, its time on this machine's clock."""

    time_ns: int
    side: str
    origin: str
    name: str
    detail: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Clocks:
    """How the hosts' stamps become times of this machine.

    Attributes:
        shifts: What to add to a side's stamps, in nanoseconds.
        errors: How far a side's shift may be wrong, either way, in nanoseconds; None where
            that is not known.
        notes: What a reader of the numbers must know.
    """

    shifts: Mapping[str, int]
    errors: Mapping[str, int | None]
    notes: tuple[str, ...]

    def apart_ns(self) -> int | None:
        """Return by how much the two hosts' clocks may differ at most, None if unknown."""
        error = self.error_ns("source", "destination")
        if error is None:
            return None
        return abs(self.shifts.get("source", 0) - self.shifts.get("destination", 0)) + error

    def error_ns(self, *sides: str) -> int | None:
        """Return how wrong a time between stamps of these sides may be, None if unknown."""
        if len(set(sides)) < 2:
            return 0  # one clock: what it is off cancels out
        errors = [self.errors.get(side) for side in sides]
        return None if None in errors else sum(error for error in errors if error is not None)


def read_clocks(
    events: pd.DataFrame, measured: Mapping[str, Mapping[str, Any] | None] | None
) -> Clocks:
    """Tell what is known of the hosts' clocks.

    A clock that was measured is put right by its offset. One that was to be measured and could
    not be is put right as well as it can, by the smallest delay seen between stamp and receipt,
    and how far that may be wrong nobody knows. Where nothing was to be measured (a recording of
    version 1) the clocks count as one, unless that delay shows more than 50 ms.

    Args:
        events: The frame ``events`` of a run.
        measured: The run's ``clock``.
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
            notes.append(f"How far the {side}'s clock is from this machine's is not known.")
        if abs(int(delay)) > CLOCK_TOLERANCE_NS:
            shifts[side] = int(delay)
            notes.append(
                f"The {side}'s clock differs from this machine's by {abs(int(delay)) / 1e9:.1f} s: "
                "its stamps were moved, so numbers across hosts are less sure."
            )
    return Clocks(shifts, errors, tuple(notes))


def read(events: pd.DataFrame, shifts: Mapping[str, int], *, not_before_ns: int) -> list[Event]:
    """Give the events from a moment on, in order, QEMU's stamps moved by their host's shift."""
    columns = (events[name].tolist() for name in ("time_ns", "side", "origin", "name", "detail"))
    found = [
        Event(
            time_ns + (shifts.get(side, 0) if origin == "qemu" else 0),
            side,
            origin,
            name,
            json.loads(detail or "{}"),
        )
        for time_ns, side, origin, name, detail in zip(*columns, strict=True)
    ]
    return sorted(
        (event for event in found if event.time_ns >= not_before_ns),
        key=lambda event: event.time_ns,
    )


def first(
    events: Iterable[Event],
    *,
    origin: str,
    name: str,
    side: str | None = None,
    after_ns: int = 0,
    **detail: str,
) -> int | None:
    """Give the time of the first event that matches, or None."""
    for event in events:
        if (
            event.origin == origin
            and event.name == name
            and side in (None, event.side)
            and event.time_ns >= after_ns
            and all(event.detail.get(key) == value for key, value in detail.items())
        ):
            return event.time_ns
    return None


def lifecycle(events: Iterable[Event], name: str, side: str) -> int | None:
    """Give the time of libvirt's first event of that name, such as ``RESUMED.MIGRATED``."""
    return first(events, origin="libvirt", name=f"lifecycle.{name}", side=side)


def coalesce(*times: int | None) -> int | None:
    """Give the first time that is known, or None."""
    return next((time_ns for time_ns in times if time_ns is not None), None)
