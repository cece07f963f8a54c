"""Figures of forecasts and dirty curves: what their titles claim, and what is drawn."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from migrationlab import plots
from migrationlab.errors import UsageError
from migrationlab.forecast import DirtyCurve, forecast
from migrationlab.plan.plan import Plan

BUSY = DirtyCurve.constant(80, 64, memory_mib=256)
MEASURED = DirtyCurve.from_points([1000, 2000, 4000], [60, 100, 150], 2048, 1_048_576, 400)
#: 57 MiB/s of memory.
LINK_MBIT_S = 478


def test_dirty_curve_has_its_measured_points() -> None:
    """Each measured time is a point, in MiB of the whole guest."""
    drawn = plots.dirty_curve(MEASURED)
    line, points = drawn.figure.axes[0].lines
    assert np.asarray(points.get_xydata()).tolist() == [[1, 120], [2, 200], [4, 300]]
    assert np.asarray(line.get_xydata())[:, 1].max() >= 300
    assert drawn.title == "Within 4 s the guest writes 300 MiB of different pages"
    assert drawn.title in drawn.alt


def test_link_is_a_line_from_zero() -> None:
    """The link sends as much in each second."""
    *_, link = plots.dirty_curve(BUSY, link_mib_s=57).figure.axes[0].lines
    seconds, sent = np.asarray(link.get_xydata()).T
    assert sent[0] == 0
    assert sent[-1] == pytest.approx(57 * seconds[-1])


@pytest.mark.parametrize("link_mib_s", [0, -1, float("nan"), float("inf")])
def test_impossible_link_is_refused(link_mib_s: float) -> None:
    """A link that carries nothing, or everything, cannot be drawn."""
    with pytest.raises(UsageError, match="link_mib_s must be more than 0"):
        plots.dirty_curve(BUSY, link_mib_s=link_mib_s)


def test_idle_guest_can_be_drawn() -> None:
    """A guest that writes nothing has a flat curve."""
    assert "writes 0 MiB" in plots.dirty_curve(DirtyCurve.constant(0, 64, memory_mib=256)).title


def test_forecast_of_an_end_shows_the_pause() -> None:
    """The title has total time and downtime; the legend names the pause and the interval."""
    told = forecast(Plan(max_downtime_ms=1500), BUSY, bandwidth_mbit_s=LINK_MBIT_S)
    drawn = plots.forecast(told)
    assert f"It takes {told.total_s.median:.1f} s" in drawn.title
    legend = drawn.figure.axes[0].get_legend()
    assert legend is not None
    assert {text.get_text() for text in legend.get_texts()} == {
        "guest runs", "guest is paused", "its end, 90 %",
    }  # fmt: skip


def test_forecast_without_an_end_says_so() -> None:
    """A migration that does not end is drawn too, and its title says it."""
    told = forecast(Plan(max_downtime_ms=300), BUSY, bandwidth_mbit_s=LINK_MBIT_S)
    drawn = plots.forecast(told)
    assert drawn.title.startswith("It does not end")
    assert "probability that it ends is 0%" in drawn.alt


def test_calibration_names_how_many_ended_as_forecast() -> None:
    """Its text for readers who cannot see it has the errors and the coverage."""
    held = pd.DataFrame(
        {
            "kind": ["plain", "post-copy"], "ends": [1.0, 0.1], "ended": [True, False],
            "total_s": [2.0, None], "total_s_low": [1.8, None], "total_s_median": [1.9, None],
            "total_s_high": [2.1, None], "downtime_ms": [300.0, None],
            "downtime_ms_low": [250.0, None], "downtime_ms_median": [310.0, None],
            "downtime_ms_high": [350.0, None],
        }
    )  # fmt: skip
    drawn = plots.calibration(held)
    assert drawn.title == "2 of 2 migrations ended, or did not, as forecast"
    assert "off by 5.0 % (median), 100% lie in their interval" in drawn.alt
    with pytest.raises(UsageError, match="must have runs"):
        plots.calibration(held[:0])
