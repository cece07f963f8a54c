"""Changes of real migrations: each call and each policy, by its effect."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import psutil
import pytest

from migration_helpers import postcopy
from migrationlab.errors import HostError, UsageError
from migrationlab.lab.guest import Guest
from migrationlab.lab.lab import Lab
from migrationlab.migrate.migration import Migration
from migrationlab.migrate.start import migrate, start
from migrationlab.plan.plan import Plan
from migrationlab.plan.policies.action import Action, ActionKind
from migrationlab.runs.run import Outcome, Run
from migrationlab.steps import Step

pytestmark = pytest.mark.lab

MIB = 1 << 20
#: So slow that a test can act long before the migration is over.
SLOW = {"bandwidth_mib_s": 4}


@pytest.fixture(scope="module")
def stubborn(lab: Lab) -> Iterator[Guest]:
    """Give a guest that writes its memory faster than the wire carries it."""
    made = lab.boot("stubborn", memory_mib=160, working_set_mib=64, dirty_mib_s="max")
    yield made
    made.destroy()


@contextmanager
def under_way(
    guest: Guest,
    plan: Plan,
    until: Callable[[Migration], bool] | None = None,
    at_once: Callable[[Migration], object] = repr,
) -> Iterator[Migration]:
    """Migrate a guest and enter the body at a given point; cancel it if the body fails.

    Args:
        guest: The guest to migrate.
        plan: How.
        until: What to wait for; by default for the first iteration.
        at_once: What to do before that.
    """
    seen, made = threading.Event(), threading.Event()
    until = until or in_iteration(1)

    def on_step(step: Step) -> None:
        over = step.state in ("done", "failed")
        if over or (step.state == "progress" and made.wait(10) and until(migration)):
            seen.set()

    migration = start(guest, to=guest.other_host, plan=plan, on_step=on_step)
    made.set()
    try:
        at_once(migration)
        assert seen.wait(30)
        assert migration.progress().state in ("running", "post-copy")
        yield migration
    except BaseException:
        if migration.progress().state != "post-copy":
            migration.cancel()
        migration.wait(60)
        raise


def in_iteration(number: int) -> Callable[[Migration], bool]:
    """Return whether a migration has come to an iteration."""
    return lambda migration: (migration.progress().iteration or 0) >= number


def is_in_postcopy(migration: Migration) -> bool:
    """Return whether a migration is in post-copy."""
    return migration.progress().state == "post-copy"


def actions(run: Run) -> list[tuple[str, str]]:
    """Return what was done to a migration, and by whom."""
    done = run.timeline().steering
    assert (done["time_ns"] >= run.called_ns).all()
    return list(zip(done["name"], done["by"], strict=True))


def assert_arrived(run: Run, guest: Guest) -> None:
    """Check that the guest runs only at the destination, with intact memory."""
    assert run.outcome is Outcome.COMPLETED
    assert run.domain_states == {"source": "absent", "destination": "running"}
    assert guest.host.name == run.destination["name"]
    assert run.summary()["guest_intact"] is True


def assert_stayed(run: Run, guest: Guest) -> None:
    """Check that the guest runs only at the source, with intact memory."""
    assert run.domain_states == {"source": "running", "destination": "absent"}
    assert guest.host.name == run.source["name"]
    assert run.summary()["guest_intact"] is True


# --- calls ------------------------------------------------------------------------------------


@pytest.mark.thorough
def test_bandwidth_changes_the_throughput(lab: Lab, guest: Guest) -> None:
    """A higher limit raises the throughput from the moment that it is set."""
    with under_way(guest, Plan(**SLOW)) as migration:
        migration.set_bandwidth(60)
        run = migration.wait(30)
    assert_arrived(run, guest)
    assert actions(run) == [("set_bandwidth", "user")]
    (set_ns,), (value,) = (run.timeline().steering[name] for name in ("time_ns", "value"))
    assert value == 60
    job = run.job.dropna(subset=["data_processed_bytes"])
    slow = job[job["time_ns"] <= set_ns]
    # QEMU has no limit while the guest is paused.
    fast = job[(job["time_ns"] > set_ns) & (job["time_ns"] < run.timeline().stop_ns)]
    assert slow["data_processed_bytes"].max() < 8 * MIB
    sent = fast["data_processed_bytes"].iloc[-1] - fast["data_processed_bytes"].iloc[0]
    took_s = (fast["time_ns"].iloc[-1] - fast["time_ns"].iloc[0]) / 1e9
    assert 20 * MIB < sent / took_s < 70 * MIB


@pytest.mark.parametrize(
    "plan",
    [
        pytest.param(Plan(**SLOW), id="limited"),
        pytest.param(Plan(), id="unlimited", marks=pytest.mark.thorough),
    ],
)
def test_limits_end_with_the_migration(lab: Lab, guest: Guest, plan: Plan) -> None:
    """Limits of a cancelled migration do not affect the next one."""
    domain = guest.host.domain(guest.name)
    before = domain.migrateGetMaxSpeed(), domain.migrateGetMaxDowntime()
    with under_way(guest, plan) as migration:
        migration.set_bandwidth(5)
        migration.set_max_downtime(77)
        assert (domain.migrateGetMaxSpeed(), domain.migrateGetMaxDowntime()) == (5, 77)
        migration.cancel()
        run = migration.wait(30)
    assert run.outcome is Outcome.CANCELLED
    assert run.downtime_requested_ms == 77
    assert_stayed(run, guest)
    assert (domain.migrateGetMaxSpeed(), domain.migrateGetMaxDowntime()) == before
    assert before[1] == 300


@pytest.mark.thorough
def test_max_downtime_lets_the_guest_converge(lab: Lab, stubborn: Guest) -> None:
    """A guest that does not converge converges with a higher maximum downtime."""
    with under_way(stubborn, Plan(), in_iteration(3)) as migration:
        migration.set_max_downtime(3000)
        run = migration.wait(30)
    assert_arrived(run, stubborn)
    assert actions(run) == [("set_max_downtime", "user")]
    assert run.downtime_requested_ms == 3000
    assert run.summary()["downtime_event_ms"] > 300


def test_compression_cache_gets_its_size(lab: Lab, guest: Guest) -> None:
    """QEMU's compression cache gets the requested size, and an invalid size is refused."""
    plan = Plan(compression=("xbzrle",), **SLOW)
    with under_way(guest, plan) as migration:
        migration.set_compression_cache(8 * MIB)
        assert migration.source.domain(guest.name).migrateGetCompressionCache() == 8 * MIB
        with pytest.raises(UsageError, match="xbzrle_cache_bytes must be at most"):
            migration.set_compression_cache(1 << 40)
        migration.set_bandwidth(None)
        run = migration.wait(30)
    assert_arrived(run, guest)
    assert actions(run) == [("set_compression_cache", "user"), ("set_bandwidth", "user")]
    assert run.job["compression_cache_bytes"].dropna().iloc[-1] == 8 * MIB


@pytest.mark.thorough
def test_suspended_guest_converges(lab: Lab, stubborn: Guest) -> None:
    """A paused guest converges, and continues at the destination."""
    with under_way(stubborn, Plan(), in_iteration(2)) as migration:
        migration.suspend()
        run = migration.wait(30)
    assert_arrived(run, stubborn)
    assert actions(run) == [("suspend", "user")]
    line = run.timeline()
    assert line.stop_ns == pytest.approx(int(line.steering["time_ns"].iloc[0]), abs=500_000_000)
    assert line.downtime_event_ms == pytest.approx(line.downtime_reported_ms, abs=50)


def test_cancel_resumes_a_suspended_guest(lab: Lab, guest: Guest) -> None:
    """A guest that was paused continues at the source after a cancel."""
    with under_way(guest, Plan(**SLOW)) as migration:
        migration.suspend()
        migration.cancel()
        run = migration.wait(30)
    assert run.outcome is Outcome.CANCELLED
    assert_stayed(run, guest)


@postcopy
def test_postcopy_cannot_be_cancelled(lab: Lab, stubborn: Guest) -> None:
    """After the switch to post-copy the guest runs at the destination, and a cancel is refused."""
    plan = Plan(postcopy=True, postcopy_bandwidth_mib_s=8)
    # An early request waits for the first iteration.
    with under_way(stubborn, plan, is_in_postcopy, Migration.start_postcopy) as migration:
        with pytest.raises(UsageError, match="cannot be cancelled: the migration is in post-copy"):
            migration.cancel()
        for useless in (
            migration.suspend,
            migration.start_postcopy,
            lambda: migration.set_max_downtime(500),
            lambda: migration.set_bandwidth(10),
        ):
            with pytest.raises(UsageError) as caught:
                useless()
            assert caught.value.hint
        migration.set_bandwidth(None, postcopy=True)
        run = migration.wait(30)
    assert_arrived(run, stubborn)
    assert actions(run) == [
        ("start_postcopy", "user"),
        ("cancel", "user"),
        ("set_postcopy_bandwidth", "user"),
    ]
    line = run.timeline()
    assert line.postcopy_ns is not None
    assert line.resume_ns is not None
    assert line.stop_ns is not None
    assert line.stop_ns < line.resume_ns < line.returned_ns
    assert line.postcopy_ms is not None
    assert line.postcopy_ms > line.downtime_event_ms
    assert line.phases["state"].tolist() == ["complete"] * 5
    # The destination keeps no statistics of post-copy; the source's last word is in its event.
    assert run.completed_job["memory_postcopy_requests"] > 0
    assert line.transferred_bytes == run.completed_job["data_processed"]


def test_actions_without_effect_are_refused(lab: Lab, guest: Guest) -> None:
    """Values out of range and actions without effect are refused at once."""
    with under_way(guest, Plan(**SLOW)) as migration:
        wrong: dict[str, Callable[[], None]] = {
            "max_downtime_ms must be .*got 0": lambda: migration.set_max_downtime(0),
            "max_downtime_ms must be .*got 2000001": lambda: migration.set_max_downtime(2_000_001),
            "max_downtime_ms must be .*got '5'": lambda: migration.set_max_downtime("5"),  # type: ignore[arg-type]
            "bandwidth_mib_s must be": lambda: migration.set_bandwidth(1 << 50),
            "power of two": lambda: migration.set_compression_cache(3 * MIB),
            "no compression cache": lambda: migration.set_compression_cache(MIB),
            "cannot switch to post-copy": migration.start_postcopy,
            "not in post-copy": migration.pause_postcopy,
        }
        for message, call in wrong.items():
            with pytest.raises(UsageError, match=message) as caught:
                call()
            assert caught.value.hint
        migration.cancel()
        with pytest.raises(UsageError, match=r"is being cancelled|is over"):
            migration.suspend()
        run = migration.wait(30)
    assert actions(run) == [("cancel", "user")]
    with pytest.raises(UsageError, match="is over"):
        migration.set_max_downtime(500)
    assert_stayed(run, guest)


def test_refusal_of_libvirt_is_raised_and_recorded(lab: Lab, guest: Guest) -> None:
    """A refusal has libvirt's words for the caller and in the run's timeline."""
    with under_way(guest, Plan(**SLOW)) as migration:
        with pytest.raises(HostError, match="bandwidth must be less than") as caught:
            migration._controller.do(Action(ActionKind.SET_BANDWIDTH, value=1 << 60))
        assert caught.value.code is not None
        migration.cancel()
        run = migration.wait(30)
    done = run.timeline().steering
    assert done["refused"].tolist() == [str(caught.value), ""]
    assert_stayed(run, guest)


# --- policies ---------------------------------------------------------------------------------


def test_downtime_steps_raise_the_limit(lab: Lab, stubborn: Guest) -> None:
    """The limit rises as planned until the guest converges, and no step lowers it."""
    plan = Plan(max_downtime_ms=2400, downtime_steps=4, downtime_step_s=0.6)
    run = migrate(stubborn, to=stubborn.other_host, plan=plan)
    assert_arrived(run, stubborn)
    done = run.timeline().steering
    assert set(done["by"]) == {"downtime_steps"}
    values = done["value"].tolist()
    assert values == sorted(values)
    assert set(values) <= {1050, 1500, 1950, 2400}
    assert run.downtime_requested_ms == values[-1]
    for value, time_ns in zip(values, done["time_ns"], strict=True):
        step = {1050: 1, 1500: 2, 1950: 3, 2400: 4}[value]
        assert time_ns - run.called_ns >= step * 0.6e9


@postcopy
@pytest.mark.parametrize(
    "policy",
    ["postcopy_after_iteration", pytest.param("postcopy_after_s", marks=pytest.mark.thorough)],
)
def test_policy_switches_to_postcopy(lab: Lab, stubborn: Guest, policy: str) -> None:
    """The switch comes after the first iteration, or after the plan's time."""
    plan = Plan(postcopy=True, **{policy: 1})  # type: ignore[arg-type]
    run = migrate(stubborn, to=stubborn.other_host, plan=plan)
    assert_arrived(run, stubborn)
    assert actions(run) == [("start_postcopy", policy)]
    line = run.timeline()
    switched = int(line.steering["time_ns"].iloc[0])
    if policy == "postcopy_after_iteration":
        assert switched >= line.iterations["start_ns"].iloc[1]
    else:
        assert switched - run.called_ns >= 1e9
    assert line.postcopy_ms is not None


@pytest.mark.parametrize(
    "policy",
    ["suspend_after_iteration", pytest.param("suspend_after_s", marks=pytest.mark.thorough)],
)
def test_policy_suspends_the_guest(lab: Lab, stubborn: Guest, policy: str) -> None:
    """The guest is paused after so many iterations or seconds, and converges."""
    run = migrate(stubborn, to=stubborn.other_host, plan=Plan(**{policy: 2}))  # type: ignore[arg-type]
    assert_arrived(run, stubborn)
    assert actions(run) == [("suspend", policy)]


@pytest.mark.thorough
def test_diverging_migration_is_cancelled(lab: Lab, stubborn: Guest) -> None:
    """A diverging migration is cancelled, and the run has the reason."""
    # So slow that the guest is faster also where it must wait for a processor.
    plan = Plan(abort_when_diverging_s=1, bandwidth_mib_s=20)
    run = migrate(stubborn, to=stubborn.other_host, plan=plan)
    assert run.outcome is Outcome.DIVERGED
    assert actions(run) == [("cancel", "abort_when_diverging_s")]
    assert_stayed(run, stubborn)


@pytest.mark.thorough
@postcopy
def test_deadline_in_postcopy_has_no_effect(lab: Lab, stubborn: Guest) -> None:
    """A deadline in post-copy is recorded, and the migration completes."""
    # A busy machine is in post-copy by then, too, which takes half a minute at 2 MiB/s.
    plan = Plan(postcopy=True, postcopy_after_s=0.1, postcopy_bandwidth_mib_s=2, deadline_s=8)
    with under_way(stubborn, plan, lambda m: bool(m._controller.warnings)) as migration:
        migration.set_bandwidth(None, postcopy=True)
        run = migration.wait(30)
    assert_arrived(run, stubborn)
    assert actions(run)[:2] == [("start_postcopy", "postcopy_after_s"), ("deadline", "deadline_s")]
    assert "cannot be cancelled" in run.timeline().steering["refused"].iloc[1]
    assert any("deadline_s had no effect" in warning for warning in run.warnings)


# --- what ends badly, in labs of their own ----------------------------------------------------


@pytest.fixture(scope="module")
def own() -> Iterator[Lab]:
    """Give a lab whose guests and hosts may be damaged."""
    with Lab() as made:
        yield made


@pytest.mark.thorough
@postcopy
def test_paused_postcopy_is_interrupted(own: Lab) -> None:
    """After a paused post-copy the run is interrupted, and the guest is at the destination."""
    guest = own.boot("torn", memory_mib=160, working_set_mib=64, dirty_mib_s="max")
    plan = Plan(postcopy=True, postcopy_after_iteration=1, postcopy_bandwidth_mib_s=2)
    with under_way(guest, plan, is_in_postcopy) as migration:
        migration.pause_postcopy()
        run = migration.wait(30)
    assert run.outcome is Outcome.INTERRUPTED
    assert run.domain_states == {"source": "paused", "destination": "running"}
    assert run.error is not None
    assert "post-copy" in run.error.text
    assert actions(run)[-1] == ("pause_postcopy", "user")
    assert run.guest_check is None


@pytest.mark.thorough
def test_killed_destination_leaves_guest_on_source(own: Lab) -> None:
    """If the destination is killed, the guest runs at the source, and there is a run."""
    guest = own.boot("survivor", memory_mib=128, working_set_mib=32, dirty_mib_s=20)
    with under_way(guest, Plan(**SLOW)) as migration:
        psutil.Process(own.rack.hosts[own.host_b.name]).kill()
        run = migration.wait(60)
    assert run.outcome is Outcome.FAILED
    assert run.domain_states == {"source": "running", "destination": "unknown"}
    assert not any("no beat arrived" in warning for warning in run.warnings)
    assert len(run.job) > 0


def test_named_policy_drives_the_migration(stubborn: Guest) -> None:
    """A named policy raises the limit and pauses the guest at its timeout; the events say why."""
    options = {"initial_ms": 20, "max_downtime_ms": 50, "steps": 3, "cooldown_s": 0.4,
               "start_after_iteration": 1, "completion_timeout_s_per_gib": 3,
               "allow_workload_disruption": True, "parallel_connections": 0}  # fmt: skip
    plan = Plan(
        policy="kubevirt-downtime-ramp", policy_options=options, bandwidth_mib_s=16, deadline_s=40
    )
    run = migrate(stubborn, to=stubborn.other_host, plan=plan)
    assert run.outcome is Outcome.COMPLETED
    details = [json.loads(detail) for detail in run.events["detail"]]
    acted = [detail for detail in details if detail.get("by") == "policy"]
    assert {detail["policy"] for detail in acted} == {"kubevirt-downtime-ramp"}
    limits = [detail["max_downtime_ms"] for detail in acted if "max_downtime_ms" in detail]
    assert limits == [20, 30, 40, 50]
    assert acted[-1]["why"] == "completion timeout of 3 s"
    assert "set_max_downtime" in set(run.timeline().steering["name"])
    assert run.summary()["outcome"] == "completed"
    assert run.guest_check is not None
    assert run.guest_check["intact"]
