"""Make frames, and read the growth of counters and the length of spans from them."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping

import numpy as np
import numpy.typing as npt
import pandas as pd

MS = 1_000_000

Integers = npt.NDArray[np.int64]
Numbers = npt.NDArray[np.float64]


def table(columns: Mapping[str, str], rows: Iterable[object] = ()) -> pd.DataFrame:
    """Return rows (tuples or mappings) as a frame with these columns and types."""
    given = list(rows)
    if not given:  # most tables of most runs: a copy takes a tenth of the time
        return _empty(tuple(columns.items())).copy()
    return pd.DataFrame(given, columns=list(columns)).astype(dict(columns))


@functools.cache
def _empty(columns: tuple[tuple[str, str], ...]) -> pd.DataFrame:
    return pd.DataFrame([], columns=[name for name, _ in columns]).astype(dict(columns))


def integers(column: pd.Series) -> Integers:
    """Return a column as integers: a float does not hold such a time to the nanosecond."""
    values: Integers = column.to_numpy(dtype=np.int64)
    return values


def span_ms(start_ns: int | None, end_ns: int | None) -> float | None:
    """Return the milliseconds between two moments; None if one of them is unknown."""
    return None if start_ns is None or end_ns is None else round((end_ns - start_ns) / MS, 3)


def durations(frame: pd.DataFrame) -> Numbers:
    """Return the milliseconds from start_ns to end_ns; NaN if they are not known."""
    spans = (frame["end_ns"] - frame["start_ns"]).astype("Float64")
    known: Numbers = (spans / MS).to_numpy(dtype=np.float64, na_value=np.nan)
    return known.round(3)


def growth(frame: pd.DataFrame, until_ns: int, *columns: str) -> int | None:
    """Return the growth of counters; None if they were not read until a moment."""
    if len(frame) < 2 or int(frame["time_ns"].iloc[-1]) < until_ns:
        return None
    ends = frame[list(columns)].iloc[[0, -1]]
    return None if ends.isna().to_numpy().any() else int((ends.iloc[1] - ends.iloc[0]).sum())
