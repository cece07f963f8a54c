"""Collect the rows of a benchmark: values, ratios and differences of medians.

Measures nothing itself.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats  # type: ignore[import-untyped]

#: Fewer migrations a side say too little to hold a comparison against its target.
LEAST_TO_JUDGE = 10
DECIMALS = {"s": 2, "ms": 0, "µs": 0, "%": 1, "": 3}
#: Says what is measured now, and ends the measurement where the user wants that.
Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A row of the table; ``value`` is a median, or a ratio or difference of two medians."""

    what: str
    n: tuple[int, ...]
    unit: str
    value: float
    low: float
    high: float
    target: str = ""
    p_value: float | None = None
    digits: int | None = None

    @property
    def met(self) -> bool | None:
        """Return whether the target is met, None where there is none, or n is too small to tell."""
        if not self.target or (len(self.n) > 1 and min(self.n) < LEAST_TO_JUDGE):
            return None
        if self.p_value is not None:
            return self.p_value >= 0.05
        # A ratio or difference has an interval: where it crosses the target, n is too small.
        ends = (self.low, self.high) if len(self.n) > 1 else (self.value,)
        within = [self._is_within(end) for end in ends]
        if all(within):
            return True
        sign, limit, *_ = self.target.split()
        beyond = sign == "±" and self.low <= -float(limit) and self.high >= float(limit)
        return None if any(within) or beyond else False

    def _is_within(self, value: float) -> bool:
        """Return whether a value is within the target."""
        sign, limit, *_ = self.target.split()
        if sign == "±":
            return abs(value) <= float(limit)
        return value <= float(limit) if sign == "≤" else value >= float(limit)

    def cells(self) -> list[str]:
        """Return the row as the table shows it."""
        digits = DECIMALS[self.unit] if self.digits is None else self.digits
        value, low, high = (f"{x:.{digits}f}" for x in (self.value, self.low, self.high))
        p_value = "" if self.p_value is None else f", p = {self.p_value:.2f}"
        n = " + ".join(map(str, self.n))
        met = {True: "yes", False: "**no**", None: "n too small" if self.target else ""}[self.met]
        value = f"{value} {self.unit}".strip()
        return [self.what, n, value, f"{low} to {high}{p_value}", self.target, met]


def sampled(
    what: str, unit: str, values: Sequence[float], target: str = "", digits: int | None = None
) -> Row:
    """Return the row of one figure: its median and its spread."""
    return Row(
        what=what, n=(len(values),), unit=unit, value=float(np.median(values)),
        low=min(values), high=max(values), target=target, digits=digits,
    )  # fmt: skip


def paired(what: str, pairs: Sequence[tuple[float, float]], **more: Any) -> Row:
    """Return the row of how much larger the first of each pair is than the second, in percent.

    The value is the median of the pairs' own differences, the interval a bootstrap's over pairs.
    """
    larger = [(ours / theirs - 1) * 100 for ours, theirs in pairs]
    interval = stats.bootstrap(
        (larger,), np.median, method="percentile", rng=np.random.default_rng(0)
    ).confidence_interval
    return Row(
        what=what, n=(len(pairs), len(pairs)), unit="%", value=float(np.median(larger)),
        low=float(interval.low), high=float(interval.high), **more,
    )  # fmt: skip


def compared(
    what: str,
    unit: str,
    ours: pd.Series,
    theirs: pd.Series,
    combine: Callable[..., Any],
    **more: Any,
) -> Row:
    """Return the row that compares the medians of two samples."""
    # The default, BCa, wants a jackknife, which for medians has few values.
    interval = stats.bootstrap(
        (ours, theirs), lambda a, b, axis=-1: combine(np.median(a, axis), np.median(b, axis)),
        method="percentile", rng=np.random.default_rng(0),
    ).confidence_interval  # fmt: skip
    return Row(
        what=what, n=(len(ours), len(theirs)), unit=unit, low=interval.low, high=interval.high,
        value=float(combine(np.median(ours), np.median(theirs))), **more,
    )  # fmt: skip
