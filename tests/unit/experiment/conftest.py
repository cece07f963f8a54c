"""Fake experiments on disk, for the tests of this folder."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fake_experiments import two_modes
from migrationlab.experiment import folder
from migrationlab.experiment.experiment import Experiment
from migrationlab.runs.run import Run
from migrationlab.runs.store import save_run

Keep = Callable[..., Run]


@pytest.fixture(scope="session")
def keep(make_run: Callable[..., Run]) -> Keep:
    """Return a function that writes a fake run of an experiment to its folder."""

    def kept(
        experiment: Experiment,
        number: int | None,
        *,
        cell: str | None = None,
        attempt: int = 1,
        stopped: bool = False,
        serial: int = 0,
        place: Any = ...,
        **fields: Any,
    ) -> Run:
        folder.write_manifest(experiment.directory, experiment.manifest)
        planned = {one.number: one for one in experiment.planned}
        name = cell or (planned[number].cell if number else experiment.cells[0].name)
        own = {
            "id": experiment.id, "name": experiment.name, "cell": name,
            "setting": dict(experiment.design.cell(name).setting),
            "block": planned[number].block if number else None, "run_number": number,
            "attempt": attempt, "warm_up": number is None, "stopped": stopped,
        }  # fmt: skip
        mode = str(experiment.design.cell(name).plan.mode)
        run = make_run(mode=mode, number=serial or 10 + (number or 0), **fields)
        around = run.environment | {"load_1min": 0.5}
        run = replace(run, environment=around, experiment=own if place is ... else place)
        save_run(run, experiment.directory / "runs")
        return run

    return kept


@pytest.fixture(scope="session")
def whole(tmp_path_factory: pytest.TempPathFactory, keep: Keep) -> Path:
    """Return the folder of an experiment with all of its runs."""
    experiment = two_modes(tmp_path_factory.mktemp("whole"))
    for planned in experiment.planned:
        longer = 100 if planned.cell == "mode=peer2peer" else 0
        keep(experiment, planned.number, downtime_ms=300.0 + longer + planned.block)
    return experiment.directory


@pytest.fixture
def done(whole: Path, tmp_path: Path) -> Experiment:
    """Return a copy of the experiment that a test can change: peer2peer has 100 ms more."""
    shutil.copytree(whole, tmp_path, dirs_exist_ok=True)
    return Experiment.load(tmp_path)
