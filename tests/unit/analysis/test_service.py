"""What clients of a service noticed: latencies from due times, gaps between answers, recovery."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest

from migrationlab.analysis.downtimes import COLUMNS, with_service
from migrationlab.analysis.service import percentile, reached_before, service_view
from migrationlab.analysis.switchover import Moments
from migrationlab.runs.schema import frame

MS = 1_000_000
START = 1_800_000_000_000 * MS
#: A request each 2 ms from 2 s before the call on; the guest is paused from 1,000 to 1,300 ms.
CALLED, STOPPED, RESUMED, RETURNED, END = 0, 1000, 1300, 1500, 3000


def at(ms: float) -> int:
    """Return a moment, in ms after the call."""
    return START + round(ms * MS)


def moments(**changes: Any) -> Moments:
    """Return the moments of the migration."""
    known = {
        "called_ns": at(CALLED),
        "returned_ns": at(RETURNED),
        "active_ns": at(100),
        "completed_ns": at(1290),
        "stop_ns": at(STOPPED),
        "resume_ns": at(RESUMED),
        "postcopy_ns": None,
    }
    return Moments(**(known | changes))


def requests(took: Callable[[float], float | None]) -> pd.DataFrame:
    """Return a request each 2 ms; ``took`` gives the latency of the one due at a moment, in ms."""
    rows = []
    for ms in np.arange(-2000.0, END, 2.0):
        latency = took(ms)
        rows.append(
            {
                "due_ns": at(ms),
                "sent_ns": at(ms),
                "answered_ns": None if latency is None else at(ms + latency),
                "connection": 0,
                "attempts": 1,
                "error": "",
            }
        )
    return frame("requests", rows)


def paused(ms: float) -> float:
    """Answer within 1 ms; a request that meets the pause, 20 ms after the guest runs again."""
    return RESUMED + 20 - ms if STOPPED <= ms < RESUMED + 20 else 1.0


def test_latency_counts_from_the_moment_when_a_request_was_due() -> None:
    """Every request of the pause has a long latency, not only the one that was under way."""
    view = service_view(requests(paused), moments())
    during = view.parts.set_index("part").loc["during"]
    assert during["max_ms"] == 320
    assert during["p50_ms"] == 1
    # 160 of the 750 requests of the call were due in the pause.
    assert during["p99_ms"] == pytest.approx(320 * 0.954, abs=4)
    assert during["requests"] == 750
    assert during["requests_s"] == 500


def test_service_downtime_is_the_longest_time_without_an_answer() -> None:
    """It lasts from the last answer before the pause to the first one after it."""
    view = service_view(requests(paused), moments())
    assert view.gap_from_ns == at(998 + 1)
    assert view.gap_until_ns == at(RESUMED + 20)
    assert view.downtime_service_ms == 321
    assert view.low_ms == 319


def test_service_is_a_row_of_the_downtimes() -> None:
    """The row has the gap with its bounds; without requests there is no such row."""
    found = pd.DataFrame(columns=list(COLUMNS)).astype({"downtime_ms": "float64"})
    (row,) = with_service(found, service_view(requests(paused), moments())).itertuples()
    assert (row.kind, row.downtime_ms, row.low_ms, row.high_ms) == ("service", 321, 319, 321)
    assert (row.resolution_ms, row.reason) == (2, "")
    none = service_view(frame("requests", ()), moments())
    assert not len(with_service(found, none))


def test_longer_gap_elsewhere_is_not_the_downtime() -> None:
    """A silence of the service long before the switchover is not the migration's downtime."""

    def slow(ms: float) -> float:
        return -1000 - ms if -1800 <= ms < -1000 else paused(ms)

    assert service_view(requests(slow), moments()).downtime_service_ms == 321


def test_recovery_ends_when_a_tenth_at_most_is_slow() -> None:
    """Latency is normal from the first 100 ms with nine requests of ten as quick as before."""

    def slow(ms: float) -> float:
        return 5.0 if RESUMED + 20 <= ms < RESUMED + 200 else paused(ms)

    view = service_view(requests(slow), moments())
    assert view.recovery_ms == pytest.approx(190, abs=2)


def test_recovery_is_unknown_if_latency_stays_high() -> None:
    """A service that stays slow until the recording ends has no time of recovery."""
    view = service_view(requests(lambda ms: 5.0 if ms > RESUMED else paused(ms)), moments())
    assert view.recovery_ms is None


def test_failed_requests_count_as_slower_than_all_others() -> None:
    """Where more than 1 % failed, p99 is not known; the median is."""
    view = service_view(requests(lambda ms: None if STOPPED <= ms < RESUMED else 1.0), moments())
    during = view.parts.set_index("part").loc["during"]
    assert during["failed"] == view.failed == 150
    assert during["p50_ms"] == 1
    assert np.isnan(during["p99_ms"])
    assert np.isnan(during["max_ms"])


def test_percentile_needs_a_request_beyond_it() -> None:
    """The p99.9 of fewer than 1,000 requests is not known."""
    assert np.isnan(percentile(np.ones(999), 0.999))
    assert percentile(np.ones(1000), 0.999) == 1
    assert percentile(np.array([1.0, 2.0, 3.0, np.inf]), 0.5) == 2


def test_a_rate_that_the_service_cannot_reach_is_told() -> None:
    """The note has both rates: the one that was due, and the one that was answered."""
    # Each request takes 4 ms, so half of them can be answered.
    view = service_view(requests(lambda ms: (ms + 2000) + 4), moments())
    assert "500 requests/s were due before the call, and 250 requests/s" in view.notes[-1]


def test_nothing_is_known_without_requests() -> None:
    """A run without a service has a view of empty frames."""
    view = service_view(frame("requests", ()), moments())
    assert (len(view.parts), len(view.latency), view.downtime_service_ms) == (0, 0, None)
    assert repr(view) == "ServiceView(0 requests, ? ms without an answer)"
    assert reached_before(frame("requests", ()), at(0)) is None


def test_a_gap_without_an_end_is_not_measured() -> None:
    """A service that never answers again has no downtime, and a note says so."""
    view = service_view(requests(lambda ms: None if ms > STOPPED else 1.0), moments())
    assert view.downtime_service_ms is None
    assert "Nothing arrived from the service after it ran again." in view.notes
