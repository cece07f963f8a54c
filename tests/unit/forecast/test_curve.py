"""Dirty curves: made by rule, from points, from runs; and what cannot be one."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import isotonic_regression

from migrationlab import load_runs
from migrationlab.errors import UsageError
from migrationlab.forecast.curve import MIB, DirtyCurve
from migrationlab.forecast.written import concave
from migrationlab.runs.run import Run
from paths import DATA

POINTS: dict[str, Any] = {
    "period_ms": [100, 500, 1000], "dirty_pages": [40, 90, 120], "sampled_pages": 512,
    "zero_pages": 100, "total_pages": 262144, "page_bytes": 4096,
}  # fmt: skip


def mib(curve: DirtyCurve, seconds: float) -> float:
    """Return D(t) in MiB."""
    return curve.written()(seconds) * curve.page_bytes / MIB


def test_sequential_curve_is_a_line_to_the_working_set() -> None:
    """40 MiB/s in 64 MiB: 20 MiB in half a second, never more than 64."""
    curve = DirtyCurve.constant(40, 64)
    assert [mib(curve, t) for t in (0, 0.5, 1.6, 100)] == pytest.approx([0, 20, 64, 64])


@given(st.floats(0.01, 20))
def test_random_curve_is_the_expected_number_of_different_pages(seconds: float) -> None:
    """W (1 - exp(-r t / W)), to 2 % of W."""
    exact = 64 * (1 - math.exp(-40 * seconds / 64))
    assert mib(DirtyCurve.constant(40, 64, "random"), seconds) == pytest.approx(exact, abs=1.3)


def test_points_are_joined_by_lines_from_zero() -> None:
    """Counts of the sample are scaled to the guest; beyond the end the last slope goes on."""
    written = DirtyCurve.from_points(**POINTS).written()
    scale = 262144 / 512
    assert written(0.05) == pytest.approx(20 * scale)
    assert written(0.3) == pytest.approx(65 * scale)
    assert written(2.0) == pytest.approx(180 * scale)
    assert written(1000) == pytest.approx(412 * scale)  # the pages that are not zero


def test_sequence_writes_other_pages_until_it_comes_back() -> None:
    """In a quarter of the cycle none again; in a whole one all."""
    written = DirtyCurve.constant(40, 64).written()
    assert written.beyond(1000, 0.4) == pytest.approx(4096)
    assert written.beyond(16384, 3.2) <= 16384


@given(st.floats(0, 1), st.floats(0.01, 5))
def test_random_writer_hits_the_rest_like_any_page(share: float, seconds: float) -> None:
    """The share written again is that of the working set, to 2 % of it."""
    written = DirtyCurve.constant(40, 64, "random").written()
    once = written(seconds)
    rest = share * once / 2
    expected = once - rest * once / 16384
    assert written.beyond(rest, seconds) == pytest.approx(expected, abs=330)


def test_noise_of_a_sample_is_pooled() -> None:
    """A count that falls by less than the sample's noise is no error, and D does not fall."""
    curve = DirtyCurve.from_points(**POINTS | {"dirty_pages": [40, 92, 90]})
    assert curve.written()(1.0) >= curve.written()(0.5)


@given(
    st.lists(
        st.tuples(st.floats(0.01, 9), st.floats(-9, 9, allow_subnormal=False)),
        min_size=1,
        max_size=9,
    )
)
def test_pooled_slopes_are_those_of_scipy(steps: list[tuple[float, float]]) -> None:
    """They are the nearest slopes that never rise."""
    times, slopes = np.array(steps).T
    theirs = isotonic_regression(slopes, weights=times, increasing=False).x
    counts = concave(np.cumsum(times), np.cumsum(slopes * times))
    assert counts == pytest.approx(np.cumsum(np.maximum(theirs, 0) * times), abs=1e-6)


def test_counts_rounded_to_pages_are_no_error() -> None:
    """A line of whole pages bends upwards by a page, in a sample of all pages too."""
    curve = DirtyCurve.from_points([100, 200, 300], [33, 67, 100], 1000, 1000)
    assert curve.written()(0.3) == pytest.approx(100)


def test_json_keeps_every_value() -> None:
    """A curve read from its own JSON is the same."""
    curve = DirtyCurve.from_points(**POINTS)
    assert json.loads(curve.to_json()) == POINTS
    assert DirtyCurve.from_json(curve.to_json()) == curve


def test_names_of_qemu_are_understood() -> None:
    """The proposed answer of QEMU has the same numbers under other names."""
    theirs = {
        "periods": [100, 500, 1000], "n-dirty-pages": [40, 90, 120], "n-sampled-pages": 512,
        "n-zero-pages": 100, "n-total-pages": 262144, "page-size": 4096, "status": "measured",
    }  # fmt: skip
    assert DirtyCurve.from_json(json.dumps(theirs)) == DirtyCurve.from_points(**POINTS)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"period_ms": [], "dirty_pages": []}, "period_ms must have at least one point"),
        ({"dirty_pages": [40, 90]}, "dirty_pages must have one count for each of the 3 periods"),
        ({"dirty_pages": [300, 90, 120]}, "must not fall with time (got 300 within 100 ms"),
        ({"dirty_pages": [1, 2, 400]}, "dirty_pages must be concave"),
        ({"dirty_pages": [40, 90, 600]}, "at most sampled_pages, 512 (got 600)"),
        ({"zero_pages": 513}, "zero_pages must be at most sampled_pages"),
        ({"sampled_pages": 300000}, "sampled_pages must be at most total_pages, 262144"),
        ({"sampled_pages": 0}, "sampled_pages must be a whole number of at least 1 (got '0')"),
        ({"page_bytes": 4000}, "page_bytes must be a power of two"),
        ({"period_ms": [100, 100, 200]}, "period_ms must rise from above 0 (got 100 after 100)"),
        ({"period_ms": [0, 100, 200]}, "period_ms must rise from above 0 (got 0 after 0)"),
        ({"period_ms": [100, math.nan, 200]}, "each of period_ms must be a number"),
        ({"dirty_pages": [40, -1, 120]}, "each of dirty_pages must be a number"),
        ({"dirty_pages": ["1", 2, 3]}, "each of dirty_pages must be a number"),
    ],
)
def test_impossible_points_are_refused(changed: dict[str, Any], said: str) -> None:
    """The error names the value, and has a hint."""
    with pytest.raises(UsageError) as raised:
        DirtyCurve.from_points(**POINTS | changed)
    assert said in str(raised.value)
    assert raised.value.hint


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ((-1, 64), "rate_mib_s must be a number from 0"),
        ((40, 0), "working_set_mib must be a number from"),
        ((40, math.inf), "working_set_mib must be a number from"),
        ((40, 64, "zigzag"), "pattern must be 'sequential' or 'random' (got 'zigzag')"),
    ],
)
def test_impossible_constants_are_refused(values: tuple[Any, ...], said: str) -> None:
    """The error names the value."""
    with pytest.raises(UsageError) as raised:
        DirtyCurve.constant(*values)
    assert said in str(raised.value)


def test_memory_smaller_than_the_working_set_is_refused() -> None:
    """The error names both."""
    with pytest.raises(UsageError, match=r"at least the working set of 64 MiB \(got 32\)"):
        DirtyCurve.constant(40, 64, memory_mib=32)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "the curve must be JSON"),
        ("[1]", "the curve must be a JSON object (got list)"),
        ('{"period_ms": [1]}', "got no dirty_pages, sampled_pages"),
        (json.dumps(POINTS | {"total_pages": None}), "total_pages must be a whole number"),
    ],
)
def test_other_json_is_refused(text: str, said: str) -> None:
    """The error says what is missing."""
    with pytest.raises(UsageError) as raised:
        DirtyCurve.from_json(text)
    assert said in str(raised.value)


def recorded(dirty_mib_s: float, wire_mbit_s: float) -> Run:
    """Return a recorded run of the experiment `convergence`."""
    return next(
        run for run in load_runs(DATA / "experiments" / "convergence" / "runs")
        if run.wire is not None and run.wire["rate_mbit_s"] == wire_mbit_s
        and run.guest["dirty_mib_s"] == dirty_mib_s
    )  # fmt: skip


def test_curve_of_a_run_is_what_its_guest_wrote() -> None:
    """A guest that wrote 20 MiB/s: each point within 15 % of 20 MiB/s, or of the working set."""
    curve = DirtyCurve.from_run(recorded(20, 250))
    assert len(curve.period_ms) >= 5
    for period_ms in curve.period_ms:
        expected = min(20 * period_ms / 1000, 64)
        assert mib(curve, period_ms / 1000) == pytest.approx(expected, rel=0.15)


def test_run_without_iterations_has_no_curve() -> None:
    """The error names the run, and says how to measure instead."""
    with pytest.raises(UsageError, match="must have samples of two iterations or more") as raised:
        DirtyCurve.from_run(recorded(20, 1000))
    assert "migrationlab dirty-rate" in raised.value.hint


def test_repr_is_one_line() -> None:
    """It says how many points, the rate, and the working set."""
    assert repr(DirtyCurve.constant(40, 64)) == (
        "DirtyCurve(2 points to 3.2 s, 40.0 MiB/s within 1600 ms, 64 MiB written at most)"
    )
