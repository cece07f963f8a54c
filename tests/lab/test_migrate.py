"""Real migrations: both modes, what is measured, how they are stopped and refused."""

from __future__ import annotations

import json
import threading
from dataclasses import asdict

import pytest

from migrationlab.errors import GuestError, HostError, LabError, PlanError, UsageError
from migrationlab.hosts.host import Host
from migrationlab.lab import namespaces
from migrationlab.lab.guest import Guest
from migrationlab.lab.lab import Lab
from migrationlab.migrate.start import migrate, start
from migrationlab.plan.plan import Plan
from migrationlab.plan.uris import Mode
from migrationlab.plan.wire_spec import WireSpec
from migrationlab.runs.run import Outcome, Run
from migrationlab.runs.schema import SUMMARY
from migrationlab.steps import Step

pytestmark = pytest.mark.lab

#: So slow that a test can act long before the migration is over.
SLOW = Plan(bandwidth_mib_s=4)


def names(run: Run, side: str, origin: str) -> list[str]:
    """Return the names of a run's events of one side and origin, in order."""
    events = run.events
    return list(events[(events["side"] == side) & (events["origin"] == origin)]["name"])


@pytest.fixture(scope="module")
def completed(lab: Lab, shared_guest: Guest) -> dict[Mode, Run]:
    """Give one completed run of each mode."""
    shared_guest.set_workload(20, "sequential")
    return {
        mode: migrate(shared_guest, to=lab.other(shared_guest.host), plan=Plan(mode=mode))
        for mode in Mode
    }


@pytest.fixture(scope="module")
def spare(lab: Lab) -> Guest:
    """Boot a guest whose memory one test damages and which a later test ends."""
    return lab.boot("spare", memory_mib=128, working_set_mib=1, dirty_mib_s=0)


@pytest.mark.parametrize("mode", list(Mode))
def test_both_modes_move_the_guest(completed: dict[Mode, Run], mode: Mode) -> None:
    """In both modes the guest arrives with every page intact."""
    run = completed[mode]
    assert run.outcome is Outcome.COMPLETED
    assert run.error is None
    assert run.warnings == ()
    assert run.source["name"] != run.destination["name"]
    assert run.guest_check is not None
    assert run.guest_check["intact"] is True
    assert run.guest_check["pages"] == 32 * 256
    assert run.plan.mode is mode
    assert run.plan.migration_uri == f"tcp://{run.destination['name']}"


@pytest.mark.parametrize("mode", list(Mode))
def test_both_sides_report_events(completed: dict[Mode, Run], mode: Mode) -> None:
    """Both libvirts and both QEMUs report events, and the guest's stop is before its resume."""
    run = completed[mode]
    assert "lifecycle.SUSPENDED.MIGRATED" in names(run, "source", "libvirt")
    assert "lifecycle.STARTED.MIGRATED" in names(run, "destination", "libvirt")
    assert "lifecycle.RESUMED.MIGRATED" in names(run, "destination", "libvirt")
    assert "STOP" in names(run, "source", "qemu")
    assert "RESUME" in names(run, "destination", "qemu")
    assert names(run, "client", "migrationlab") == ["call", "return"]
    line = run.timeline()
    assert line.stop_ns is not None
    assert line.resume_ns is not None
    assert run.called_ns < line.stop_ns < line.resume_ns < run.returned_ns


@pytest.mark.parametrize("mode", list(Mode))
def test_five_phases_follow_each_other(completed: dict[Mode, Run], mode: Mode) -> None:
    """The daemons' logs have all five phases of a migration, one after the other."""
    phases = completed[mode].timeline().phases
    assert list(phases["phase"]) == ["Begin", "Prepare", "Perform", "Finish", "Confirm"]
    assert set(phases["state"]) == {"complete"}
    assert set(phases["basis"]) == {"log"}
    assert (phases["duration_ms"] >= 0).all()
    assert (phases["start_ns"].iloc[1:].to_numpy() == phases["end_ns"].iloc[:-1].to_numpy()).all()


@pytest.mark.parametrize("mode", list(Mode))
def test_four_downtimes_agree(completed: dict[Mode, Run], mode: Mode) -> None:
    """A run has all four downtimes, and they have the expected order."""
    summary = completed[mode].summary()
    assert list(summary) == list(SUMMARY)
    assert summary["downtime_requested_ms"] == 300
    # libvirt measures a little more than QEMU's stop to resume; both mean the same moment.
    assert summary["downtime_reported_ms"] == pytest.approx(summary["downtime_event_ms"], abs=40)
    # The guest sends nothing while it is paused.
    assert summary["downtime_network_ms"] > summary["downtime_event_ms"] - 5
    assert summary["network_jitter_ms"] >= 1


@pytest.mark.thorough
@pytest.mark.timeout(120)
def test_uneven_wire_carries_each_way_at_its_own_rate(lab: Lab) -> None:
    """Memory goes there at one rate and comes back at the other; each run has its own view."""
    guest = lab.boot("uneven", memory_mib=128, working_set_mib=8, dirty_mib_s=1)
    try:
        lab.wire.set(400, back_mbit_s=100)
        there, back = (migrate(guest, to=host, plan=Plan()) for host in (lab.host_b, lab.host_a))
    finally:
        lab.wire.set(1000)
        guest.destroy()
    for run, rate, other in (there, 400, 100), (back, 100, 400):
        assert (run.outcome, run.error) == (Outcome.COMPLETED, None)
        assert run.guest_check is not None
        assert run.guest_check["intact"]
        assert run.wire is not None
        assert (run.wire["rate_mbit_s"], run.wire["back_mbit_s"]) == (rate, other)
        throughput = run.timeline().throughput_bytes_per_s
        assert throughput is not None
        # The rest is headers and zero pages.
        assert 0.8 * rate < throughput * 8 / 1e6 < rate


@pytest.mark.parametrize("mode", list(Mode))
def test_bytes_on_the_wire_agree(completed: dict[Mode, Run], mode: Mode) -> None:
    """The wire carries the bytes that libvirt reports as sent, and few others."""
    summary = completed[mode].summary()
    assert summary["wire_bytes"] == pytest.approx(summary["transferred_bytes"], rel=0.05)
    # No faster than the wire, which carries 1 Gbit/s.
    assert 0 < summary["throughput_bytes_per_s"] < 130e6
    assert summary["iterations"] >= 2


def test_client_connects_in_normal_mode_only(completed: dict[Mode, Run]) -> None:
    """The client connects to the destination in normal mode, the source's libvirtd in peer2peer."""
    normal, peer2peer = (completed[mode].plan for mode in Mode)
    assert normal.connections()[1].opened_by == "client"
    assert peer2peer.connections()[1].opened_by == "source libvirtd"


@pytest.mark.parametrize(
    ("transport", "mode"),
    [
        ("ssh", Mode.NORMAL),
        pytest.param("ssh", Mode.PEER2PEER, marks=pytest.mark.thorough),
        pytest.param("tcp", Mode.NORMAL, marks=pytest.mark.thorough),
        ("tcp", Mode.PEER2PEER),
    ],
)
def test_both_transports_work(lab: Lab, guest: Guest, mode: Mode, transport: str) -> None:
    """Both transports work in both modes, with the URI that the other host uses."""
    to = lab.other(guest.host)
    user = "root@" if transport == "ssh" else ""
    uri = f"qemu+{transport}://{user}{to.name}/system"
    run = migrate(guest, to=to, plan=Plan(mode=mode, connection_uri=uri))
    assert run.outcome is Outcome.COMPLETED
    assert run.plan.connection_uri == uri


@pytest.mark.parametrize(
    "mode", [pytest.param(Mode.NORMAL, marks=pytest.mark.thorough), Mode.PEER2PEER]
)
def test_virsh_line_migrates_the_guest(lab: Lab, guest: Guest, mode: Mode) -> None:
    """The virsh line of a plan, run on the source host, migrates the guest."""
    source, to = guest.host, lab.other(guest.host)
    plan = Plan(mode=mode, bandwidth_mib_s=500).filled(destination=to.name)
    namespaces.run([*lab.rack.in_host(source.name), *plan.virsh(guest.name)], timeout_s=60)
    assert guest.host is to
    assert guest.check().intact


@pytest.mark.parametrize(
    ("uri", "code", "text"),
    [
        ("qemu+ssh://root@host-b/system", 74, "unsupported scheme qemu+ssh in migration URI"),
        ("host-b", 8, "missing scheme in migration URI: host-b"),
        ("tcp://", 8, "missing host in migration URI: tcp://"),
    ],
)
def test_wrong_migration_uri_is_refused(
    lab: Lab, guest: Guest, uri: str, code: int, text: str
) -> None:
    """The plan refuses the mistake of 2011, and libvirt does too."""
    to = lab.other(guest.host)
    plan = Plan(migration_uri=uri)
    with pytest.raises(PlanError) as caught:
        migrate(guest, to=to, plan=plan)
    assert "tcp://" in caught.value.hint
    assert guest.host is not to

    run = migrate(guest, to=to, plan=plan, validate=False)
    assert run.outcome is Outcome.FAILED
    assert run.error is not None
    assert run.error.code == code
    assert text in run.error.text
    assert guest.host is not to
    assert guest.check().intact


def test_cancel_leaves_guest_on_source(lab: Lab, guest: Guest) -> None:
    """A cancelled migration ends soon, and the guest runs at the source."""
    source = guest.host
    seen = threading.Event()

    def on_step(step: Step) -> None:
        if step.state == "progress":
            seen.set()

    migration = start(guest, to=lab.other(source), plan=SLOW, on_step=on_step)
    assert seen.wait(30)
    progress = migration.progress()
    assert progress.state == "running"
    assert progress.memory_total_bytes
    assert progress.fraction is not None
    assert 0 <= progress.fraction < 1
    migration.cancel()
    run = migration.wait(30)
    assert run.outcome is Outcome.CANCELLED
    assert migration.progress().state == "cancelled"
    assert guest.host is source
    assert run.guest_check is not None
    assert run.guest_check["intact"]
    assert "cancel" in names(run, "client", "migrationlab")
    assert len(run.job) > 0
    migration.cancel()  # once more does no harm


def test_early_cancel_takes_effect(lab: Lab, guest: Guest) -> None:
    """A cancel takes effect also before libvirt has a job to abort."""
    source = guest.host
    migration = start(guest, to=lab.other(source), plan=SLOW)
    migration.cancel()
    assert migration.wait(30).outcome is Outcome.CANCELLED
    assert guest.host is source


def test_deadline_cancels(lab: Lab, guest: Guest) -> None:
    """A migration that passes its deadline is cancelled, with the outcome timed out."""
    source = guest.host
    run = migrate(guest, to=lab.other(source), plan=Plan(bandwidth_mib_s=4, deadline_s=1.5))
    assert run.outcome is Outcome.TIMED_OUT
    assert "deadline" in names(run, "client", "migrationlab")
    assert guest.host is source
    summary = run.summary()
    assert summary["downtime_event_ms"] is None
    assert summary["transferred_bytes"] > 0


def test_wait_has_a_time_limit(lab: Lab, guest: Guest) -> None:
    """The migration continues when a wait reaches its time limit."""
    migration = start(guest, to=lab.other(guest.host), plan=SLOW)
    try:
        with pytest.raises(TimeoutError, match="is not over"):
            migration.wait(0.01)
        assert not migration.done
    finally:
        migration.cancel()
        migration.wait(30)


@pytest.mark.thorough
def test_downtime_limit_follows_the_plan(lab: Lab, guest: Guest) -> None:
    """The plan's maximum downtime is in force while the guest migrates."""
    run = migrate(guest, to=lab.other(guest.host), plan=Plan(max_downtime_ms=1500))
    assert run.outcome is Outcome.COMPLETED
    assert run.downtime_requested_ms == 1500
    # A longer limit lets QEMU stop the guest with more left to send, so after fewer iterations.
    assert run.summary()["iterations"] <= 4
    # The next plan says nothing of it, and gets QEMU's own limit again.
    again = migrate(guest, to=lab.other(guest.host))
    assert again.downtime_requested_ms == 300


@pytest.mark.thorough
def test_bandwidth_limit_is_kept(lab: Lab, guest: Guest) -> None:
    """The throughput does not exceed a bandwidth limit of 40 MiB/s."""
    guest.set_workload(1)
    run = migrate(guest, to=lab.other(guest.host), plan=Plan(bandwidth_mib_s=40))
    assert run.outcome is Outcome.COMPLETED
    assert run.summary()["throughput_bytes_per_s"] < 40 * 2**20 * 1.15


def test_damaged_memory_is_found(spare: Guest) -> None:
    """The check after a migration finds a page that was damaged before."""
    spare.spoil(7)
    run = migrate(spare, to=spare.other_host)
    assert run.outcome is Outcome.COMPLETED
    assert run.summary()["guest_intact"] is False


def test_domain_by_name_migrates(lab: Lab, guest: Guest) -> None:
    """A plain domain migrates between two Host objects, and its unknown figures are None."""
    source, to = (Host(host.uri, peer_uri=host.peer_uri) for host in _way(lab, guest))
    try:
        # The client is outside the lab's network, so it connects by a socket.
        plan = Plan(mode=Mode.PEER2PEER)
        run = migrate(guest.name, source=source, to=to, plan=plan)
        assert run.outcome is Outcome.COMPLETED
        summary = run.summary()
        assert summary["downtime_event_ms"] > 0
        for unknown in ("downtime_network_ms", "wire_bytes", "guest_intact"):
            assert summary[unknown] is None
        assert guest.check().intact
    finally:
        source.close()
        to.close()


def test_failed_migration_restores_the_limit(lab: Lab, guest: Guest) -> None:
    """After a failed migration the guest has its previous maximum downtime."""
    to = lab.other(guest.host)
    uri = "qemu+tcp://nowhere.invalid/system"
    with pytest.raises(HostError):
        start(guest, to=to, plan=Plan(max_downtime_ms=7, connection_uri=uri))
    failed = migrate(
        guest, to=to, plan=Plan(max_downtime_ms=7, mode=Mode.PEER2PEER, connection_uri=uri)
    )
    assert failed.outcome is Outcome.FAILED
    assert failed.error is not None
    assert failed.error.explanation == "libvirtd-name-unresolvable"
    assert migrate(guest, to=to).downtime_requested_ms == 300


def test_migrating_guest_is_not_migrated_again(lab: Lab, guest: Guest) -> None:
    """A guest is refused while another migration of it runs."""
    under_way = threading.Event()

    def on_step(step: Step) -> None:
        if step.state == "progress":
            under_way.set()

    first = start(guest, to=lab.other(guest.host), plan=SLOW, on_step=on_step)
    try:
        assert under_way.wait(30)
        with pytest.raises(GuestError, match="job under way"):
            start(guest, to=lab.other(first.source))
    finally:
        first.cancel()
        first.wait(30)


def test_failing_listener_does_not_stop_the_migration(lab: Lab, guest: Guest) -> None:
    """A listener that raises gets no more steps, and the run is complete."""

    def on_step(step: Step) -> None:
        raise ValueError(step.state)

    run = migrate(guest, to=lab.other(guest.host), on_step=on_step)
    assert run.outcome is Outcome.COMPLETED
    assert any("a listener failed" in warning for warning in run.warnings)
    assert len(run.job) > 1


@pytest.mark.thorough
def test_dead_lab_gives_a_failed_run() -> None:
    """If both hosts die, the run has everything measured until then."""
    with Lab() as dying:
        guest = dying.boot(memory_mib=128, working_set_mib=16, dirty_mib_s=10)
        under_way = threading.Event()

        def on_step(step: Step) -> None:
            if step.state == "progress":
                under_way.set()

        migration = start(guest, to=dying.host_b, plan=SLOW, on_step=on_step)
        assert under_way.wait(30)
    run = migration.wait(60)
    assert run.outcome is Outcome.FAILED
    assert run.guest_check is None
    assert len(run.job) > 0
    assert run.warnings


def test_wrong_arguments_are_refused(lab: Lab, guest: Guest) -> None:
    """A wrong host, plan or interval is refused with a hint."""
    to = lab.other(guest.host)
    for wrong in ({"to": "host-b"}, {"to": to, "plan": {}}, {"to": to, "interval_s": 0}):
        with pytest.raises(UsageError) as caught:
            start(guest, **wrong)  # type: ignore[arg-type]
        assert caught.value.hint


def test_same_host_is_refused(lab: Lab, guest: Guest) -> None:
    """A guest cannot be migrated to its own host."""
    with pytest.raises(PlanError) as caught:
        start(guest, to=guest.host)
    assert caught.value.hint


def test_unknown_and_ended_guests_are_refused(lab: Lab, spare: Guest) -> None:
    """An unknown guest and a destroyed guest are refused before a migration starts."""
    with pytest.raises(GuestError, match="no guest 'ghost'"):
        start("ghost", source=lab.host_a, to=lab.host_b)
    with pytest.raises(UsageError, match="source must be a Host when guest is a name"):
        start("ghost", to=lab.host_b)
    spare.destroy()
    with pytest.raises(GuestError, match="runs on neither host"):
        start(spare, to=lab.host_b)


def test_unresolvable_destination_fails(lab: Lab, guest: Guest) -> None:
    """A host name fails that the client, or in peer2peer the source's libvirtd, cannot resolve."""
    source, to = guest.host, lab.other(guest.host)
    uri = "qemu+tcp://nowhere.invalid/system"
    with pytest.raises(HostError, match=r"nowhere\.invalid"):
        start(guest, to=to, plan=Plan(connection_uri=uri))
    run = migrate(guest, to=to, plan=Plan(mode=Mode.PEER2PEER, connection_uri=uri))
    assert run.outcome is Outcome.FAILED
    assert run.error is not None
    assert "nowhere.invalid" in run.error.text
    run = migrate(guest, to=to, plan=Plan(migration_uri="tcp://nowhere.invalid"))
    assert run.outcome is Outcome.FAILED
    assert guest.host is source
    assert guest.check().intact


def test_unreachable_host_is_an_error() -> None:
    """The error of an unreachable host is a refusal with libvirt's words."""
    with pytest.raises(HostError, match="No such file or directory") as caught:
        Host("qemu+unix:///system?socket=/nonexistent/libvirt-sock")
    assert caught.value.code is not None
    assert caught.value.hint
    assert caught.value.__cause__ is not None


@pytest.mark.thorough
def test_silent_guest_is_reported(lab: Lab) -> None:
    """The run of a paused guest says that the guest sent no beats and no answer."""
    guest = lab.boot("silent", memory_mib=128, working_set_mib=1, dirty_mib_s=0)
    try:
        guest.host.domain(guest.name).suspend()
        with pytest.raises(LabError, match="does not answer"):
            guest.check(timeout_s=0.4)
        run = migrate(guest, to=lab.host_b)
        assert run.outcome is Outcome.COMPLETED
        assert run.guest_check is None
        assert run.summary()["guest_intact"] is None
        assert any("could not be checked" in warning for warning in run.warnings)
    finally:
        guest.host.destroy(guest.name)


def test_summary_is_plain_json(completed: dict[Mode, Run]) -> None:
    """The summary is plain JSON, and says where the run was made."""
    for run in completed.values():
        assert json.loads(json.dumps(run.summary())) == run.summary()
        wire = dict(run.wire)
        # Another test of this lab may have measured its wire, before these runs or after them.
        measured = wire.pop("measured_mbit_s")
        assert measured is None or 100 < measured <= 1000
        assert wire == asdict(WireSpec())
        assert run.environment["kernel"]
        assert run.source["qemu_version"].count(".") == 2


def _way(lab: Lab, guest: Guest) -> tuple[Host, Host]:
    return guest.host, lab.other(guest.host)
