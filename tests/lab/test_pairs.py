"""Two labs share one experiment under one scheduler, and a worker is killed in the middle."""

from __future__ import annotations

import os
import signal
from collections import Counter
from pathlib import Path

import pytest
from distributed import Client, LocalCluster

from migrationlab.experiment.experiment import Experiment
from migrationlab.experiment.inventory import labs
from migrationlab.runs.run import Outcome
from migrationlab.steps import Step

pytestmark = [pytest.mark.lab, pytest.mark.thorough, pytest.mark.filterwarnings("default")]


def test_killed_worker_costs_one_attempt_and_the_result_is_whole(tmp_path: Path) -> None:
    """Each planned run is there once; the lost one is a second attempt, on the next worker."""
    experiment = Experiment(
        "Does peer2peer take longer?",
        grid={"mode": ["normal", "peer2peer"]},
        workloads={"memory_mib": 128, "working_set_mib": 16, "dirty_mib_s": 5},
        repeats=4,
        directory=tmp_path,
    )
    steps: list[Step] = []
    killed: list[int] = []
    with (
        LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster,
        Client(cluster) as client,
    ):
        pids = client.run(os.getpid)

        def on_step(step: Step) -> None:
            steps.append(step)
            made = len(list((tmp_path / "runs").glob("*/run.json")))
            if made >= 2 and not killed:
                killed.append(next(iter(pids.values())))
                os.kill(killed[0], signal.SIGKILL)

        experiment.run(pairs=labs(2), client=client, on_step=on_step)
    assert killed
    again = Experiment.load(tmp_path)
    assert again.finished
    numbers = Counter((run.experiment or {})["run_number"] for run in again.runs)
    assert numbers == dict.fromkeys(range(1, 9), 1)
    assert all(run.outcome is Outcome.COMPLETED for run in again.runs)
    frame = again.frame()
    assert set(frame["pair"]) == {"lab-1", "lab-2"}
    # The start of the lost run is counted, and nothing was repeated in silence.
    assert again.cut_short == 1
    assert sorted(frame["attempt"]) == [1] * 7 + [2]
    lost = [step for step in steps if "made again as a new attempt" in step.detail]
    assert len(lost) == 1
