"""Made-up experiments, for the tests of what is done with experiments.

Their runs are the made-up ones of ``tests/unit/conftest.py``; design, schedule, folder and reading
are the kit's own.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from migrationlab.experiment import folder as files
from migrationlab.experiment.design import Cell
from migrationlab.experiment.experiment import Experiment
from migrationlab.experiment.schedule import Trial
from migrationlab.runs.run import Run
from migrationlab.runs.store import save_run

MakeRun = Callable[..., Run]
#: The design that most tests use: two factors, one of numbers.
GRID: Mapping[str, Any] = {
    "question": "Does the guest stand still for longer in peer2peer mode?",
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
    trials: int | None = None,
    **design: Any,
) -> Experiment:
    """Make an experiment, with runs, in a folder.

    Args:
        folder: Where.
        make_run: Makes its runs.
        outcomes: How the trials of these numbers ended; the others completed.
        downtimes_ms: The downtimes of the trials of these numbers; others have some 300 ms, 60 ms
            more in peer2peer mode.
        trials: How many trials were made; by default all.
        design: What its design is to be; by default ``GRID``.
    """
    made = Experiment(**(design or GRID), directory=folder)
    files.write_head(folder, made.head)
    chance = np.random.default_rng(0)
    for trial in made.trials[:trials]:
        cell = made.design.cell(trial.cell)
        usual = 300 + (60 if cell.plan.mode == "peer2peer" else 0) + 8 * chance.standard_normal()
        run = make_run(
            mode=str(cell.plan.mode),
            number=trial.number,
            outcome=(outcomes or {}).get(trial.number, "completed"),
            downtime_ms=float((downtimes_ms or {}).get(trial.number, usual)),
            dirty_mib_s=getattr(cell.workload, "dirty_mib_s", 40.0),
        )
        save_run(_placed(run, made, cell, trial), folder / files.RUNS)
    return Experiment.load(folder)


def _placed(run: Run, made: Experiment, cell: Cell, trial: Trial) -> Run:
    sides = (run.destination, run.source) if trial.backwards else (run.source, run.destination)
    return dataclasses.replace(
        run,
        source=sides[0],
        destination=sides[1],
        experiment={
            "id": made.id,
            "name": made.name,
            "cell": cell.name,
            "setting": dict(cell.setting),
            "block": trial.block,
            "run_number": trial.number,
            "attempt": 1,
            "warm_up": False,
            "stopped": False,
        },
    )
