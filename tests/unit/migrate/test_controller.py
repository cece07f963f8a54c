"""The controller with a fake domain: order, waiting, refusals, hosts that hang.

The real answers of libvirt to each call are tested in ``tests/lab/test_controller.py``.
"""

from __future__ import annotations

import inspect
import json
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import libvirt
import pytest

from migrationlab.capture.events import EventLog
from migrationlab.capture.job_stats import Sample
from migrationlab.errors import HostError, UsageError
from migrationlab.hosts.connection import is_waited_on
from migrationlab.hosts.poll import wait_until
from migrationlab.migrate import controller
from migrationlab.migrate.controller import Controller
from migrationlab.plan.plan import Plan
from migrationlab.plan.policies.action import Action, ActionKind


class FakeDomain:
    """A domain that records its calls; ``refuse`` and ``hold`` make it difficult."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, tuple[int, ...]]] = []
        self.called = threading.Condition()
        self.refuse: set[str] = set()
        self.hold = threading.Event()
        self.hold.set()
        self.found = [libvirt.VIR_DOMAIN_RUNNING, libvirt.VIR_DOMAIN_RUNNING_BOOTED]

    def __getattr__(self, name: str) -> Callable[..., object]:
        """Give any method of libvirt's domain."""
        real = inspect.signature(getattr(libvirt.virDomain, name))

        def call(*values: int) -> int:
            real.bind(self, *values)
            with self.called:
                self.calls.append((name, values))
                self.called.notify_all()
            assert self.hold.wait(10)
            if name in self.refuse:
                raise libvirt.libvirtError("refused")
            return 77

        return call

    def connect(self) -> FakeDomain:
        """Return the connection; nothing is called on it."""
        return self

    def state(self) -> list[int]:
        """Return state and reason, as libvirt's does."""
        if "state" in self.refuse:
            raise libvirt.libvirtError("refused")
        return self.found

    def await_call(self, name: str, times: int = 1) -> None:
        """Wait until a method was called so many times."""
        with self.called:
            assert self.called.wait_for(lambda: [c[0] for c in self.calls].count(name) >= times, 10)


class Made:
    """A controller with its fake domain and its events."""

    def __init__(self, plan: Plan, domain: FakeDomain | None = None) -> None:
        self.domain = domain or FakeDomain()
        self.log = EventLog("")
        self.controller = Controller(self.domain, plan, self.log, downtime_limit_ms=300)
        self.controller.begin()

    def tell(self, name: str, side: str = "source", **detail: object) -> None:
        """Deliver an event of libvirt."""
        now = time.time_ns()
        self.log._take((now, now, side, "libvirt", name, json.dumps(detail)))

    def noted(self) -> list[tuple[str, dict[str, Any]]]:
        """Return the events that migrationlab noted."""
        return [
            (row[4], json.loads(row[5])) for row in self.log.drain() if row[3] == "migrationlab"
        ]


@pytest.fixture
def make() -> Iterator[Callable[..., Made]]:
    """Give a maker of controllers; end them afterwards."""
    every: list[Made] = []

    def new(plan: Plan, domain: FakeDomain | None = None) -> Made:
        every.append(Made(plan, domain))
        return every[-1]

    yield new
    for one in every:
        one.domain.hold.set()
        one.controller.end()


SET_500 = Action(ActionKind.SET_MAX_DOWNTIME, value=500)


def test_request_waits_for_the_first_iteration(make: Callable[[Plan], Made]) -> None:
    """An early request is done when the first iteration begins, and becomes an event."""
    made = make(Plan())
    asked = threading.Thread(target=made.controller.do, args=[SET_500])
    asked.start()
    made.controller.sampled(Sample(0, {"time_elapsed_ms": 1}))
    assert made.domain.calls == []
    made.tell("migration_iteration", iteration=1)
    asked.join(10)
    assert made.domain.calls == [("migrateSetMaxDowntime", (500,))]
    assert made.noted() == [("set_max_downtime", {"by": "user", "max_downtime_ms": 500})]
    assert made.controller.downtime_limit_ms == 500


def test_request_that_waits_too_long_is_dropped(make: Callable[[Plan], Made]) -> None:
    """A request that waits too long is never done."""
    made = make(Plan())
    with pytest.raises(UsageError, match="has not come far enough") as caught:
        made.controller.do(SET_500, timeout_s=0.01)
    assert caught.value.hint
    made.tell("migration_iteration", iteration=1)
    made.controller.do(Action(ActionKind.SUSPEND))
    assert made.domain.calls == [("suspend", ())]


def test_hanging_libvirt_does_not_block_the_caller(make: Callable[[Plan], Made]) -> None:
    """The caller gets an error while libvirt hangs; a late answer becomes an event."""
    made = make(Plan())
    made.tell("migration_iteration", iteration=1)
    made.domain.hold.clear()
    with pytest.raises(HostError, match="has not answered") as caught:
        made.controller.do(SET_500, timeout_s=0.05)
    assert "the run's timeline" in caught.value.hint
    made.domain.hold.set()
    made.controller.do(Action(ActionKind.SUSPEND))
    assert [name for name, _ in made.noted()] == ["set_max_downtime", "suspend"]


def test_limit_after_the_stop_does_not_count(make: Callable[[Plan], Made]) -> None:
    """The run's requested downtime is the limit at the moment when the guest stopped."""
    made = make(Plan())
    made.tell("migration_iteration", iteration=1)
    made.controller.do(SET_500)
    made.tell("lifecycle.SUSPENDED.MIGRATED")
    made.controller.do(Action(ActionKind.SET_MAX_DOWNTIME, value=900))
    assert made.controller.downtime_limit_ms == 500
    made.tell("lifecycle.RESUMED.MIGRATED")
    made.controller.do(Action(ActionKind.SET_MAX_DOWNTIME, value=900))
    assert made.controller.downtime_limit_ms == 900


def test_refusal_is_raised_and_recorded(make: Callable[[Plan], Made]) -> None:
    """libvirt's error becomes a HostError and an event."""
    made = make(Plan())
    made.tell("migration_iteration", iteration=1)
    made.domain.refuse.add("suspend")
    with pytest.raises(HostError, match="refused"):
        made.controller.do(Action(ActionKind.SUSPEND))
    assert made.noted() == [("suspend", {"by": "user", "refused": "refused"})]


def test_refused_policy_becomes_a_warning(make: Callable[[Plan], Made]) -> None:
    """A refused request of a policy becomes a warning of the run."""
    made = make(Plan(postcopy=True, postcopy_after_iteration=1))
    made.domain.refuse.add("migrateStartPostCopy")
    made.tell("migration_iteration", iteration=2)
    made.controller.do(SET_500)
    assert made.controller.warnings == ["postcopy_after_iteration had no effect: refused"]
    assert made.noted()[0] == (
        "start_postcopy",
        {"by": "postcopy_after_iteration", "refused": "refused"},
    )


def test_stop_is_repeated_until_the_call_returns(make: Callable[[Plan], Made]) -> None:
    """The stop is repeated while there is no job to abort; only the first request is recorded."""
    made = make(Plan())
    made.domain.refuse.add("abortJob")
    made.controller.stop()
    made.controller.stop("deadline_s")
    made.domain.await_call("abortJob", times=3)
    with pytest.raises(UsageError, match="is being cancelled"):
        made.controller.do(SET_500)
    made.controller.end()
    made.controller.stop()
    assert made.controller.stopped_by == "user"
    assert [name for name, _ in made.noted()].count("cancel") == 1


def test_deadline_needs_no_event(make: Callable[[Plan], Made]) -> None:
    """The deadline stops a migration that has no events and no samples."""
    made = make(Plan(deadline_s=0.05))
    made.domain.await_call("abortJob")
    assert made.controller.stopped_by == "deadline_s"
    made.controller.end()
    assert made.noted()[0] == ("deadline", {"by": "deadline_s"})


def test_stop_in_postcopy_has_no_effect(
    make: Callable[[Plan], Made], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A guest that switches over while the stop is requested is not cancelled."""
    made = make(Plan(postcopy=True))
    made.domain.refuse.add("abortJob")
    made.tell("migration_iteration", iteration=1)
    made.controller.do(Action(ActionKind.START_POSTCOPY))
    made.controller.stop()
    made.domain.await_call("abortJob")
    switched = threading.Event()
    monkeypatch.setattr(made.controller._policies, "switchover", lambda **_: switched.set())
    made.tell("lifecycle.SUSPENDED.POSTCOPY")
    assert switched.wait(10)
    made.controller.do(Action(ActionKind.SET_POSTCOPY_BANDWIDTH, value=5))
    assert made.controller.stopped_by is None
    assert "user cancelled too late" in made.controller.warnings[0]
    with pytest.raises(UsageError, match="cannot be cancelled"):
        made.controller.stop()
    assert made.noted()[-1][1]["refused"].startswith("the migration cannot be cancelled")


RESUMED = Plan(postcopy=True, postcopy_resume=True)


@pytest.mark.parametrize(
    "reason", [libvirt.VIR_DOMAIN_PAUSED_POSTCOPY, libvirt.VIR_DOMAIN_PAUSED_POSTCOPY_FAILED]
)
def test_resumed_postcopy_cannot_be_cancelled(make: Callable[..., Made], reason: int) -> None:
    """A resumed post-copy migration is in post-copy from its start, and cannot be cancelled."""
    domain = FakeDomain()
    domain.found = [libvirt.VIR_DOMAIN_PAUSED, reason]
    made = make(RESUMED, domain)
    assert made.controller.in_postcopy
    with pytest.raises(UsageError, match="cannot be cancelled"):
        made.controller.stop()
    assert made.controller.stopped_by is None


def test_running_guest_is_not_in_postcopy(make: Callable[..., Made]) -> None:
    """A guest that runs at the source is not in post-copy, also if the plan resumes one."""
    assert not make(RESUMED).controller.in_postcopy
    domain = FakeDomain()
    domain.refuse.add("state")
    made = make(RESUMED, domain)
    assert not made.controller.in_postcopy
    assert "is not known" in made.controller.warnings[0]


def test_pause_waits_until_the_guest_has_arrived(make: Callable[[Plan], Made]) -> None:
    """A pause of post-copy waits for a moment, because libvirt ignores an early one."""
    made = make(Plan(postcopy=True))
    made.tell("migration_iteration", iteration=1)
    made.controller.do(Action(ActionKind.START_POSTCOPY))
    made.tell("lifecycle.SUSPENDED.POSTCOPY")
    made.controller._clock = lambda: made.controller._began_s
    made.tell("lifecycle.RESUMED.POSTCOPY", side="destination")
    asked = threading.Thread(target=made.controller.do, args=[Action(ActionKind.PAUSE_POSTCOPY)])
    asked.start()
    made.controller.do(Action(ActionKind.SET_POSTCOPY_BANDWIDTH, value=5))
    assert "abortJobFlags" not in [name for name, _ in made.domain.calls]
    made.controller._clock = lambda: made.controller._began_s + 2 * controller.SETTLE_S
    asked.join(10)
    assert made.domain.calls[-1] == ("abortJobFlags", (1,))


def test_no_limit_is_libvirts_maximum(make: Callable[[Plan], Made]) -> None:
    """A bandwidth of None becomes libvirt's value for no limit, which is 0 in post-copy."""
    made = make(Plan(postcopy=True))
    made.tell("migration_iteration", iteration=1)
    made.controller.do(Action(ActionKind.SET_BANDWIDTH))
    made.controller.do(Action(ActionKind.SET_POSTCOPY_BANDWIDTH))
    assert made.domain.calls == [
        ("migrateSetMaxSpeed", (controller.NO_LIMIT_MIB_S,)),
        ("migrateSetMaxSpeed", (0, 1)),
    ]


def test_open_request_ends_with_the_migration(make: Callable[[Plan], Made]) -> None:
    """A request that is open when the call returns gets the error that the migration is over."""
    made = make(Plan())
    heard: list[str] = []

    def ask() -> None:
        with pytest.raises(UsageError) as caught:
            made.controller.do(SET_500)
        heard.append(str(caught.value))

    asked = threading.Thread(target=ask)
    asked.start()
    made.controller.end()
    asked.join(10)
    assert heard == ["the migration is over"]


def test_unanswered_action_waits_on_its_connection(make: Callable[[Plan], Made]) -> None:
    """A frozen daemon's connection is in use until it answers, also after the controller's end."""
    made = make(Plan())
    made.domain.hold.clear()
    made.tell("migration_iteration", iteration=1)
    made.controller.stop()
    made.domain.await_call("abortJob")
    made.controller.end(0.01)
    assert is_waited_on(made.domain)
    made.domain.hold.set()
    assert wait_until(lambda: not is_waited_on(made.domain), 10)
