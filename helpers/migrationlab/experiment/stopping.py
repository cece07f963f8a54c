"""Stop an experiment early, when its comparisons are decided, without more false findings.

Whoever looks at the data again and again, and stops at the first p below 0.05, finds a difference
too often. So the looks are declared in the design, and share the 5 %: each look spends a part, as
the O'Brien-Fleming form of Lan and DeMets (*Biometrika* 70, 1983) gives it. Each look is tested at
the part that it adds. By the union bound the whole error is at most 5 %, whatever the test.

A look comes after a number of blocks. The experiment stops there if every comparison of two cells
that differ in one factor is decided: different at the look's level (Holm), or equivalent. What a
look decides follows from the runs on disk alone, so an interrupted experiment decides the same.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import TYPE_CHECKING, Any

from migrationlab.errors import UsageError
from migrationlab.experiment import statistics
from migrationlab.experiment.spec import integer_at, require_known, text_at
from migrationlab.experiment.statistics import ALPHA, Verdict, holm
from migrationlab.runs.schema import SUMMARY

if TYPE_CHECKING:
    from migrationlab.experiment.results import Results


@dataclass(frozen=True, slots=True)
class Stopping:
    """When an experiment may stop.

    Attributes:
        metric: The metric of the comparisons.
        looks: The numbers of blocks after which it is looked at, rising.
    """

    metric: str
    looks: tuple[int, ...]

    def levels(self, repeats: int) -> tuple[float, ...]:
        """Return the level of each look; with that of the last block they sum to 5 %."""
        spent = [_spent(look / repeats) for look in self.looks]
        return tuple(now - before for before, now in zip([0.0, *spent], spent, strict=False))


def _spent(share: float) -> float:
    quantile = NormalDist().inv_cdf(1 - ALPHA / 2)
    return 2 - 2 * NormalDist().cdf(quantile / math.sqrt(share))


def read_stopping(given: Mapping[str, Any], repeats: int) -> Stopping:
    """Read a design's ``stop``; UsageError if it is wrong."""
    require_known(given, ("metric", "looks"), "stop")
    metric = text_at(given.get("metric", "downtime_event_ms"), "stop.metric")
    if SUMMARY.get(metric) not in ("Int64", "Float64"):
        raise UsageError(
            f"stop.metric must be a number of a run's summary (got {metric!r})",
            hint='Write metric = "downtime_event_ms".',
        )
    looks = given.get("looks", [])
    if not isinstance(looks, list) or not looks or sorted(set(looks)) != looks:
        raise UsageError(
            f"stop.looks must be rising numbers of blocks (got {looks!r})",
            hint="Write looks = [6, 10, 15].",
        )
    return Stopping(
        metric,
        tuple(integer_at(look, "stop.looks", 2, max(repeats - 1, 2)) for look in looks),
    )


def stopped_at(results: Results, stopping: Stopping) -> int | None:
    """Return the block after which an experiment has stopped; None if it goes on."""
    frame = results.frame()
    if frame.empty:
        return None
    made = frame.groupby("block").size()
    for look, level in zip(stopping.looks, stopping.levels(results.design.repeats), strict=True):
        if any(made.get(block, 0) < len(results.cells) for block in range(1, look + 1)):
            return None
        part = frame[(frame["block"] <= look) & (frame["outcome"] == "completed")]
        values = {
            cell.name: part.loc[part["cell"] == cell.name, stopping.metric].dropna().tolist()
            for cell in results.cells
        }
        pairs = [(values[a.name], values[b.name]) for a, b in results.pairs()]
        if pairs and _decided(pairs, level):
            return look
    return None


def _decided(pairs: Sequence[tuple[list[float], list[float]]], level: float) -> bool:
    found = [statistics.compare(a, b) for a, b in pairs]
    adjusted = holm([each.p_value for each in found])
    return all(
        each.verdict is Verdict.EQUIVALENT or (p is not None and p < level)
        for each, p in zip(found, adjusted, strict=True)
    )
