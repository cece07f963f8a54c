"""Model pre-copy: whether a migration ends, after how many iterations, and when.

Theory of operation. The first iteration sends all memory in use. The guest writes meanwhile, and
the next iteration sends the written pages: at most the working set. QEMU pauses the guest once the
rest can be sent within the downtime limit: once ``left <= limit * bandwidth``, the *threshold*.
Clark et al., *Live Migration of Virtual Machines* (NSDI 2005), section 3, describe the iterations
(there "rounds"), and why a "writable working set" that is written faster than it is sent cannot be
migrated by pre-copy.

QEMU does not wait for the end of an iteration (``migration/migration.c``,
``migration_iteration_run`` and ``migration_update_counters``; the same in 7.2 and 10.0). When the
memory known to be left falls below the threshold, QEMU asks for the pages written meanwhile, and
they begin a new iteration. So each iteration sends its memory *down to the threshold*. QEMU checks
this at most every 50 ms (``MAX_WAIT`` in ``migration/ram.c``). So on average it sends half of the
memory that the wire carries in 50 ms beyond the threshold.

This gives the border. An iteration that sends ``x`` leaves ``x * dirty / bandwidth`` more to send
than fits. This amount shrinks if the guest writes more slowly than the wire carries, for any memory
size. If the guest writes faster, the amount grows to the working set, and the migration ends only
if the working set fits in the downtime limit.

The model leaves out: pages of zeros, which cost almost nothing (``memory_mib`` is the memory *in
use*); that a page written twice in an iteration is sent once, except by the bound of the working
set (a workload that writes in order comes back to a page only after all others); what the guest's
kernel writes; devices; compression; and what libvirt does before and after. Times go from the first
byte to the moment when the guest runs at the destination.

It is the first explanation, and a formula. :func:`migrationlab.forecast` simulates instead.

How accurate it is. Its constants were chosen with earlier runs of the same design, and
``tests/unit/forecast/test_precopy.py`` compares it with ``data/experiments/convergence`` (36 runs
in 12 cells, one machine, TCG, QEMU 10.0): which cells end within their deadline is right in all 12;
of the 24 runs that ended, 20 have their times within 5 %, one is 19 % off (40 MiB/s over
500 Mbit/s), and three are up to 25 % off (80 MiB/s over 1000 Mbit/s, near the border); the
downtimes where the guest writes are within 75 ms (15 runs). Elsewhere it is worse: with a limit
of 1500 ms (``data/experiments/fixes``) its time is about half of the measured one, and where the
guest does not write its downtimes are up to 190 ms too long, because the threshold counts pages of
zeros and the wire hardly carries them. Against libvirt's total, which begins earlier, its times are
a quarter too short.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable
from dataclasses import dataclass

import pandas as pd

from migrationlab.runs.run import Outcome, Run

MIB = 1024 * 1024
#: Of the 1514 bytes of an Ethernet frame 1448 carry the stream: 14 are Ethernet's, 20 IP's, and 32
#: TCP's with its time stamps. ``measured_mbit_s`` of the recorded runs agrees.
PAYLOAD_SHARE = 1448 / 1514
#: How often QEMU checks what is left.
CHECK_S = 0.05
#: A migration that does not end is shown with at least so many iterations.
ENDLESS_ITERATIONS = 8
#: A migration with more iterations counts as one that does not end.
MAX_ITERATIONS = 2000


@dataclass(frozen=True, slots=True)
class Iteration:
    """An iteration over memory in the model.

    Its number counts from 1. Its times are in seconds from the first byte. Its sizes are the
    memory left to send. The guest runs meanwhile, except in the last iteration.
    """

    number: int
    start_s: float
    end_s: float
    start_mib: float
    end_mib: float
    guest_running: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Precopy:
    """The quantities that decide whether a plain pre-copy migration ends.

    Attributes:
        dirty_mib_s: The rate at which the guest writes its memory.
        wire_mbit_s: The rate of the wire.
        memory_mib: The guest's memory in use, which has to be sent.
        working_set_mib: The part of this memory that the guest writes again and again.
        max_downtime_ms: The downtime limit; 300 is QEMU's default.
    """

    dirty_mib_s: float
    wire_mbit_s: float
    memory_mib: float = 118.0
    working_set_mib: float = 64.0
    max_downtime_ms: float = 300.0

    @property
    def bandwidth_mib_s(self) -> float:
        """Return the memory that the wire carries in a second."""
        return self.wire_mbit_s * 1e6 / 8 / MIB * PAYLOAD_SHARE

    @property
    def threshold_mib(self) -> float:
        """Return the memory that may be left when QEMU pauses the guest."""
        return self.bandwidth_mib_s * self.max_downtime_ms / 1000

    @property
    def border_mib_s(self) -> float:
        """Return the dirty rate from which it never ends; infinite if the working set fits."""
        fits = min(self.working_set_mib, self.memory_mib) <= self.threshold_mib
        return math.inf if fits else self.bandwidth_mib_s

    def most_mib_s(self, deadline_s: float) -> float:
        """Return the highest dirty rate that ends before a deadline, to 1 %; 0 for none."""
        low, high = 0.0, min(self.border_mib_s, 100 * self.bandwidth_mib_s)
        if not dataclasses.replace(self, dirty_mib_s=0).forecast().within(deadline_s):
            return 0.0
        while high - low > high / 100:
            middle = (low + high) / 2
            ends = dataclasses.replace(self, dirty_mib_s=middle).forecast().within(deadline_s)
            low, high = (middle, high) if ends else (low, middle)
        return low

    def forecast(self) -> PrecopyForecast:
        """Return the forecast of the migration, iteration by iteration."""
        rate, threshold = self.bandwidth_mib_s, self.threshold_mib
        rest = threshold - min(rate * CHECK_S / 2, threshold)
        iterations: list[Iteration] = []
        left, now = float(self.memory_mib), 0.0

        def add(end_mib: float, *, guest_running: bool) -> float:
            end, number = now + (left - end_mib) / rate, len(iterations) + 1
            iterations.append(Iteration(number, now, end, left, end_mib, guest_running))
            return end

        while left > threshold and len(iterations) < MAX_ITERATIONS:
            end = add(rest, guest_running=True)
            following = min(self.working_set_mib, rest + self.dirty_mib_s * (end - now))
            if len(iterations) >= ENDLESS_ITERATIONS and following >= left:
                # Each iteration leaves as much as the one before, or more: it never ends.
                return PrecopyForecast(self, tuple(iterations), ends=False)
            left, now = following, end
        ends = left <= threshold
        if ends:
            add(0.0, guest_running=False)
        return PrecopyForecast(self, tuple(iterations), ends=ends)


@dataclass(frozen=True, slots=True, repr=False)
class PrecopyForecast:
    """The forecast of a migration: its iterations, only the first ones if it does not end."""

    precopy: Precopy
    iterations: tuple[Iteration, ...]
    ends: bool

    def __repr__(self) -> str:
        return f"PrecopyForecast({self})"

    def __str__(self) -> str:
        about = self.precopy
        rates = (
            f"the guest writes {about.dirty_mib_s:.0f} MiB/s, the wire carries "
            f"{about.bandwidth_mib_s:.0f} MiB/s"
        )
        if self.seconds is not None and self.downtime_ms is not None:
            return (
                f"It ends, after {self.count} and {self.seconds:.1f} s, and the guest is paused "
                f"for about {self.downtime_ms:.0f} ms: {rates}"
            )
        needed_ms = about.working_set_mib / about.bandwidth_mib_s * 1000
        return (
            f"It does not end: {rates}, and the working set takes {needed_ms:.0f} ms to send, "
            f"more than the limit of {about.max_downtime_ms:.0f} ms"
        )

    @property
    def count(self) -> str:
        """Return the number of iterations in words."""
        return f"{len(self.iterations)} iteration{'s' if len(self.iterations) > 1 else ''}"

    @property
    def seconds(self) -> float | None:
        """Return the time from the first byte until the guest runs; None if that never happens."""
        return self.iterations[-1].end_s if self.ends else None

    @property
    def downtime_ms(self) -> float | None:
        """Return how long the guest is paused; None if the migration never ends."""
        last = self.iterations[-1]
        return (last.end_s - last.start_s) * 1000 if self.ends else None

    def within(self, deadline_s: float | None) -> bool:
        """Return whether the migration ends before a deadline; None means no deadline."""
        seconds = self.seconds
        return seconds is not None and (deadline_s is None or seconds <= deadline_s)

    def table(self) -> pd.DataFrame:
        """Return a frame with a row for each iteration: the attributes of :class:`Iteration`."""
        return pd.DataFrame([dataclasses.asdict(one) for one in self.iterations])


def memory_in_use_mib(runs: Iterable[Run]) -> float | None:
    """Return a guest's memory in use, from migrations of such guests.

    Each page that is not all zeros is sent at least once. So it is the smallest amount that a
    completed run sent (libvirt's ``memory_normal_bytes``); None if no run shows it.
    """
    sent = (
        int(run.completed_job["memory_normal_bytes"]) / MIB
        for run in runs
        if run.outcome is Outcome.COMPLETED and "memory_normal_bytes" in run.completed_job
    )
    return min(sent, default=None)


def precopy_of(run: Run, memory_mib: float) -> Precopy | None:
    """Return the model's input from a run; None if its dirty rate or wire is not known."""
    dirty, working_set = run.guest.get("dirty_mib_s"), run.guest.get("working_set_mib")
    wire = None if run.wire is None else run.wire["rate_mbit_s"]
    limit = run.downtime_requested_ms
    # A workload can also write as fast as possible ("max"), and a wire can have no limit.
    if not isinstance(dirty, int | float) or wire is None or working_set is None or limit is None:
        return None
    return Precopy(
        dirty_mib_s=dirty, wire_mbit_s=wire, memory_mib=memory_mib,
        working_set_mib=working_set, max_downtime_ms=limit,
    )  # fmt: skip


def nearest(asked: Precopy, runs: Iterable[Run]) -> tuple[Run, ...]:
    """Return the runs with the nearest dirty rate and wire; all of them if several are equal.

    The distance between wires is by ratio: twice the rate counts as much as 40 MiB/s more written.
    """
    found: dict[float, list[Run]] = {}
    for run in runs:
        if (known := precopy_of(run, asked.memory_mib)) is not None:
            wires = math.log2(known.wire_mbit_s / asked.wire_mbit_s)
            away = abs(known.dirty_mib_s - asked.dirty_mib_s) / 40 + abs(wires)
            found.setdefault(round(away, 9), []).append(run)
    return tuple(found[min(found)]) if found else ()


def sending_s(run: Run) -> float | None:
    """Return a completed run's duration, with the model's ends; None if unknown."""
    line = run.timeline()
    if line.resume_ns is None or not len(line.iterations):
        return None
    return (line.resume_ns - int(line.iterations["start_ns"].iloc[0])) / 1e9


def compare(runs: Iterable[Run], memory_mib: float) -> pd.DataFrame:
    """Compare the model with runs, except runs without the model's input.

    ``memory_mib`` is the guest's memory in use: see :func:`memory_in_use_mib`.

    Returns:
        One row a run: ``run_id``, ``dirty_mib_s``, ``wire_mbit_s``, ``outcome``;
        ``forecast_ends`` (within the run's deadline); and, missing where unknown,
        ``forecast_s`` and ``sending_s``, ``forecast_iterations`` and ``iterations``,
        ``forecast_downtime_ms`` and ``downtime_event_ms``.
    """
    rows = []
    asked_of = ((run, precopy_of(run, memory_mib)) for run in runs)
    for run, asked in asked_of:
        if asked is None:
            continue
        forecast, summary = asked.forecast(), run.summary()
        rows.append(
            {
                "run_id": run.run_id,
                "dirty_mib_s": asked.dirty_mib_s,
                "wire_mbit_s": asked.wire_mbit_s,
                "outcome": str(run.outcome),
                "forecast_ends": forecast.within(run.plan.deadline_s),
                "forecast_s": forecast.seconds,
                "sending_s": sending_s(run) if run.outcome is Outcome.COMPLETED else None,
                "forecast_iterations": len(forecast.iterations) if forecast.ends else None,
                "iterations": summary["iterations"],
                "forecast_downtime_ms": forecast.downtime_ms,
                "downtime_event_ms": summary["downtime_event_ms"],
            }
        )
    numbers = (
        "forecast_s", "sending_s", "forecast_iterations", "iterations", "forecast_downtime_ms",
        "downtime_event_ms",
    )  # fmt: skip
    columns = ["run_id", "dirty_mib_s", "wire_mbit_s", "outcome", "forecast_ends", *numbers]
    return pd.DataFrame(rows, columns=columns).astype(dict.fromkeys(numbers, "Float64"))
