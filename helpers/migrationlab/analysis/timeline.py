"""Compute the timeline of a recording: phases, iterations, downtimes, rates.

:func:`build` is a pure function: a recording gives the same answer on any machine, years later.

All times are CLOCK_REALTIME nanoseconds of the machine that recorded. QEMU stamps its events with
its own host's clock; the measured offset is subtracted (see ``events``). An unknown value is None
(NaN in a frame), never 0.

**Phases and iterations**: see ``phases``.

**Downtimes**: ``downtimes`` computes their errors. ``event`` is from QEMU's STOP to QEMU's
RESUME, on two hosts: see ``switchover``. ``network`` is the longest time between two arrivals of
beats around STOP (of answers to echo requests if the guest sends no beats). It includes their
period. So does ``network_jitter_ms``, the 99th percentile of the same gaps in the second before the
call. In post-copy ``reported`` ends when the source has sent the guest's devices (postcopy_start in
QEMU's ``migration/migration.c``), before the guest runs.

**Parts** of the downtime: see ``downtime_parts``. **Latency**, the round trips of echo requests:
see ``latency``.

**Post-copy** lasts from QEMU's ``postcopy-active`` at the source to its ``completed``.

**Rates.** Throughput is the bytes that libvirt reports as sent (``data_processed``), over the time
between the source QEMU's ``active`` and ``completed``. In a migration that did not complete, the
time ends with the last sample.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd

from migrationlab.analysis import beats, latency
from migrationlab.analysis.beats import Silence
from migrationlab.analysis.downtime_parts import parts
from migrationlab.analysis.downtimes import GuestClock, downtimes, guest_clock
from migrationlab.analysis.events import (
    Event,
    Recording,
    coalesce,
    lifecycle,
    read,
    read_clocks,
    status,
)
from migrationlab.analysis.frames import MS, growth, span_ms, table
from migrationlab.analysis.phases import PHASES, iterations, phases
from migrationlab.analysis.switchover import Moments, find_switchover

#: The events of migrationlab that record actions on a migration.
STEERING = frozenset(
    {
        *("set_max_downtime", "set_bandwidth", "set_postcopy_bandwidth", "set_compression_cache"),
        *("start_postcopy", "pause_postcopy", "suspend", "cancel", "deadline"),
    }
)

__all__ = ["PHASES", "STEERING", "Moments", "Recording", "Timeline", "build"]

EVENT_SET_BACK = (
    "The event downtime is withheld: the clock that measured it was set back during the stop."
)
SET_BACK = (
    "This machine's clock was set back during the call, so the duration of the call and of its "
    "phases is not known."
)
PARTLY_COUNTED = (
    "The bytes on the wire were not counted to the end, for example because a host was lost, so "
    "their sum is not known."
)
LOG_RESOLUTION_NS = MS  # the daemons' logs truncate their stamps to the millisecond


@dataclass(frozen=True, kw_only=True, eq=False)
class Timeline(Moments):
    """The meaning of a recording; it also has the attributes of ``Moments``.

    Attributes:
        phases: phase, by, asked_by, state, start_ns, end_ns, duration_ms, basis; five rows.
        iterations: iteration, start_ns, end_ns, duration_ms, guest_running (at the source), basis;
            a row per iteration over the guest's memory. QEMU starts one more after STOP.
        parts: part, start_ns, end_ns, duration_ms, basis, error_ms; a row for each part of the
            downtime that can be separated: see :mod:`migrationlab.analysis.downtime_parts`.
        latency: sent_ns, round_trip_ms; a row per echo request, NaN where it was lost.
        downtimes: kind, downtime_ms, low_ms, high_ms, resolution_ms, method, reason; a row per kind
            of downtime, with its error: see :mod:`migrationlab.analysis.downtimes`.
        steering: time_ns, name, by, value, refused; a row for each action on the migration, done or
            refused: ``value`` is the set value, ``refused`` the reason of a refusal.
        total_ms: The duration of the job, as libvirt counts.
        call_ms: The duration of libvirt's call.
        transferred_bytes: The bytes that libvirt reports as sent.
        wire_bytes: The bytes that the source sent over the wire.
        throughput_bytes_per_s: The rate of sending.
        iteration_count: The number of iterations, as libvirt counts.
        postcopy_ms: The duration of post-copy.
        silent_from_ns: The last arrival before the network downtime.
        silent_until_ns: The first arrival after it.
        network_basis: The kind of the arrivals: "beats", "echoes", or None.
        network_jitter_ms: The 99th percentile of the gaps between arrivals before the call.
        guest_behind_ms: The lag of the guest's own clock after the silence, at most: the first
            beat's extra time to arrive is in it.
        beats_duplicated: Repeated arrivals of beats.
        beats_reordered: Beats that arrived after a beat that was sent later.
        beats_lost: Beats that never arrived, in the whole recording.
        beats_lost_in_silence: Beats lost within the network downtime. 0 means that the guest was
            really paused; each lost beat is a millisecond in which it ran and nothing arrived.
        notes: Facts that a reader of the numbers must know.
    """

    phases: pd.DataFrame
    iterations: pd.DataFrame
    parts: pd.DataFrame
    latency: pd.DataFrame
    downtimes: pd.DataFrame
    steering: pd.DataFrame
    total_ms: int | None
    call_ms: float
    transferred_bytes: int | None
    wire_bytes: int | None
    throughput_bytes_per_s: int | None
    iteration_count: int | None
    downtime_requested_ms: int | None
    downtime_reported_ms: int | None
    downtime_event_ms: float | None
    downtime_network_ms: float | None
    postcopy_ms: float | None
    silent_from_ns: int | None
    silent_until_ns: int | None
    network_basis: str | None
    network_jitter_ms: float | None
    guest_behind_ms: float | None
    beats_duplicated: int | None
    beats_reordered: int | None
    beats_lost: int | None
    beats_lost_in_silence: int | None
    notes: tuple[str, ...]

    def __repr__(self) -> str:
        event = self.downtime_event_ms
        downtime = "unknown" if event is None else f"{event:.1f} ms"
        count = len(self.iterations)
        return f"Timeline({self.call_ms:.0f} ms, {count} iterations, downtime {downtime})"


def build(recording: Recording) -> Timeline:
    """Return the timeline of one migration. Its frames are new and may be changed."""
    called_ns, returned_ns = recording.called_ns, recording.end_ns
    clocks = read_clocks(recording.events, recording.clock)
    events = read(recording.events, clocks.shifts, not_before_ns=called_ns - LOG_RESOLUTION_NS)
    switchover = find_switchover(events, clocks)
    stop, resume = switchover.stop_ns, switchover.resume_ns
    arrivals, basis = _arrivals(recording)
    silence = beats.silence_around(arrivals, stop, resume)
    guest = GuestClock()
    if basis == "beats":
        silence = beats.check_clock(silence, beats.clock_steps(arrivals), called_ns)
        guest = guest_clock(arrivals, silence)
    elif latency.set_back(recording.echoes):
        silence = Silence(set_back=True)
    if silence.set_back and clocks.apart_ns() == 0:
        # QEMU's stamps and those of the arrivals are from the same clock.
        withheld = (*switchover.notes, EVENT_SET_BACK)
        switchover = replace(switchover, event_ms=None, error_ns=None, notes=withheld)
    moments = Moments(
        called_ns=called_ns,
        returned_ns=returned_ns,
        active_ns=status(events, "source", "active"),
        completed_ns=status(events, "source", "completed"),
        stop_ns=stop,
        resume_ns=resume,
        postcopy_ns=coalesce(
            status(events, "source", "postcopy-active"),
            lifecycle(events, "SUSPENDED.POSTCOPY", "source"),
        ),
    )
    reported = _number(recording.completed_job, "downtime")
    network_basis = basis if len(arrivals) else None
    return Timeline(
        **vars(moments),
        **_amounts(recording, moments),
        **beats.counts(recording.beats),
        phases=phases(events, recording),
        iterations=iterations(events, returned_ns, stop=stop, sent=moments.completed_ns or resume),
        parts=parts(events, clocks, arrivals=arrivals, basis=basis),
        latency=latency.latency(recording.echoes),
        downtimes=downtimes(
            requested_ms=recording.downtime_requested_ms,
            reported_ms=reported,
            switchover=switchover,
            clocks=clocks,
            silence=silence,
            arrivals=arrivals,
            basis=network_basis,
            called_ns=called_ns,
            guest=guest,
            postcopy=moments.postcopy_ns is not None,
        ),
        steering=_steering(events),
        call_ms=round((returned_ns - called_ns) / MS, 3),
        downtime_requested_ms=recording.downtime_requested_ms,
        downtime_reported_ms=reported,
        downtime_event_ms=switchover.event_ms,
        downtime_network_ms=silence.duration_ms,
        postcopy_ms=span_ms(moments.postcopy_ns, moments.completed_ns),
        silent_from_ns=silence.start_ns,
        silent_until_ns=silence.end_ns,
        network_basis=network_basis,
        network_jitter_ms=beats.jitter_ms(arrivals, called_ns),
        guest_behind_ms=guest.behind_ms,
        # Not for echoes: any request to a paused guest may be lost.
        beats_lost_in_silence=silence.lost if basis == "beats" else None,
        notes=(
            *clocks.notes,
            *switchover.notes,
            *silence.notes,
            *beats.silent_at_end(arrivals, stop, returned_ns),
            *([] if _counted_to_end(recording) else [PARTLY_COUNTED]),
            *([SET_BACK] if recording.returned_ns < called_ns else []),
            *latency.notes(recording.echoes),
        ),
    )


def _arrivals(recording: Recording) -> tuple[pd.DataFrame, str]:
    """Return the beats or, if there are none, the answered echo requests; and their kind."""
    if len(recording.beats):
        return recording.beats, "beats"
    answered = recording.echoes.dropna(subset=["arrival_ns"])
    return answered.astype({"arrival_ns": "int64"}), "echoes"


def _amounts(recording: Recording, moments: Moments) -> dict[str, Any]:
    """Return the amounts sent, as libvirt and the wire counted."""
    job, completed_job = recording.job, recording.completed_job
    # Memory only: at the destination a completed job's figures do not include copied disks.
    transferred = _number(completed_job, "memory_processed", "data_processed")
    sent_until = moments.completed_ns
    if transferred is None:
        column = "memory_processed_bytes"
        column = column if job[column].notna().any() else "data_processed_bytes"
        if (transferred := _maximum(job, column)) is not None:
            reached = job[column].eq(transferred).fillna(value=False)
            sent_until = int(job.loc[reached, "time_ns"].iloc[0])
    total, count = (
        _number(completed_job, "time_elapsed"),
        _number(completed_job, "memory_iteration"),
    )
    return {
        "total_ms": coalesce(total, _maximum(job, "time_elapsed_ms")),
        "transferred_bytes": transferred,
        "wire_bytes": growth(recording.wire_bytes, recording.end_ns, "sent_bytes"),
        "throughput_bytes_per_s": _rate(transferred, moments.active_ns, sent_until),
        "iteration_count": coalesce(count, _maximum(job, "iteration")),
    }


def _counted_to_end(recording: Recording) -> bool:
    """Return whether the bytes on the wire were counted until the call returned, or not at all."""
    times = recording.wire_bytes["time_ns"]
    return not len(times) or int(times.max()) >= recording.end_ns


def _steering(events: list[Event]) -> pd.DataFrame:
    """Return the actions on the migration: migrationlab's own events, with their authors."""
    columns = {"time_ns": "int64", "name": "str", "by": "str", "value": "Int64", "refused": "str"}
    rows = []
    for event in events:
        if event.origin == "migrationlab" and event.name in STEERING:
            detail = dict(event.detail)
            by, refused = detail.pop("by", ""), detail.pop("refused", "")
            # A named policy's name and reason: what is left is the action's value.
            for key in ("policy", "why"):
                detail.pop(key, None)
            rows.append((event.time_ns, event.name, by, next(iter(detail.values()), None), refused))
    return table(columns, rows)


def _number(facts: Mapping[str, int | str], *keys: str) -> int | None:
    return next((int(facts[key]) for key in keys if key in facts), None)


def _maximum(frame: pd.DataFrame, column: str) -> int | None:
    """Return the maximum of a counter, because an abort can reset it to 0."""
    known = frame[column].dropna()
    return int(known.max()) if len(known) else None


def _rate(amount: int | None, start_ns: int | None, end_ns: int | None) -> int | None:
    if amount is None or start_ns is None or end_ns is None or end_ns <= start_ns:
        return None
    return round(amount * 1e9 / (end_ns - start_ns))
