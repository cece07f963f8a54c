"""Begin, observe and cancel a real migration with the settings of the convergence explorer.

``LiveRun`` sets the guest's workload and the lab's wire, migrates in a worker thread, and sets both
back. It decides nothing about migrations: it calls functions that a script would call.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial

from migrationlab.errors import MigrationLabError
from migrationlab.forecast.precopy import Precopy
from migrationlab.lab.guest import Guest
from migrationlab.lab.lab_base import LabBase
from migrationlab.migrate.migration import Migration, Progress
from migrationlab.migrate.start import start as start_migration
from migrationlab.plan.plan import Mode, Plan
from migrationlab.runs.run import Run
from migrationlab.widgets.background import Worker
from migrationlab.widgets.base import cause, lab_down, poll

#: How often the progress is reported.
PROGRESS_INTERVAL_S = 0.3


@dataclass(frozen=True, slots=True, kw_only=True)
class Callbacks:
    """The functions that a live run calls, from its own thread.

    Attributes:
        progress: Called during the run, with its progress; None before the first.
        run: Called after the migration, with its run.
        error: Called if no migration was made, or if the lab could not be set back afterwards.
        idle: Called at the end in any case.
    """

    progress: Callable[[Progress | None], object]
    run: Callable[[Run], object]
    error: Callable[[BaseException], object]
    idle: Callable[[], object]


class LiveRun:
    """Migrates a guest of the lab with trial settings, one migration at a time."""

    def __init__(
        self,
        guest: Guest,
        callbacks: Callbacks,
        *,
        start: Callable[..., Migration] = start_migration,
    ) -> None:
        self._guest = guest
        self._callbacks = callbacks
        self._start = start
        self._lock = threading.Lock()
        self._worker = Worker("convergence-explorer-run")
        self._stop = threading.Event()
        self._migration: Migration | None = None

    @property
    def running(self) -> bool:
        """Return whether a migration runs."""
        return self._worker.running

    def begin(self, settings: Precopy, deadline_s: float) -> bool:
        """Begin a migration and return at once; return False during a migration, or once closed."""
        if self.running:
            return False
        self._stop.clear()  # remove the cancel of the previous run
        return self._worker.begin(lambda: self._work(settings, deadline_s))

    def cancel(self) -> None:
        """Cancel the running migration; return at once."""
        with self._lock:
            self._stop.set()
            if self._migration is not None:
                self._migration.cancel()

    def wait(self, timeout_s: float | None = None) -> bool:
        """Wait until no migration runs; return False after the time limit."""
        return self._worker.wait(timeout_s)

    def close(self, timeout_s: float) -> bool:
        """Cancel the migration, begin no more, and wait for the end; return whether it came."""
        self._worker.close()
        self.cancel()
        return self.wait(timeout_s)

    def _work(self, settings: Precopy, deadline_s: float) -> None:
        try:
            self._callbacks.progress(None)
            self._migrate(settings, deadline_s)
        except MigrationLabError as error:
            self._callbacks.error(cause(error, self._guest))
        except BaseException as error:
            self._callbacks.error(error)
            raise
        finally:
            self._callbacks.idle()
            with self._lock:
                self._migration = None

    def _migrate(self, settings: Precopy, deadline_s: float) -> None:
        guest, lab = self._guest, self._guest.lab
        if not lab.alive:
            raise lab_down()
        wire, dirty = lab.wire.settings, guest.spec.dirty_mib_s
        set_wire = partial(lab.wire.set, **asdict(wire))
        with contextlib.ExitStack() as back:
            back.callback(_set_back, lab, partial(guest.set_workload, dirty))
            back.callback(_set_back, lab, set_wire)
            lab.wire.set(settings.wire_mbit_s)
            guest.set_workload(settings.dirty_mib_s)
            plan = Plan(
                mode=Mode.PEER2PEER,  # like the recorded runs
                max_downtime_ms=round(settings.max_downtime_ms),
                deadline_s=deadline_s,
            )
            with self._lock:
                if self._stop.is_set():
                    return
            migration = self._start(guest, to=guest.other_host, plan=plan)
            with self._lock:
                self._migration = migration
                if self._stop.is_set():
                    migration.cancel()
            for progress in poll(migration, PROGRESS_INTERVAL_S):
                self._callbacks.progress(progress)
            # Reported before anything is set back, so that a failure there does not lose the run.
            self._callbacks.run(migration.wait())


def _set_back(lab: LabBase, set_it: Callable[[], object]) -> None:
    """Set a part of a lab back; a lab that is down has nothing to set."""
    try:
        set_it()
    except MigrationLabError:
        if lab.alive:
            raise
