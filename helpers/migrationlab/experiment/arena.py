"""Compare policies that drove the same guests: how often each ended it, at what cost, and regret.

Theory of operation. A *contestant* is a plan of the design, a *scene* is a guest and a wire. A
block has each contestant in each scene once, so contestants are compared within blocks.

- **A migration that did not complete is worse than each one that did** (worst rank: Lachin,
  *Controlled Clinical Trials* 20, 1999). Its value is infinite, so a median is infinite if half of
  the migrations did not complete. Without that, a policy that gives up early would look fast.
- **Regret** of a contestant in a scene, by a metric: its median minus the lowest median of all
  contestants in that scene, which is the best one in hindsight. The best has a regret of 0. Where
  no contestant has a finite median, all have 0: no choice would have helped.
- **Worst regret** is the greatest regret of a contestant over the scenes, by which one chooses a
  policy without knowing the guest (Savage, *JASA* 46, 1951).
- The intervals of medians and regrets are bootstrapped over blocks (percentile method): a resample
  has whole blocks, with all contestants and scenes, and its best contestant is found anew.
  ``best_share`` is the share of resamples in which a contestant has the lowest median.
- A *duel* compares two contestants in a scene by ranks (Mann-Whitney); p is adjusted for all duels
  of the metric (Holm 1979).
- The interval of the share that completed is exact (Clopper and Pearson 1934).

The medians of few blocks can be lucky: the best one in hindsight is partly the luckiest. A
``best_share`` far below 1 says so.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
import scipy  # which loads scipy.stats when it is first needed: that takes a second

from migrationlab.errors import UsageError
from migrationlab.experiment.statistics import (
    CONFIDENCE,
    MIN_FOR_INTERVAL,
    RESAMPLES,
    holm,
    rank_test,
)

Values = npt.NDArray[np.float64]
#: The names of the scenes and of the contestants.
Place = tuple[Sequence[str], Sequence[str]]

#: What the contestants are compared by; less is better.
METRICS = ("total_ms", "downtime_event_ms", "lost_work_ms")
#: The columns of the frames that are no numbers, or counts.
_OTHERS = frozenset({"metric", "scene", "contestant", "a", "b", "n", "made", "completed"})
_ENDS = [50 * (1 - CONFIDENCE), 50 * (1 + CONFIDENCE)]


@dataclass(frozen=True, eq=False)
class Arena:
    """The comparison of some contestants.

    Attributes:
        contestants: Their names, in the order of the design.
        scenes: The names of the scenes, in the order of the design.
        blocks: The number of complete blocks.
        completed: A row per scene and contestant: ``scene``, ``contestant``, ``made``,
            ``completed``, ``share`` and the ends of its 95 % interval, ``low`` and ``high``.
        standings: A row per metric, scene and contestant: ``metric``, ``scene``, ``contestant``,
            ``n`` (blocks), ``median``, ``low``, ``high``, ``regret``, ``regret_low``,
            ``regret_high`` and ``best_share``. An infinite median or regret means:
            half of the migrations or fewer completed. An infinite upper end means: the interval has
            none. The intervals are missing for fewer than six blocks.
        worst: A row per metric and contestant: ``metric``, ``contestant``, ``worst_regret``,
            ``low``, ``high``, and ``scene``, where it is.
        duels: A row per metric, scene and pair: ``metric``, ``scene``, ``a``, ``b``, ``n``,
            ``b_worse`` (the probability that a run of b is worse than a run of a), ``p_value``,
            ``p_adjusted``.
    """

    contestants: tuple[str, ...]
    scenes: tuple[str, ...]
    blocks: int
    completed: pd.DataFrame
    standings: pd.DataFrame
    worst: pd.DataFrame
    duels: pd.DataFrame
    _values: Mapping[str, Values]

    def __repr__(self) -> str:
        return (
            f"Arena({len(self.contestants)} contestants, {len(self.scenes)} scenes, "
            f"{self.blocks} blocks)"
        )

    def values(self, metric: str, scene: str, contestant: str) -> Values:
        """Return a metric's value in each complete block; infinite if it did not complete."""
        place = self.scenes.index(scene), self.contestants.index(contestant)
        found: Values = self._values[metric][place].copy()
        return found


def evaluate(table: pd.DataFrame, metrics: Sequence[str] = METRICS) -> Arena:
    """Compare contestants.

    Args:
        table: A row per run: ``block``, ``scene``, ``contestant``, ``completed``, and each metric,
            of which less is better. Blocks without each contestant in each scene count for the
            shares that completed only.
        metrics: The metrics.

    Raises:
        UsageError: There are fewer than two contestants.
    """
    contestants = tuple(dict.fromkeys(table["contestant"]))
    scenes = tuple(dict.fromkeys(table["scene"]))
    if len(contestants) < 2:
        raise UsageError(
            f"an arena must have at least two contestants (got {len(contestants)})",
            hint="Run one: migrationlab battery policies",
        )
    found = {name: _values(table, name, scenes, contestants) for name in metrics}
    place = (scenes, contestants)
    each = [_judge(name, values, place) for name, values in found.items()]
    return Arena(
        contestants=contestants,
        scenes=scenes,
        blocks=max(values.shape[2] for values in found.values()),
        completed=_frame(_completed(table, *place)),
        standings=_frame(row for standings, _ in each for row in standings),
        worst=_frame(row for _, worst in each for row in worst),
        duels=_frame(row for name, values in found.items() for row in _duels(name, values, place)),
        _values=found,
    )


def _frame(rows: Iterable[Mapping[str, object]]) -> pd.DataFrame:
    """Return a frame in which a missing number is missing, not None."""
    made = pd.DataFrame(rows)
    numbers = {name: "Float64" for name in made if name not in _OTHERS}
    return made.astype(numbers)


def _values(
    table: pd.DataFrame, metric: str, scenes: Sequence[str], contestants: Sequence[str]
) -> Values:
    """Return a metric by scene, contestant and complete block; infinite if it did not complete."""
    value = table[metric].astype("float64").where(table["completed"], np.inf)
    wide = table.assign(value=value).pivot_table(
        index="block", columns=["scene", "contestant"], values="value", aggfunc="last"
    )
    every = pd.MultiIndex.from_product([scenes, contestants])
    whole = wide.reindex(columns=every).dropna()
    found: Values = whole.to_numpy(dtype=np.float64).T
    return found.reshape(len(scenes), len(contestants), len(whole))


def _completed(
    table: pd.DataFrame, scenes: Sequence[str], contestants: Sequence[str]
) -> Iterator[dict[str, object]]:
    for scene, contestant in itertools.product(scenes, contestants):
        ends = table.loc[
            (table["scene"] == scene) & (table["contestant"] == contestant), "completed"
        ]
        made, completed = len(ends), int(ends.sum())
        row = {"scene": scene, "contestant": contestant, "made": made, "completed": completed}
        if not made:
            yield row | {"share": None, "low": None, "high": None}
            continue
        ci = scipy.stats.binomtest(completed, made).proportion_ci(CONFIDENCE)
        yield row | {"share": completed / made, "low": ci.low, "high": ci.high}


def _judge(
    metric: str, values: Values, place: Place
) -> tuple[list[dict[str, object]], list[dict[str, object]]]:
    """Return the standings and the worst regrets by one metric."""
    scenes, contestants = place
    n = values.shape[2]
    if not n:
        return [], []
    medians = np.median(values, axis=-1)
    regrets = _regrets(medians)
    drawn = _resampled(values) if n >= MIN_FOR_INTERVAL else None
    drawn_regrets = None if drawn is None else _regrets(drawn)
    standings: list[dict[str, object]] = []
    for (s, scene), (c, contestant) in itertools.product(enumerate(scenes), enumerate(contestants)):
        low, high = _interval(None if drawn is None else drawn[s, c])
        least, most = _interval(None if drawn_regrets is None else drawn_regrets[s, c])
        best = None if drawn is None else _best_share(drawn[s], c)
        standings.append(
            {
                "metric": metric, "scene": scene, "contestant": contestant, "n": n,
                "median": medians[s, c], "low": low, "high": high, "regret": regrets[s, c],
                "regret_low": least, "regret_high": most, "best_share": best,
            }
        )  # fmt: skip
    worst: list[dict[str, object]] = []
    for c, contestant in enumerate(contestants):
        low, high = _interval(None if drawn_regrets is None else drawn_regrets[:, c].max(axis=0))
        where = int(regrets[:, c].argmax())
        worst.append(
            {
                "metric": metric, "contestant": contestant, "worst_regret": regrets[where, c],
                "low": low, "high": high, "scene": scenes[where],
            }
        )  # fmt: skip
    return standings, worst


def _regrets(medians: Values) -> Values:
    """Return regrets by scene and contestant (the first two axes) from medians."""
    best = medians.min(axis=1, keepdims=True)
    finite = np.isfinite(best)
    # Where the best is infinite, no choice would have helped.
    return np.where(finite, medians - np.where(finite, best, 0.0), 0.0)


def _resampled(values: Values) -> Values:
    """Return the medians of resamples of whole blocks: by scene, contestant and resample."""
    n = values.shape[2]
    chance = np.random.default_rng(0)  # the same values give the same interval
    drawn = chance.integers(n, size=(RESAMPLES, n))
    # One contestant at a time: all of them together can be large.
    return np.array([[np.median(each[drawn], axis=-1) for each in scene] for scene in values])


def _best_share(medians: Values, contestant: int) -> float:
    """Return the share of resamples in which a contestant is best; ties count in parts."""
    lowest = medians.min(axis=0)
    best = (medians == lowest) & np.isfinite(lowest)
    return float((best[contestant] / np.maximum(best.sum(axis=0), 1)).mean())


def _interval(drawn: Values | None) -> tuple[float | None, float | None]:
    if drawn is None:
        return None, None
    # An element, not a mean of two: infinite values have none.
    low, high = np.percentile(drawn, _ENDS, method="inverted_cdf")
    return float(low), float(high)


def _duels(metric: str, values: Values, place: Place) -> list[dict[str, object]]:
    scenes, contestants = place
    n = values.shape[2]
    rows: list[dict[str, object]] = []
    p_values: list[float | None] = []
    for s, scene in enumerate(scenes):
        for (a, ours), (b, theirs) in itertools.combinations(enumerate(contestants), 2):
            p_value, worse = _ranked(values[s, a], values[s, b]) if n else (None, None)
            p_values.append(p_value)
            rows.append(
                {
                    "metric": metric, "scene": scene, "a": ours, "b": theirs, "n": n,
                    "b_worse": worse, "p_value": p_value,
                }
            )  # fmt: skip
    adjusted = holm(p_values)
    return [row | {"p_adjusted": p} for row, p in zip(rows, adjusted, strict=True)]


def _ranked(a: Values, b: Values) -> tuple[float | None, float]:
    """Return p and the probability that b is worse; an infinite value has the last rank."""
    both = np.concatenate([a, b])
    if (both == both[0]).all():
        return 1.0, 0.5
    last = both[np.isfinite(both)].max() + 1
    return rank_test(*(np.where(np.isinf(one), last, one).tolist() for one in (a, b)))
