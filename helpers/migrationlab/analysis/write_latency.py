"""Compute how long the guest's own writes to memory took, before, during and after its migration.

A lab's guest times its writes of 4,096 bytes, and counts them by duration
(``lab/payload/latency.h``).
**Latency** here is by the guest's clock, which stops while the guest is paused: the downtime
is no part of it. What is: the time for which a write waits because QEMU tracks or sends pages, for
which auto-converge throttles the processor, or for which a page is still at the source in
post-copy; and the time for which another process has the processor.

**Errors.** A duration is known to 6 %, or to 8 ns. A write belongs to the part of the time in which
its report arrived, which is up to 20 ms later; the first report after a pause also has the last
writes before it. A percentile that less than one write would decide is unknown.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from migrationlab.analysis.frames import Integers, integers, table
from migrationlab.analysis.switchover import Moments
from migrationlab.analysis.workload import spans

_NUMBERS = ("p50_us", "p99_us", "max_us")
_PARTS = {"part": "str", "start_ns": "int64", "end_ns": "int64", "writes": "int64"}
_PARTS |= dict.fromkeys(_NUMBERS, "float64")
_CURVE = {"time_ns": "int64", "writes": "int64"} | dict.fromkeys(_NUMBERS, "float64")


@dataclass(frozen=True, kw_only=True, eq=False)
class WriteLatency:
    """How long a guest's writes to memory took, by its own clock.

    Attributes:
        parts: part, start_ns, end_ns, writes (timed ones), p50_us, p99_us, max_us; a row per part
            of the time, as of a run's ``workload()``, but that ``after`` lasts until the last
            report. A part without a timed write has none.
        curve: time_ns, writes, p50_us, p99_us, max_us; a row per report, at its arrival.
        before_p99_us: The 99th percentile before the call.
        sending_p99_us: The 99th percentile from the first iteration until the guest stopped.
        sending_max_us: The longest write of that time.
        after_p99_us: The 99th percentile after RESUME, in post-copy and later.
        after_max_us: The longest write of that time.
    """

    parts: pd.DataFrame
    curve: pd.DataFrame
    before_p99_us: float | None = None
    sending_p99_us: float | None = None
    sending_max_us: float | None = None
    after_p99_us: float | None = None
    after_max_us: float | None = None

    def __repr__(self) -> str:
        said = (self.before_p99_us, self.sending_p99_us, self.after_p99_us)
        before, sending, after = ("?" if value is None else f"{value:g} µs" for value in said)
        return f"WriteLatency(p99 {before} before, {sending} while sending, {after} after)"


def write_latency(
    memory_writes: pd.DataFrame, iterations: pd.DataFrame, moments: Moments
) -> WriteLatency:
    """Compute the latency of writes from frames of a run and of its timeline."""
    if not len(memory_writes):
        return WriteLatency(parts=table(_PARTS), curve=table(_CURVE))
    arrivals = integers(memory_writes["arrival_ns"])
    running = iterations[iterations["guest_running"]]
    rows = []
    for part, start, end in spans(int(arrivals.min()), running, moments):
        until = int(arrivals.max()) + 1 if part == "after" else end
        inside = memory_writes[(arrivals >= start) & (arrivals < until)]
        if len(inside):
            rows.append((part, start, until, int(inside["writes"].sum()), *_numbers(inside)))
    curve = [
        (time_ns, int(report["writes"].sum()), *_numbers(report))
        for time_ns, report in memory_writes.groupby("arrival_ns")
    ]
    first, last = (running["start_ns"].min(), running["end_ns"].max()) if len(running) else (0, 0)
    sent = _between(memory_writes, arrivals, int(first), int(last))
    after = _between(memory_writes, arrivals, moments.resume_ns, int(arrivals.max()) + 1)
    before = _between(memory_writes, arrivals, 0, moments.called_ns)
    return WriteLatency(
        parts=table(_PARTS, rows),
        curve=table(_CURVE, curve),
        before_p99_us=before[1],
        sending_p99_us=sent[1],
        sending_max_us=sent[2],
        after_p99_us=after[1],
        after_max_us=after[2],
    )


def _between(
    memory_writes: pd.DataFrame, arrivals: Integers, start_ns: int | None, end_ns: int
) -> tuple[float | None, ...]:
    if start_ns is None:
        return None, None, None
    inside = memory_writes[(arrivals >= start_ns) & (arrivals < end_ns)]
    return tuple(None if np.isnan(value) else value for value in _numbers(inside))


def _numbers(counted: pd.DataFrame) -> tuple[float, float, float]:
    """Return the median, the 99th percentile and the longest duration in µs; NaN if unknown."""
    if not len(counted):
        return np.nan, np.nan, np.nan
    ordered = counted.sort_values("latency_ns")
    took, so_far = integers(ordered["latency_ns"]), integers(ordered["writes"]).cumsum()
    count = int(so_far[-1])

    def percentile(share: float) -> float:
        if round(count * (1 - share), 9) < 1:
            return np.nan
        at = int(np.searchsorted(so_far, np.ceil(round(share * count, 6))))
        return round(float(took[at]) / 1e3, 3)

    return percentile(0.5), percentile(0.99), round(float(took[-1]) / 1e3, 3)
