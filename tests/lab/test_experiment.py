"""Real experiments: stopped and continued, killed and continued, and refused."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from migrationlab.errors import GuestError, PlanError, UsageError
from migrationlab.experiment.experiment import Experiment
from migrationlab.lab.lab import Lab
from migrationlab.plan.plan import Plan
from migrationlab.runs.run import Outcome
from migrationlab.steps import Step

pytestmark = pytest.mark.lab

SMALL = {"memory_mib": 128, "working_set_mib": 16}


@pytest.mark.thorough
def test_stopped_experiment_is_continued(lab: Lab, tmp_path: Path) -> None:
    """A continued experiment counts each run once, with its direction and settings."""
    experiment = Experiment(
        "Does a slow wire make it take longer?",
        grid={"mode": ["normal", "peer2peer"]},
        workloads=SMALL | {"dirty_mib_s": 5},
        wires={"wire_mbit_s": 500},
        repeats=2,
        warm_ups=0,
        directory=tmp_path,
    )
    before, guests = lab.wire.settings, len(lab.guests)
    stop = threading.Event()

    def on_step(step: Step) -> None:
        if step.what == "block 1 of 2" and step.fraction == 0.5:
            stop.set()

    experiment.run(lab=lab, on_step=on_step, stop=stop)
    assert len(experiment.measured) == 1
    assert len(experiment.left) == 3
    assert lab.wire.settings == before
    assert len(lab.guests) == guests

    again = Experiment.load(tmp_path)
    runs = again.run(lab=lab)
    assert again.finished
    assert len(again.measured) == 4
    assert len(runs) >= 4
    assert lab.wire.settings == before
    assert len(lab.guests) == guests
    by_number = {(run.experiment or {})["run_number"]: run for run in again.measured}
    for planned in again.planned:
        run = by_number[planned.number]
        assert run.outcome is Outcome.COMPLETED
        assert run.source["name"] == lab.hosts[int(planned.backwards)].name
        assert f"mode={run.plan.mode}" == planned.cell
        assert run.guest["dirty_mib_s"] == 5
        assert run.guest["memory_mib"] == 128
        assert run.wire is not None
        assert run.wire["rate_mbit_s"] == 500
    # Half of them go each way, and each cell goes both.
    ways = {(row.mode, row.source) for row in again.frame().itertuples()}
    assert len(ways) == 4
    assert again.compare("mode=normal", "mode=peer2peer", "total_ms").verdict == "too few"
    assert list(again.summary(["total_ms"])["n"]) == [2, 2]


@pytest.mark.thorough
def test_run_after_a_failure_starts_at_its_source(lab: Lab, tmp_path: Path) -> None:
    """After an incomplete migration the next run starts at its planned source."""
    experiment = Experiment(
        "Does it end in time?",
        plans={"in time": Plan(), "too late": Plan(deadline_s=1, bandwidth_mib_s=4)},
        workloads=SMALL,
        repeats=1,
        warm_ups=0,
        seed=6,
        directory=tmp_path,
    )
    assert [planned.cell for planned in experiment.planned] == ["too late", "in time"]
    experiment.run(lab=lab)
    first, second = experiment.measured
    assert (first.outcome, second.outcome) == (Outcome.TIMED_OUT, Outcome.COMPLETED)
    assert (first.source["name"], second.source["name"]) == ("host-a", "host-b")
    ended = experiment.outcomes().set_index("cell")
    assert ended.loc["too late", "timed_out"] == 1
    assert ended.loc["too late", "completed"] == 0


@pytest.mark.thorough
def test_killed_experiment_is_continued(tmp_path: Path) -> None:
    """A killed command loses at most one run, and the same command does the rest."""
    design = tmp_path / "modes.toml"
    design.write_text(
        'question = "Does it survive?"\nrepeats = 2\nwarm_ups = 0\n'
        "[workload]\nmemory_mib = 128\nworking_set_mib = 16\ndirty_mib_s = [5, 10]\n",
        encoding="utf-8",
    )
    folder = tmp_path / "modes"
    command = [sys.executable, "-m", "migrationlab.cli", "experiment", str(design)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as killed:
        assert killed.stderr is not None
        # The second block is announced just before its first run is prepared.
        assert any(line.startswith("block 2 of 2") for line in killed.stderr)
        killed.send_signal(signal.SIGKILL)
    done = Experiment.load(folder)
    assert len(done.measured) == 2
    assert [planned.block for planned in done.left] == [2, 2]

    ran = subprocess.run(
        [*command, "--format", "json"], capture_output=True, text=True, check=False, timeout=100
    )
    assert ran.returncode == 0, ran.stderr
    answer = json.loads(ran.stdout)
    assert answer["left"] == 0
    assert [row["completed"] for row in answer["outcomes"]] == [2, 2]
    assert Experiment.load(folder).id == done.id


def test_domain_alternates_between_two_hosts_by_uri(lab: Lab, tmp_path: Path) -> None:
    """A domain migrates back and forth between two hosts given by URI, from either host."""
    guest = lab.boot(**SMALL, dirty_mib_s=5, on=lab.host_b)
    try:
        experiment = Experiment(
            "Does a limit matter?",
            # Peer2peer, since only the hosts themselves know each other's names.
            grid={"mode": "peer2peer", "max_downtime_ms": [100, 300]},
            hosts={"source": lab.host_a.uri, "to": lab.host_b.uri, "domain": guest.name},
            repeats=1,
            warm_ups=0,
            directory=tmp_path,
        )
        experiment.run()
        first, second = experiment.measured
    finally:
        guest.clear()
    assert [first.outcome, second.outcome] == [Outcome.COMPLETED] * 2
    assert first.source["hostname"] == second.destination["hostname"] == "host-b"
    assert {run.downtime_requested_ms for run in (first, second)} == {100, 300}
    assert first.wire is None

    with pytest.raises(GuestError, match="must run on one of the two hosts") as caught:
        Experiment(
            "Why?",
            hosts={"source": lab.host_a.uri, "to": lab.host_b.uri, "domain": guest.name},
            directory=tmp_path / "gone",
        ).run()
    assert caught.value.hint


def test_unsuitable_lab_is_refused_before_any_migration(lab: Lab, tmp_path: Path) -> None:
    """A lab that does not fit the design is refused before any migration."""
    experiment = Experiment("Why?", images=("bookworm", "trixie"), directory=tmp_path / "mixed")
    with pytest.raises(UsageError, match="got trixie") as caught:
        experiment.run(lab=lab)
    assert caught.value.hint
    assert len(experiment.runs) == 0
    hosts = {"source": "test:///default", "to": "test:///other", "domain": "test"}
    with pytest.raises(UsageError, match="lab must be left out"):
        Experiment("Why?", hosts=hosts, directory=tmp_path / "real").run(lab=lab)
    with pytest.raises(PlanError):
        Experiment("Why?", grid={"zerocopy": True}, directory=tmp_path / "plan")
