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


def clock_shifts(events: pd.DataFrame) -> dict[str, int]:
    """Tell by how much each host's clock differs, for those where it matters."""
    stamped = events[events["origin"] == "qemu"]
    delays = (stamped["received_ns"] - stamped["time_ns"]).groupby(stamped["side"]).min()
    return {
        str(side): int(delay)
        for side, delay in delays.items()
        if abs(int(delay)) > CLOCK_TOLERANCE_NS
    }


def clock_notes(shifts: Mapping[str, int]) -> Iterable[str]:
    """Say of each clock that was put right that it was."""
    for side, shift in shifts.items():
        yield (
            f"The {side}'s clock differs from this machine's by {abs(shift) / 1e9:.1f} s: "
            "its stamps were moved, so numbers across hosts are less sure."
        )


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


def coalesce(*times: int | None) -> int | None:
    """Give the first time that is known, or None."""
    return next((time_ns for time_ns in times if time_ns is not None), None)
