"""Make single runs of an experiment in a worker of Dask: the part that runs beside the hosts.

A worker keeps the testbed of a pair open between two runs, so that the guest goes back and forth as
in an experiment without pairs. Jobs and answers are plain values: a run comes back as its files.
"""

from __future__ import annotations

import contextlib
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from migrationlab.errors import HostError, UsageError
from migrationlab.experiment.inventory import Pair
from migrationlab.experiment.runner import POLL_S, SETTLE_S
from migrationlab.experiment.testbeds import Testbed, open_testbed
from migrationlab.migrate.migration import Migration
from migrationlab.migrate.start import start
from migrationlab.runs.run import Run
from migrationlab.runs.store import save_run
from migrationlab.steps import ignore

#: Two pairs of one process must not open their testbeds at the same time.
_LOCK = threading.Lock()
_OPEN: dict[str, tuple[contextlib.ExitStack, Testbed]] = {}

Files = dict[str, bytes]


def make_run(job: Mapping[str, Any]) -> Files:
    """Make one planned run, and return its files by their names.

    Args:
        job: ``pair`` (name and place), ``spec``, ``cell``, ``backwards``, ``placement`` (the run's
            place in the experiment) and ``token``, the name of this one attempt.

    Raises:
        HostError: The job was begun before. A scheduler gives the job of a lost worker to another
            one; a migration is never repeated in that way.
        MigrationLabError: An error of the testbed, or of :func:`migrationlab.start`.
    """
    if not _claimed(str(job["token"])):
        raise HostError(
            f"run {job['placement']['run_number']} failed: its worker was lost in the middle",
            hint="Look at both hosts; the experiment makes it again as a new attempt.",
        )
    pair = Pair(job["pair"]["name"], job["pair"]["place"])
    design = pair.design(job["spec"])
    testbed = _testbed(pair, job["spec"])
    args = testbed.ready(design.cell(job["cell"]), backwards=bool(job["backwards"]))
    time.sleep(SETTLE_S)
    plan = design.cell(job["cell"]).plan
    migration = start(args.guest, to=args.to, source=args.source, plan=plan, probe=args.probe)
    run = _finished(migration, _stop_of(str(job["stop"])))
    testbed.over(run)
    return _files(replace(run, experiment={**job["placement"], "pair": pair.name}))


def close_pair(name: str) -> None:
    """Close the testbed of a pair, if this worker has it."""
    with _LOCK:
        found = _OPEN.pop(name, None)
    if found is not None:
        found[0].close()


def _claimed(token: str) -> bool:
    """Claim an attempt; return whether nobody has claimed it before."""
    from distributed import Event  # noqa: PLC0415 - an optional package, and only in a worker

    mark = Event(f"migrationlab-{token}")
    if mark.is_set():
        return False
    mark.set()
    return True


def _stop_of(name: str) -> Callable[[], bool]:
    from distributed import Event  # noqa: PLC0415 - as above

    event = Event(name)
    return lambda: bool(event.is_set())


def _finished(migration: Migration, stopped: Callable[[], bool]) -> Run:
    """Wait for the end of a migration; cancel it when the experiment is stopped."""
    looks = 0
    while not migration.done:
        with contextlib.suppress(TimeoutError):
            migration.wait(POLL_S)
        looks += 1
        if looks % 10 == 0 and stopped():  # a question to the scheduler each second
            with contextlib.suppress(UsageError):  # in post-copy it can only complete
                migration.cancel()
    return migration.wait()


def _testbed(pair: Pair, spec: Mapping[str, Any]) -> Testbed:
    with _LOCK:
        if pair.name not in _OPEN:
            stack = contextlib.ExitStack()
            _OPEN[pair.name] = (
                stack,
                stack.enter_context(open_testbed(pair.design(spec), None, ignore)),
            )
        return _OPEN[pair.name][1]


def _files(run: Run) -> Files:
    with tempfile.TemporaryDirectory(prefix="migrationlab-run-") as place:
        folder = save_run(run, place)
        return {
            f"{run.run_id}/{path.relative_to(folder)}": path.read_bytes()
            for path in sorted(folder.rglob("*"))
            if path.is_file()
        }
