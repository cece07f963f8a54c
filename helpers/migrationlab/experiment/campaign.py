"""Make the runs of an experiment on many pairs of hosts at once, with ``dask.distributed``.

Theory of operation. A block is made whole by one pair, so each comparison is within a pair. The
client hands out runs one by one, each as a job that is pinned to the worker of its pair: a pair is
never used by two jobs. Before a job is handed out its start is recorded in the experiment's folder,
as without pairs. The finished run comes back as files, is read, and is stored in the same folder.

A migration is never repeated silently. The scheduler gives the job of a lost worker to a worker
that comes after it; that worker finds the attempt claimed (``pair_worker``) and refuses. The client
sees a lost worker, reports it, and makes the run again as a new attempt, on the pair's next worker.
A pair that fails :data:`MOST_FAILURES` times in a row is given up; the others finish its block. A
campaign whose client, scheduler or workers died is continued from its folder.
"""

from __future__ import annotations

import tempfile
import threading
import time
from collections import Counter, deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from itertools import groupby
from pathlib import Path
from typing import Any

from migrationlab.errors import HostError, MigrationLabError, UsageError
from migrationlab.experiment import pair_worker
from migrationlab.experiment.folder import RUNS, record_start
from migrationlab.experiment.inventory import Pair
from migrationlab.experiment.results import Results
from migrationlab.experiment.schedule import PlannedRun
from migrationlab.runs.numbers import lasting
from migrationlab.runs.run import Outcome
from migrationlab.runs.store import load_run, save_run
from migrationlab.steps import Listener, Step, StepState

POLL_S = 0.5
CONNECT_S = 10
MOST_FAILURES = 2
#: How long to wait for a worker that replaces a lost one.
WORKER_S = 60.0
#: How long to wait for a worker to close its labs.
CLOSE_S = 60.0


@dataclass(slots=True)
class _Place:
    """A pair at work: its worker, its job, and the runs that are left of its block."""

    pair: Pair
    worker: str = ""
    future: Any = None
    planned: PlannedRun | None = None
    runs: deque[PlannedRun] = field(default_factory=deque)
    failures: int = 0
    lost_s: float | None = None


@contextmanager
def connected(client: Any, scheduler: str | None, pairs: int) -> Iterator[Any]:
    """Give a client: the given one, one of a scheduler, or one of workers on this machine.

    Raises:
        UsageError: Dask is missing, or the scheduler cannot be reached.
    """
    try:
        import distributed  # noqa: PLC0415 - an optional package
    except ModuleNotFoundError as error:
        raise UsageError(
            "pairs need the Python package distributed, which is missing",
            hint="Run `pip install migrationlab[dask]`.",
        ) from error
    if client is not None:
        yield client
    elif scheduler is not None:
        try:
            own = distributed.Client(scheduler, timeout=CONNECT_S)
        except (OSError, ValueError, TimeoutError) as error:
            raise UsageError(
                f"scheduler must be reachable (got {scheduler!r}: {error})",
                hint="Start one with `dask scheduler`, and give its address: tcp://HOST:8786.",
            ) from error
        with own:
            yield own
    else:
        with (
            # With its own certificates: a worker does what it is sent, whoever sends it.
            distributed.LocalCluster(
                n_workers=pairs, threads_per_worker=1, dashboard_address=None, security=True
            ) as cluster,
            distributed.Client(cluster) as own,
        ):
            yield own


def run_on_pairs(
    experiment: Results,
    pairs: Sequence[Pair],
    *,
    client: Any = None,
    scheduler: str | None = None,
    on_step: Listener,
    stop: threading.Event,
) -> None:
    """Make the remaining runs of an experiment on pairs of hosts.

    Raises:
        UsageError: A pair does not fit the design, or the scheduler cannot be reached. Nothing
            was started.
        HostError: Every pair was given up; the message says why.
    """
    for pair in pairs:
        names = {cell.name for cell in pair.design(experiment.design.spec).cells}
        assert names == {cell.name for cell in experiment.cells}
    with connected(client, scheduler, len(pairs)) as own:
        if not own.scheduler_info()["workers"]:
            raise UsageError(
                "the scheduler must have a worker (got none)",
                hint="Start one beside each pair: `dask worker tcp://HOST:8786 --nthreads 1`.",
            )
        Campaign(experiment, pairs, own, on_step, stop).run()


class Campaign:
    """Hands out the runs of an experiment to pairs."""

    def __init__(
        self,
        experiment: Results,
        pairs: Sequence[Pair],
        client: Any,
        on_step: Listener,
        stop: threading.Event,
    ) -> None:
        self._experiment = experiment
        self._client = client
        self._on_step = on_step
        self._stop = stop
        self._places = [_Place(pair) for pair in pairs]
        left = groupby(experiment.left, key=lambda planned: planned.block)
        self._blocks = deque(deque(runs) for _, runs in left)
        self._starts = Counter(each.run_number for each in experiment.starts)
        self._given_up: dict[str, str] = {}
        self._stop_name = f"migrationlab-stop-{experiment.id}-{time.time_ns()}"
        self._total = sum(map(len, self._blocks))
        self._done = 0
        self._began_s = time.monotonic()

    def run(self) -> None:
        """Hand out runs until all are made, the experiment is stopped, or no pair is left."""
        from distributed import Event, wait  # noqa: PLC0415 - an optional package

        what = f"{self._total} runs on {len(self._places)} pairs"
        self._on_step(Step(what, "started"))
        stopping = Event(self._stop_name, client=self._client)
        try:
            while self._places:
                if self._stop.is_set() and not stopping.is_set():
                    stopping.set()
                self._hand_out()
                busy = [place.future for place in self._places if place.future is not None]
                if not busy and (self._stop.is_set() or not self._waiting()):
                    break
                if busy:
                    with suppress(TimeoutError):
                        wait(busy, timeout=POLL_S, return_when="FIRST_COMPLETED")
                else:
                    time.sleep(POLL_S)
                self._collect()
                self._on_step(Step(what, "progress", self._progress(), self._done / self._total))
        except BaseException:
            stopping.set()
            self._on_step(Step(what, "failed", self._progress()))
            raise
        finally:
            self._close()
        if self._done < self._total and self._given_up and not self._stop.is_set():
            reasons = "; ".join(f"{name}: {why}" for name, why in self._given_up.items())
            self._on_step(Step(what, "failed", reasons))
            raise HostError(
                f"every pair was given up: {reasons}",
                hint="Repair one of them, and run the same command again to continue.",
            )
        state: StepState = "done" if self._done == self._total else "failed"
        self._on_step(Step(what, state, self._progress(), self._done / max(self._total, 1)))

    def _waiting(self) -> bool:
        return bool(self._blocks) or any(place.runs for place in self._places)

    def _progress(self) -> str:
        left = self._total - self._done
        if not left or not self._done:
            return f"{left} left"
        each_s = (time.monotonic() - self._began_s) / self._done
        return f"{left} left, about {lasting(each_s * left)}"

    def _hand_out(self) -> None:
        """Give each free pair its next run."""
        if self._stop.is_set():
            return
        workers = list(self._client.scheduler_info()["workers"])
        for place in self._places:
            if place.future is not None:
                continue
            if not place.runs and self._blocks:
                place.runs = self._blocks.popleft()
            if not place.runs:
                continue
            if place.worker not in workers:
                if not workers:
                    self._await_worker(place)
                    continue
                used = Counter(other.worker for other in self._places if other is not place)
                place.worker = min(workers, key=lambda each: used[each])
            place.lost_s = None
            self._submit(place)

    def _await_worker(self, place: _Place) -> None:
        now_s = time.monotonic()
        place.lost_s = now_s if place.lost_s is None else place.lost_s
        if now_s - place.lost_s > WORKER_S:
            raise HostError(
                f"no worker is left after {WORKER_S:g} s",
                hint="Start one, and run the same command again to continue.",
            )

    def _submit(self, place: _Place) -> None:
        planned = place.runs[0]
        record_start(self._experiment.directory, planned.number)
        self._starts[planned.number] += 1
        attempt = self._starts[planned.number]
        cell = self._experiment.cell(planned.cell)
        job = {
            "pair": {"name": place.pair.name, "place": dict(place.pair.place)},
            "spec": dict(self._experiment.design.spec),
            "cell": cell.name,
            "backwards": planned.backwards,
            "token": f"{self._experiment.id}-{planned.number}-{attempt}-{time.time_ns()}",
            "stop": self._stop_name,
            "placement": {
                "id": self._experiment.id,
                "name": self._experiment.name,
                "cell": cell.name,
                "setting": dict(cell.setting),
                "block": planned.block,
                "run_number": planned.number,
                "attempt": attempt,
                "warm_up": False,
                "stopped": False,
            },
        }
        place.planned = planned
        place.future = self._client.submit(
            pair_worker.make_run, job,
            pure=False, retries=0, workers=[place.worker], allow_other_workers=False,
        )  # fmt: skip

    def _collect(self) -> None:
        """Take the finished jobs, and those of lost workers."""
        workers = self._client.scheduler_info()["workers"]
        for place in list(self._places):
            future = place.future
            if future is None:
                continue
            if future.done():
                self._take(place)
            elif place.worker not in workers:
                future.cancel()
                self._failed(place, f"its worker {place.worker} was lost")

    def _take(self, place: _Place) -> None:
        future, place.future = place.future, None
        error = future.exception() if future.status == "error" else None
        if future.status != "finished":
            self._failed(place, str(error) or future.status)
            if error is not None and not isinstance(error, MigrationLabError | OSError):
                place.worker = ""
            return
        outcome = self._store(future.result())
        place.failures = 0
        if outcome is Outcome.CANCELLED and self._stop.is_set():
            return  # it does not count, and is left
        place.runs.popleft()
        self._done += 1

    def _store(self, files: Mapping[str, bytes]) -> Outcome:
        """Read a run that came back, and write it to the experiment's folder."""
        with tempfile.TemporaryDirectory(prefix="migrationlab-run-") as made:
            root = Path(made).resolve()
            for name, content in files.items():
                path = (root / name).resolve()
                if root not in path.parents:
                    raise HostError(
                        f"a worker's file must stay in its run (got {name!r})",
                        hint="Use workers of your own only.",
                    )
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content)
            (folder,) = root.iterdir()
            run = load_run(folder)
            if run.outcome is Outcome.CANCELLED and self._stop.is_set():
                run = replace(run, experiment={**(run.experiment or {}), "stopped": True})
            # While its files are there: frames are read when they are needed.
            save_run(run, self._experiment.directory / RUNS)
        return run.outcome

    def _failed(self, place: _Place, why: str) -> None:
        """Report a run that was lost; give the pair up if it fails again and again."""
        assert place.planned is not None
        place.future = None
        place.failures += 1
        what = f"run {place.planned.number} on {place.pair.name}"
        self._on_step(Step(what, "started"))
        if place.failures < MOST_FAILURES:
            self._on_step(Step(what, "failed", f"{why}; it is made again as a new attempt"))
            return
        self._on_step(Step(what, "failed", f"{why}; the pair is given up"))
        self._given_up[place.pair.name] = why
        self._blocks.appendleft(place.runs)
        self._places.remove(place)

    def _close(self) -> None:
        """Let the workers close what they opened for the pairs."""
        from distributed import wait  # noqa: PLC0415 - an optional package

        workers = self._client.scheduler_info()["workers"]
        for place in self._places:
            # A migration that still runs was asked to stop.
            if place.future is not None and place.worker in workers:
                with suppress(TimeoutError):
                    wait([place.future], timeout=CLOSE_S)
                if place.future.done():
                    self._take(place)
        closing = [
            self._client.submit(
                pair_worker.close_pair, place.pair.name, pure=False, workers=[place.worker]
            )
            for place in self._places
            if place.worker in workers
        ]
        if closing:
            with suppress(TimeoutError):
                wait(closing, timeout=CLOSE_S)
