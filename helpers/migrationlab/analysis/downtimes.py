"""The downtimes of a migration, each with how it was measured and how far off it may be.

They answer different questions, and are never mixed:

========= =================================================== ====================================
kind      what it is                                          how far off it may be
========= =================================================== ====================================
requested the limit in force: how long QEMU was allowed       a limit is no measurement
reported  libvirt's ``downtime``                              1 ms either way, for two stamps in
                                                              whole milliseconds, and by how much
                                                              the two hosts' clocks differ
event     QEMU's STOP to QEMU's RESUME                        the stamps' microsecond either way,
                                                              and what is not known of the offset
                                                              between the two hosts' clocks
network   the longest silence around the stop                 below
guest     what the guest's own clock says passed between      the time between two signs of life:
          the last sign of life before the silence and the    it noticed no more than this
          first after it
========= =================================================== ====================================

**Reported.** At the destination libvirt counts from the source's stop to the moment that the guest
runs, each by its own host's clock, in milliseconds (``qemuDomainJobDataUpdateDowntime`` in
libvirt's ``src/qemu/qemu_domainjob.c``); after post-copy it is QEMU's own figure, of two stamps in
milliseconds likewise (``migration/migration.c``).

**Network** is how long a client could not hear the guest, which is longer than it stood still: its
clock and its network come back after it runs again. Also a guest that does not stop is silent for
its usual time between two signs of life, now and then for longer: the *jitter*, the 99th percentile
of those times in the second before the call. Of a silence, as much as the jitter may be the
network's own; so the migration made at least the rest of it. And the last sign of life before it
may have been as late on its way as the jitter says, and the first one after it not; so it made at
most the silence and what the jitter has beyond the usual time. The stamps themselves are the
kernel's, some microseconds off.

**Guest.** Its clock stands still with it, so it notices next to nothing; what it missed, its clock
is *behind* afterwards, unless something sets it.

Pure functions; no libvirt, no files, no clock.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from migrationlab.analysis import beats as silence
from migrationlab.analysis.beats import MS, Silence

KINDS = ("requested", "reported", "event", "network", "guest")
REPORTED_ERROR_MS = 1.0
STAMP_MS = 0.001
#: Why nobody knows how far off a figure may be.
CLOCKS_UNKNOWN = "how far the two hosts' clocks differ is not known, nor how far off it may be"
UNSURE = {"network": "too little was heard before the call to tell how far off it may be"}
#: What the beats of a guest and the answers to echo requests are called in a method.
HEARD = {"beats": "the guest's beats", "echoes": "answers to echo requests"}


@dataclass(frozen=True, slots=True, kw_only=True)
class GuestClock:
    """What the guest's own clock says of the silence.

    Attributes:
        gap_ms: How far it went on in the silence; None where no beats tell.
        behind_ms: How much less that is than what passed outside.
        usual_ms: How far it usually goes on from beat to beat.
    """

    gap_ms: float | None = None
    behind_ms: float | None = None
    usual_ms: float | None = None


def noticed(beats: pd.DataFrame, quiet: Silence) -> GuestClock:
    """Read from the beats what the guest's own clock says of the silence around its stop.

    Args:
        beats: A run's frame of that name.
        quiet: The silence, as the same beats tell it.
    """
    if quiet.start_ns is None or quiet.end_ns is None or not len(beats):
        return GuestClock()
    clock = beats.drop_duplicates("arrival_ns").set_index("arrival_ns")["guest_ns"]
    if quiet.start_ns not in clock.index or quiet.end_ns not in clock.index:
        return GuestClock()
    gap_ns = int(clock.loc[quiet.end_ns]) - int(clock.loc[quiet.start_ns])
    if gap_ns < 0:
        return (
            GuestClock()
        )  # another guest's clock, or one that began anew: it says nothing of this
    ordered = np.sort(beats["guest_ns"].to_numpy(dtype=np.int64))
    return GuestClock(
        gap_ms=round(gap_ns / MS, 3),
        behind_ms=round((quiet.end_ns - quiet.start_ns - gap_ns) / MS, 3),
        usual_ms=round(float(np.median(np.diff(ordered))) / MS, 3),
    )


def downtimes(
    *,
    requested_ms: int | None,
    reported_ms: int | None,
    clocks_apart_ns: int | None,
    event_ms: float | None,
    event_error_ns: int | None,
    quiet: Silence,
    heard: pd.DataFrame,
    heard_by: str | None,
    called_ns: int,
    guest: GuestClock,
    stopped: bool,
    postcopy: bool,
) -> pd.DataFrame:
    """Give the downtimes: kind, downtime_ms, low_ms, high_ms, resolution_ms, method, reason.

    Args:
        requested_ms: The limit in force; None where it is not known, as what follows.
        reported_ms: libvirt's figure.
        clocks_apart_ns: By how much the two hosts' clocks may differ.
        event_ms: From QEMU's STOP to its RESUME.
        event_error_ns: How far the two hosts' clocks may be off, together.
        quiet: The silence around the stop.
        heard: What it was heard by: beats, or answers to echo requests.
        heard_by: Which of the two, None where there is neither.
        called_ns: When libvirt's call was made: what is usual is told by the second before.
        guest: What the guest's own clock says.
        stopped: Whether the guest was seen to stop at all.
        postcopy: Whether the migration went over to post-copy.

    Returns:
        A row a kind of :data:`KINDS`; NaN where there is no figure, or where nobody knows how far
        off it may be, and then ``reason`` says why.
    """
    usual_ms, jitter_ms = silence.usual_ms(heard, called_ns), silence.jitter_ms(heard, called_ns)
    error_ms = None if event_error_ns is None else event_error_ns / MS + STAMP_MS
    # QEMU's own figure is of one clock.
    apart_ns = 0 if postcopy else clocks_apart_ns
    reported_error = None if apart_ns is None else REPORTED_ERROR_MS + apart_ns / MS
    late_ms = None if jitter_ms is None or usual_ms is None else jitter_ms - usual_ms
    unheard = "nothing was listened to" if heard_by is None else "no silence was heard to its end"
    rows = [
        _row(
            "requested", requested_ms, (0, 0), None,
            method="the limit in force", reason="no limit is known",
        ),
        _row(
            "reported", reported_ms, (reported_error, reported_error), 1.0,
            method="libvirt's statistics, until the guest's devices were sent" if postcopy
            else "libvirt's statistics of the completed job", reason="libvirt reported none",
        ),
        _row(
            "event", event_ms, (error_ms, error_ms), STAMP_MS,
            method="QEMU's STOP to QEMU's RESUME", reason="QEMU's events do not tell it",
        ),
        _row(
            "network", quiet.duration_ms, (jitter_ms, late_ms), usual_ms,
            method=f"silence of {HEARD.get(heard_by or '', 'the guest')}", reason=unheard,
        ),
        _row(
            "guest", guest.gap_ms, (guest.gap_ms, 0), guest.usual_ms,
            method="the guest's own clock between its beats", reason="no beats tell of its clock",
        ),
    ]  # fmt: skip
    frame = pd.DataFrame(rows)
    if not stopped:
        # The limit stands all the same; a figure that libvirt gave would be of something else.
        unmeasured = frame["downtime_ms"].isna()
        frame.loc[unmeasured & (frame["kind"] != "requested"), "reason"] = "no stop was seen"
    return frame.astype(
        dict.fromkeys(("downtime_ms", "low_ms", "high_ms", "resolution_ms"), "float64")
    )


def _row(
    kind: str,
    value: float | None,
    error: tuple[float | None, float | None],
    resolution: float | None,
    *,
    method: str,
    reason: str,
) -> dict[str, object]:
    below, above = error
    if value is not None:
        reason = UNSURE.get(kind, CLOCKS_UNKNOWN) if below is None or above is None else ""
    return {
        "kind": kind,
        "downtime_ms": value,
        "low_ms": None if value is None or below is None else max(value - below, 0),
        "high_ms": None if value is None or above is None else value + above,
        "resolution_ms": None if value is None else resolution,
        "method": method,
        "reason": reason,
    }
