"""Split a downtime into its parts.

Each part starts where the one before it ends, so the parts up to ``resume`` add up to the event
downtime:

=============== =========================== ================================ ===================
part            end, by QEMU's log          end, by events                   what happens
=============== =========================== ================================ ===================
pre-switchover  (by event)                  source's status ``device``       QEMU asks the
                                                                             source's libvirtd,
                                                                             which agrees
last iteration  ``src-iterable-saved``                                       memory and disks that
                                                                             were still dirty
device state    ``src-non-iterable-saved``  in post-copy, the source's       the state of devices
                                            ``postcopy-active``              is read and sent
loading         ``dst-…-bh-vm-started``     destination's status             the destination loads
                                            ``completed``; none in post-copy what was sent
resume          (by event)                  RESUME at the destination        the daemons agree, and
                                                                             let the guest run
first packet    (by beats or echoes)        the first one after RESUME       until the network
                                                                             receives from it
=============== =========================== ================================ ===================

The first part starts with STOP at the source. The checkpoints are those of
``vmstate_downtime_checkpoint`` (QEMU 8.2 and newer, ``migration/{migration,savevm}.c``), which only
a lab records: see ``capture.host_logs``. QEMU writes ``dst-…-bh-vm-started`` also while libvirt
keeps the guest from starting: then it means that the destination has everything.

If no record separates two parts, they are one row, their names joined by " + ". The source's status
``completed`` ends no part: it comes after the destination's, whose answer the source waits for
(``migration_completion`` in QEMU's ``migration/migration.c``).

``basis`` is the source of a part's end: ``log``, ``events``, ``beats`` or ``echoes``. ``error_ms``
is the largest error of the part's duration from the two clocks that stamped its ends. If this error
is unknown, duration and error are missing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import NamedTuple

import pandas as pd

from migrationlab.analysis.beats import in_order
from migrationlab.analysis.events import HERE, Clocks, Event, first, last_stop, status
from migrationlab.analysis.frames import span_ms, table

PARTS = ("pre-switchover", "last iteration", "device state", "loading", "resume", "first packet")
COLUMNS = {"part": "str", "start_ns": "int64", "end_ns": "int64"}
COLUMNS |= {"duration_ms": "float64", "basis": "str", "error_ms": "float64"}
JOINED = " + "


class _End(NamedTuple):
    """The end of a part, its source, and the clock that stamped it."""

    time_ns: int
    basis: str
    clock: str


def parts(
    events: list[Event], clocks: Clocks, *, arrivals: pd.DataFrame, basis: str
) -> pd.DataFrame:
    """Split the downtime of a migration; the arrivals' ``basis`` is "beats" or "echoes".

    Returns:
        A row per part, with the columns of :data:`COLUMNS`. No row if the guest did not stop at the
        source and run again at the destination, as in a failed migration.
    """
    stop = last_stop(events)
    after = [e for e in _corrected(events, clocks) if stop is not None and e.time_ns >= stop]
    resume = first(after, origin="qemu", name="RESUME", side="destination")
    if stop is None or resume is None:
        return table(COLUMNS)
    # A late packet was sent before the guest stopped, and does not show that it runs now.
    times, _ = in_order(arrivals)
    since = times[times >= resume]
    packet = _End(int(since[0]), basis, HERE) if len(since) else None
    start = _End(stop, "events", "source")
    return table(COLUMNS, _rows(start, _ends(after, resume, packet), clocks))


def _corrected(events: list[Event], clocks: Clocks) -> Iterator[Event]:
    """Yield the events, with QEMU's log on this machine's clock too."""
    for event in events:
        logged = (event.origin, event.name) == ("log", "downtime")
        shift = clocks.shifts.get(event.side, 0) if logged else 0
        yield replace(event, time_ns=event.time_ns + shift) if shift else event


def _ends(
    events: list[Event], resume: int, packet: _End | None
) -> Iterator[tuple[str, _End | None]]:
    """Yield the parts that took place, with their ends if known."""

    def event(side: str, value: str) -> _End | None:
        at = status(events, side, value)
        return None if at is None else _End(at, "events", side)

    def checkpoint(side: str, name: str) -> _End | None:
        at = first(events, origin="log", name="downtime", side=side, checkpoint=name)
        return None if at is None else _End(at, "log", side)

    if event("source", "pre-switchover") is not None:
        yield "pre-switchover", event("source", "device")
    yield "last iteration", checkpoint("source", "src-iterable-saved")
    postcopy = event("source", "postcopy-active")
    yield "device state", checkpoint("source", "src-non-iterable-saved") or postcopy
    loaded = checkpoint("destination", "dst-precopy-bh-vm-started")
    loaded = loaded or checkpoint("destination", "dst-postcopy-bh-vm-started")
    if loaded is None and postcopy is None:
        # In post-copy this status comes with the last page, long after the guest runs.
        loaded = event("destination", "completed")
    yield "loading", loaded
    yield "resume", _End(resume, "events", "destination")
    yield "first packet", packet


def _rows(
    start: _End, ends: Iterable[tuple[str, _End | None]], clocks: Clocks
) -> Iterator[tuple[object, ...]]:
    joined: list[str] = []
    for part, end in ends:
        joined.append(part)
        # If a part seems to end before it starts, the clocks differ: it ends with the next one.
        if end is None or end.time_ns < start.time_ns:
            continue
        error_ns = clocks.error_ns(start.clock, end.clock)
        lasted_ms = None if error_ns is None else span_ms(start.time_ns, end.time_ns)
        span = JOINED.join(joined), start.time_ns, end.time_ns, lasted_ms
        yield *span, end.basis, span_ms(0, error_ns)
        joined.clear()
        start = end
