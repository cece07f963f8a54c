"""A model of pre-copy: does a migration end, after how many passes, and when.

The first pass sends all memory that is in use. Meanwhile the guest writes, and what it wrote goes
into the next pass: at most its working set. QEMU stops the guest once it believes that the rest
can be sent within the downtime limit: once ``left <= limit * bandwidth``, the *threshold*. Clark
et al., *Live Migration of Virtual Machines* (NSDI 2005), section 3, describe these rounds, and why
a "writable working set" that is written faster than it is sent cannot be migrated so.

QEMU (``migration/migration.c``, ``migration_iteration_run`` and ``migration_update_counters``; the
same in 7.2 and 10.0) doesn't wait for the end of a pass. When what it knows to be left falls below
the threshold, it asks what was written meanwhile, and that begins a new pass. So each pass sends
its memory *down to the threshold*. It looks at most every 50 ms (``MAX_WAIT`` in
``migration/ram.c``), so that half of what 50 ms carry is sent beyond it, on average.

Hence the border. A pass sends ``x`` and leaves ``x * dirty / bandwidth`` more to send than would
fit: that shrinks if the guest writes more slowly than the wire carries, whatever the memory's
size. If it writes faster, what is left grows to the working set, and the migration ends only where
that fits in the downtime limit.

Left out: pages of zeros, which cost next to nothing (``memory_mib`` is what is *in use*); that a
page written twice in a pass is sent once, other than by the bound of the working set (a workload
that writes in order comes to the same page only after all others); what the guest's kernel writes;
devices; compression. What libvirt does before and after is not in it: times are from the first
byte to the moment that the guest runs at the destination. ``tests/unit/forecast/test_precopy.py`` holds
it against ``data/experiments/convergence``, 36 runs in 12 cells: which cells end within their
deadline it foretells in all 12; the times of the runs that ended (24) to 5 %, but for 80 MiB/s over
1000 Mbit/s, where a small difference decides whether a pass more is needed: there one of three runs
took 40 % longer than the others, and the model is off by up to 25 %. Downtimes it foretells to
70 ms where the guest writes (15 runs). Where it does not (9 runs), the rest is in part pages of
zeros, which the threshold counts and the wire hardly feels: up to 190 ms too much.

Pure: numbers in, numbers and words out. Imports no libvirt, and draws nothing.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable
from dataclasses import dataclass

import pandas as pd

from migrationlab.runs.run import Outcome, Run

MIB = 1024 * 1024
#: Of 1514 bytes of an Ethernet frame 1448 are the stream's: 14 are Ethernet's, 20 IP's, and 32
#: TCP's with its time stamps. The recorded runs' ``measured_mbit_s`` say the same.
PAYLOAD_SHARE = 1448 / 1514
#: How often QEMU looks at what is left.
LOOK_S = 0.05
#: So many passes are told of, at least, where each leaves as much as the one before.
ENDLESS_PASSES = 8
#: What takes more passes is taken for one that does not end.
MOST_PASSES = 2000


@dataclass(frozen=True, slots=True, kw_only=True)
class Pass:
    """A pass over memory, as the model has it.

    Attributes:
        number: 1 for the first.
        start_s: When it begins, in seconds from the first byte.
        end_s: When it ends.
        start_mib: What is left to send when it begins.
        end_mib: What is left when it ends.
        guest_running: Whether the guest runs meanwhile; in the last pass it stands still.
    """

    number: int
    start_s: float
    end_s: float
    start_mib: float
    end_mib: float
    guest_running: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Precopy:
    """What decides whether a plain pre-copy migration ends.

    Attributes:
        dirty_mib_s: How fast the guest writes its memory.
        wire_mbit_s: The rate of the wire.
        memory_mib: The guest's memory that is in use, and so has to be sent.
        working_set_mib: How much of it the guest writes, over and over.
        max_downtime_ms: The downtime limit; 300 is QEMU's default.
    """

    dirty_mib_s: float
    wire_mbit_s: float
    memory_mib: float = 118.0
    working_set_mib: float = 64.0
    max_downtime_ms: float = 300.0

    @property
    def bandwidth_mib_s(self) -> float:
        """How much memory the wire carries in a second."""
        return self.wire_mbit_s * 1e6 / 8 / MIB * PAYLOAD_SHARE

    @property
    def threshold_mib(self) -> float:
        """How much may be left for the guest to be stopped."""
        return self.bandwidth_mib_s * self.max_downtime_ms / 1000

    @property
    def border_mib_s(self) -> float:
        """The dirty rate from which it never ends; infinite where all that is written fits."""
        fits = min(self.working_set_mib, self.memory_mib) <= self.threshold_mib
        return math.inf if fits else self.bandwidth_mib_s

    def most_mib_s(self, deadline_s: float) -> float:
        """Give the dirty rate up to which it ends before a deadline, to 1 %; 0 where none does."""
        low, high = 0.0, min(self.border_mib_s, 100 * self.bandwidth_mib_s)
        if not dataclasses.replace(self, dirty_mib_s=0).forecast().within(deadline_s):
            return 0.0
        while high - low > high / 100:
            middle = (low + high) / 2
            ends = dataclasses.replace(self, dirty_mib_s=middle).forecast().within(deadline_s)
            low, high = (middle, high) if ends else (low, middle)
        return low

    def forecast(self) -> Forecast:
        """Tell how a migration goes, pass by pass."""
        rate, threshold = self.bandwidth_mib_s, self.threshold_mib
        beyond = min(rate * LOOK_S / 2, threshold)
        passes: list[Pass] = []
        left, now = float(self.memory_mib), 0.0
        while left > threshold and len(passes) < MOST_PASSES:
            rest = threshold - beyond
            end = now + (left - rest) / rate
            passes.append(
                Pass(
                    number=len(passes) + 1, start_s=now, end_s=end,
                    start_mib=left, end_mib=rest, guest_running=True,
                )
            )  # fmt: skip
            following = min(self.working_set_mib, rest + self.dirty_mib_s * (end - now))
            if len(passes) >= ENDLESS_PASSES and following >= left:
                # Each pass leaves as much as the one before, or more: so it goes on.
                return Forecast(self, tuple(passes), ends=False)
            left, now = following, end
        if left > threshold:
            return Forecast(self, tuple(passes), ends=False)
        last = Pass(
            number=len(passes) + 1, start_s=now, end_s=now + left / rate,
            start_mib=left, end_mib=0.0, guest_running=False,
        )  # fmt: skip
        return Forecast(self, (*passes, last), ends=True)


@dataclass(frozen=True, slots=True, repr=False)
class Forecast:
    """How the model sees a migration go.

    Attributes:
        precopy: What it was asked.
        passes: The passes; of a migration that does not end, the first ones.
        ends: Whether it ends by itself.
    """

    precopy: Precopy
    passes: tuple[Pass, ...]
    ends: bool

    def __repr__(self) -> str:
        return f"Forecast({self})"

    def __str__(self) -> str:
        about = self.precopy
        against = (
            f"the guest writes {about.dirty_mib_s:.0f} MiB/s, the wire carries "
            f"{about.bandwidth_mib_s:.0f} MiB/s"
        )
        if self.seconds is not None and self.downtime_ms is not None:
            passes = f"{len(self.passes)} passes" if len(self.passes) > 1 else "1 pass"
            return (
                f"It ends, after {passes} and {self.seconds:.1f} s, and the guest stands still "
                f"for about {self.downtime_ms:.0f} ms: {against}"
            )
        needed_ms = about.working_set_mib / about.bandwidth_mib_s * 1000
        return (
            f"It does not end: {against}, and the working set takes {needed_ms:.0f} ms to send, "
            f"more than the limit of {about.max_downtime_ms:.0f} ms"
        )

    @property
    def seconds(self) -> float | None:
        """How long it takes, from the first byte to the guest's running; None if it never ends."""
        return self.passes[-1].end_s if self.ends else None

    @property
    def downtime_ms(self) -> float | None:
        """How long the guest stands still; None if it never ends."""
        last = self.passes[-1]
        return (last.end_s - last.start_s) * 1000 if self.ends else None

    def within(self, deadline_s: float | None) -> bool:
        """Tell whether it ends before a deadline; None for no deadline."""
        seconds = self.seconds
        return seconds is not None and (deadline_s is None or seconds <= deadline_s)

    def table(self) -> pd.DataFrame:
        """Give the passes as a frame, a row a pass: the attributes of :class:`Pass`."""
        names = ("number", "start_s", "end_s", "start_mib", "end_mib", "guest_running")
        return pd.DataFrame([{name: getattr(one, name) for name in names} for one in self.passes])


def memory_in_use_mib(runs: Iterable[Run]) -> float | None:
    """Tell how much of a guest's memory is in use, by what migrations of such guests sent.

    Each page that isn't of zeros is sent at least once, so it is the least that any completed run
    sent (libvirt's ``memory_normal_bytes``).

    Returns:
        None where no run tells.
    """
    sent = (
        int(run.completed_job["memory_normal_bytes"]) / MIB
        for run in runs
        if run.outcome is Outcome.COMPLETED and "memory_normal_bytes" in run.completed_job
    )
    return min(sent, default=None)


def precopy_of(run: Run, memory_mib: float) -> Precopy | None:
    """Give what the model needs to know of a run.

    Args:
        run: The run.
        memory_mib: The guest's memory that is in use.

    Returns:
        None where the run doesn't say how fast its guest wrote and over which wire it went.
    """
    dirty, working_set = run.guest.get("dirty_mib_s"), run.guest.get("working_set_mib")
    wire = None if run.wire is None else run.wire["rate_mbit_s"]
    limit = run.downtime_requested_ms
    # A workload can also be told to write as fast as it goes ("max"), and a wire to have no limit.
    if not isinstance(dirty, int | float) or wire is None or working_set is None or limit is None:
        return None
    return Precopy(
        dirty_mib_s=dirty, wire_mbit_s=wire, memory_mib=memory_mib,
        working_set_mib=working_set, max_downtime_ms=limit,
    )  # fmt: skip


def nearest(asked: Precopy, runs: Iterable[Run]) -> tuple[Run, ...]:
    """Choose the runs whose dirty rate and wire are nearest; several where they are equally near.

    A wire counts by its ratio: twice as fast is as far as 40 MiB/s more written.
    """
    found: dict[float, list[Run]] = {}
    for run in runs:
        if (known := precopy_of(run, asked.memory_mib)) is not None:
            wires = math.log2(known.wire_mbit_s / asked.wire_mbit_s)
            away = abs(known.dirty_mib_s - asked.dirty_mib_s) / 40 + abs(wires)
            found.setdefault(round(away, 9), []).append(run)
    return tuple(found[min(found)]) if found else ()


def sending_s(run: Run) -> float | None:
    """Give how long a completed run took, counted as the model counts; None where not known."""
    line = run.timeline()
    if line.resume_ns is None or not len(line.iterations):
        return None
    return (line.resume_ns - int(line.iterations["start_ns"].iloc[0])) / 1e9


def compare(runs: Iterable[Run], memory_mib: float) -> pd.DataFrame:
    """Hold the model against runs.

    Args:
        runs: The runs; those that don't say what the model needs are left out.
        memory_mib: The guest's memory that is in use: see :func:`memory_in_use_mib`.

    Returns:
        A row a run: ``run_id``, ``dirty_mib_s``, ``wire_mbit_s``, ``outcome``;
        ``forecast_ends`` (within the run's deadline); and, each missing where there is none,
        ``forecast_s`` and ``sending_s``, ``forecast_passes`` and ``passes``,
        ``forecast_downtime_ms`` and ``downtime_event_ms``.
    """
    rows = []
    for run in runs:
        asked = precopy_of(run, memory_mib)
        if asked is None:
            continue
        told, summary = asked.forecast(), run.summary()
        rows.append(
            {
                "run_id": run.run_id,
                "dirty_mib_s": asked.dirty_mib_s,
                "wire_mbit_s": asked.wire_mbit_s,
                "outcome": str(run.outcome),
                "forecast_ends": told.within(run.plan.deadline_s),
                "forecast_s": told.seconds,
                "sending_s": sending_s(run) if run.outcome is Outcome.COMPLETED else None,
                "forecast_passes": len(told.passes) if told.ends else None,
                "passes": summary["iterations"],
                "forecast_downtime_ms": told.downtime_ms,
                "downtime_event_ms": summary["downtime_event_ms"],
            }
        )
    numbers = (
        "forecast_s", "sending_s", "forecast_passes", "passes", "forecast_downtime_ms",
        "downtime_event_ms",
    )  # fmt: skip
    columns = ["run_id", "dirty_mib_s", "wire_mbit_s", "outcome", "forecast_ends", *numbers]
    return pd.DataFrame(rows, columns=columns).astype(dict.fromkeys(numbers, "Float64"))
