"""From what was recorded of a migration to what it means: phases, passes, downtimes, rates.

A pure function, :func:`build`, of the recorded frames. It imports no libvirt, opens nothing and
asks no clock, so that a recording gives the same answer on any machine, years later.

All times are CLOCK_REALTIME nanoseconds of the machine that recorded. QEMU stamps its events
with its own host's clock; where that clock is more than 50 ms off, that host's stamps are
moved by the smallest delay seen between stamp and receipt, and ``notes`` says so.

What is not known is None (NaN in a frame), never 0.

**Phases.** Always five rows, contiguous. ``basis`` is ``log`` where the daemons' own logs were
recorded, else ``events``:

========= ==================================== ==============================================
phase     starts, by log                       starts, by events
========= ==================================== ==============================================
Begin     source ``begin3``                    never told apart from Prepare: ``missing``
Prepare   destination ``prepare``              the call
Perform   source ``perform3``                  destination's lifecycle STARTED.MIGRATED
Finish    source ``perform3_done``             source QEMU's ``completed``, else
                                               SUSPENDED.MIGRATED
Confirm   source ``confirm3``                  destination's RESUMED.MIGRATED, else QEMU's RESUME
========= ==================================== ==============================================

The last one ends where the call returned. What lies between the call and Begin is in no phase:
in peer2peer the source's daemon dials the destination's there. ``state`` is ``complete``;
``cut short`` (the phase in which a migration failed or was cancelled); ``rolled back`` (what
followed it, to undo); ``not reached``; or ``missing``: it took place, but nothing recorded shows
where it began, so its time is in the row of its neighbour. In peer2peer the client makes one
call only, but between the daemons the phases are the same five.

**Downtimes.** ``event`` runs from QEMU's STOP to QEMU's RESUME. ``network`` is the longest time
between two arrivals of beats around the stop, as it is: the beat's own period of 1 ms is in it,
and so it is in ``network_jitter_ms``, the 99th percentile of the same gaps in the second before
the call.

**Rates.** Throughput is the bytes that libvirt says were sent (``data_processed``) over the time
between the source QEMU's ``active`` and ``completed``; in a migration that did not complete, up
to the last sample.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from migrationlab.capture import silence
from migrationlab.capture.moments import (
    Event,
    clock_notes,
    clock_shifts,
    coalesce,
    first,
    read,
)

PHASES = ("Begin", "Prepare", "Perform", "Finish", "Confirm")

MS = 1_000_000
LOG_RESOLUTION_NS = MS  # the daemons' logs cut their stamps to the millisecond


@dataclass(frozen=True, kw_only=True, eq=False)
class Timeline:
    """What a recording says. See the module for what each number means.

    Attributes:
        phases: phase, state, start_ns, end_ns, duration_ms, basis; five rows.
        passes: pass, start_ns, end_ns, duration_ms, guest_running, basis; a row for each pass
            over the guest's memory. QEMU starts one more after the guest stopped.
        called_ns: When libvirt's call was made.
        returned_ns: When it came back, with success or without.
        active_ns: When the source QEMU began to send.
        completed_ns: When the source QEMU had sent everything.
        stop_ns: When the guest stopped at the source.
        resume_ns: When it ran again: at the destination, or after a rollback at the source.
        silent_from_ns: Arrival of the last beat before the network downtime.
        silent_until_ns: Arrival of the first beat after it.
        beats_lost: Beats that never arrived, in the whole recording.
        beats_lost_in_silence: Those lost within the network downtime. 0 says that the guest
            really stood still; each one lost is a millisecond in which it ran unheard.
        notes: What a reader of the numbers must know.
    """

    phases: pd.DataFrame
    passes: pd.DataFrame
    called_ns: int
    returned_ns: int
    active_ns: int | None
    completed_ns: int | None
    stop_ns: int | None
    resume_ns: int | None
    silent_from_ns: int | None
    silent_until_ns: int | None
    total_ms: int | None
    call_ms: float
    downtime_requested_ms: int | None
    downtime_reported_ms: int | None
    downtime_event_ms: float | None
    downtime_network_ms: float | None
    network_jitter_ms: float | None
    beats_lost: int | None
    beats_lost_in_silence: int | None
    transferred_bytes: int | None
    wire_bytes: int | None
    throughput_bytes_per_s: int | None
    iterations: int | None
    notes: tuple[str, ...]

    def __repr__(self) -> str:
        event = self.downtime_event_ms
        downtime = "unknown" if event is None else f"{event:.1f} ms"
        return f"Timeline({self.call_ms:.0f} ms, {len(self.passes)} passes, downtime {downtime})"


def build(
    *,
    events: pd.DataFrame,
    job: pd.DataFrame,
    beats: pd.DataFrame,
    wire_bytes: pd.DataFrame,
    called_ns: int,
    returned_ns: int,
    completed: bool,
    completed_job: Mapping[str, int | str],
    downtime_requested_ms: int | None,
) -> Timeline:
    """Work out the timeline of one migration.

    Args:
        events: The frame ``events`` of a run, likewise ``job``, ``beats``, ``wire_bytes``.
        job: Job statistics, sampled.
        beats: Arrivals of the guest's beats.
        wire_bytes: Bytes counted on the wire.
        called_ns: When libvirt's call was made.
        returned_ns: When it came back.
        completed: Whether the guest runs at the destination now.
        completed_job: libvirt's statistics of the completed job, empty where there are none.
        downtime_requested_ms: The limit that was in force.

    Returns:
        The timeline; it holds new frames, free to be changed.
    """
    returned_ns = max(called_ns, returned_ns)
    shifts = clock_shifts(events)
    seen = read(events, shifts, not_before_ns=called_ns - LOG_RESOLUTION_NS)
    stop, resume, event_ms = _standstill(seen)
    active = first(seen, origin="qemu", name="MIGRATION", side="source", status="active")
    done = first(seen, origin="qemu", name="MIGRATION", side="source", status="completed")
    quiet = silence.around_stop(beats, stop, resume)
    transferred = _number(completed_job, "data_processed", "memory_processed")
    sent_until = done
    if transferred is None and (transferred := _greatest(job, "data_processed_bytes")) is not None:
        reached = job["data_processed_bytes"].eq(transferred).fillna(value=False)
        sent_until = int(job.loc[reached, "time_ns"].iloc[0])
    total = _number(completed_job, "time_elapsed")
    iterations = _number(completed_job, "memory_iteration")
    return Timeline(
        phases=_phases(seen, called_ns, returned_ns, completed=completed),
        passes=_passes(seen, returned_ns, stop=stop, sent=done or resume),
        called_ns=called_ns,
        returned_ns=returned_ns,
        active_ns=active,
        completed_ns=done,
        stop_ns=stop,
        resume_ns=resume,
        silent_from_ns=quiet.start_ns,
        silent_until_ns=quiet.end_ns,
        total_ms=_greatest(job, "time_elapsed_ms") if total is None else total,
        call_ms=_ms(called_ns, returned_ns),
        downtime_requested_ms=downtime_requested_ms,
        downtime_reported_ms=_number(completed_job, "downtime"),
        downtime_event_ms=event_ms,
        downtime_network_ms=quiet.duration_ms,
        network_jitter_ms=silence.jitter_ms(beats, called_ns),
        beats_lost=silence.lost(beats),
        beats_lost_in_silence=quiet.lost,
        transferred_bytes=transferred,
        wire_bytes=_growth(wire_bytes, "sent_bytes"),
        throughput_bytes_per_s=_rate(transferred, active, sent_until),
        iterations=_greatest(job, "iteration") if iterations is None else iterations,
        notes=(*clock_notes(shifts), *quiet.notes),
    )


# --- standstill ------------------------------------------------------------------------------


def _standstill(events: list[Event]) -> tuple[int | None, int | None, float | None]:
    """Find when the guest stopped and ran again, and the downtime where QEMU itself told both.

    libvirt's own events bear no stamp, so they place the stop but do not measure it.
    """
    # A guest can be paused and resumed by hand on the way; the migration's stop is the last.
    stops = [e.time_ns for e in events if (e.origin, e.name, e.side) == ("qemu", "STOP", "source")]
    if stops:
        stop = stops[-1]
        resume = first(events, origin="qemu", name="RESUME", after_ns=stop)
        if resume is not None:
            return stop, resume, _ms(stop, resume)
        return stop, None, None
    suspended = first(events, origin="libvirt", name="lifecycle.SUSPENDED.MIGRATED", side="source")
    if suspended is None:
        return None, None, None
    resumed = "lifecycle.RESUMED.MIGRATED"
    return suspended, first(events, origin="libvirt", name=resumed, after_ns=suspended), None


# --- phases and passes ------------------------------------------------------------------------


def _phases(
    events: list[Event], called_ns: int, returned_ns: int, *, completed: bool
) -> pd.DataFrame:
    basis, starts = "log", _starts_by_log(events, completed=completed)
    if not any(starts):
        basis, starts = "events", _starts_by_events(events, called_ns, completed=completed)
    known = [index for index, start in enumerate(starts) if start is not None]
    # What failed or was cancelled was cut short in the last phase before the way back began.
    forward = [i for i in known if i < 3 or (i == 3 and _performed(events))]
    cut = None if completed else max(forward, default=None)
    spans: list[tuple[int | None, int | None]] = []
    earliest = called_ns
    for index, start in enumerate(starts):
        if start is None:
            spans.append((None, None))
            continue
        following = coalesce(*starts[index + 1 :])
        begun = min(max(start, earliest), returned_ns)
        earliest = min(max(begun, returned_ns if following is None else following), returned_ns)
        spans.append((begun, earliest))
    states = [_state(i, start, cut, completed=completed) for i, start in enumerate(starts)]
    frame = pd.DataFrame({"phase": pd.Series(PHASES, dtype="str"), "state": states})
    # Made as Int64 at once: by way of floats the nanoseconds would be rounded.
    frame["start_ns"] = pd.array([start for start, _ in spans], dtype="Int64")
    frame["end_ns"] = pd.array([end for _, end in spans], dtype="Int64")
    frame["duration_ms"] = _durations(frame)
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
        # finish3 comes a moment after perform3_done; in a rollback it comes without it.
        coalesce(logged("out", "perform3_done"), logged("in", "finish3")),
        coalesce(undone, logged("out", "confirm3")),
    ]


def _starts_by_events(events: list[Event], called_ns: int, *, completed: bool) -> list[int | None]:
    def lifecycle(name: str, side: str) -> int | None:
        return first(events, origin="libvirt", name=f"lifecycle.{name}", side=side)

    prepared = lifecycle("STARTED.MIGRATED", "destination")
    if not completed:
        return [None, called_ns, prepared, None, None]
    sent = first(events, origin="qemu", name="MIGRATION", side="source", status="completed")
    resumed = first(events, origin="qemu", name="RESUME", side="destination")
    return [
        None,
        called_ns,
        prepared,
        coalesce(sent, lifecycle("SUSPENDED.MIGRATED", "source")),
        coalesce(lifecycle("RESUMED.MIGRATED", "destination"), resumed),
    ]


def _performed(events: list[Event]) -> bool:
    return first(events, origin="log", name="phase", phase="perform3_done") is not None


def _state(index: int, start: int | None, cut: int | None, *, completed: bool) -> str:
    if start is None:
        return "missing" if completed or index < (cut or 0) else "not reached"
    if completed or cut is None or index < cut:
        return "complete"
    return "cut short" if index == cut else "rolled back"


def _passes(
    events: list[Event], returned_ns: int, *, stop: int | None, sent: int | None
) -> pd.DataFrame:
    """Give the passes over memory; one is cut at the stop, where the guest's writing ended."""
    basis, name, key = "qemu", "MIGRATION_PASS", "pass"
    if not any(event.name == name for event in events):
        basis, name, key = "libvirt", "migration_iteration", "iteration"
    starts: dict[int, int] = {}
    for event in events:
        if event.name == name and event.origin == basis and event.side == "source":
            starts.setdefault(int(event.detail[key]), event.time_ns)
    given_up = (
        first(events, origin="qemu", name="MIGRATION", side="source", status=status)
        for status in ("cancelling", "cancelled", "failing", "failed")
    )
    ended = coalesce(sent, *given_up, returned_ns)
    assert ended is not None
    rows = []
    times = [*starts.values(), max([ended, *starts.values()])]
    for number, start, following in zip(starts, times, times[1:], strict=False):
        running = stop is None or start < stop
        end = min(following, stop) if running and stop is not None else following
        rows.append((number, start, end, running))
    frame = pd.DataFrame(rows, columns=["pass", "start_ns", "end_ns", "guest_running"])
    frame = frame.astype(
        {"pass": "int64", "start_ns": "int64", "end_ns": "int64", "guest_running": "bool"}
    )
    frame.insert(3, "duration_ms", _durations(frame))
    frame["basis"] = basis
    return frame


# --- numbers ----------------------------------------------------------------------------------


def _ms(start_ns: int, end_ns: int) -> float:
    return round((end_ns - start_ns) / MS, 3)


def _durations(frame: pd.DataFrame) -> npt.NDArray[np.float64]:
    spans = (frame["end_ns"] - frame["start_ns"]).astype("Float64")
    durations: npt.NDArray[np.float64] = (spans / MS).to_numpy(dtype=np.float64, na_value=np.nan)
    return durations.round(3)


def _number(facts: Mapping[str, int | str], *keys: str) -> int | None:
    return next((int(facts[key]) for key in keys if key in facts), None)


def _greatest(frame: pd.DataFrame, column: str) -> int | None:
    """Give the last value of a counter, which after an abort can fall back to 0."""
    known = frame[column].dropna()
    return int(known.max()) if len(known) else None


def _growth(frame: pd.DataFrame, column: str) -> int | None:
    known = frame[column].dropna()
    return int(known.iloc[-1] - known.iloc[0]) if len(known) > 1 else None


def _rate(amount: int | None, start_ns: int | None, end_ns: int | None) -> int | None:
    if amount is None or start_ns is None or end_ns is None or end_ns <= start_ns:
        return None
    return round(amount * 1e9 / (end_ns - start_ns))
