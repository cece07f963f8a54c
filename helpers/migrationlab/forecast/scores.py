"""Score forecasts by what happened: errors, coverage, and the Brier score of the probabilities.

The frame is that of :func:`migrationlab.forecast.run_inputs.compare`: one row a run.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd

#: The bounds of the bins of a reliability diagram.
BINS = (0.0, 0.05, 0.2, 0.4, 0.6, 0.8, 0.95, 1.0)
QUANTILES = (0.5, 0.9, 1.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scores:
    """How good some forecasts were.

    Attributes:
        runs: The number of runs.
        ends_right: How many ended, or did not, as the likelier of the two was forecast.
        brier: The mean square of probability less outcome (Brier, *Monthly Weather Review* 78,
            1950): 0 is best, always saying one half gives 0.25.
        time_percent: The error of the total time: its median, its 90 % quantile, the largest.
        downtime_ms: The same of the downtime by QEMU's events, in milliseconds.
        time_covered: The share of total times within their interval of 90 %; None for none.
        downtime_covered: The same of the downtimes.
    """

    runs: int
    ends_right: int
    brier: float | None
    time_percent: tuple[float, ...] | None
    downtime_ms: tuple[float, ...] | None
    time_covered: float | None
    downtime_covered: float | None

    def to_dict(self) -> dict[str, Any]:
        """Return the scores as plain values, for JSON."""
        return {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in asdict(self).items()
        }


def score(held: pd.DataFrame) -> Scores:
    """Score the forecasts of a frame.

    Runs that did not end count for ``ends_right`` and ``brier`` only; so do those whose forecast
    has no end.
    """
    ended = held["ended"].astype(bool)
    done = held[ended].dropna(subset=["total_s_median"])
    relative = (done["total_s_median"] / done["total_s"] - 1).abs() * 100
    absolute = (done["downtime_ms_median"] - done["downtime_ms"]).abs()
    return Scores(
        runs=len(held),
        ends_right=int(((held["ends"] >= 0.5) == ended).sum()),
        brier=float(((held["ends"] - ended) ** 2).mean()) if len(held) else None,
        time_percent=_quantiles(relative),
        downtime_ms=_quantiles(absolute),
        time_covered=_covered(done, "total_s"),
        downtime_covered=_covered(done, "downtime_ms"),
    )


def reliability(held: pd.DataFrame) -> pd.DataFrame:
    """Return how often migrations ended, by the probability that was forecast.

    Returns:
        One row for each bin of probabilities that has runs: ``low`` and ``high`` (its bounds),
        ``forecast`` (the mean probability), ``ended`` (the share that ended), ``runs``.
    """
    bins = pd.cut(held["ends"], list(BINS), include_lowest=True)
    rows = [
        {
            "low": max(float(bounds.left), 0.0), "high": float(bounds.right),
            "forecast": float(part["ends"].mean()), "ended": float(part["ended"].mean()),
            "runs": len(part),
        }
        for bounds, part in held.groupby(bins, observed=True)
    ]  # fmt: skip
    return pd.DataFrame(rows, columns=["low", "high", "forecast", "ended", "runs"])


def _quantiles(errors: pd.Series) -> tuple[float, ...] | None:
    known = errors.dropna()
    if known.empty:
        return None
    return tuple(round(float(value), 2) for value in np.quantile(known, QUANTILES))


def _covered(done: pd.DataFrame, name: str) -> float | None:
    known = done.dropna(subset=[name])
    if known.empty:
        return None
    # An interval without an upper end is open: the migration may never end.
    high = known[f"{name}_high"].astype(float).fillna(np.inf)
    return float(known[name].between(known[f"{name}_low"].astype(float), high).mean())
