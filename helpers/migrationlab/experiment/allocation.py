"""Spend the time of an experiment where its metric varies most.

Theory of operation. The design declares a metric, a pilot and a time. The pilot is some whole
blocks. Its runs show how much the metric varies in each cell, and how long a run of each cell
takes. The rest of the time then goes, run by run, to the cell in which one more run lowers the
variance most, for each second that it takes: that is optimum allocation with unequal costs (Neyman
1934; Cochran, *Sampling Techniques*, 1977, section 5.5), in whole runs. Variances are relative to
the cell's mean, because differences are judged as shares. A variance of few values is uncertain, so
it is moderated: it counts as if two values more had the variance of all cells.

Comparisons stay valid. Who gets more runs depends on variances, and not on differences. The rank
test and the bootstrap need no equal n. Where two cells with one median vary differently, the one
that varies more gets more runs, which makes the rank test cautious, not liberal. The further runs
of a cell are spread over all further blocks, so that a slow change affects all cells.

The allocation follows from the runs on disk alone, and ``experiment.json`` records it.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist, fmean, variance
from typing import Any

from migrationlab.errors import UsageError
from migrationlab.experiment.spec import integer_at, require_known, text_at
from migrationlab.experiment.statistics import ALPHA, MIN_FOR_INTERVAL, POWER
from migrationlab.runs.schema import SUMMARY

MIN_PILOT, MAX_PILOT = 3, 10
#: The weight of all cells' variance in that of one, in values.
PRIOR_VALUES = 2
_MOST_S = 30 * 86_400
_MOST_RUNS = 100_000


@dataclass(frozen=True, slots=True)
class Allocation:
    """How an experiment spends its time.

    Attributes:
        metric: The metric whose variance decides.
        pilot: The number of whole blocks that measure the variances.
        time_s: The time for all runs, in seconds.
    """

    metric: str
    pilot: int
    time_s: int


def read_allocation(given: Mapping[str, Any], repeats: int) -> Allocation:
    """Read a design's ``allocate``; UsageError if it is wrong."""
    require_known(given, ("metric", "pilot", "time_s"), "allocate")
    metric = text_at(given.get("metric", "total_ms"), "allocate.metric")
    if SUMMARY.get(metric) not in ("Int64", "Float64"):
        raise UsageError(
            f"allocate.metric must be a number of a run's summary (got {metric!r})",
            hint='Write metric = "total_ms".',
        )
    return Allocation(
        metric,
        integer_at(given.get("pilot", MIN_PILOT), "allocate.pilot", MIN_PILOT, repeats),
        integer_at(given.get("time_s", 0), "allocate.time_s", 1, _MOST_S),
    )


def pilot_of(repeats: int) -> int | None:
    """Return the blocks of the pilot where a budget pays so many; None if those are too few."""
    if repeats < 2 * MIN_PILOT:
        return None
    return min(repeats // 2, MAX_PILOT)


def further_runs(
    values: Mapping[str, Sequence[float]],
    costs_s: Mapping[str, float],
    time_s: float,
    pilot: int,
) -> dict[str, int]:
    """Return how many further runs each cell gets after the pilot.

    Args:
        values: The metric's values in the pilot, by cell.
        costs_s: How long a run of each cell takes, in seconds.
        time_s: The time for all further runs, in seconds.
        pilot: The number of the pilot's runs of each cell.

    A cell without values gets none: no variance is known. Every other cell first gets what the
    interval of a median needs, if the time pays that for all of them.
    """
    variances = moderated(values)
    added = dict.fromkeys(values, 0)
    need = max(MIN_FOR_INTERVAL - pilot, 0)
    floor_s = need * sum(costs_s[cell] for cell in variances)
    if floor_s <= time_s:
        added |= dict.fromkeys(variances, need)
        time_s -= floor_s

    def place(cell: str) -> tuple[float, str]:
        n = pilot + added[cell]
        return -variances[cell] / (n * (n + 1) * costs_s[cell]), cell

    queue = [place(cell) for cell in variances]
    heapq.heapify(queue)
    while queue and sum(added.values()) < _MOST_RUNS:
        _, cell = heapq.heappop(queue)
        if costs_s[cell] > time_s:
            continue  # a run of another cell may still fit
        time_s -= costs_s[cell]
        added[cell] += 1
        heapq.heappush(queue, place(cell))
    return added


def moderated(values: Mapping[str, Sequence[float]]) -> dict[str, float]:
    """Return the relative variance of each cell that has values, moderated by that of all cells."""
    own: dict[str, tuple[int, float]] = {}
    for cell, found in values.items():
        if found:
            mean = fmean(found)
            known = len(found) > 1 and mean != 0
            own[cell] = (len(found) - 1, variance(found) / mean**2) if known else (0, 0.0)
    freedom = sum(free for free, _ in own.values())
    pooled = sum(free * each for free, each in own.values()) / freedom if freedom else 0.0
    if pooled == 0:
        return dict.fromkeys(own, 1.0)  # nothing varies: all get equally many
    return {
        cell: (free * each + PRIOR_VALUES * pooled) / (free + PRIOR_VALUES)
        for cell, (free, each) in own.items()
    }


def detectable(n_a: int, n_b: int | None = None) -> float:
    """Return the smallest superiority that so many runs of two cells show (power 80 %).

    Noether 1987, equation 3, solved for P, with the groups' own sizes; 1.0 if so few runs show
    none. ``n_b`` is ``n_a`` by default.
    """
    sizes = (n_a, n_a if n_b is None else n_b)
    if min(sizes) < 1:
        return 1.0
    quantiles = NormalDist().inv_cdf(1 - ALPHA / 2) + NormalDist().inv_cdf(POWER)
    return min(0.5 + quantiles * math.sqrt(sum(1 / n for n in sizes) / 12), 1.0)
