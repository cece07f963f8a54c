"""Estimate percentiles, compare them, and show that two settings are equivalent.

- The interval of a percentile is that of order statistics (scipy's ``quantile_test``): it needs no
  distribution, and it does not exist where n is too small. The upper end of p95 needs 72 values,
  that of p99 368 (two-sided, 95 %).
- The excess of a percentile over a limit has a bootstrap interval (percentile method). Of fewer
  than 1 / (1 - p) values it has none: the largest value would stand for every larger one.
- Equivalence is shown by two one-sided tests (Schuirmann 1987), here of ranks (Mann-Whitney): b is
  shown to be above a - margin, and below a + margin.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy

from migrationlab.experiment.statistics import (
    ALPHA,
    CONFIDENCE,
    MIN_FOR_INTERVAL,
    RESAMPLES,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Quantile:
    """A percentile of some values.

    Attributes:
        percent: Which one, as 95.
        n: The number of values.
        value: The percentile, interpolated; None without values.
        low, high: The ends of its interval; None for an end for which n is too small.
    """

    percent: float
    n: int
    value: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Equivalence:
    """Whether two settings are equivalent within a margin.

    Attributes:
        margin: The margin, in the unit of the values.
        p_value: The larger of the two one-sided p; None without values.
        equivalent: Whether it is below 0.05.
    """

    margin: float
    p_value: float | None
    equivalent: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Excess:
    """How far a percentile of b is above a limit that follows from a.

    Attributes:
        value: The percentile of b minus the limit; above 0 the limit is exceeded.
        low, high: The ends of its interval; None if n is too small.
    """

    value: float
    low: float | None
    high: float | None


def quantile(values: Sequence[float], percent: float, confidence: float = CONFIDENCE) -> Quantile:
    """Return a percentile of values, with its interval."""
    found = np.asarray(values, dtype=np.float64)
    if not len(found):
        return Quantile(percent=percent, n=0, value=None, low=None, high=None)
    value = float(np.percentile(found, percent))
    tested = scipy.stats.quantile_test(found, q=value, p=percent / 100)
    ends = tested.confidence_interval(confidence_level=confidence)
    low, high = (None if np.isnan(end) else float(end) for end in (ends.low, ends.high))
    return Quantile(percent=percent, n=len(found), value=value, low=low, high=high)


def equivalence(a: Sequence[float], b: Sequence[float], margin: float) -> Equivalence:
    """Test whether the values of b are within a margin of those of a."""
    ours, theirs = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    if margin <= 0 or not (len(ours) and len(theirs)):
        return Equivalence(margin=margin, p_value=None, equivalent=False)
    above = scipy.stats.mannwhitneyu(theirs, ours - margin, alternative="greater").pvalue
    below = scipy.stats.mannwhitneyu(theirs, ours + margin, alternative="less").pvalue
    p_value = float(max(above, below))
    return Equivalence(margin=margin, p_value=p_value, equivalent=p_value < ALPHA)


def excess(  # noqa: PLR0917 - two samples and the limit between them
    a: Sequence[float],
    b: Sequence[float],
    percent: float,
    factor: float,
    more: float,
    confidence: float = CONFIDENCE,
) -> Excess:
    """Return how far a percentile of b is above the limit factor x that of a, plus more.

    Without values of a, give a factor of 0: the limit is then ``more`` alone.
    """
    ours, theirs = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)

    def statistic(one: np.ndarray, other: np.ndarray) -> np.ndarray:
        limit = more + (factor * np.percentile(one, percent, axis=-1) if factor else 0.0)
        found: np.ndarray = np.percentile(other, percent, axis=-1) - limit
        return found

    value = float(statistic(ours, theirs))
    fewest = min(len(theirs), len(ours) if factor else len(theirs))
    needed = max(MIN_FOR_INTERVAL, round(1 / (1 - percent / 100), 6))
    if fewest < needed:
        return Excess(value=value, low=None, high=None)
    chance = np.random.default_rng(0)  # the same values give the same interval
    drawn = [
        each[chance.integers(len(each), size=(RESAMPLES, len(each)))] if len(each) else each
        for each in (ours, theirs)
    ]
    ends = np.percentile(statistic(*drawn), [50 * (1 - confidence), 50 * (1 + confidence)])
    return Excess(value=value, low=float(ends[0]), high=float(ends[1]))
