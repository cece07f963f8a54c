"""Run, stop and continue an experiment on a fake testbed.

A migration here is a fake run behind the methods of ``Migration`` that the runner calls;
``tests/lab/test_experiment.py`` does the same with real migrations.
"""

from __future__ import annotations

import random
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from fake_experiments import two_modes
from migrationlab.errors import HostError, UsageError
from migrationlab.experiment import runner
from migrationlab.experiment.allocated import times_text
from migrationlab.experiment.cells import Cell
from migrationlab.experiment.experiment import Experiment
from migrationlab.experiment.folder import read_starts, write_manifest
from migrationlab.experiment.runner import Runner
from migrationlab.experiment.testbeds import MigrationArgs
from migrationlab.runs.run import Outcome, Run
from migrationlab.runs.store import save_run
from migrationlab.steps import Step


class FakeMigration:
    """A migration that ends after a number of polls, or when it is cancelled."""

    def __init__(self, run: Run, cancelled: Run, polls: int, *, postcopy: bool = False) -> None:
        self._run, self._cancelled, self._polls = run, cancelled, polls
        self._postcopy = postcopy
        self.on_poll: Callable[[], None] = lambda: None

    @property
    def done(self) -> bool:
        """Return whether it is over."""
        return self._polls <= 0

    def wait(self, timeout_s: float | None = None) -> Run:
        """Poll the migration once, or wait for its end."""
        if timeout_s is None:
            self._polls = 0
        if self._polls > 0:
            self.on_poll()
            self._polls -= 1
        if self._polls > 0:
            raise TimeoutError
        return self._run

    def cancel(self) -> None:
        """End the migration, except in post-copy."""
        if self._postcopy:
            raise UsageError("it is in post-copy")
        self._run, self._polls = self._cancelled, 0


class FakeTestbed:
    """A testbed that starts fake migrations and notes their outcomes."""

    def __init__(self, make_run: Callable[..., Run]) -> None:
        self._make_run = make_run
        self.made: list[tuple[str, bool]] = []
        self.heard: list[Outcome] = []
        self.on_poll: Callable[[], None] = lambda: None
        self.refuses: BaseException | None = None
        self.outcome = "completed"
        self.postcopy = False
        self.serial = 10

    def ready(self, cell: Cell, *, backwards: bool) -> MigrationArgs:
        """Note the cell and the direction."""
        self.made.append((cell.name, backwards))
        return MigrationArgs(guest="web1", to=None)  # type: ignore[arg-type]

    def over(self, run: Run) -> None:
        """Note the outcome."""
        self.heard.append(run.outcome)

    def begin(self, guest: str, **call: Any) -> FakeMigration:
        """Start a migration, or refuse."""
        assert guest == "web1"
        if self.refuses is not None:
            raise self.refuses
        self.serial += 1
        made = {"mode": str(call["plan"].mode), "number": self.serial, "with_beats": False}
        migration = FakeMigration(
            self._make_run(outcome=self.outcome, **made),
            self._make_run(outcome="cancelled", **made),
            polls=3,
            postcopy=self.postcopy,
        )
        migration.on_poll = self.on_poll
        return migration


@pytest.fixture
def testbed(make_run: Callable[..., Run], monkeypatch: pytest.MonkeyPatch) -> FakeTestbed:
    """Return a testbed whose steps take no time."""
    monkeypatch.setattr(runner, "SETTLE_S", 0)
    return FakeTestbed(make_run)


@pytest.fixture
def experiment(tmp_path: Path) -> Experiment:
    """Return an experiment of three cells, each twice, in its own folder."""
    made = Experiment(
        "How long?", workloads={"dirty_mib_s": [5, 10, 15]}, repeats=2, directory=tmp_path
    )
    write_manifest(tmp_path, made.manifest)
    return made


def go(
    experiment: Experiment,
    testbed: FakeTestbed,
    stop: threading.Event | None = None,
    steps: list[Step] | None = None,
) -> None:
    """Run the remaining runs."""
    seconds = iter(range(10_000))
    Runner(
        experiment,
        testbed,
        (steps if steps is not None else []).append,
        stop or threading.Event(),
        begin=testbed.begin,  # type: ignore[arg-type]
        clock=lambda: float(next(seconds)),
    ).run()


def test_planned_runs_are_made_in_order(experiment: Experiment, testbed: FakeTestbed) -> None:
    """One warm-up precedes all runs in the planned order, and each is stored with its place."""
    go(experiment, testbed)
    assert testbed.made[1:] == [(planned.cell, planned.backwards) for planned in experiment.planned]
    assert experiment.finished
    frame = experiment.frame()
    assert list(frame["run_number"]) == [1, 2, 3, 4, 5, 6]
    assert list(frame["block"]) == [1, 1, 1, 2, 2, 2]
    assert list(frame["attempt"]) == [1] * 6
    assert list(frame["dirty_mib_s"]) == [
        experiment.design.cell(planned.cell).setting["dirty_mib_s"]
        for planned in experiment.planned
    ]
    everything = experiment.frame(everything=True)
    assert list(everything["warm_up"]) == [True] + [False] * 6
    assert experiment.cut_short == 0


@pytest.mark.parametrize("count", [1, 2, 3])
def test_warm_ups_end_where_the_first_run_begins(
    testbed: FakeTestbed, tmp_path: Path, count: int
) -> None:
    """Warm-ups alternate directions, and the last arrives where the first run starts."""
    experiment = Experiment("How long?", repeats=1, warm_ups=count, directory=tmp_path)
    write_manifest(tmp_path, experiment.manifest)
    go(experiment, testbed)
    ways = [backwards for _, backwards in testbed.made]
    assert len(ways) == count + 1
    assert all(one != other for one, other in pairwise(ways))


def test_stop_stores_the_cancelled_run(experiment: Experiment, testbed: FakeTestbed) -> None:
    """A stop cancels the current migration; its run is stored, not counted, and made again."""
    stop = threading.Event()
    polls = Counter[str]()

    def on_poll() -> None:
        polls["all"] += 1
        if polls["all"] == 8:  # during run 2; the warm-up and run 1 took three polls each
            stop.set()

    testbed.on_poll = on_poll
    steps: list[Step] = []
    go(experiment, testbed, stop, steps)
    assert [planned.number for planned in experiment.left] == [2, 3, 4, 5, 6]
    assert len(experiment.runs) == 3
    assert experiment.cut_short == 1
    assert steps[-1].state == "failed"
    assert steps[-1].detail.startswith("stopped; 1 of 1 completed, 5 left, about ")
    assert testbed.heard == [Outcome.COMPLETED] * 2

    testbed.on_poll = lambda: None
    go(experiment, testbed)
    assert experiment.finished
    frame = experiment.frame(everything=True)
    again = frame[frame["run_number"] == 2]
    assert list(again["attempt"]) == [1, 2]
    assert list(again["stopped"]) == [True, False]
    assert list(experiment.frame()["attempt"]) == [1, 2, 1, 1, 1, 1]
    assert experiment.cut_short == 1


def test_stop_before_the_start_begins_no_run(experiment: Experiment, testbed: FakeTestbed) -> None:
    """If stop is set before the start, no migration begins."""
    stop = threading.Event()
    stop.set()
    go(experiment, testbed, stop)
    assert testbed.made == []
    assert read_starts(experiment.directory) == []


def test_stop_between_runs_begins_no_migration(
    experiment: Experiment, testbed: FakeTestbed
) -> None:
    """A stop while a guest is prepared begins no migration."""
    stop = threading.Event()
    ready = testbed.ready

    def ready_and_stop(cell: Cell, *, backwards: bool) -> MigrationArgs:
        if len(testbed.made) == 2:
            stop.set()
        return ready(cell, backwards=backwards)

    testbed.ready = ready_and_stop  # type: ignore[method-assign]
    go(experiment, testbed, stop)
    assert len(experiment.measured) == 1
    assert experiment.cut_short == 0


def test_stop_waits_for_post_copy(experiment: Experiment, testbed: FakeTestbed) -> None:
    """A migration in post-copy cannot be cancelled: it completes and counts."""
    stop = threading.Event()
    testbed.postcopy = True
    testbed.on_poll = lambda: stop.set() if len(testbed.made) > 1 else None
    go(experiment, testbed, stop)
    (run,) = experiment.measured
    assert run.outcome is Outcome.COMPLETED
    assert experiment.cut_short == 0


def test_ctrl_c_stops_the_experiment(experiment: Experiment, testbed: FakeTestbed) -> None:
    """Ctrl-C cancels the current migration, stores its run, and is raised again."""

    def on_poll() -> None:
        if len(testbed.made) > 2:
            raise KeyboardInterrupt

    testbed.on_poll = on_poll
    with pytest.raises(KeyboardInterrupt):
        go(experiment, testbed)
    assert len(experiment.measured) == 1
    stopped = [run for run in experiment.runs if (run.experiment or {})["stopped"]]
    assert [run.outcome for run in stopped] == [Outcome.CANCELLED]


def test_ctrl_c_does_not_interrupt_storing(
    experiment: Experiment, testbed: FakeTestbed, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A completed run is stored despite Ctrl-C, which is raised again."""
    pressed: list[Run] = []

    def save(run: Run, folder: Path) -> Path:
        if not pressed and run.experiment and not run.experiment["warm_up"]:
            pressed.append(run)
            raise KeyboardInterrupt
        return save_run(run, folder)

    monkeypatch.setattr(runner, "save_run", save)
    with pytest.raises(KeyboardInterrupt):
        go(experiment, testbed)
    assert [run.run_id for run in experiment.measured] == [pressed[0].run_id]
    assert experiment.cut_short == 0


def test_crashed_run_is_made_again(experiment: Experiment, testbed: FakeTestbed) -> None:
    """A crashed run left only its start; the start is counted and the run made again."""
    go(experiment, testbed)
    lost = experiment.measured[2]
    number = (lost.experiment or {})["run_number"]
    folder = experiment.directory / "runs" / lost.run_id
    # A kill leaves it hidden and half-written, so it is not a run.
    folder.rename(folder.with_name(f".{lost.run_id}.part"))
    again = Experiment.load(experiment.directory)
    assert [planned.number for planned in again.left] == [number]
    assert again.cut_short == 1
    go(again, testbed)
    assert again.finished
    assert again.cut_short == 1
    assert again.frame().set_index("run_number")["attempt"][number] == 2


def test_other_outcomes_are_results(experiment: Experiment, testbed: FakeTestbed) -> None:
    """A failed migration is a result; it is not repeated until it succeeds."""
    testbed.outcome = "failed"
    go(experiment, testbed)
    assert experiment.finished
    assert list(experiment.outcomes()["failed"]) == [2, 2, 2]
    assert set(testbed.heard) == {Outcome.FAILED}


def test_cancel_by_another_program_is_a_result(
    experiment: Experiment, testbed: FakeTestbed
) -> None:
    """A migration that another program cancelled counts as cancelled."""
    testbed.outcome = "cancelled"
    go(experiment, testbed)
    assert list(experiment.outcomes()["cancelled"]) == [2, 2, 2]


def test_refusal_stops_the_experiment_and_keeps_runs(
    experiment: Experiment, testbed: FakeTestbed
) -> None:
    """After a host's refusal the experiment stops, and can be continued."""
    testbed.refuses = HostError("no route to host", code=38)
    steps: list[Step] = []
    with pytest.raises(HostError):
        go(experiment, testbed, steps=steps)
    assert steps[-1].state == "failed"
    assert steps[-1].detail == "no route to host"
    testbed.refuses = None
    go(experiment, testbed)
    assert experiment.finished


def test_steps_state_what_is_left(experiment: Experiment, testbed: FakeTestbed) -> None:
    """Each block is a step with the remaining runs and their estimated duration."""
    steps: list[Step] = []
    go(experiment, testbed, steps=steps)
    assert [step.what for step in steps if step.state == "started"] == [
        "warming up", "block 1 of 2", "block 2 of 2",
    ]  # fmt: skip
    progress = [step for step in steps if step.state == "progress" and step.what == "block 1 of 2"]
    assert [step.fraction for step in progress] == [0, pytest.approx(1 / 3), pytest.approx(2 / 3)]
    assert "; 6 left, about " in progress[0].detail
    assert steps[-1] == Step("block 2 of 2", "done", "3 of 3 completed, nothing left", 1.0)


def test_estimate_uses_measured_runs(experiment: Experiment, testbed: FakeTestbed) -> None:
    """Before the start the estimate is a guess; later it uses the runs on disk."""
    before = experiment.estimate_s
    go(experiment, testbed)
    assert experiment.estimate_s == 0
    first = experiment.measured[0]
    assert replace(first, experiment=None).run_id == first.run_id
    number = (first.experiment or {})["run_number"]
    folder = experiment.directory / "runs" / first.run_id
    folder.rename(folder.with_name(f".{first.run_id}.part"))
    assert 0 < experiment.estimate_s < before
    assert [planned.number for planned in experiment.left] == [number]


def test_changed_environment_is_reported_after_one_run(
    experiment: Experiment, testbed: FakeTestbed
) -> None:
    """Another kernel is reported once, after the first run with it."""
    stop = threading.Event()
    testbed.on_poll = lambda: stop.set() if testbed.serial >= 13 else None
    go(experiment, testbed, stop)
    assert len(experiment.measured) == 1
    usual, testbed.on_poll = testbed.begin, lambda: None

    def begin(guest: str, **call: Any) -> FakeMigration:
        migration = usual(guest, **call)
        changed = {**migration._run.environment, "kernel": "7.0"}
        migration._run = replace(migration._run, environment=changed)
        return migration

    testbed.begin = begin  # type: ignore[method-assign]
    steps: list[Step] = []
    go(experiment, testbed, steps=steps)
    assert experiment.finished
    reported = [n for n, step in enumerate(steps) if "machine.kernel changed" in step.detail]
    assert len(reported) == 1
    assert steps[reported[0]].state == "failed"
    # The warm-up already shows it, before the first block.
    assert reported[0] < next(n for n, step in enumerate(steps) if step.what.startswith("block"))


def test_no_block_begins_that_would_end_after_the_budget(
    experiment: Experiment, testbed: FakeTestbed
) -> None:
    """The first block of three runs takes three seconds; the second would end after the budget."""
    seconds = iter(range(10_000))
    steps: list[Step] = []
    Runner(
        experiment,
        testbed,
        steps.append,
        threading.Event(),
        end_s=60,
        begin=testbed.begin,  # type: ignore[arg-type]
        clock=lambda: float(next(seconds)) if not experiment.measured else 58.0,
    ).run()
    assert len(experiment.measured) == 3
    assert steps[-1].what == "the budget is used up"
    assert "are left" in steps[-1].detail


@pytest.mark.thorough
def test_pilot_decides_where_further_runs_go(
    testbed: FakeTestbed, make_run: Callable[..., Run], tmp_path: Path
) -> None:
    """After whole blocks the mode that varies gets more runs; a crash changes nothing."""
    chance = random.Random(0)

    def varying(*, mode: str, **made: Any) -> Run:
        spread = 40 if mode == "peer2peer" else 2
        return make_run(mode=mode, downtime_ms=300 + spread * chance.gauss(), **made)

    testbed._make_run = varying
    experiment = two_modes(
        tmp_path,
        repeats=10,
        warm_ups=0,
        allocate={"metric": "downtime_event_ms", "pilot": 3, "time_s": 75},
    )
    write_manifest(tmp_path, experiment.manifest)
    over = testbed.over

    def crash_after_pilot(run: Run) -> None:
        over(run)
        if len(testbed.heard) == 6:
            raise HostError("gone")

    testbed.over = crash_after_pilot  # type: ignore[method-assign]
    with pytest.raises(HostError):
        go(experiment, testbed)
    testbed.over = over  # type: ignore[method-assign]
    again = Experiment.load(tmp_path)
    assert len(again.manifest.planned) == len(again.measured) == 6
    planned = again.planned
    assert again.left
    steps: list[Step] = []
    go(again, testbed, steps=steps)
    assert Experiment.load(tmp_path).manifest.planned == planned
    assert again.finished
    normal, peer2peer = again.repeats().values()
    assert 3 <= normal < peer2peer
    pace = again.pace()
    assert sum(pace.run_s(run.cell) for run in planned) <= 75
    (said,) = [step.detail for step in steps if step.what.startswith("allocating") and step.detail]
    assert said.startswith(f"{len(planned)} runs in all, {normal} to {peer2peer} of each, most of")
    compared = again.comparisons("downtime_event_ms")[0]
    assert (compared.n_a, compared.n_b) == (normal, peer2peer)
    assert times_text(again) == f"{normal} to {peer2peer} times"
    with pytest.raises(UsageError, match="effects need equal repeats"):
        again.effects("downtime_event_ms")
    with pytest.raises(UsageError, match="pairs need equal repeats"):
        again.run(pairs=[])
