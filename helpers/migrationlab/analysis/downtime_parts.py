"""What a downtime consists of: the parts of the time in which the guest stood still.

Pure functions of a run's events; no libvirt, no files, no clock. Each part begins where the one
before it ends, so that the parts up to ``resume`` add up to the event downtime:

=============== =========================== ================================ ===================
part            ends, by QEMU's log          ends, by events                  what takes place
=============== =========================== ================================ ===================
pre-switchover  (by event)                   source's status ``device``       the source's libvirtd
                                                                              is asked, and agrees
last iteration       ``src-iterable-saved``                                        memory and disks that
                                                                              were still dirty
device state    ``src-non-iterable-saved``   in post-copy, the source's       the devices are read
                                             ``postcopy-active``              out and sent
hand-over       ``dst-…-bh-vm-started``      destination's status             the destination takes
                                             ``completed``; none in post-copy in what is on its way
resume          (by event)                   RESUME at the destination        the daemons agree, and
                                                                              let the guest run
first packet    (by beats or echoes)         the first one after RESUME       until the network
                                                                              hears of the guest
=============== =========================== ================================ ===================

It begins with STOP at the source. The checkpoints are those of ``vmstate_downtime_checkpoint``
(QEMU 8.2 and newer, ``migration/{migration,savevm}.c``), which only a lab records; see
``qemulog``. ``dst-…-bh-vm-started`` is written though libvirt keeps the guest from starting: it
then says that everything is there for it. Where nothing tells where one part ends and the next
begins they are one row, their names joined by " + ". The source's status ``completed`` is no such
end: it comes after the destination's, whose answer the source waits for
(``migration_completion`` in QEMU's ``migration/migration.c``).

``basis`` says by what a part's end is known: ``log``, ``events``, ``beats`` or ``echoes``.
``error_ms`` is how far the part's duration may be off because its ends were stamped by two
clocks; where that is not known, duration and error are missing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import pandas as pd

from migrationlab.analysis.beats import signs_of_life
from migrationlab.analysis.events import Clocks, Event, first

MS = 1_000_000
PARTS = (
    "pre-switchover",
    "last iteration",
    "device state",
    "loading",
    "resume",
    "first packet",
)
COLUMNS = {
    "part": "str",
    "start_ns": "int64",
    "end_ns": "int64",
    "duration_ms": "float64",
    "basis": "str",
    "error_ms": "float64",
}
JOINED = " + "
#: This machine's clock, which stamped what was heard.
_HERE = "here"


@dataclass(frozen=True, slots=True)
class _End:
    """Where a part ends, by what that is known, and whose clock says so."""

    time_ns: int
    basis: str
    clock: str


def parts(
    events: list[Event],
    clocks: Clocks,
    *,
    heard: pd.DataFrame,
    heard_by: str,
) -> pd.DataFrame:
    """Take a downtime apart.

    Args:
        events: What happened, in order.
        clocks: How sure the stamps of the hosts are.
        heard: Arrivals and sequence numbers of what was heard of the guest.
        heard_by: What that was: "beats" or "echoes".

    Returns:
        A row a part, with the columns of :data:`COLUMNS`. None where the guest did not stop at
        the source and run again at the destination, as in a migration that failed.
    """
    stops = [e.time_ns for e in events if (e.origin, e.name, e.side) == ("qemu", "STOP", "source")]
    # A guest can be paused by hand on the way; the migration's own stop is the last.
    stop = stops[-1] if stops else None
    if stop is None:
        return _frame(())
    after = [event for event in _put_right(events, clocks) if event.time_ns >= stop]
    resume = first(after, origin="qemu", name="RESUME", side="destination")
    if resume is None:
        return _frame(())
    start = _End(stop, "events", "source")
    # A late one was sent before it stopped, and says nothing of it now.
    arrivals, _ = signs_of_life(heard)
    since = arrivals[arrivals >= resume]
    packet = _End(int(since[0]), heard_by, _HERE) if len(since) else None
    return _frame(_rows(start, _ends(after, resume, packet), clocks))


def _put_right(events: list[Event], clocks: Clocks) -> Iterator[Event]:
    """Yield the events, QEMU's log on this machine's clock, as its events are already."""
    for event in events:
        logged = (event.origin, event.name) == ("log", "downtime")
        shift = clocks.shifts.get(event.side, 0) if logged else 0
        yield replace(event, time_ns=event.time_ns + shift) if shift else event


def _ends(
    events: list[Event], resume: int, packet: _End | None
) -> Iterator[tuple[str, _End | None]]:
    """Yield each part that took place, and where it ends if that is known."""
    if _status(events, "source", "pre-switchover") is not None:
        yield "pre-switchover", _by_event(_status(events, "source", "device"), "source")
    yield "last iteration", _checkpoint(events, "source", "src-iterable-saved")
    saved = _checkpoint(events, "source", "src-non-iterable-saved")
    over = _status(events, "source", "postcopy-active")
    yield "device state", saved or _by_event(over, "source")
    loaded = _checkpoint(events, "destination", "dst-precopy-bh-vm-started")
    loaded = loaded or _checkpoint(events, "destination", "dst-postcopy-bh-vm-started")
    if loaded is None and over is None:
        # In post-copy that status comes with the last page, long after the guest ran.
        loaded = _by_event(_status(events, "destination", "completed"), "destination")
    yield "loading", loaded
    yield "resume", _by_event(resume, "destination")
    yield "first packet", packet


def _rows(
    start: _End, ends: Iterable[tuple[str, _End | None]], clocks: Clocks
) -> Iterator[dict[str, object]]:
    waiting: list[str] = []
    for part, end in ends:
        waiting.append(part)
        # One that ends before it begins does so by clocks that differ: it ends with the next.
        if end is None or end.time_ns < start.time_ns:
            continue
        error_ns = _error_ns(clocks, start.clock, end.clock)
        known = error_ns is not None
        yield {
            "part": JOINED.join(waiting),
            "start_ns": start.time_ns,
            "end_ns": end.time_ns,
            "duration_ms": round((end.time_ns - start.time_ns) / MS, 3) if known else None,
            "basis": end.basis,
            "error_ms": round(error_ns / MS, 3) if error_ns is not None else None,
        }
        waiting.clear()
        start = end


def _error_ns(clocks: Clocks, *stamped_by: str) -> int | None:
    """Give how far a time between two stamps may be off, None where nobody knows."""
    if len(set(stamped_by)) == 1:
        return 0
    errors = [0 if clock == _HERE else clocks.errors.get(clock) for clock in stamped_by]
    return None if None in errors else sum(error for error in errors if error is not None)


def _status(events: list[Event], side: str, status: str) -> int | None:
    return first(events, origin="qemu", name="MIGRATION", side=side, status=status)


def _by_event(time_ns: int | None, side: str) -> _End | None:
    return None if time_ns is None else _End(time_ns, "events", side)


def _checkpoint(events: list[Event], side: str, name: str) -> _End | None:
    found = first(events, origin="log", name="downtime", side=side, checkpoint=name)
    return None if found is None else _End(found, "log", side)


def _frame(rows: Iterable[dict[str, object]]) -> pd.DataFrame:
    return pd.DataFrame(list(rows), columns=list(COLUMNS)).astype(COLUMNS)
