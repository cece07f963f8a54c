"""Scores of forecasts, by hand."""

from __future__ import annotations

import pandas as pd
import pytest

from migrationlab.forecast.scores import reliability, score

#: Two that ended as forecast, one that did not although it was thought likely.
HELD = pd.DataFrame(
    {
        "ends": [1.0, 0.9, 0.7], "ended": [True, True, False],
        "total_s": [10.0, 20.0, None], "total_s_median": [11.0, 20.0, 5.0],
        "total_s_low": [9.0, 20.5, 4.0], "total_s_high": [12.0, None, 6.0],
        "downtime_ms": [300.0, 310.0, None], "downtime_ms_median": [290.0, 300.0, 300.0],
        "downtime_ms_low": [250.0, 320.0, 1.0], "downtime_ms_high": [350.0, 350.0, 2.0],
    }
)  # fmt: skip


def test_scores_equal_those_by_hand() -> None:
    """Only runs that ended have errors; an interval without an upper end is open."""
    found = score(HELD)
    assert (found.runs, found.ends_right) == (3, 2)
    assert found.brier == pytest.approx((0 + 0.01 + 0.49) / 3)
    assert found.time_percent == pytest.approx((5.0, 9.0, 10.0))
    assert found.downtime_ms == pytest.approx((10.0, 10.0, 10.0))
    assert (found.time_covered, found.downtime_covered) == (0.5, 0.5)


def test_reliability_has_the_share_that_ended() -> None:
    """One row for each bin with runs."""
    found = reliability(HELD)
    assert found["runs"].tolist() == [1, 1, 1]
    assert found["ended"].tolist() == [0.0, 1.0, 1.0]
    assert found["forecast"].tolist() == pytest.approx([0.7, 0.9, 1.0])


def test_nothing_has_no_scores() -> None:
    """An experiment whose runs all failed has no errors."""
    found = score(HELD[:0])
    assert (found.runs, found.brier, found.time_percent, found.time_covered) == (
        0,
        None,
        None,
        None,
    )
