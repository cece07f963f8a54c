"""How trials are made, stopped and taken up again, on a stage that only says what would happen.

Migrations here are made-up runs behind the few methods of a real ``Migration`` that are called;
``tests/lab/test_experiment.py`` does the same with real ones.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from migrationlab.errors import HostError, UsageError
from migrationlab.experiment import folder as files
from migrationlab.experiment import runner
from migrationlab.experiment.design import Cell
from migrationlab.experiment.environments import MigrationArgs
from migrationlab.experiment.experiment import Experiment
from migrationlab.experiment.runner import Conductor
from migrationlab.runs.run import Outcome, Run
from migrationlab.runs.store import save_run
from migrationlab.steps import Step


class Played:
    """A migration that is over after so many looks at it, or when it is cancelled."""

    def __init__(self, run: Run, cancelled: Run, looks: int, *, postcopy: bool = False) -> None:
        self._run, self._cancelled, self._looks = run, cancelled, looks
        self._postcopy = postcopy
        self.on_look: Callable[[], None] = lambda: None

    @property
    def done(self) -> bool:
        """Tell whether it is over."""
        return self._looks <= 0

    def wait(self, timeout_s: float | None = None) -> Run:
        """Look at it once, or wait for its end."""
        if timeout_s is None:
            self._looks = 0
        if self._looks > 0:
            self.on_look()
            self._looks -= 1
        if self._looks > 0:
            raise TimeoutError
        return self._run

    def cancel(self) -> None:
        """End it, where that can be."""
        if self._postcopy:
            raise UsageError("it is in post-copy")
        self._run, self._looks = self._cancelled, 0


class Theatre:
    """A stage, the starting of migrations on it, and what became of them."""

    def __init__(self, make_run: Callable[..., Run]) -> None:
        self._make_run = make_run
        self.made: list[tuple[str, bool]] = []
        self.heard: list[Outcome] = []
        self.on_look: Callable[[], None] = lambda: None
        self.refuses: BaseException | None = None
        self.outcome = "completed"
        self.postcopy = False
        self.serial = 10

    def ready(self, cell: Cell, *, backwards: bool) -> MigrationArgs:
        """Note what is asked for."""
        self.made.append((cell.name, backwards))
        return MigrationArgs(guest="web1", to=None)  # type: ignore[arg-type]

    def over(self, run: Run) -> None:
        """Note how it ended."""
        self.heard.append(run.outcome)

    def begin(self, guest: str, **call: Any) -> Played:
        """Start a migration, or be refused."""
        assert guest == "web1"
        if self.refuses is not None:
            raise self.refuses
        self.serial += 1
        made = {"mode": str(call["plan"].mode), "number": self.serial, "with_beats": False}
        played = Played(
            self._make_run(outcome=self.outcome, **made),
            self._make_run(outcome="cancelled", **made),
            looks=3,
            postcopy=self.postcopy,
        )
        played.on_look = self.on_look
        return played


@pytest.fixture
def theatre(make_run: Callable[..., Run], monkeypatch: pytest.MonkeyPatch) -> Theatre:
    """Give a stage on which nothing takes time."""
    monkeypatch.setattr(runner, "SETTLE_S", 0)
    return Theatre(make_run)


@pytest.fixture
def experiment(tmp_path: Path) -> Experiment:
    """Give an experiment of three cells, each twice, in a folder of its own."""
    made = Experiment(
        "How long?", workloads={"dirty_mib_s": [5, 10, 15]}, repeats=2, directory=tmp_path
    )
    files.write_head(tmp_path, made.head)
    return made


def go(
    experiment: Experiment,
    theatre: Theatre,
    stop: threading.Event | None = None,
    steps: list[Step] | None = None,
) -> None:
    """Make the trials that are left."""
    seconds = iter(range(10_000))
    Conductor(
        experiment,
        theatre,
        (steps if steps is not None else []).append,
        stop or threading.Event(),
        begin=theatre.begin,  # type: ignore[arg-type]
        clock=lambda: float(next(seconds)),
    ).go()


def test_every_trial_is_made_in_order(experiment: Experiment, theatre: Theatre) -> None:
    """One warm-up, then all trials as they were laid down, each kept with its place."""
    go(experiment, theatre)
    assert theatre.made[1:] == [(trial.cell, trial.backwards) for trial in experiment.trials]
    assert experiment.finished
    frame = experiment.frame()
    assert list(frame["run_number"]) == [1, 2, 3, 4, 5, 6]
    assert list(frame["block"]) == [1, 1, 1, 2, 2, 2]
    assert list(frame["attempt"]) == [1] * 6
    assert list(frame["dirty_mib_s"]) == [
        experiment.design.cell(trial.cell).setting["dirty_mib_s"] for trial in experiment.trials
    ]
    everything = experiment.frame(everything=True)
    assert list(everything["warm_up"]) == [True] + [False] * 6
    assert experiment.cut_short == 0


@pytest.mark.parametrize("count", [1, 2, 3])
def test_warm_ups_end_where_it_begins(theatre: Theatre, tmp_path: Path, count: int) -> None:
    """Warm-ups go to and fro, and the last arrives where the first trial starts from."""
    experiment = Experiment("How long?", repeats=1, warm_ups=count, directory=tmp_path)
    files.write_head(tmp_path, experiment.head)
    go(experiment, theatre)
    ways = [backwards for _, backwards in theatre.made]
    assert len(ways) == count + 1
    assert all(one != other for one, other in pairwise(ways))


def test_a_stop_keeps_what_was_measured(experiment: Experiment, theatre: Theatre) -> None:
    """A stop cancels the migration under way; it is kept, not counted, and made again."""
    stop = threading.Event()
    looks = Counter[str]()

    def on_look() -> None:
        looks["all"] += 1
        if looks["all"] == 8:  # in the middle of the second trial; the first was the warm-up
            stop.set()

    theatre.on_look = on_look
    steps: list[Step] = []
    go(experiment, theatre, stop, steps)
    assert [trial.number for trial in experiment.left] == [2, 3, 4, 5, 6]
    assert len(experiment.runs) == 3
    assert experiment.cut_short == 1
    assert steps[-1].state == "failed"
    assert steps[-1].detail.startswith("stopped; 1 of 1 completed, 5 left, about ")
    assert theatre.heard == [Outcome.COMPLETED] * 2

    theatre.on_look = lambda: None
    go(experiment, theatre)
    assert experiment.finished
    frame = experiment.frame(everything=True)
    again = frame[frame["run_number"] == 2]
    assert list(again["attempt"]) == [1, 2]
    assert list(again["stopped"]) == [True, False]
    assert list(experiment.frame()["attempt"]) == [1, 2, 1, 1, 1, 1]
    assert experiment.cut_short == 1


def test_a_stop_before_it_begins(experiment: Experiment, theatre: Theatre) -> None:
    """Nothing is begun once a stop is asked for."""
    stop = threading.Event()
    stop.set()
    go(experiment, theatre, stop)
    assert theatre.made == []
    assert files.begun(experiment.directory) == Counter()


def test_a_stop_between_trials(experiment: Experiment, theatre: Theatre) -> None:
    """A stop while a guest is made ready begins no migration."""
    stop = threading.Event()
    ready = theatre.ready

    def ready_and_stop(cell: Cell, *, backwards: bool) -> MigrationArgs:
        if len(theatre.made) == 2:
            stop.set()
        return ready(cell, backwards=backwards)

    theatre.ready = ready_and_stop  # type: ignore[method-assign]
    go(experiment, theatre, stop)
    assert len(experiment.measured) == 1
    assert experiment.cut_short == 0


def test_post_copy_is_waited_for(experiment: Experiment, theatre: Theatre) -> None:
    """A migration that cannot be cancelled any more completes, and counts."""
    stop = threading.Event()
    theatre.postcopy = True
    theatre.on_look = lambda: stop.set() if len(theatre.made) > 1 else None
    go(experiment, theatre, stop)
    (run,) = experiment.measured
    assert run.outcome is Outcome.COMPLETED
    assert experiment.cut_short == 0


def test_ctrl_c_is_a_stop(experiment: Experiment, theatre: Theatre) -> None:
    """Ctrl-C cancels the migration under way, keeps its run, and goes on as Ctrl-C."""

    def on_look() -> None:
        if len(theatre.made) > 2:
            raise KeyboardInterrupt

    theatre.on_look = on_look
    with pytest.raises(KeyboardInterrupt):
        go(experiment, theatre)
    assert len(experiment.measured) == 1
    stopped = [run for run in experiment.runs if (run.experiment or {})["stopped"]]
    assert [run.outcome for run in stopped] == [Outcome.CANCELLED]


def test_ctrl_c_while_a_run_is_stored(
    experiment: Experiment, theatre: Theatre, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The run that is over is stored all the same, and Ctrl-C goes on as Ctrl-C."""
    pressed: list[Run] = []

    def save(run: Run, folder: Path) -> Path:
        if not pressed and run.experiment and not run.experiment["warm_up"]:
            pressed.append(run)
            raise KeyboardInterrupt
        return save_run(run, folder)

    monkeypatch.setattr(runner, "save_run", save)
    with pytest.raises(KeyboardInterrupt):
        go(experiment, theatre)
    assert [run.run_id for run in experiment.measured] == [pressed[0].run_id]
    assert experiment.cut_short == 0


def test_a_crash_is_made_good(experiment: Experiment, theatre: Theatre) -> None:
    """A trial whose end nobody saw left only its beginning; it is counted and made again."""
    go(experiment, theatre)
    lost = experiment.measured[2]
    number = (lost.experiment or {})["run_number"]
    folder = experiment.directory / "runs" / lost.run_id
    # As a kill leaves it: hidden, half-written, and so no run.
    folder.rename(folder.with_name(f".{lost.run_id}.part"))
    again = Experiment.load(experiment.directory)
    assert [trial.number for trial in again.left] == [number]
    assert again.cut_short == 1
    go(again, theatre)
    assert again.finished
    assert again.cut_short == 1
    assert again.frame().set_index("run_number")["attempt"][number] == 2


def test_other_outcomes_are_results(experiment: Experiment, theatre: Theatre) -> None:
    """A migration that failed is a trial done, not one to be tried until it succeeds."""
    theatre.outcome = "failed"
    go(experiment, theatre)
    assert experiment.finished
    assert list(experiment.outcomes()["failed"]) == [2, 2, 2]
    assert set(theatre.heard) == {Outcome.FAILED}


def test_a_cancel_from_elsewhere_is_a_result(experiment: Experiment, theatre: Theatre) -> None:
    """What somebody else cancelled was not stopped by us, and counts as what it is."""
    theatre.outcome = "cancelled"
    go(experiment, theatre)
    assert list(experiment.outcomes()["cancelled"]) == [2, 2, 2]


def test_a_refusal_ends_it_and_nothing_is_lost(experiment: Experiment, theatre: Theatre) -> None:
    """A host that refuses before a migration begins ends the experiment, which can go on."""
    theatre.refuses = HostError("no route to host", code=38)
    steps: list[Step] = []
    with pytest.raises(HostError):
        go(experiment, theatre, steps=steps)
    assert steps[-1].state == "failed"
    assert steps[-1].detail == "no route to host"
    theatre.refuses = None
    go(experiment, theatre)
    assert experiment.finished


def test_steps_tell_what_is_left(experiment: Experiment, theatre: Theatre) -> None:
    """Blocks are told one by one, with what is left and about how long it takes."""
    steps: list[Step] = []
    go(experiment, theatre, steps=steps)
    assert [step.what for step in steps if step.state == "started"] == [
        "warming up", "block 1 of 2", "block 2 of 2",
    ]  # fmt: skip
    progress = [step for step in steps if step.state == "progress" and step.what == "block 1 of 2"]
    assert [step.fraction for step in progress] == [0, pytest.approx(1 / 3), pytest.approx(2 / 3)]
    assert "; 6 left, about " in progress[0].detail
    assert steps[-1] == Step("block 2 of 2", "done", "3 of 3 completed, nothing left", 1.0)


def test_what_was_measured_tells_how_long(experiment: Experiment, theatre: Theatre) -> None:
    """Before it starts the estimate is a guess; later it rests on the runs on disk."""
    before = experiment.estimate_s
    go(experiment, theatre)
    assert experiment.estimate_s == 0
    first = experiment.measured[0]
    assert replace(first, experiment=None).run_id == first.run_id
    number = (first.experiment or {})["run_number"]
    folder = experiment.directory / "runs" / first.run_id
    folder.rename(folder.with_name(f".{first.run_id}.part"))
    assert 0 < experiment.estimate_s < before
    assert [trial.number for trial in experiment.left] == [number]


def test_another_environment_is_told_of_after_the_first_run(
    experiment: Experiment, theatre: Theatre
) -> None:
    """Who goes on under another kernel hears so after one run, once, and not after all of them."""
    stop = threading.Event()
    theatre.on_look = lambda: stop.set() if theatre.serial >= 13 else None
    go(experiment, theatre, stop)
    assert len(experiment.measured) == 1
    usual, theatre.on_look = theatre.begin, lambda: None

    def begin(guest: str, **call: Any) -> Played:
        played = usual(guest, **call)
        changed = {**played._run.environment, "kernel": "7.0"}
        played._run = replace(played._run, environment=changed)
        return played

    theatre.begin = begin  # type: ignore[method-assign]
    steps: list[Step] = []
    go(experiment, theatre, steps=steps)
    assert experiment.finished
    told = [n for n, step in enumerate(steps) if "machine.kernel changed" in step.detail]
    assert len(told) == 1
    assert steps[told[0]].state == "failed"
    # With the warm-up already, before the first block.
    assert told[0] < next(n for n, step in enumerate(steps) if step.what.startswith("block"))
