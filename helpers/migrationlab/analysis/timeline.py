"""From what was recorded of a migration to what it means: phases, iterations, downtimes, rates.

A pure function, :func:`build`, of the recorded frames. It imports no libvirt, opens nothing and
asks no clock, so that a recording gives the same answer on any machine, years later.

All times are CLOCK_REALTIME nanoseconds of the machine that recorded. QEMU stamps its events
with its own host's clock, whose measured offset is taken off; see ``moments.read_clocks``.

What is not known is None (NaN in a frame), never 0.

**Phases.** Always five rows, contiguous. ``basis`` is ``log`` where the daemons' own logs were
recorded, else ``events``:

========= ==================================== ==============================================
phase     starts, by log                       starts, by events
========= ==================================== ==============================================
Begin     source ``begin3``                    never told apart from Prepare: ``missing``
Prepare   destination ``prepare``              the call
Perform   source ``perform3``                  destination's lifecycle STARTED.MIGRATED
Finish    source ``perform3_done``             in post-copy SUSPENDED.POSTCOPY; else source
                                               QEMU's ``completed``, else SUSPENDED.MIGRATED
Confirm   source ``confirm3``                  destination's RESUMED.MIGRATED, SUSPENDED.PAUSED
                                               for a guest left paused, or QEMU's RESUME
========= ==================================== ==============================================

The last one ends where the call returned. What lies between the call and Begin is in no phase: in
peer2peer the source's daemon dials the destination's there. ``state`` is ``complete``; ``cut
short`` (the phase in which a migration failed or was cancelled); ``rolled back`` (what followed it,
to undo); ``not reached``; ``unknown`` where nothing was recorded of either daemon; or ``missing``:
it took place, but nothing recorded shows where it began, so its time is in the row of its
neighbour. In peer2peer the client makes one call only, but between the daemons the phases are the
same five. An offline migration sends nothing: its Perform is ``left out``. In post-copy libvirt's
Perform ends when the guest goes over, and Finish lasts until all of its memory has followed.

**Downtimes.** ``downtimes`` works out how far off each may be. ``event`` runs from QEMU's STOP to
QEMU's RESUME, on two hosts: where one of their clocks is not known it is withheld, and ``notes``
says so. ``network`` is the longest time between two arrivals of beats around the stop (of answers
to echo requests where the guest sends no beats), as it is: their period is in it, and so it is in
``network_jitter_ms``, the 99th percentile of the same gaps in the second before the call. In
post-copy ``reported`` ends when the source had sent the guest's devices (postcopy_start in QEMU's
``migration/migration.c``), before the guest ran.

**Parts** of the downtime, and what tells where each ends, are those of ``parts``; **latency** is
the round trips of echo requests, as ``latency`` works them out.

**Post-copy** lasts from QEMU's ``postcopy-active`` at the source to its ``completed``.

**Rates.** Throughput is the bytes that libvirt says were sent (``data_processed``) over the time
between the source QEMU's ``active`` and ``completed``; in a migration that did not complete, up
to the last sample.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd

from migrationlab.analysis import beats as silence
from migrationlab.analysis import downtime_parts as parts
from migrationlab.analysis import latency
from migrationlab.analysis.downtimes import GuestClock, downtimes, noticed
from migrationlab.analysis.events import (
    Clocks,
    Event,
    coalesce,
    first,
    lifecycle,
    read,
    read_clocks,
)
from migrationlab.analysis.phases import MS, PHASES, iterations, phases

#: The kit's events that say what was done to a migration.
STEERING = frozenset(
    {
        *("set_max_downtime", "set_bandwidth", "set_postcopy_bandwidth", "set_compression_cache"),
        *("start_postcopy", "pause_postcopy", "suspend", "cancel", "deadline"),
    }
)

__all__ = ["PHASES", "STEERING", "Timeline", "build"]

CLOCK_ERROR_TOLD_NS = MS
EVENT_SET_BACK = (
    "The event downtime is withheld: the clock that it was measured by was set back meanwhile."
)
SET_BACK = (
    "This machine's clock was set back during the call, so that its length and those of its "
    "phases are not known."
)
COUNTED_IN_PART = (
    "The bytes on the wire were not counted to the end, as where a host was lost, so their sum is "
    "not known."
)
LOG_RESOLUTION_NS = MS  # the daemons' logs cut their stamps to the millisecond


@dataclass(frozen=True, kw_only=True, eq=False)
class Timeline:
    """What a recording says. See the module for what each number means.

    Attributes:
        phases: phase, state, start_ns, end_ns, duration_ms, basis; five rows.
        iterations: iteration, start_ns, end_ns, duration_ms, guest_running (at the source), basis; a row
            for each iteration over the guest's memory. QEMU starts one more after the guest stopped.
        parts: part, start_ns, end_ns, duration_ms, basis, error_ms; a row for each part of the
            downtime that can be told apart: see :mod:`migrationlab.analysis.downtime_parts`.
        latency: sent_ns, round_trip_ms; a row an echo request, NaN where it was lost.
        downtimes: kind, downtime_ms, low_ms, high_ms, resolution_ms, method, reason; a row a kind
            of downtime, with how far off it may be: see :mod:`migrationlab.analysis.downtimes`.
        steering: time_ns, name, by, value, refused; a row for each thing that was done to the
            migration, or was refused: value is what was set, refused says why not.
        called_ns: When libvirt's call was made.
        returned_ns: When it came back, with success or without.
        active_ns: When the source QEMU began to send.
        completed_ns: When the source QEMU had sent everything.
        stop_ns: When the guest stopped at the source.
        resume_ns: When it ran again: at the destination, or after a rollback at the source.
        postcopy_ns: When the migration went over to post-copy.
        silent_from_ns: Arrival of the last beat before the network downtime.
        silent_until_ns: Arrival of the first beat after it.
        network_basis: What the network downtime was heard by: "beats", "echoes", or None.
        guest_behind_ms: How far the guest's own clock fell behind in the silence.
        beats_doubled: Beats that arrived once more.
        beats_overtaken: Beats that arrived after one that was sent later.
        beats_lost: Beats that never arrived, in the whole recording.
        beats_lost_in_silence: Those lost within the network downtime. 0 says that the guest
            really stood still; each one lost is a millisecond in which it ran unheard.
        notes: What a reader of the numbers must know.
    """

    phases: pd.DataFrame
    iterations: pd.DataFrame
    parts: pd.DataFrame
    latency: pd.DataFrame
    downtimes: pd.DataFrame
    steering: pd.DataFrame
    called_ns: int
    returned_ns: int
    active_ns: int | None
    completed_ns: int | None
    stop_ns: int | None
    resume_ns: int | None
    postcopy_ns: int | None
    silent_from_ns: int | None
    silent_until_ns: int | None
    total_ms: int | None
    call_ms: float
    downtime_requested_ms: int | None
    downtime_reported_ms: int | None
    downtime_event_ms: float | None
    downtime_network_ms: float | None
    postcopy_ms: float | None
    network_basis: str | None
    network_jitter_ms: float | None
    guest_behind_ms: float | None
    beats_doubled: int | None
    beats_overtaken: int | None
    beats_lost: int | None
    beats_lost_in_silence: int | None
    transferred_bytes: int | None
    wire_bytes: int | None
    throughput_bytes_per_s: int | None
    iteration_count: int | None
    notes: tuple[str, ...]

    def __repr__(self) -> str:
        event = self.downtime_event_ms
        downtime = "unknown" if event is None else f"{event:.1f} ms"
        return f"Timeline({self.call_ms:.0f} ms, {len(self.iterations)} iterations, downtime {downtime})"


def build(
    *,
    events: pd.DataFrame,
    job: pd.DataFrame,
    beats: pd.DataFrame,
    echoes: pd.DataFrame,
    wire_bytes: pd.DataFrame,
    called_ns: int,
    returned_ns: int,
    completed: bool,
    completed_job: Mapping[str, int | str],
    downtime_requested_ms: int | None,
    clock: Mapping[str, Mapping[str, Any] | None] | None = None,
    offline: bool = False,
    mode: str | None = None,
) -> Timeline:
    """Work out the timeline of one migration.

    Args:
        events: The frame ``events`` of a run, likewise all that follow.
        job: Job statistics, sampled.
        beats: Arrivals of the guest's beats.
        echoes: Echo requests and the arrivals of their answers.
        wire_bytes: Bytes counted on the wire.
        called_ns: When libvirt's call was made.
        returned_ns: When it came back.
        completed: Whether the guest runs at the destination now.
        completed_job: libvirt's statistics of the completed job, empty where there are none.
        downtime_requested_ms: The limit that was in force.
        clock: What was measured of the hosts' clocks, as a run keeps it.
        offline: Whether only the domain's definition was moved.
        mode: "normal" or "peer2peer", which says who asked for each phase.

    Returns:
        The timeline; it holds new frames, free to be changed.
    """
    set_back = (SET_BACK,) if returned_ns < called_ns else ()
    returned_ns = max(called_ns, returned_ns)
    clocks = read_clocks(events, clock)
    seen = read(events, clocks.shifts, not_before_ns=called_ns - LOG_RESOLUTION_NS)
    still = _standstill(seen, clocks)
    stop, resume = still.stop_ns, still.resume_ns
    active, over, done = (
        first(seen, origin="qemu", name="MIGRATION", side="source", status=status)
        for status in ("active", "postcopy-active", "completed")
    )
    over = coalesce(over, lifecycle(seen, "SUSPENDED.POSTCOPY", "source"))
    heard, basis = (beats, "beats") if len(beats) else (_answers(echoes), "echoes")
    quiet = silence.around_stop(heard, stop, resume)
    if basis == "beats":
        quiet = silence.doubted(quiet, silence.steps(heard), called_ns)
    elif latency.set_back(echoes):
        quiet = silence.Silence(set_back=True)
    if quiet.set_back and clocks.apart_ns() == 0:
        # QEMU's stamps are of the same clock as those of what was heard.
        still = replace(still, event_ms=None, error_ns=None, notes=(*still.notes, EVENT_SET_BACK))
    guest = noticed(beats, quiet) if basis == "beats" else GuestClock()
    reported = _number(completed_job, "downtime")
    # Memory alone: a completed job's figures at the destination leave copied disks out.
    transferred = _number(completed_job, "memory_processed", "data_processed")
    column = "memory_processed_bytes"
    column = column if job[column].notna().any() else "data_processed_bytes"
    sent_until = done
    if transferred is None and (transferred := _greatest(job, column)) is not None:
        reached = job[column].eq(transferred).fillna(value=False)
        sent_until = int(job.loc[reached, "time_ns"].iloc[0])
    counted = not len(wire_bytes) or int(wire_bytes["time_ns"].max()) >= returned_ns
    total = _number(completed_job, "time_elapsed")
    iteration_count = _number(completed_job, "memory_iteration")
    return Timeline(
        phases=phases(
            seen, called_ns, returned_ns, completed=completed, offline=offline, mode=mode
        ),
        iterations=iterations(seen, returned_ns, stop=stop, sent=done or resume),
        parts=parts.parts(seen, clocks, heard=heard, heard_by=basis),
        latency=latency.latency(echoes),
        downtimes=downtimes(
            requested_ms=downtime_requested_ms,
            reported_ms=reported,
            clocks_apart_ns=clocks.apart_ns(),
            event_ms=still.event_ms,
            event_error_ns=still.error_ns,
            quiet=quiet,
            heard=heard,
            heard_by=basis if len(heard) else None,
            called_ns=called_ns,
            guest=guest,
            stopped=stop is not None,
            postcopy=over is not None,
        ),
        steering=_steering(seen),
        called_ns=called_ns,
        returned_ns=returned_ns,
        active_ns=active,
        completed_ns=done,
        stop_ns=stop,
        resume_ns=resume,
        postcopy_ns=over,
        silent_from_ns=quiet.start_ns,
        silent_until_ns=quiet.end_ns,
        total_ms=_greatest(job, "time_elapsed_ms") if total is None else total,
        call_ms=_ms(called_ns, returned_ns),
        downtime_requested_ms=downtime_requested_ms,
        downtime_reported_ms=reported,
        downtime_event_ms=still.event_ms,
        downtime_network_ms=quiet.duration_ms,
        postcopy_ms=None if over is None or done is None else _ms(over, done),
        network_basis=basis if len(heard) else None,
        network_jitter_ms=silence.jitter_ms(heard, called_ns),
        guest_behind_ms=guest.behind_ms,
        beats_doubled=silence.doubled(beats),
        beats_overtaken=silence.overtaken(beats),
        beats_lost=silence.lost(beats),
        # Of echoes each one that meets a guest standing still may be lost.
        beats_lost_in_silence=quiet.lost if len(beats) else None,
        transferred_bytes=transferred,
        wire_bytes=_growth(wire_bytes, "sent_bytes") if counted else None,
        throughput_bytes_per_s=_rate(transferred, active, sent_until),
        iteration_count=_greatest(job, "iteration") if iteration_count is None else iteration_count,
        notes=(
            *clocks.notes,
            *still.notes,
            *quiet.notes,
            *silence.fallen(heard, stop, returned_ns),
            *(() if counted else (COUNTED_IN_PART,)),
            *set_back,
            *latency.notes(echoes),
        ),
    )


# --- standstill ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class _Standstill:
    """When the guest stopped and ran again; the downtime where QEMU itself told both."""

    stop_ns: int | None = None
    resume_ns: int | None = None
    event_ms: float | None = None
    error_ns: int | None = None
    notes: tuple[str, ...] = ()


def _standstill(events: list[Event], clocks: Clocks) -> _Standstill:
    """Find the migration's own stop.

    libvirt's own events bear no stamp, so they place the stop but do not measure it.
    """
    # A guest can be paused and resumed by hand on the way; the migration's stop is the last.
    stops = [e.time_ns for e in events if (e.origin, e.name, e.side) == ("qemu", "STOP", "source")]
    if not stops:
        return _placed(events)
    stop = stops[-1]
    resumed = [e for e in events if (e.origin, e.name) == ("qemu", "RESUME") and e.time_ns >= stop]
    if not resumed:
        arrived = lifecycle(events, "SUSPENDED.PAUSED", "destination")
        note = "The guest was left paused at the destination, so its downtime has no end."
        return _Standstill(stop_ns=stop, notes=() if arrived is None else (note,))
    resume, error_ns = resumed[0].time_ns, clocks.error_ns("source", resumed[0].side)
    if error_ns is None:
        note = "The event downtime is withheld: it lies between two clocks, one of them unknown."
        return _Standstill(stop_ns=stop, resume_ns=resume, notes=(note,))
    note = f"The event downtime is sure to {error_ns / MS:.1f} ms: so well the clocks are known."
    return _Standstill(
        stop_ns=stop,
        resume_ns=resume,
        event_ms=_ms(stop, resume),
        error_ns=error_ns,
        notes=(note,) if error_ns >= CLOCK_ERROR_TOLD_NS else (),
    )


def _placed(events: list[Event]) -> _Standstill:
    """Find the stop by what libvirt says, which bears no stamp."""
    suspended = lifecycle(events, "SUSPENDED.MIGRATED", "source")
    if suspended is None:
        return _Standstill()
    names = {"lifecycle.RESUMED.MIGRATED", "lifecycle.RESUMED.POSTCOPY"}
    after = (e.time_ns for e in events if e.name in names and e.time_ns >= suspended)
    return _Standstill(stop_ns=suspended, resume_ns=next(after, None))


def _answers(echoes: pd.DataFrame) -> pd.DataFrame:
    """Give the echo requests that were answered, as beats are given."""
    return echoes.dropna(subset=["arrival_ns"]).astype({"arrival_ns": "int64"})


# --- steering ---------------------------------------------------------------------------------


def _steering(events: list[Event]) -> pd.DataFrame:
    """Give what was done to the migration: the kit's events that say by whom."""
    rows = [
        {
            "time_ns": event.time_ns,
            "name": event.name,
            "by": event.detail.get("by", ""),
            "value": next((v for k, v in event.detail.items() if k not in {"by", "refused"}), None),
            "refused": event.detail.get("refused", ""),
        }
        for event in events
        if event.origin == "migrationlab" and event.name in STEERING
    ]
    columns = {"time_ns": "int64", "name": "str", "by": "str", "value": "Int64", "refused": "str"}
    return pd.DataFrame(rows, columns=list(columns)).astype(columns)


# --- numbers ----------------------------------------------------------------------------------


def _ms(start_ns: int, end_ns: int) -> float:
    return round((end_ns - start_ns) / MS, 3)


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
