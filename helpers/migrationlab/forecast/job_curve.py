"""Read a dirty curve from the job statistics of a migration: each iteration is a point.

QEMU's counters give the pages that a synchronization found new: what is left, and what was sent as
normal and as pages of zeros, add up to all pages that were ever pending. Within an iteration this
sum stays the same; from one iteration to the next it rises by the pages that the guest wrote and
that were not pending already. That is D of the iteration's duration, less the pages that were
pending: a lower bound, and a close one where an iteration leaves little.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from migrationlab.errors import UsageError
from migrationlab.forecast.written import concave

if TYPE_CHECKING:
    import pandas as pd

#: Shorter iterations have no sample of the job for certain.
SHORTEST_MS = 40.0
_COLUMNS = ["iteration", "memory_remaining_bytes", "normal_pages", "constant_pages"]


def curve_of_job(job: pd.DataFrame, of: str = "the migration") -> dict[str, Any]:
    """Return the values of a :class:`DirtyCurve` from the samples of a job.

    Args:
        job: A run's frame ``job``: ``time_ns``, ``iteration``, ``memory_remaining_bytes``,
            ``normal_pages``, ``constant_pages``, ``page_size_bytes``, ``memory_total_bytes``.
        of: What the samples are of, for the error.

    Raises:
        UsageError: There are no two iterations with samples.
    """
    known = job.dropna(subset=_COLUMNS)
    known = known[(known["iteration"] >= 1) & (known["memory_remaining_bytes"] > 0)]
    numbers = sorted(int(number) for number in known["iteration"].unique())
    if len(numbers) < 2:
        raise UsageError(
            f"{of} must have samples of two iterations or more (got {len(numbers)})",
            hint="Measure the guest instead: migrationlab dirty-rate DOMAIN --on URI -o FILE",
        )
    page = int(known["page_size_bytes"].dropna().iloc[-1])
    total = int(known["memory_total_bytes"].dropna().iloc[-1]) // page
    first = known.groupby("iteration", sort=True).first()
    began = {int(number): float(at) / 1e6 for number, at in first["time_ns"].items()}
    ever = {int(number): _ever_pending(row, page) for number, row in first.iterrows()}
    points: dict[float, list[float]] = {}
    for number in numbers[:-1]:
        if number + 1 not in began:
            continue  # an iteration between two samples
        period_ms = round(began[number + 1] - began[number], 1)
        if period_ms >= SHORTEST_MS:
            new = max(ever[number + 1] - ever[number], 0.0)
            points.setdefault(period_ms, []).append(min(new, total))
    if not points:
        raise UsageError(
            f"{of} must have an iteration of {SHORTEST_MS:g} ms or more (got none)",
            hint="Measure the guest instead: migrationlab dirty-rate DOMAIN --on URI -o FILE",
        )
    periods = sorted(points)
    counts = [float(np.mean(points[period])) for period in periods]
    zero = int(known["constant_pages"].max())
    return {
        "period_ms": tuple(periods),
        # Iterations at different times see different moments of the guest: that is no error.
        "dirty_pages": tuple(concave(np.array(periods), counts).tolist()),
        "sampled_pages": total,
        "zero_pages": min(zero, total),
        "total_pages": total,
        "page_bytes": page,
    }


def _ever_pending(row: pd.Series, page: int) -> float:
    """Return the pages that were pending at any time until a sample."""
    left = float(row["memory_remaining_bytes"]) / page
    return left + float(row["normal_pages"]) + float(row["constant_pages"])
