"""What an experiment would have said of two cells, had it been stopped after fewer blocks.

A block has each cell once, so any blocks of an experiment are a smaller experiment: in whichever
order they are taken, the first three are one of three repeats. Pure; imports no libvirt.
"""

from __future__ import annotations

import functools
import random
from collections.abc import Sequence
from dataclasses import dataclass, field

from migrationlab.errors import UsageError
from migrationlab.experiment import statistics
from migrationlab.experiment.comparison import CellComparison, Ends, together
from migrationlab.experiment.results import Results
from migrationlab.experiment.statistics import Estimate
from migrationlab.runs.run import Outcome


@dataclass(frozen=True)
class Growth:
    """Two cells of an experiment, block by block.

    Attributes:
        metric: What is compared.
        a: The name of the one cell.
        b: That of the other.
        order: The numbers of the blocks, in the order in which they are taken.
        values_a: A value of ``a`` for each block of that order, None where it has none.
        values_b: Likewise of ``b``.
        ends_a: How ``a`` ended in each of them: one migration made, or none.
        ends_b: Likewise ``b``.
    """

    metric: str
    a: str
    b: str
    order: tuple[int, ...]
    values_a: tuple[float | None, ...] = field(repr=False)
    values_b: tuple[float | None, ...] = field(repr=False)
    ends_a: tuple[Ends, ...] = field(repr=False)
    ends_b: tuple[Ends, ...] = field(repr=False)

    def first(self, n: int) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Return the values of the first ``n`` blocks, of ``a`` and of ``b``."""
        one, other = (
            tuple(value for value in values[:n] if value is not None)
            for values in (self.values_a, self.values_b)
        )
        return one, other

    def at(self, n: int) -> CellComparison:
        """Say how the two would compare after ``n`` blocks, with no other comparison beside it."""
        a, b = self.first(n)
        ends = {self.a: _sum(self.ends_a[:n]), self.b: _sum(self.ends_b[:n])}
        found = {(self.a, self.b): statistics.compare(a, b)}
        return together(found, self.metric, ends)[0]

    def estimates(self, n: int) -> tuple[Estimate, Estimate]:
        """Say what the first ``n`` blocks tell of each cell by itself."""
        a, b = self.first(n)
        return statistics.estimate(a), statistics.estimate(b)

    @functools.cached_property
    def told(self) -> tuple[CellComparison, ...]:
        """Return the comparisons after 1, 2, … blocks, to the last."""
        return tuple(self.at(n) for n in range(1, len(self.order) + 1))


def grow(
    recorded: Results,
    metric: str = "total_ms",
    *,
    pair: tuple[str, str] | None = None,
    seed: int = 0,
) -> Growth:
    """Take the blocks of an experiment one after the other.

    Args:
        recorded: The experiment.
        metric: What to compare, a number of its runs' summaries.
        pair: The names of two cells; by default the first two that differ in one setting.
        seed: Of the order of the blocks; 0 for that in which they were made.

    Raises:
        UsageError: There is no such cell, metric or pair, or the runs' environments differ.
    """
    if pair is None:
        first = next(recorded.pairs(), None)
        if first is None:
            raise UsageError("no two cells differ in one setting", hint="Name two cells as pair.")
        pair = (first[0].name, first[1].name)
    a, b = (recorded.cell(name).name for name in pair)
    points = recorded.points(metric)
    frame = recorded.frame()
    blocks = dict(zip(frame["run_id"], frame["block"].astype(int), strict=True))
    ends = {
        (row.cell, blocks[row.run_id]): Ends(1, int(row.outcome == Outcome.COMPLETED))
        for row in frame.itertuples(index=False)
    }
    order = sorted(set(blocks.values()))
    if seed:
        random.Random(seed).shuffle(order)  # noqa: S311 - no secret, but the same each time
    known = {
        (row.cell, blocks[row.run_id]): float(row.value) for row in points.itertuples(index=False)
    }
    one, other = ([(cell, block) for block in order] for cell in (a, b))
    return Growth(
        metric,
        a,
        b,
        tuple(order),
        values_a=tuple(known.get(place) for place in one),
        values_b=tuple(known.get(place) for place in other),
        ends_a=tuple(ends.get(place, Ends(0, 0)) for place in one),
        ends_b=tuple(ends.get(place, Ends(0, 0)) for place in other),
    )


def _sum(ends: Sequence[Ends]) -> Ends:
    return Ends(sum(each.made for each in ends), sum(each.completed for each in ends))
