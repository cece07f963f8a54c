"""Compute the five phases of a migration and its iterations over memory.

**Phases** are always five rows without gaps between them. ``basis`` is ``log`` where the daemons'
own logs were recorded, else ``events``:

========= ==================================== ==============================================
phase     start, by log                        start, by events
========= ==================================== ==============================================
Begin     source ``begin3``                    ``missing``: events do not separate it from
                                               Prepare
Prepare   destination ``prepare``              the call
Perform   source ``perform3``                  destination's lifecycle STARTED.MIGRATED
Finish    source ``perform3_done``             in post-copy SUSPENDED.POSTCOPY; else source
                                               QEMU's ``completed``, else SUSPENDED.MIGRATED
Confirm   source ``confirm3``                  destination's RESUMED.MIGRATED, SUSPENDED.PAUSED
                                               for a guest left paused, or QEMU's RESUME
========= ==================================== ==============================================

Confirm ends when the call returns. The time between the call and Begin is in no phase: in
peer2peer the source's daemon connects to the destination's then. In peer2peer the client makes one
call only, but the daemons go through the same five phases. In post-copy libvirt's Perform ends
when the guest switches over, and Finish lasts until all of its memory has followed.

The states of a phase:

- ``complete``.
- ``cut short``: the migration failed or was cancelled in this phase.
- ``rolled back``: a phase after the one that was cut short, which undoes the migration.
- ``not reached``.
- ``left out``: Perform of an offline migration, which sends no memory.
- ``missing``: the phase took place, but no record shows its start. The row of the neighbour
  includes its time.
- ``unknown``: nothing was recorded of either daemon.
"""

from __future__ import annotations

import pandas as pd

from migrationlab.analysis.events import Event, Recording, coalesce, first, lifecycle, status
from migrationlab.analysis.frames import durations, table

#: The worker in each phase (virDomainMigrateVersion3Full in libvirt's src/libvirt-domain.c, and its
#: twin in peer2peer, qemuMigrationSrcPerformPeer2Peer3 in src/qemu/qemu_migration.c). In Perform
#: the source's QEMU sends; in Confirm the source's libvirtd waits for it to end.
WORKERS = {
    "Begin": "source libvirtd",
    "Prepare": "destination libvirtd",
    "Perform": "source QEMU",
    "Finish": "destination libvirtd",
    "Confirm": "source libvirtd",
}
PHASES = tuple(WORKERS)
PERFORM = PHASES.index("Perform")
#: The side that asks for a phase: in normal mode the client; in peer2peer it asks once, for all.
LEADERS = {"normal": "client", "peer2peer": "source libvirtd"}
#: QEMU's statuses that end the iterations of a migration that did not complete, in order.
FAILED = ("cancelling", "cancelled", "failing", "failed")


def phases(events: list[Event], recording: Recording) -> pd.DataFrame:
    """Return the phases: phase, by, asked_by, state, start_ns, end_ns, duration_ms, basis."""
    completed = recording.completed
    basis, starts = "log", _starts_by_log(events, completed=completed)
    if not any(starts):
        basis = "events"
        starts = _starts_by_events(events, recording.called_ns, completed=completed)
    known = [index for index, start in enumerate(starts) if start is not None]
    # A failed or cancelled migration was cut short in the last phase before the rollback began.
    forward = [i for i in known if i < 3 or (i == 3 and _performed(events))]
    cut = None if completed else max(forward, default=None)
    begins: list[int | None] = [None] * len(PHASES)
    ends = begins.copy()
    earliest = recording.called_ns
    for index in known:
        following = coalesce(*starts[index + 1 :]) or recording.end_ns
        begins[index] = begin = min(max(starts[index] or 0, earliest), recording.end_ns)
        ends[index] = earliest = min(max(begin, following), recording.end_ns)
    states = [_state(i, start, cut, completed=completed) for i, start in enumerate(starts)]
    if not known:
        states = ["unknown"] * len(PHASES)
    if recording.offline and starts[PERFORM] is None:
        states[PERFORM] = "left out"
    frame = pd.DataFrame({"phase": pd.Series(PHASES, dtype="str"), "by": list(WORKERS.values())})
    frame["asked_by"] = LEADERS.get(str(recording.mode), "unknown")
    frame["state"] = states
    # Made as Int64 at once: a float cannot hold these nanoseconds exactly.
    frame["start_ns"], frame["end_ns"] = pd.array(begins, "Int64"), pd.array(ends, "Int64")
    frame["duration_ms"] = durations(frame)
    frame["basis"] = basis
    return frame


def _starts_by_log(events: list[Event], *, completed: bool) -> list[int | None]:
    def logged(job: str, phase: str) -> int | None:
        return first(events, origin="log", name="phase", job=job, phase=phase)

    undone = None if completed else logged("out", "confirm3_cancelled")
    return [
        logged("out", "begin3"),
        logged("in", "prepare"),
        logged("out", "perform3"),
        # finish3 comes a moment after perform3_done; in a rollback there is no perform3_done.
        coalesce(logged("out", "perform3_done"), logged("in", "finish3")),
        coalesce(undone, logged("out", "confirm3")),
    ]


def _starts_by_events(events: list[Event], called_ns: int, *, completed: bool) -> list[int | None]:
    prepared = lifecycle(events, "STARTED.MIGRATED", "destination")
    switched = lifecycle(events, "SUSPENDED.POSTCOPY", "source")
    if not completed:
        if not any(event.side in {"source", "destination"} for event in events):
            return [None] * len(PHASES)  # no record shows the phase that it reached
        # A migration interrupted in post-copy has performed, and cannot be rolled back.
        return [None, called_ns, prepared, switched, None]
    return [
        None,
        called_ns,
        prepared,
        coalesce(
            switched,
            status(events, "source", "completed"),
            lifecycle(events, "SUSPENDED.MIGRATED", "source"),
        ),
        coalesce(
            lifecycle(events, "RESUMED.MIGRATED", "destination"),
            lifecycle(events, "SUSPENDED.PAUSED", "destination"),
            first(events, origin="qemu", name="RESUME", side="destination"),
        ),
    ]


def _performed(events: list[Event]) -> bool:
    by_log = first(events, origin="log", name="phase", phase="perform3_done")
    return coalesce(by_log, lifecycle(events, "SUSPENDED.POSTCOPY", "source")) is not None


def _state(index: int, start: int | None, cut: int | None, *, completed: bool) -> str:
    if start is None:
        return "missing" if completed or index < (cut or 0) else "not reached"
    if completed or cut is None or index < cut:
        return "complete"
    return "cut short" if index == cut else "rolled back"


def iterations(
    events: list[Event], returned_ns: int, *, stop: int | None, sent: int | None
) -> pd.DataFrame:
    """Return the iterations over memory, cut at STOP, where the guest's writing ended.

    ``stop`` is when the guest stopped at the source, ``sent`` when all memory was sent; each is
    None if it did not happen.

    QEMU 11.1.3 sends no event at the start of the first iteration, 10.0.13 does, at most 5 ms
    before its status ``active``. Without the event the first iteration starts at that status.
    """
    basis, name, key = "qemu", "MIGRATION_PASS", "pass"
    if not any(event.name == name for event in events):
        basis, name, key = "libvirt", "migration_iteration", "iteration"
    starts: dict[int, int] = {}
    for event in events:
        if (event.name, event.origin, event.side) == (name, basis, "source"):
            starts.setdefault(int(event.detail[key]), event.time_ns)
    active = status(events, "source", "active")
    if active is not None and min(starts, default=2) == 2:
        basis = basis if starts else "qemu"
        starts = {1: active, **starts}
    failed = (status(events, "source", value) for value in FAILED)
    ended = coalesce(sent, *failed) or returned_ns
    rows = []
    begins = [*starts.values(), max([ended, *starts.values()])]
    for number, start, following in zip(starts, begins, begins[1:], strict=False):
        running = stop is None or start < stop
        end = min(following, stop) if running and stop is not None else following
        rows.append((number, start, end, running))
    times = dict.fromkeys(("iteration", "start_ns", "end_ns"), "int64")
    frame = table({**times, "guest_running": "bool"}, rows)
    frame.insert(3, "duration_ms", durations(frame))
    frame["basis"] = basis
    return frame
