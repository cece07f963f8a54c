"""A migration under a setting of the playground, for real: begun, told of, cancelled.

Sets the guest's workload and the lab's wire, migrates in a worker thread, and sets both back. Holds
nothing of widgets, and decides nothing of migrations: it calls what a script would.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from migrationlab.errors import MigrationLabError
from migrationlab.forecast.precopy import Precopy
from migrationlab.lab.guest import Guest
from migrationlab.lab.site import Site
from migrationlab.migrate.migration import Migration, Progress
from migrationlab.migrate.start import start as start_migration
from migrationlab.plan.plan import Mode, Plan
from migrationlab.runs.run import Run
from migrationlab.widgets.lab_down import cause, lab_down

#: How often it is told how far it is.
LOOK_INTERVAL_S = 0.3


@dataclass(frozen=True, slots=True, kw_only=True)
class Callbacks:
    """What is to be called by a trial, from its own thread.

    Attributes:
        progress: While it is under way, with how far it is; None while nothing is known.
        run: Once the migration is over, with its run.
        error: Where no migration came of it, or what was set could not be set back after it.
        idle: At the end, whatever came of it; when it returns, another one can begin.
    """

    progress: Callable[[Progress | None], object]
    run: Callable[[Run], object]
    error: Callable[[BaseException], object]
    idle: Callable[[], object]


class LiveRun:
    """Tries settings on a guest of the lab, one at a time.

    Args:
        guest: The guest.
        heard: Whom to tell.
        start: Starts a migration, as ``migrationlab.start`` does.
    """

    def __init__(
        self, guest: Guest, heard: Callbacks, *, start: Callable[..., Migration] = start_migration
    ) -> None:
        self._guest = guest
        self._heard = heard
        self._start = start
        self._lock = threading.Lock()
        self._idle = threading.Event()
        self._idle.set()
        self._stop = threading.Event()
        self._closed = False
        self._migration: Migration | None = None

    @property
    def running(self) -> bool:
        """Whether one is under way."""
        return not self._idle.is_set()

    def begin(self, asked: Precopy, deadline_s: float) -> bool:
        """Begin a trial; returns at once. Does nothing while one is under way, or once closed.

        Args:
            asked: The setting: dirty rate, wire, downtime limit. The guest's memory is as it is.
            deadline_s: After how long it is cancelled.

        Returns:
            Whether it was begun.
        """
        with self._lock:
            if self.running or self._closed:
                return False
            self._idle.clear()
            self._stop.clear()
        threading.Thread(
            target=self._work, args=[asked, deadline_s], name="playground-trial", daemon=True
        ).start()
        return True

    def cancel(self) -> None:
        """Ask for what is under way to be cancelled; returns at once."""
        with self._lock:
            self._stop.set()
            if self._migration is not None:
                self._migration.cancel()

    def wait(self, timeout_s: float | None = None) -> bool:
        """Wait until nothing is under way; tell whether that came."""
        return self._idle.wait(timeout_s)

    def close(self, timeout_s: float) -> bool:
        """Cancel what is under way, begin nothing more, and wait for the end; tell if it came."""
        with self._lock:
            self._closed = True
        self.cancel()
        return self.wait(timeout_s)

    def _work(self, asked: Precopy, deadline_s: float) -> None:
        try:
            self._heard.progress(None)
            self._migrate(asked, deadline_s)
        except MigrationLabError as error:
            self._heard.error(cause(error, self._guest))
        except BaseException as error:
            self._heard.error(error)
            raise
        finally:
            self._heard.idle()
            with self._lock:
                self._migration = None
                self._idle.set()

    def _migrate(self, asked: Precopy, deadline_s: float) -> None:
        guest, lab = self._guest, self._guest.lab
        if not lab.alive:
            raise lab_down()
        wire, dirty = lab.wire.settings, guest.spec.dirty_mib_s
        with contextlib.ExitStack() as back:
            back.callback(_set_back, lab, partial(guest.set_workload, dirty))
            back.callback(
                _set_back,
                lab,
                partial(
                    lab.wire.set,
                    wire.rate_mbit_s,
                    delay_ms=wire.delay_ms,
                    loss_percent=wire.loss_percent,
                ),
            )
            lab.wire.set(asked.wire_mbit_s)
            guest.set_workload(asked.dirty_mib_s)
            plan = Plan(
                # As the recorded runs are.
                mode=Mode.PEER2PEER,
                max_downtime_ms=round(asked.max_downtime_ms),
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
            while not migration.done:
                self._heard.progress(migration.progress())
                with contextlib.suppress(TimeoutError):
                    migration.wait(LOOK_INTERVAL_S)
            # Before anything is set back: should that fail, the run is not lost.
            self._heard.run(migration.wait())


def _set_back(lab: Site, set_it: Callable[[], object]) -> None:
    """Set something of a lab back; one that has died has nothing to set."""
    try:
        set_it()
    except MigrationLabError:
        if lab.alive:
            raise
