"""Forecasts that are stored before an experiment's runs, and never changed."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Self

import pytest

from fake_experiments import two_modes
from migrationlab.errors import StoreError, UsageError
from migrationlab.experiment import forecasts
from migrationlab.experiment.experiment import Experiment
from migrationlab.experiment.folder import read_starts, record_start
from migrationlab.plan.plan import Plan
from migrationlab.runs.run import Run
from paths import DATA

EARLY = datetime(2026, 1, 1, tzinfo=UTC)


class Early(datetime):
    """A clock that shows a time before all fake runs."""

    @classmethod
    def now(cls, tz: object = None) -> Self:
        """Return that time."""
        return cls.fromisoformat(EARLY.isoformat())


def test_forecasts_are_compared_with_the_runs(
    tmp_path: Path, keep: Callable[..., Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each run that counts has a row with the forecast of its cell."""
    experiment = two_modes(tmp_path, repeats=1)
    monkeypatch.setattr(forecasts, "datetime", Early)
    told = forecasts.store_forecasts(experiment, draws=3)
    assert told.cells.keys() == {cell.name for cell in experiment.cells}
    for number in (1, 2):
        keep(experiment, number)
    held = forecasts.held_forecasts(experiment)
    assert sorted(held["cell"]) == sorted(told.cells)
    first = held.iloc[0]
    assert first["total_s_median"] == told.cells[first["cell"]]["total_s"]["median"]


def test_run_older_than_the_forecasts_is_refused(tmp_path: Path, keep: Callable[..., Run]) -> None:
    """What was forecast afterwards is no forecast."""
    experiment = two_modes(tmp_path, repeats=1)
    forecasts.store_forecasts(experiment, draws=0)
    keep(experiment, 1)
    with pytest.raises(StoreError, match="must have begun after the forecasts were stored"):
        forecasts.held_forecasts(experiment)


def test_forecasts_are_stored_once(tmp_path: Path) -> None:
    """A second time would change them."""
    experiment = two_modes(tmp_path, repeats=1)
    forecasts.store_forecasts(experiment, draws=0)
    with pytest.raises(UsageError, match="must be stored once"):
        forecasts.store_forecasts(experiment, draws=0)


def test_begun_experiment_gets_no_forecasts(tmp_path: Path) -> None:
    """Even if the run that began left no result."""
    experiment = two_modes(tmp_path, repeats=1)
    record_start(tmp_path, 1)
    with pytest.raises(UsageError, match="before the first run"):
        forecasts.store_forecasts(experiment, draws=0)


def test_changed_forecasts_are_refused(tmp_path: Path) -> None:
    """The checksum is that of the whole content."""
    forecasts.store_forecasts(two_modes(tmp_path, repeats=1), draws=0)
    path = tmp_path / forecasts.FILE
    content = json.loads(path.read_text(encoding="utf-8"))
    content["cells"]["mode=normal"]["forecast"]["total_s"]["median"] += 0.1
    path.write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(StoreError, match="as it was written"):
        forecasts.read_forecasts(tmp_path)


def test_unknown_rate_has_no_forecast(tmp_path: Path) -> None:
    """A guest that writes all it can must be measured first."""
    experiment = two_modes(tmp_path, workloads={"dirty_mib_s": "max"})
    with pytest.raises(UsageError, match="known rate of writing"):
        forecasts.store_forecasts(experiment)


def test_plan_with_policy_options_is_stored(tmp_path: Path) -> None:
    """A policy's options are a table of plain values in the file."""
    plans = {
        "nova": Plan(policy="nova", policy_options={"downtime_delay_s": 3}, deadline_s=5),
        "libvirt": Plan(policy="libvirt", deadline_s=5),
    }
    experiment = Experiment("Which?", plans=plans, wires={"wire_mbit_s": 1000}, directory=tmp_path)
    told = forecasts.store_forecasts(experiment, draws=0)
    assert told.inputs["nova"]["plan"]["policy_options"] == {"downtime_delay_s": 3}


def test_recorded_forecasts_are_older_than_the_first_start() -> None:
    """The committed file is as it was written, before any run of its experiment began."""
    folder = DATA / "experiments" / "calibration"
    first = datetime.fromisoformat(read_starts(folder)[0].at)
    told = forecasts.read_forecasts(folder)
    assert told.stored_at < first
    assert len(told.cells) == 32
