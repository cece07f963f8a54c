"""Forecast the rest of a migration that runs, from the iterations it has shown so far.

Theory of operation. Each iteration that is over is a point of the dirty curve, as in
:mod:`migrationlab.forecast.job_curve`. The job's statistics give what is pending, the rate of
sending and the downtime limit. So the simulation of ``qemu_rule`` goes on from the present.
Before the second iteration nothing is known of the guest's writes, and no end is forecast. After
it, nothing is known of times shorter than the shortest iteration so far. There the curve lies
between a line and a steep beginning; only if the migration ends with both, or with neither, is
it forecast whether it ends.

The time left is shown so that it does not run backwards: a new estimate that is later than the
last one does not count, until the clock has caught up with it. Whether it ends is not held back.
"""

from __future__ import annotations

import dataclasses
import threading
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from migrationlab.forecast.case import Case, Constants, Path
from migrationlab.forecast.curve import DirtyCurve
from migrationlab.forecast.job_curve import SHORTEST_MS
from migrationlab.forecast.qemu_rule import simulate_from
from migrationlab.forecast.result import Interval
from migrationlab.forecast.written import concave
from migrationlab.plan.plan import Plan

#: The rate of sending is that of the last second.
WINDOW_S = 1.0
#: How far writes and rate may be off, as shares; the interval has both together.
WRITES_OFF, RATE_OFF = 0.15, 0.05
#: The exponent of the steepest beginning: after one iteration, and after more.
STEEPEST, STEEP = 0.15, 0.5
#: An iteration that begins with more than this share of the one before brings nothing.
#: The first sample of an iteration comes up to 50 ms after its beginning.
STILL = 0.9
#: So many times the threshold are far from it.
FAR = 1.5
#: The limits that are tried as a fix, in milliseconds.
HIGHEST_MS = 60_000
_NEEDED = ("iteration", "memory_remaining_bytes", "normal_pages", "constant_pages",
           "page_size_bytes", "memory_total_bytes")  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class RunningForecast:
    """What a running migration will do.

    Attributes:
        ends: Whether it ends like this; None if the iterations so far do not show it.
        left_s: The time left until the guest runs at the destination; it does not run backwards.
        downtime_ms: The downtime.
        reason: Why, in a sentence.
        changes: What to change now so that it ends, as calls; empty if it ends.
    """

    ends: bool | None
    left_s: Interval
    downtime_ms: Interval
    reason: str
    changes: tuple[str, ...]

    def __repr__(self) -> str:
        return f"RunningForecast({self})"

    def __str__(self) -> str:
        if self.ends is None:
            return "it is not known whether it ends"
        if not self.ends or self.left_s.median is None:
            return "does not end like this"
        return f"about {self.left_s.median:.0f} s left"


class SeenMigration:
    """What the samples of a migration have shown so far. Times are of any clock in ns.

    One thread may note samples while others forecast.
    """

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._last: Mapping[str, int] = {}
        self._last_ns = 0
        self._sent: deque[tuple[int, int]] = deque()
        self._began: dict[int, tuple[int, float, float]] = {}
        self._shown: tuple[int, float] | None = None

    def sampled(self, time_ns: int, statistics: Mapping[str, int]) -> None:
        """Note a sample of the job, by column of a run's frame."""
        with self._lock:
            self._note(time_ns, statistics)

    def _note(self, time_ns: int, statistics: Mapping[str, int]) -> None:
        if any(name not in statistics for name in _NEEDED):
            return
        self._last, self._last_ns = statistics, time_ns
        iteration = statistics["iteration"]
        if iteration and iteration not in self._began:
            left = statistics["memory_remaining_bytes"] / statistics["page_size_bytes"]
            ever = left + statistics["normal_pages"] + statistics["constant_pages"]
            self._began[iteration] = (time_ns, ever, left)
        self._sent.append((time_ns, statistics["normal_pages"]))
        while len(self._sent) > 2 and self._sent[1][0] <= time_ns - WINDOW_S * 1e9:
            self._sent.popleft()

    def curve(self) -> DirtyCurve | None:
        """Return the dirty curve that the iterations show; None before the second."""
        with self._lock:
            return self._curve()

    def _curve(self) -> DirtyCurve | None:
        points: dict[float, list[float]] = {}
        for number, (began_ns, ever, _) in sorted(self._began.items()):
            if number + 1 in self._began:
                after_ns, more, _ = self._began[number + 1]
                period_ms = round((after_ns - began_ns) / 1e6, 1)
                if period_ms >= SHORTEST_MS:
                    points.setdefault(period_ms, []).append(max(more - ever, 0.0))
        if not points:
            return None
        page = self._last["page_size_bytes"]
        total = self._last["memory_total_bytes"] // page
        periods = sorted(points)
        counts = [min(float(np.mean(points[period])), total) for period in periods]
        even = concave(np.array(periods), counts).tolist()
        return DirtyCurve.from_points(periods, even, total, total, 0, page)

    def forecast(self, plan: Plan, limit_ms: int, now_ns: int) -> RunningForecast:
        """Forecast the rest.

        Args:
            plan: The migration's plan.
            limit_ms: The downtime limit in force.
            now_ns: The present, by the clock of the samples.
        """
        with self._lock:
            return self._forecast(plan, limit_ms, now_ns)

    def _forecast(self, plan: Plan, limit_ms: int, now_ns: int) -> RunningForecast:
        curve, rate = self._curve(), self._rate()
        if curve is None or rate <= 0:
            unknown = Interval(None, None, None)
            return RunningForecast(
                ends=None, left_s=unknown, downtime_ms=unknown,
                reason="The guest's writes are known after the first iteration.", changes=(),
            )  # fmt: skip
        case = self._case(plan, curve, rate, limit_ms)
        steepest = STEEPEST if len(curve.period_ms) == 1 else STEEP
        good, likely, bad = (
            self._path(_changed(case, writes, faster, early), now_ns)
            for writes, faster, early in (
                (1 - WRITES_OFF, 1 + RATE_OFF, 1.0),
                (1.0, 1.0, (1 + steepest) / 2),
                (1 + WRITES_OFF, 1 - RATE_OFF, steepest),
            )
        )
        ends = True if bad.ends else None if good.ends else False
        if self._stands_still(rate * limit_ms / 1000):
            ends = False
        paths = () if ends is False else (likely, good, bad)
        times = [path.sending_s if path.ends else None for path in paths]
        downtimes = [None if path.downtime_s is None else 1000 * path.downtime_s for path in paths]
        return RunningForecast(
            ends=ends, left_s=self._left(_ordered(times), limit_ms, sure=ends is True),
            downtime_ms=_ordered(downtimes), reason=_reason(case, limit_ms, ends=ends),
            changes=() if ends else tuple(self._changes(case, plan, limit_ms, now_ns)),
        )  # fmt: skip

    def _stands_still(self, threshold_pages: float) -> bool:
        """Return whether the last iterations began with as much as those before them.

        Near the threshold they do in a migration that ends, too.
        """
        recent = [self._began[number][2] for number in sorted(self._began) if number >= 2][-3:]
        return len(recent) == 3 and all(
            later >= max(STILL * before, FAR * threshold_pages)
            for before, later in pairwise(recent)
        )

    def _rate(self) -> float:
        """Return the normal pages sent in a second."""
        if len(self._sent) < 2:
            return 0.0
        (then_ns, before), (now_ns, after) = self._sent[0], self._sent[-1]
        return (after - before) * 1e9 / max(now_ns - then_ns, 1)

    def _case(self, plan: Plan, curve: DirtyCurve, rate: float, limit_ms: int) -> Case:
        last, page = self._last, self._last["page_size_bytes"]
        left = last["memory_remaining_bytes"] / page
        zeros = 0.0
        if last["iteration"] == 1:
            sent = max(last["normal_pages"] + last["constant_pages"], 1)
            zeros = left * last["constant_pages"] / sent
        bytes_s = rate * page
        return Case(
            written=curve.written(), normal_pages=left - zeros, zero_pages=zeros, page_bytes=page,
            sent_page_bytes=page, again_page_bytes=page, rate_bytes_s=bytes_s, link_bytes_s=bytes_s,
            before_zeros=None, limits=((0.0, limit_ms / 1000),), plan=_without_times(plan),
            constants=Constants(), vcpu_use=1.0,
        )  # fmt: skip

    def _path(self, case: Case, now_ns: int) -> Path:
        began_ns, *_ = self._began[max(self._began)]
        since_s = max(now_ns - began_ns, 0) / 1e9
        return simulate_from(case, count=max(self._last["iteration"], 2), since_sync_s=since_s)

    def _left(self, left: Interval, limit_ms: int, *, sure: bool) -> Interval:
        """Return the time left, never more than was shown before under the same limit."""
        if left.median is None or not sure:
            return left
        if self._shown is not None and self._shown[0] == limit_ms:
            median = min(left.median, self._shown[1])
            left = Interval(min(left.low or 0.0, median), median, left.high)
        self._shown = (limit_ms, left.median or 0.0)
        return left

    def _changes(self, case: Case, plan: Plan, limit_ms: int, now_ns: int) -> Iterator[str]:
        """Yield the calls that would end it."""
        limit = limit_ms
        while (limit := 2 * limit) <= HIGHEST_MS:
            steep = _changed(case, 1 + WRITES_OFF, 1 - RATE_OFF, STEEPEST)
            if self._path(dataclasses.replace(steep, limits=((0.0, limit / 1000),)), now_ns).ends:
                yield f"migration.set_max_downtime({limit})"
                break
        if plan.postcopy:
            yield "migration.start_postcopy()"
        yield "migration.suspend()"
        yield "migration.cancel()"


def _without_times(plan: Plan) -> Plan:
    """Return a plan without what depends on the time since the call, which counts from now."""
    return dataclasses.replace(
        plan, postcopy_after_s=None, suspend_after_s=None, downtime_steps=None,
        downtime_step_s=None, bandwidth_mib_s=None, policy=None, policy_options=None,
    )  # fmt: skip


def _changed(case: Case, writes: float, faster: float, early: float) -> Case:
    """Return a case whose guest writes more or less, over a faster or slower link."""
    pages = tuple(count * writes for count in case.written.pages)
    changes: dict[str, Any] = {
        "written": dataclasses.replace(
            case.written, pages=pages, slope=case.written.slope * writes, early=early
        ),
        "rate_bytes_s": case.rate_bytes_s * faster,
        "link_bytes_s": case.link_bytes_s * faster,
    }
    return dataclasses.replace(case, **changes)


def _ordered(found: list[float | None]) -> Interval:
    """Return an interval of a likely value, a good and a bad one."""
    likely, *others = found or [None, None]
    if likely is None:
        return Interval(others[0], None, None)
    known = [value for value in (likely, *others) if value is not None]
    high = None if None in others else max(known)
    return Interval(round(min(known), 3), round(likely, 3), high and round(high, 3))


def _reason(case: Case, limit_ms: int, *, ends: bool | None) -> str:
    size = case.page_bytes / 2**20
    rate = case.rate_bytes_s / 2**20
    writes = case.written(1.0) * size
    way = {True: "will fit", False: "will not fit", None: "may not fit"}[ends]
    return (
        f"{rate:.0f} MiB/s are sent, the guest writes {writes:.0f} MiB in a second; what is left "
        f"{way} in the downtime limit of {limit_ms} ms."
    )
