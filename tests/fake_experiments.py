"""Make fake experiments for tests.

Their runs are the fake runs of ``tests/unit/conftest.py``. Design, schedule, folder and reading are
migrationlab's own.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from migrationlab.experiment.cells import Cell
from migrationlab.experiment.experiment import Experiment
from migrationlab.experiment.folder import RUNS, write_manifest
from migrationlab.experiment.schedule import PlannedRun
from migrationlab.runs.run import Run
from migrationlab.runs.store import save_run

MakeRun = Callable[..., Run]
#: The design that most tests use: two factors, one of numbers.
GRID: Mapping[str, Any] = {
    "question": "Is the downtime longer in peer2peer mode?",
    "name": "modes",
    "grid": {"mode": ["normal", "peer2peer"]},
    "workloads": {"dirty_mib_s": [20, 40]},
    "repeats": 8,
}


def experiment(
    folder: Path,
    make_run: MakeRun,
    *,
    outcomes: Mapping[int, str] | None = None,
    downtimes_ms: Mapping[int, float] | None = None,
    runs: int | None = None,
    **design: Any,
) -> Experiment:
    """Make an experiment, with runs, in a folder.

    Args:
        folder: The folder.
        make_run: Makes its runs.
        outcomes: The outcomes of runs, by number; the others completed.
        downtimes_ms: The downtimes of runs, by number; the others have some 300 ms, and 60 ms more
            in peer2peer mode.
        runs: How many planned runs are made; by default all.
        design: Its design; by default ``GRID``.
    """
    made = Experiment(**(design or GRID), directory=folder)
    write_manifest(folder, made.manifest)
    chance = np.random.default_rng(0)
    for planned in made.planned[:runs]:
        cell = made.design.cell(planned.cell)
        usual = 300 + (60 if cell.plan.mode == "peer2peer" else 0) + 8 * chance.standard_normal()
        run = make_run(
            mode=str(cell.plan.mode),
            number=planned.number,
            outcome=(outcomes or {}).get(planned.number, "completed"),
            downtime_ms=float((downtimes_ms or {}).get(planned.number, usual)),
            dirty_mib_s=getattr(cell.workload, "dirty_mib_s", 40.0),
        )
        save_run(_placed(run, made, cell, planned), folder / RUNS)
    return Experiment.load(folder)


def two_modes(directory: Path, **changes: Any) -> Experiment:
    """Return a new experiment of both modes with six repeats."""
    design: dict[str, Any] = {"grid": {"mode": ["normal", "peer2peer"]}, "repeats": 6, **changes}
    return Experiment("Does peer2peer take longer?", directory=directory, **design)


def _placed(run: Run, made: Experiment, cell: Cell, planned: PlannedRun) -> Run:
    sides = (run.destination, run.source) if planned.backwards else (run.source, run.destination)
    return dataclasses.replace(
        run,
        source=sides[0],
        destination=sides[1],
        experiment={
            "id": made.id,
            "name": made.name,
            "cell": cell.name,
            "setting": dict(cell.setting),
            "block": planned.block,
            "run_number": planned.number,
            "attempt": 1,
            "warm_up": False,
            "stopped": False,
        },
    )
