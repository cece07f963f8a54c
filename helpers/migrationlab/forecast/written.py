"""Compute D(t), the different pages that a guest writes within a time, from the points of a curve.

See :mod:`migrationlab.forecast.curve` for what a dirty curve is.
"""

from __future__ import annotations

import bisect
import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Written:
    """The function D(t) of a whole guest, made for many calls.

    Attributes:
        seconds: The times of its knots, from 0, ascending.
        pages: The different pages written by then.
        slope: The pages a second beyond the last knot.
        most: The pages that can be written at all.
        early: The exponent of the curve before its first measured point; 1 is a line.
    """

    seconds: tuple[float, ...]
    pages: tuple[float, ...]
    slope: float
    most: float
    early: float = 1.0
    _bends: tuple[float, ...] = dataclasses.field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        # Between these times both D(t) and D(2t) are straight.
        inner = self.seconds[1:]
        bends = tuple(sorted({*inner, *(seconds / 2 for seconds in inner)}))
        object.__setattr__(self, "_bends", bends)

    def __call__(self, seconds: float) -> float:
        """Return the different pages written within a time in seconds."""
        if seconds <= 0 or len(self.seconds) < 2:
            return 0.0
        if seconds >= self.seconds[-1]:
            beyond = self.pages[-1] + self.slope * (seconds - self.seconds[-1])
            return min(beyond, self.most)
        after = bisect.bisect_right(self.seconds, seconds)
        low_s, high_s = self.seconds[after - 1], self.seconds[after]
        share = (seconds - low_s) / (high_s - low_s)
        if after == 1 and self.early != 1:
            share **= self.early
        return self.pages[after - 1] + share * (self.pages[after] - self.pages[after - 1])

    def beyond(self, rest: float, seconds: float) -> float:
        """Return the pages written within a time that are not among a rest of those before.

        The rest is any part of the pages that were written in the same time before. D(2t) pages
        are written in the two times together, and D(t) in each; so 2 D(t) - D(2t) are written in
        both, which is a share of 2 - D(2t) / D(t) of the pages before. This is exact for every
        guest that goes on in the same way. The result never falls with the time: a longer time has
        at least the pages of a shorter one.
        """
        times = [time for time in self._bends if time < seconds]
        return max(self._new(rest, time) for time in (*times, seconds))

    def _new(self, rest: float, seconds: float) -> float:
        once = self(seconds)
        if once <= 0:
            return 0.0
        again = 2 - self(2 * seconds) / once
        return once - min(rest, once) * min(max(again, 0.0), 1.0)


def concave(seconds: Floats, counts: Sequence[float] | Floats) -> Floats:
    """Return the counts with slopes that never rise and are never negative.

    The slopes are those with the least squared error, weighted by their times: the pool of adjacent
    violators (Barlow et al., Statistical Inference under Order Restrictions, 1972). SciPy has it
    too, but takes half a second and 30 MiB to load, and a forecast is made while a guest migrates.
    """
    steps = np.diff(np.array([0.0, *seconds]))
    slopes = np.diff(np.array([0.0, *counts])) / steps
    if (slopes >= 0).all() and (np.diff(slopes) <= 0).all():
        return np.asarray(counts, dtype=float)
    #: Each with its slope, its time, and its number of steps.
    pools: list[tuple[float, float, int]] = []
    for slope, step in zip(slopes.tolist(), steps.tolist(), strict=True):
        pool = slope, step, 1
        while pools and pools[-1][0] < pool[0]:
            before, time, number = pools.pop()
            together = time + pool[1]
            mean = (before * time + pool[0] * pool[1]) / together
            pool = mean, together, number + pool[2]
        pools.append(pool)
    even, _, numbers = (np.array(each) for each in zip(*pools, strict=True))
    pooled = np.repeat(even, numbers)
    return np.asarray(np.cumsum(np.maximum(pooled, 0) * steps), dtype=float)
