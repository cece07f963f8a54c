"""A stage for the migration panel: fakes that let a test hold a migration at any moment.

``tests/unit/widgets/test_panel.py`` checks that the fakes have the methods of the real classes.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

import ipywidgets as widgets

from migrationlab.errors import GuestError, HostError, MigrationLabError, UsageError
from migrationlab.migrate.migration import Progress
from migrationlab.plan.plan import Plan
from migrationlab.runs.run import Run
from migrationlab.widgets import MigrationPanel

Fact = TypeVar("Fact")

TIMEOUT_S = 20
MIB = 2**20


def says(shown: widgets.HTML, text: str) -> threading.Event:
    """Return an event that is set once a part of the page contains ``text``."""
    seen = threading.Event()

    def look(change: dict[str, str]) -> None:
        if text in change["new"]:
            seen.set()

    shown.observe(look, names="value")
    return seen


@dataclass(eq=False)
class FakeHost:
    """A host that has only a name."""

    name: str

    @property
    def peer_name(self) -> str:
        """Return the host's name."""
        return self.name

    @property
    def peer_uri(self) -> str:
        """Return the URI that its libvirtd would have."""
        return f"qemu+ssh://root@{self.name}/system"


class FakeLab:
    """A lab that a test can let die."""

    def __init__(self) -> None:
        self.hosts = (FakeHost("host-a"), FakeHost("host-b"))
        self.alive = True

    def other(self, host: FakeHost) -> FakeHost:
        """Return the other host than ``host``."""
        return self.hosts[1] if host is self.hosts[0] else self.hosts[0]


class FakeGuest:
    """A guest that moves when a test sets its host."""

    def __init__(self) -> None:
        self.lab = FakeLab()
        self.gone = False
        self._host = self.lab.hosts[0]

    @property
    def name(self) -> str:
        """Return the guest's name, or raise if the lab died."""
        return self._told("guest-1")

    @property
    def host(self) -> FakeHost:
        """Return the guest's host, or raise if the guest is gone."""
        if self.gone:
            raise GuestError("the guest is gone", hint="boot another")
        return self._told(self._host)

    @host.setter
    def host(self, host: FakeHost) -> None:
        self._host = host

    def _told(self, fact: Fact) -> Fact:
        if not self.lab.alive:
            raise HostError("Cannot recv data: Connection reset by peer")
        return fact


@dataclass
class FakeMigration:
    """A migration that reports what the test sets, and ends when the test or a cancel ends it."""

    runs: Callable[[str], Run]
    plan: Plan = field(default_factory=Plan)
    ended: threading.Event = field(default_factory=threading.Event)
    outcome: str = "completed"
    failure: MigrationLabError | None = None
    told: Progress = field(default_factory=lambda: Progress("starting", 0))
    steered: list[tuple[object, ...]] = field(default_factory=list)
    refusal: MigrationLabError | None = None
    waits: int = 0

    @property
    def done(self) -> bool:
        """Return whether the migration is over."""
        return self.ended.is_set()

    def progress(self) -> Progress:
        """Return the progress that the test set."""
        return self.told

    def cancel(self) -> None:
        """End the migration as cancelled; refuse in post-copy."""
        if self.told.state == "post-copy":
            raise UsageError("it cannot be cancelled", hint="let it complete")
        self.outcome = "cancelled"
        self.ended.set()

    def wait(self, timeout_s: float | None = None) -> Run:
        """Wait for the end of the migration."""
        self.waits += 1
        if not self.ended.wait(TIMEOUT_S if timeout_s is None else timeout_s):
            raise TimeoutError
        if self.failure is not None:
            raise self.failure
        return self.runs(self.outcome)

    def start_postcopy(self) -> None:
        """Note the switch to post-copy."""
        self._steer("postcopy")

    def suspend(self) -> None:
        """Note the suspension."""
        self._steer("suspend")

    def set_max_downtime(self, max_downtime_ms: int) -> None:
        """Note the downtime limit."""
        self._steer("downtime", max_downtime_ms)

    def set_bandwidth(self, bandwidth_mib_s: int | None, *, postcopy: bool = False) -> None:
        """Note the bandwidth limit."""
        self._steer("bandwidth", bandwidth_mib_s, postcopy)

    def _steer(self, *what: object) -> None:
        if self.refusal is not None:
            raise self.refusal
        self.steered.append(what)


def told(state: str, *, left_mib: int = 44) -> Progress:
    """Return the progress of a migration with so much memory left to send."""
    return Progress(
        state,
        1500,
        iteration=2,
        memory_total_bytes=220 * MIB,
        memory_remaining_bytes=left_mib * MIB,
        throughput_bytes_per_s=112 * MIB,
    )


class Stage:
    """A panel and its fakes, which a test controls."""

    def __init__(self, make_run: Callable[..., Run]) -> None:
        self.guest = FakeGuest()
        self.plans: list[Plan] = []
        self.asked = threading.Event()
        self.connected = threading.Event()
        self.connected.set()
        self.refusal: BaseException | None = None
        self._make_run = make_run
        self.migration = FakeMigration(self._run)
        self.panel = MigrationPanel(self.guest, start=self.start)  # type: ignore[arg-type]

    def start(self, guest: FakeGuest, *, to: FakeHost, plan: Plan) -> FakeMigration:
        """Start a fake migration in place of ``migrationlab.start``."""
        self.plans.append(plan)
        self.asked.set()
        assert self.connected.wait(TIMEOUT_S)
        if self.refusal is not None:
            raise self.refusal
        self._to = to
        self.migration.plan = plan
        return self.migration

    def tell(self, state: str, *, left_mib: int = 44) -> None:
        """Set the migration's progress, and wait until the page shows it."""
        shown = says(self.panel.progress, f"{left_mib} MiB to go")
        self.migration.told = told(state, left_mib=left_mib)
        assert shown.wait(TIMEOUT_S)

    def end(self) -> None:
        """End the migration, and wait until the page shows the end."""
        self.migration.ended.set()
        assert self.panel.wait(TIMEOUT_S)

    def begin(self) -> None:
        """Press Start, and wait until the migration is started."""
        self.asked.clear()
        self.migration.ended.clear()
        self.migration.outcome = "completed"
        self.migration.told = Progress("starting", 0)
        self.panel.start_button.click()
        assert self.asked.wait(TIMEOUT_S)

    def _run(self, outcome: str) -> Run:
        if outcome == "completed":
            self.guest.host = self._to
        return self._make_run(outcome=outcome, number=len(self.plans))
