"""List the downtimes of a migration, each with its method and its error bounds.

They answer different questions and are never mixed:

========= =================================================== ====================================
kind      what it is                                          error
========= =================================================== ====================================
requested the limit in force: how long QEMU may pause         none: a limit is no measurement
          the guest
reported  libvirt's ``downtime``                              ±1 ms for two stamps in whole
                                                              milliseconds, plus the difference of
                                                              the two hosts' clocks
event     QEMU's STOP to QEMU's RESUME                        ±1 µs for the stamps, plus the
                                                              uncertainty of the offset between
                                                              the two hosts' clocks
network   the longest silence around STOP                     below
service   the longest time between two answers of the     as for network
          guest's service to its clients (see ``service``);
          only if it was recorded
guest     what passed on the guest's own clock between the    the time between two arrivals: the
          last arrival before the silence and the first       guest noticed no more than this
          after it
========= =================================================== ====================================

**Reported.** At the destination libvirt counts from the source's stop to the moment when the guest
runs, each by its own host's clock, in milliseconds (``qemuDomainJobDataUpdateDowntime`` in
libvirt's ``src/qemu/qemu_domainjob.c``). After post-copy it is QEMU's own figure, also of two
stamps in milliseconds (``migration/migration.c``).

**Network** is how long a client received nothing from the guest. This is longer than the pause: the
guest's clock and network come back after it runs again. A guest that does not stop is silent too,
for its usual gap between two arrivals and now and then longer: the *jitter*, the 99th percentile
of these gaps in the second before the call. From this follow the bounds:

- Lower bound: up to one jitter of the silence may be the network's own. The migration caused at
  least the rest.
- Upper bound: the last arrival before the silence may have been late by the jitter, and the first
  after it on time. The migration caused at most the silence plus the jitter minus the usual gap.

The kernel takes the stamps, with an error of some microseconds.

**Guest.** Its clock is paused with it, so it notices almost nothing. Afterwards its clock is
*behind* by the missed time, unless something sets it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from migrationlab.analysis import beats
from migrationlab.analysis.beats import Silence
from migrationlab.analysis.events import Clocks
from migrationlab.analysis.frames import MS, integers, span_ms
from migrationlab.analysis.service import ServiceView
from migrationlab.analysis.switchover import Switchover

COLUMNS = ("kind", "downtime_ms", "low_ms", "high_ms", "resolution_ms", "method", "reason")
KINDS = ("requested", "reported", "event", "network", "guest")
REPORTED_ERROR_MS = 1.0
STAMP_MS = 0.001
#: The reasons why an error is unknown.
CLOCKS_UNKNOWN = "the difference of the two hosts' clocks is not known, so the error is not known"
JITTER_UNKNOWN = "too few arrivals were recorded before the call to know the error"
SERVICE_UNKNOWN = "too few requests were answered before the call to know the error"
#: The words of a method for the arrivals.
ARRIVALS = {"beats": "the guest's beats", "echoes": "answers to echo requests"}


@dataclass(frozen=True, slots=True, kw_only=True)
class GuestClock:
    """The advance of the guest's own clock during the silence; None if no beats show it."""

    gap_ms: float | None = None  # its advance in the silence
    behind_ms: float | None = None  # the time outside minus this advance: its lag, at most
    usual_ms: float | None = None  # its usual advance from beat to beat


def guest_clock(recorded: pd.DataFrame, silence: Silence) -> GuestClock:
    """Read the advance of the guest's own clock in a silence from the beats around it."""
    clock = recorded.drop_duplicates("arrival_ns").set_index("arrival_ns")["guest_ns"]
    start_ns, end_ns = silence.start_ns, silence.end_ns
    if start_ns is None or end_ns is None or not {start_ns, end_ns} <= set(clock.index):
        return GuestClock()
    gap_ns = int(clock.loc[end_ns]) - int(clock.loc[start_ns])
    if gap_ns < 0:
        return GuestClock()  # the clock of another guest, or one that restarted
    ordered = np.sort(integers(recorded["guest_ns"]))
    return GuestClock(
        gap_ms=span_ms(0, gap_ns),
        behind_ms=span_ms(start_ns + gap_ns, end_ns),
        usual_ms=round(float(np.median(np.diff(ordered))) / MS, 3),
    )


def downtimes(
    *,
    requested_ms: int | None,
    reported_ms: int | None,
    switchover: Switchover,
    clocks: Clocks,
    silence: Silence,
    arrivals: pd.DataFrame,
    basis: str | None,
    called_ns: int,
    guest: GuestClock,
    postcopy: bool,
) -> pd.DataFrame:
    """Return the downtimes: kind, downtime_ms, low_ms, high_ms, resolution_ms, method, reason.

    A row per kind of :data:`KINDS`. Where a figure or its error is unknown, it is NaN and
    ``reason`` says why. The silence was found in arrivals whose ``basis`` is "beats" or "echoes".
    The second before ``called_ns`` shows their usual gap.
    """
    usual_ms = beats.usual_gap_ms(arrivals, called_ns)
    jitter_ms = beats.jitter_ms(arrivals, called_ns)
    error_ms = None if switchover.error_ns is None else switchover.error_ns / MS + STAMP_MS
    # After post-copy the figure is QEMU's own, by one clock.
    apart_ns = 0 if postcopy else clocks.apart_ns()
    reported_error = None if apart_ns is None else REPORTED_ERROR_MS + apart_ns / MS
    late_ms = None if jitter_ms is None or usual_ms is None else jitter_ms - usual_ms
    unheard = "nothing was recorded" if basis is None else "no silence with both ends was recorded"
    upto = ", until the guest's devices were sent" if postcopy else " of the completed job"
    silent = f"silence of {ARRIVALS.get(basis or '', 'the guest')}"
    beat = "the guest's own clock between its beats"
    # kind, figure, error below and above, resolution, method, reason if there is no figure
    rows = [
        ("requested", requested_ms, 0, 0, None, "the limit in force", "no limit is known"),
        ("reported", reported_ms, reported_error, reported_error, 1.0,
         "libvirt's statistics" + upto, "libvirt reported none"),
        ("event", switchover.event_ms, error_ms, error_ms, STAMP_MS,
         "QEMU's STOP to QEMU's RESUME", "QEMU's events do not show it"),
        ("network", silence.duration_ms, jitter_ms, late_ms, usual_ms, silent, unheard),
        ("guest", guest.gap_ms, guest.gap_ms, 0, guest.usual_ms, beat, "no beats show its clock"),
    ]  # fmt: skip
    columns = ["kind", "downtime_ms", "below", "above", "resolution_ms", "method", "reason"]
    frame = pd.DataFrame(rows, columns=columns)
    numbers = ["downtime_ms", "below", "above", "resolution_ms"]
    frame = frame.astype(dict.fromkeys(numbers, "float64"))
    frame["low_ms"] = (frame["downtime_ms"] - frame["below"]).clip(lower=0)
    frame["high_ms"] = frame["downtime_ms"] + frame["above"]
    measured = frame["downtime_ms"].notna()
    frame.loc[~measured, "resolution_ms"] = np.nan
    unsure = frame[["below", "above"]].isna().any(axis=1)
    frame.loc[measured, "reason"] = ""
    frame.loc[measured & unsure, "reason"] = CLOCKS_UNKNOWN
    frame.loc[measured & unsure & (frame["kind"] == "network"), "reason"] = JITTER_UNKNOWN
    if switchover.stop_ns is None:
        # The limit is valid anyway. A figure from libvirt would measure something else.
        frame.loc[~measured & (frame["kind"] != "requested"), "reason"] = "no stop was recorded"
    return frame[list(COLUMNS)]


def with_service(found: pd.DataFrame, view: ServiceView) -> pd.DataFrame:
    """Return the downtimes with one more row, the service's, if requests to it were recorded."""
    if not len(view.latency):
        return found
    gap, known = view.downtime_service_ms, view.low_ms is not None
    row = {
        "kind": "service",
        "downtime_ms": gap,
        "low_ms": view.low_ms,
        "high_ms": view.high_ms,
        "resolution_ms": None if gap is None else view.usual_gap_ms,
        "method": "the longest time between two answers of the service",
        "reason": "" if known else SERVICE_UNKNOWN if gap else "no gap with both ends was recorded",
    }
    added = pd.DataFrame([row], columns=list(COLUMNS)).astype(found.dtypes.to_dict())
    return pd.concat([found, added], ignore_index=True)
