"""Simulate what a slower probe would have seen of a pause, from the guest's beats.

Downtime is often measured by asking a guest at a fixed interval, for example by a ping each second,
and by counting the questions without an answer. The beats arrive each millisecond, so they show
which question would have been answered: one after which a beat arrived within :data:`ANSWER_MS`.
The result depends on the moment of the first question, so every moment of an interval is tried, in
steps of :data:`STEP_MS`. The probe *reports* its lost questions times its interval.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from migrationlab.analysis.beats import in_order
from migrationlab.analysis.frames import MS, Integers, table

#: The usual intervals of probes.
INTERVALS_MS = (1000, 100, 50)
STEP_MS = 1
#: How long an answer may take. A guest that runs sends its next beat in 1 ms, with some jitter.
ANSWER_MS = 20

_COLUMNS = {"interval_ms": "int64", "starts": "int64", "unnoticed_percent": "float64"}
_COLUMNS |= {"least_ms": "int64", "median_ms": "float64", "most_ms": "int64"}


def probe_reports(
    beats: pd.DataFrame,
    start_ns: int,
    end_ns: int,
    intervals_ms: Sequence[int] = INTERVALS_MS,
) -> pd.DataFrame:
    """Return what probes of several intervals report of a time.

    Args:
        beats: The guest's beats.
        start_ns: The begin of the time.
        end_ns: The end of the time.
        intervals_ms: The probes' intervals, in ms.

    Returns:
        A row per interval: interval_ms, starts (the number of moments of a first question that
        were tried), unnoticed_percent (the share of them with which no question was lost), and
        least_ms, median_ms and most_ms (the downtime that the probe reports over all starts).
        Without beats the frame is empty.
    """
    if not len(beats):
        return table(_COLUMNS)
    arrivals, _ = in_order(beats)
    rows = []
    for interval_ms in intervals_ms:
        starts = np.arange(0, interval_ms, STEP_MS)
        lost = np.array(
            [
                len(lost_questions(arrivals, start_ns + int(ms) * MS, end_ns, interval_ms))
                for ms in starts
            ]
        )
        reported = lost * interval_ms
        rows.append(
            {
                "interval_ms": interval_ms,
                "starts": len(starts),
                "unnoticed_percent": round(float(np.mean(lost == 0)) * 100, 1),
                "least_ms": int(reported.min()),
                "median_ms": float(np.median(reported)),
                "most_ms": int(reported.max()),
            }
        )
    return table(_COLUMNS, rows)


def questions(start_ns: int, end_ns: int, interval_ms: int) -> Integers:
    """Return the moments at which a probe asks."""
    return np.arange(start_ns, end_ns, interval_ms * MS, dtype=np.int64)


def lost_questions(arrivals: Integers, start_ns: int, end_ns: int, interval_ms: int) -> Integers:
    """Return the moments of the questions that no beat answered in time."""
    asked = questions(start_ns, end_ns, interval_ms)
    after = np.searchsorted(arrivals, asked)
    # After the last beat nothing is known, so those questions count as answered.
    known = after < len(arrivals)
    asked, after = asked[known], after[known]
    lost: Integers = asked[arrivals[after] - asked > ANSWER_MS * MS]
    return lost
