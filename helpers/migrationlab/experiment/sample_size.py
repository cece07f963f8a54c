"""Compare two cells of an experiment as it grows: after one block, after two, and so on.

A block has each cell once. So any blocks of an experiment form a smaller experiment: for example,
any three blocks are an experiment of three repeats.
"""

from __future__ import annotations

import functools
import random
from collections.abc import Sequence
from dataclasses import dataclass, field

from migrationlab.errors import UsageError
from migrationlab.experiment import statistics
from migrationlab.experiment.comparison import (
    CellComparison,
    Completion,
    adjust_for_multiple_comparisons,
)
from migrationlab.experiment.results import Results
from migrationlab.experiment.statistics import Estimate
from migrationlab.runs.run import Outcome


@dataclass(frozen=True)
class CumulativeComparison:
    """Two cells of an experiment, compared block by block.

    Attributes:
        metric: The metric that is compared.
        a, b: The names of the cells.
        order: The numbers of the blocks, in the order of adding.
        values_a, values_b: The value of each block in that order, None for a block without one.
        ends_a, ends_b: For each block whether the cell was made, and completed.
    """

    metric: str
    a: str
    b: str
    order: tuple[int, ...]
    values_a: tuple[float | None, ...] = field(repr=False)
    values_b: tuple[float | None, ...] = field(repr=False)
    ends_a: tuple[Completion, ...] = field(repr=False)
    ends_b: tuple[Completion, ...] = field(repr=False)

    def first(self, n: int) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Return the values of ``a`` and of ``b`` in the first ``n`` blocks."""
        one, other = (
            tuple(value for value in values[:n] if value is not None)
            for values in (self.values_a, self.values_b)
        )
        return one, other

    def at(self, n: int) -> CellComparison:
        """Return the comparison after ``n`` blocks, as the only comparison."""
        a, b = self.first(n)
        completions = {self.a: _sum(self.ends_a[:n]), self.b: _sum(self.ends_b[:n])}
        found = {(self.a, self.b): statistics.compare(a, b)}
        return adjust_for_multiple_comparisons(found, self.metric, completions)[0]

    def estimates(self, n: int) -> tuple[Estimate, Estimate]:
        """Return the statistics of both cells in the first ``n`` blocks."""
        a, b = self.first(n)
        return statistics.estimate(a), statistics.estimate(b)

    @functools.cached_property
    def comparisons(self) -> tuple[CellComparison, ...]:
        """Return the comparisons after 1, 2, … blocks, up to all."""
        return tuple(self.at(n) for n in range(1, len(self.order) + 1))


def compare_cumulatively(
    recorded: Results,
    metric: str = "total_ms",
    *,
    pair: tuple[str, str] | None = None,
    seed: int = 0,
) -> CumulativeComparison:
    """Compare two cells of an experiment block by block.

    By default these are the first two that differ in one setting. With the seed 0 the blocks keep
    the order in which they were made.
    """
    if pair is None:
        first = next(recorded.pairs(), None)
        if first is None:
            raise UsageError(
                "pair must be given, because no two cells differ in one setting only",
                hint=f"Name two of: {'; '.join(cell.name for cell in recorded.cells)}.",
            )
        pair = (first[0].name, first[1].name)
    a, b = (recorded.cell(name).name for name in pair)
    points = recorded.points(metric)
    frame = recorded.frame()
    blocks = dict(zip(frame["run_id"], frame["block"].astype(int), strict=True))
    completions = {
        (row.cell, blocks[row.run_id]): Completion(1, int(row.outcome == Outcome.COMPLETED))
        for row in frame.itertuples(index=False)
    }
    values = {
        (row.cell, blocks[row.run_id]): float(row.value) for row in points.itertuples(index=False)
    }
    order = sorted(set(blocks.values()))
    if seed:
        random.Random(seed).shuffle(order)  # noqa: S311 - no secret, but the same each time
    one, other = ([(cell, block) for block in order] for cell in (a, b))
    return CumulativeComparison(
        metric,
        a,
        b,
        tuple(order),
        values_a=tuple(values.get(place) for place in one),
        values_b=tuple(values.get(place) for place in other),
        ends_a=tuple(completions.get(place, Completion(0, 0)) for place in one),
        ends_b=tuple(completions.get(place, Completion(0, 0)) for place in other),
    )


def _sum(completions: Sequence[Completion]) -> Completion:
    return Completion(
        sum(each.made for each in completions), sum(each.completed for each in completions)
    )
