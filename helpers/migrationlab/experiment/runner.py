"""Makes the trials of an experiment, one after the other.

Theory of operation. What is left is asked of the disk. For each trial the stage gets guest, wire
and direction ready; a pause lets the guest's beats of the new workload come in; the trial is
written down as begun; then it is migrated, and its run stored at once with the trial's place in
the design. So a stop or a crash, whenever it comes, loses one migration at most.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from itertools import groupby

from migrationlab.capture.recorder import BEFORE_NS
from migrationlab.errors import UsageError
from migrationlab.experiment import folder as files
from migrationlab.experiment.design import Cell
from migrationlab.experiment.environments import Stage, stage_of
from migrationlab.experiment.results import Results
from migrationlab.experiment.schedule import Trial
from migrationlab.lab.lab import Lab
from migrationlab.migrate.migration import Migration
from migrationlab.migrate.start import start
from migrationlab.runs.numbers import lasting
from migrationlab.runs.run import Outcome, Run
from migrationlab.runs.store import save_run
from migrationlab.steps import Listener, Step, step

POLL_S = 0.1
#: The time before a call of which a run keeps the beats, and a little more.
SETTLE_S = BEFORE_NS / 1e9 + 0.1


def conduct(
    experiment: Results, *, lab: Lab | None, on_step: Listener, stop: threading.Event
) -> None:
    """Make the trials that are left, until that is done or ``stop`` is set.

    Args:
        experiment: What is to be made.
        lab: Where; None for a lab of its own, or the design's real hosts.
        on_step: Hears how it goes.
        stop: Once it is set, the migration under way is cancelled and nothing more begun.

    Raises:
        KeyboardInterrupt: Ctrl-C; the migration under way was cancelled, and stored.
        MigrationLabError: What the stage raises, and :func:`migrationlab.start`.
    """
    with stage_of(experiment.design, lab, on_step) as stage:
        Conductor(experiment, stage, on_step, stop).go()


class Conductor:
    """Makes trials on a stage.

    Args:
        experiment: What is to be made.
        stage: Where.
        on_step: Hears how it goes.
        stop: Once it is set, nothing more is begun.
        begin: Starts a migration.
        clock: Tells the time, in seconds.
    """

    def __init__(
        self,
        experiment: Results,
        stage: Stage,
        on_step: Listener,
        stop: threading.Event,
        *,
        begin: Callable[..., Migration] = start,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._experiment = experiment
        self._stage = stage
        self._on_step = on_step
        self._stop = stop
        self._begin = begin
        self._clock = clock
        self._pace = experiment.pace()
        self._begun = files.begun(experiment.directory)
        self._left = Counter(trial.cell for trial in experiment.left)
        self._what = ""
        # The first of them: all others were made as it was, or that was told.
        self._before: Run | None = next(iter(experiment.measured), None)
        self._strayed: list[str] = []

    def go(self) -> None:
        """Make the warm-ups, and then what is left of each block."""
        self._warm_up()
        left = self._experiment.left
        for block, group in groupby(left, key=lambda trial: trial.block):
            if self._stop.is_set():
                return
            self._block(block, list(group))

    def _warm_up(self) -> None:
        count, left = self._experiment.design.warm_ups, self._experiment.left
        if not count or not left or self._stop.is_set():
            return
        self._what = "warming up"
        with step(self._on_step, self._what):
            for number in range(count):
                cell = self._experiment.cell(left[number % len(left)].cell)
                self._progress(cell.name, number / count)
                # To and fro, so that the last arrives where the first trial begins.
                backwards = left[0].backwards != bool((count - number) % 2)
                if self._trial(cell, None, backwards=backwards) is None:
                    return

    def _block(self, number: int, trials: list[Trial]) -> None:
        self._what = f"block {number} of {self._experiment.design.repeats}"
        self._on_step(Step(self._what, "started"))
        runs = []
        try:
            for index, trial in enumerate(trials):
                self._progress(trial.cell, index / len(trials))
                cell = self._experiment.cell(trial.cell)
                run = self._trial(cell, trial, backwards=trial.backwards)
                if run is None:
                    break
                runs.append(run)
        except BaseException as error:
            why = "stopped" if isinstance(error, KeyboardInterrupt) else str(error)
            self._on_step(Step(self._what, "failed", why))
            raise
        completed = sum(run.outcome is Outcome.COMPLETED for run in runs)
        said = f"{completed} of {len(runs)} completed, {self._remaining()}"
        if len(runs) < len(trials):
            self._on_step(Step(self._what, "failed", f"stopped; {said}"))
        else:
            self._on_step(Step(self._what, "done", said, 1.0))

    def _trial(self, cell: Cell, trial: Trial | None, *, backwards: bool) -> Run | None:
        """Make one trial, or a warm-up; None where it was stopped."""
        began = self._clock()
        scene = self._stage.ready(cell, backwards=backwards)
        if self._stop.wait(SETTLE_S):
            return None
        attempt = 1
        if trial is not None:
            files.note_begun(self._experiment.directory, trial.number)
            self._begun[trial.number] += 1
            attempt = self._begun[trial.number]
        migration = self._begin(
            scene.guest, to=scene.to, source=scene.source, plan=cell.plan, probe=scene.probe
        )
        try:
            self._wait(migration)
        finally:
            unfinished = not migration.done
            run = _ended(migration)
            stopped = unfinished and run.outcome is Outcome.CANCELLED
            run = self._kept(run, cell, trial, attempt=attempt, stopped=stopped)
        if stopped:
            return None
        self._look_around(run)
        self._stage.over(run)
        self._pace.note(cell.name, self._clock() - began)
        if trial is not None:
            self._left[cell.name] -= 1
        return run

    def _look_around(self, run: Run) -> None:
        """Tell of an environment that has changed as soon as a run shows it, and not at the end."""
        if self._before is None:
            self._before = run
        strayed = self._experiment.strayed([self._before, run])
        if strayed and strayed != self._strayed:
            what = "the same environment as before"
            self._on_step(Step(what, "started"))
            told = f"{', '.join(strayed)} changed since {self._before.created[:16]}; stop, or"
            self._on_step(Step(what, "failed", f"{told} put them together with --mixed"))
        self._strayed = strayed

    def _wait(self, migration: Migration) -> None:
        while not migration.done and not self._stop.is_set():
            with contextlib.suppress(TimeoutError):
                migration.wait(POLL_S)

    def _kept(
        self, run: Run, cell: Cell, trial: Trial | None, *, attempt: int, stopped: bool
    ) -> Run:
        """Store a run with its place in the design."""
        place = {
            "id": self._experiment.id,
            "name": self._experiment.name,
            "cell": cell.name,
            "setting": dict(cell.setting),
            "block": None if trial is None else trial.block,
            "run_number": None if trial is None else trial.number,
            "attempt": attempt,
            "warm_up": trial is None,
            "stopped": stopped,
        }
        kept = replace(run, experiment=place)
        folder = self._experiment.directory / files.RUNS
        interrupted: KeyboardInterrupt | None = None
        while not (folder / kept.run_id).exists():
            try:
                save_run(kept, folder)
            except KeyboardInterrupt as error:
                # Ctrl-C, maybe an impatient second one, does not cost the run that is over.
                interrupted = error
        if interrupted is not None:
            raise interrupted
        return kept

    def _progress(self, cell: str, fraction: float) -> None:
        self._on_step(Step(self._what, "progress", f"{cell}; {self._remaining()}", fraction))

    def _remaining(self) -> str:
        left = self._left.total()
        if not left:
            return "nothing left"
        return f"{left} left, about {lasting(self._pace.left_s(self._left))}"


def _ended(migration: Migration) -> Run:
    """Return the run of a migration, cancelled where it is not over; Ctrl-C does not hurry it."""
    while True:
        try:
            if not migration.done:
                with contextlib.suppress(UsageError):  # in post-copy it can only complete
                    migration.cancel()
            return migration.wait()
        except KeyboardInterrupt:
            continue
