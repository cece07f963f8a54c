"""Find the moments of a migration, such as the guest's stop and resume, and the event downtime.

QEMU stamps STOP and RESUME, on two hosts. Where one of the two clocks is unknown, the event
downtime is withheld and a note says so. libvirt's own events have no stamp: they place STOP in
time, but they do not measure it.
"""

from __future__ import annotations

from dataclasses import dataclass

from migrationlab.analysis.events import Clocks, Event, last_stop, lifecycle
from migrationlab.analysis.frames import MS, span_ms

#: A smaller error of the clocks is not worth a note.
NOTED_ERROR_NS = MS


@dataclass(frozen=True, kw_only=True, eq=False)
class Moments:
    """The moments of a migration, CLOCK_REALTIME nanoseconds of the machine that recorded."""

    called_ns: int  # when libvirt's call was made
    returned_ns: int  # when it returned, with success or without
    active_ns: int | None = None  # when the source QEMU began to send
    completed_ns: int | None = None  # when the source QEMU had sent everything
    stop_ns: int | None = None  # when the guest stopped at the source
    #: When it ran again: at the destination, or after a rollback at the source.
    resume_ns: int | None = None
    postcopy_ns: int | None = None  # when the migration switched to post-copy


@dataclass(frozen=True, slots=True, kw_only=True)
class Switchover:
    """From STOP at the source to RESUME, at the destination or, after a rollback, at the source."""

    stop_ns: int | None = None  # None if no stop was recorded
    resume_ns: int | None = None  # None if the guest did not run again
    event_ms: float | None = None  # the event downtime; None if QEMU's stamps do not give it
    error_ns: int | None = None  # the largest error of the offset between the two clocks
    notes: tuple[str, ...] = ()  # facts that a reader of the numbers must know


def find_switchover(events: list[Event], clocks: Clocks) -> Switchover:
    """Find the migration's own stop, and the resume after it."""
    stop = last_stop(events)
    if stop is None:
        return _by_libvirt(events)
    resumed = [e for e in events if (e.origin, e.name) == ("qemu", "RESUME") and e.time_ns >= stop]
    if not resumed:
        arrived = lifecycle(events, "SUSPENDED.PAUSED", "destination")
        note = "The guest was left paused at the destination, so its downtime has no end."
        return Switchover(stop_ns=stop, notes=() if arrived is None else (note,))
    resume, error_ns = resumed[0].time_ns, clocks.error_ns("source", resumed[0].side)
    if error_ns is None:
        note = "The event downtime is withheld: it is between two clocks, and one is not known."
        return Switchover(stop_ns=stop, resume_ns=resume, notes=(note,))
    note = f"The error of the event downtime is {error_ns / MS:.1f} ms: that of the hosts' clocks."
    return Switchover(
        stop_ns=stop,
        resume_ns=resume,
        event_ms=span_ms(stop, resume),
        error_ns=error_ns,
        notes=(note,) if error_ns >= NOTED_ERROR_NS else (),
    )


def _by_libvirt(events: list[Event]) -> Switchover:
    suspended = lifecycle(events, "SUSPENDED.MIGRATED", "source")
    if suspended is None:
        return Switchover()
    names = {"lifecycle.RESUMED.MIGRATED", "lifecycle.RESUMED.POSTCOPY"}
    after = (e.time_ns for e in events if e.name in names and e.time_ns >= suspended)
    return Switchover(stop_ns=suspended, resume_ns=next(after, None))
