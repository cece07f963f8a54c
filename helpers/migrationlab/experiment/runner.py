"""Run the planned runs of an experiment, one after the other.

Theory of operation. The files on disk show which runs are left. For each run the testbed prepares
guest, wire and direction. A pause lets the guest's beats of the new workload arrive. The start is
recorded; then the guest is migrated, and the run is written at once, with its place in the design.
So a stop or a crash loses one migration at most.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from itertools import groupby

from migrationlab.capture.recorder import BEFORE_NS
from migrationlab.errors import UsageError
from migrationlab.experiment.allocated import allocation_text
from migrationlab.experiment.cells import Cell
from migrationlab.experiment.feasibility import require_room
from migrationlab.experiment.folder import RUNS, record_start, write_manifest
from migrationlab.experiment.results import Results
from migrationlab.experiment.schedule import PlannedRun
from migrationlab.experiment.testbeds import Testbed, open_testbed
from migrationlab.lab.lab import Lab
from migrationlab.migrate.migration import Migration
from migrationlab.migrate.start import start
from migrationlab.runs.numbers import lasting
from migrationlab.runs.run import Outcome, Run
from migrationlab.runs.store import save_run
from migrationlab.steps import Listener, Step, step

POLL_S = 0.1
#: The wait before a call: the time whose beats a run keeps, and a little more.
SETTLE_S = BEFORE_NS / 1e9 + 0.1


def run_experiment(
    experiment: Results,
    *,
    lab: Lab | None,
    on_step: Listener,
    stop: threading.Event,
    budget_s: float | None = None,
) -> None:
    """Make the remaining runs of an experiment, until it is done or ``stop`` is set.

    No block begins that would end after ``budget_s``.

    Raises:
        KeyboardInterrupt: Ctrl-C; the migration under way was cancelled, and written.
        MigrationLabError: An error of the testbed, or of :func:`migrationlab.start`.
    """
    began_s = time.monotonic()
    with open_testbed(experiment.design, lab, on_step) as testbed:
        end_s = None if budget_s is None else began_s + budget_s
        Runner(experiment, testbed, on_step, stop, end_s=end_s).run()


class Runner:
    """Runs the planned runs of an experiment on a testbed."""

    def __init__(
        self,
        experiment: Results,
        testbed: Testbed,
        on_step: Listener,
        stop: threading.Event,
        *,
        end_s: float | None = None,
        begin: Callable[..., Migration] = start,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._experiment = experiment
        self._testbed = testbed
        self._on_step = on_step
        self._stop = stop
        self._end_s = end_s
        self._begin = begin
        self._clock = clock
        self._pace = experiment.pace()
        self._starts = Counter(each.run_number for each in experiment.starts)
        self._left = Counter(run.cell for run in experiment.left)
        self._what = ""
        # All later runs were compared with the first one, and a difference was reported.
        self._first: Run | None = next(iter(experiment.measured), None)
        self._strayed: list[str] = []

    def run(self) -> None:
        """Run the warm-ups, and then the remaining runs of each block."""
        self._warm_up()
        for block, planned in self._blocks():
            if self._stop.is_set() or self._is_too_long(planned):
                return
            self._block(block, planned)
            if (last := self._experiment.stopped_at) is not None:
                done = f"all comparisons are decided after {last} blocks"
                self._on_step(Step("stopping early", "done", done, 1.0))
                return

    def _blocks(self) -> Iterator[tuple[int, list[PlannedRun]]]:
        """Yield the blocks that are left: those of a pilot first, then what it allocates."""
        self._allocate()
        yield from _by_block(self._experiment.left)
        if self._allocate():
            yield from _by_block(self._experiment.left)

    def _allocate(self) -> bool:
        """Record the runs that the finished pilot allocates; return whether there are any."""
        experiment = self._experiment
        if not (added := experiment.allocated):
            return False
        require_room(experiment.design, experiment.directory, runs=len(added))
        planned = experiment.planned
        experiment.manifest = replace(experiment.manifest, planned=planned)
        write_manifest(experiment.directory, experiment.manifest)
        self._left = Counter(run.cell for run in experiment.left)
        what = "allocating the rest of the time"
        self._on_step(Step(what, "started"))
        self._on_step(Step(what, "done", allocation_text(experiment.repeats()), 1.0))
        return True

    def _is_too_long(self, planned: list[PlannedRun]) -> bool:
        """Return whether a block would end after the budget; say so."""
        if self._end_s is None:
            return False
        needs_s = sum(self._pace.run_s(each.cell) for each in planned)
        left_s = self._end_s - self._clock()
        if needs_s <= left_s:
            return False
        what = "the budget is used up"
        detail = f"a block takes about {lasting(needs_s)}, {lasting(max(left_s, 0))} are left"
        self._on_step(Step(what, "started"))
        self._on_step(Step(what, "done", detail, 1.0))
        return True

    def _warm_up(self) -> None:
        count, left = self._experiment.design.warm_ups, self._experiment.left
        if not count or not left or self._stop.is_set():
            return
        self._what = "warming up"
        with step(self._on_step, self._what):
            for number in range(count):
                cell = self._experiment.cell(left[number % len(left)].cell)
                self._progress(cell.name, number / count)
                # Directions alternate, so that the last guest arrives where the first run begins.
                backwards = left[0].backwards != bool((count - number) % 2)
                if self._run(cell, None, backwards=backwards) is None:
                    return

    def _block(self, number: int, group: list[PlannedRun]) -> None:
        self._what = f"block {number} of {self._experiment.planned[-1].block}"
        self._on_step(Step(self._what, "started"))
        runs = []
        try:
            for index, planned in enumerate(group):
                self._progress(planned.cell, index / len(group))
                cell = self._experiment.cell(planned.cell)
                run = self._run(cell, planned, backwards=planned.backwards)
                if run is None:
                    break
                runs.append(run)
        except BaseException as error:
            why = "stopped" if isinstance(error, KeyboardInterrupt) else str(error)
            self._on_step(Step(self._what, "failed", why))
            raise
        completed = sum(run.outcome is Outcome.COMPLETED for run in runs)
        detail = f"{completed} of {len(runs)} completed, {self._remaining()}"
        if len(runs) < len(group):
            self._on_step(Step(self._what, "failed", f"stopped; {detail}"))
        else:
            self._on_step(Step(self._what, "done", detail, 1.0))

    def _run(self, cell: Cell, planned: PlannedRun | None, *, backwards: bool) -> Run | None:
        """Make one planned run, or a warm-up; return None if it was stopped."""
        began = self._clock()
        args = self._testbed.ready(cell, backwards=backwards)
        if self._stop.wait(SETTLE_S):
            return None
        attempt = 1
        if planned is not None:
            record_start(self._experiment.directory, planned.number)
            self._starts[planned.number] += 1
            attempt = self._starts[planned.number]
        migration = self._begin(
            args.guest, to=args.to, source=args.source, plan=cell.plan, probe=args.probe
        )
        try:
            self._wait(migration)
        finally:
            unfinished = not migration.done
            run = _ended(migration)
            stopped = unfinished and run.outcome is Outcome.CANCELLED
            run = self._store(run, cell, planned, attempt=attempt, stopped=stopped)
        if stopped:
            return None
        self._report_changes(run)
        self._testbed.over(run)
        self._pace.note(cell.name, self._clock() - began)
        if planned is not None:
            self._left[cell.name] -= 1
        return run

    def _report_changes(self, run: Run) -> None:
        """Report a changed environment as soon as a run shows it."""
        if self._first is None:
            self._first = run
        strayed = self._experiment.strayed([self._first, run])
        if strayed and strayed != self._strayed:
            what = "the same environment as before"
            self._on_step(Step(what, "started"))
            changed = f"{', '.join(strayed)} changed since {self._first.created[:16]}"
            self._on_step(Step(what, "failed", f"{changed}; stop, or pool the runs with --mixed"))
        self._strayed = strayed

    def _wait(self, migration: Migration) -> None:
        while not migration.done and not self._stop.is_set():
            with contextlib.suppress(TimeoutError):
                migration.wait(POLL_S)

    def _store(
        self, run: Run, cell: Cell, planned: PlannedRun | None, *, attempt: int, stopped: bool
    ) -> Run:
        """Write a run with its place in the design."""
        placed = replace(
            run,
            experiment={
                "id": self._experiment.id,
                "name": self._experiment.name,
                "cell": cell.name,
                "setting": dict(cell.setting),
                "block": None if planned is None else planned.block,
                "run_number": None if planned is None else planned.number,
                "attempt": attempt,
                "warm_up": planned is None,
                "stopped": stopped,
            },
        )
        folder = self._experiment.directory / RUNS
        interrupted: KeyboardInterrupt | None = None
        while not (folder / placed.run_id).exists():
            try:
                save_run(placed, folder)
            except KeyboardInterrupt as error:
                # Ctrl-C, maybe a second one, must not lose the run that is over.
                interrupted = error
        if interrupted is not None:
            raise interrupted
        return placed

    def _progress(self, cell: str, fraction: float) -> None:
        self._on_step(Step(self._what, "progress", f"{cell}; {self._remaining()}", fraction))

    def _remaining(self) -> str:
        left = self._left.total()
        if not left:
            return "nothing left"
        return f"{left} left, about {lasting(self._pace.left_s(self._left))}"


def _by_block(left: Iterable[PlannedRun]) -> Iterator[tuple[int, list[PlannedRun]]]:
    for block, group in groupby(left, key=lambda planned: planned.block):
        yield block, list(group)


def _ended(migration: Migration) -> Run:
    """Return the run of a migration; cancel an unfinished one. Ctrl-C does not end the wait."""
    while True:
        try:
            if not migration.done:
                with contextlib.suppress(UsageError):  # in post-copy it can only complete
                    migration.cancel()
            return migration.wait()
        except KeyboardInterrupt:
            continue
