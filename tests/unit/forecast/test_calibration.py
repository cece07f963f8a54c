"""Constants that are fitted to runs."""

from __future__ import annotations

import dataclasses
from functools import cache

import numpy as np
import pytest

from migrationlab import load_runs
from migrationlab.errors import UsageError
from migrationlab.forecast import calibration
from migrationlab.forecast.calibration import LEAST, calibrate, read_constants
from migrationlab.forecast.case import Constants
from migrationlab.forecast.run_inputs import compare, inputs_of
from migrationlab.runs.run import Run
from paths import DATA


@cache
def compressed_runs() -> tuple[Run, ...]:
    """Return recorded runs with zlib: on two processors it is slower than the wire."""
    runs = load_runs(DATA / "experiments" / "content" / "runs")
    return tuple(run for run in runs if run.plan.compression == ("zlib",))


def test_speed_of_the_compressor_is_fitted_to_compressed_runs() -> None:
    """With it half of the times are too long and half too short, whatever speed it began with."""
    runs = compressed_runs()
    fitted = calibrate(runs)
    assert fitted.counts["compressor_speed"] >= LEAST
    held = compare(runs, constants=dataclasses.replace(fitted.constants, time_spread=0.0))
    off = (held["total_s"] / held["total_s_median"] - 1).median()
    assert abs(off) < 0.03


def test_fast_compressor_ends_sooner() -> None:
    """The constant multiplies the speed of the rule for guests of the lab."""
    given = next(filter(None, map(inputs_of, compressed_runs())))
    times = [
        given.forecast(Constants(compressor_speed=speed), draws=0).total_s.median
        for speed in (0.5, 1.0, 2.0)
    ]
    assert times == sorted(times, reverse=True)
    assert np.diff(times).max() < -0.1
    assert given.forecast(None, draws=0).total_s.median == times[1]


def test_too_few_compressed_runs_keep_the_default() -> None:
    """Two runs say nothing about a constant."""
    fitted = calibrate(compressed_runs()[: LEAST - 1] + plain_runs())
    assert fitted.counts["compressor_speed"] == 0
    assert fitted.constants.compressor_speed == 1.0


def test_compressor_that_is_faster_than_the_link_is_known_to_be_faster() -> None:
    """Such runs count, although with the fitted speed the link is their limit."""
    slow = Constants(compressor_speed=0.3)
    assert all(calibration._is_limited(run, slow) for run in fast_runs())
    assert not any(calibration._is_limited(run, Constants()) for run in fast_runs())
    speed, _, count = calibration._compressor(fast_runs(), slow)
    assert count == len(fast_runs())
    assert speed > 0.5


@cache
def fast_runs() -> list[Run]:
    """Return recorded runs with zstd, of which the wire is the limit."""
    runs = load_runs(DATA / "experiments" / "content" / "runs")
    return [
        run
        for run in runs
        if run.plan.compression == ("zstd",) and run.guest["incompressible"] == 0.5
    ]


@cache
def plain_runs() -> tuple[Run, ...]:
    """Return recorded runs without compression."""
    return tuple(load_runs(DATA / "experiments" / "modes" / "runs"))[:LEAST]


@pytest.mark.parametrize("name", ["look_s", "zero_pages_per_s", "compressor_speed"])
def test_divisor_of_zero_is_refused(name: str) -> None:
    """The message names the constant."""
    with pytest.raises(UsageError, match=rf"{name} must be more than 0 \(got 0\)"):
        read_constants(f'{{"{name}": 0}}')


def test_downtime_of_switches_is_fitted_without_the_buffers() -> None:
    """So it is the same over every wire: the fitted constant is less than any downtime."""
    runs = [run for run in load_runs(DATA / "experiments" / "fixes" / "runs") if run.plan.postcopy]
    found = calibrate(runs)
    assert found.counts["postcopy_s"] == len(runs)
    downtimes = [run.summary()["downtime_event_ms"] for run in runs]
    held = compare(runs, constants=found.constants)
    assert 1000 * found.constants.postcopy_s < min(downtimes) / 2
    assert (held["downtime_ms_median"] - held["downtime_ms"]).abs().max() < 15
