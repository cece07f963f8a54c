"""Faults in mid-migration for real: each fires in its phase, and is gone afterwards."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from migration_helpers import postcopy
from migrationlab.hosts.poll import wait_until
from migrationlab.lab import namespaces
from migrationlab.lab.guest import Guest
from migrationlab.lab.lab import Lab
from migrationlab.lab.phase_faults import PhaseFault, Side
from migrationlab.migrate.migration import Migration
from migrationlab.migrate.start import start
from migrationlab.plan.plan import Mode, Plan
from migrationlab.runs.run import Outcome, Run

pytestmark = pytest.mark.lab
#: How long a phase may take to come.
WAIT_S = 30
#: A log's stamps are exact to the millisecond.
STAMP_NS = 1_000_000


def begin(guest: Guest, mode: str, **settings: object) -> Migration:
    """Start a migration to the other host."""
    plan = Plan(mode=Mode(mode), deadline_s=40, **settings)  # type: ignore[arg-type]
    return start(guest, to=guest.other_host, plan=plan)


def assert_in_phase(run: Run, fault: PhaseFault, phase: str) -> None:
    """Check that a fault fired in a phase of the run's timeline."""
    frame = run.timeline().phases.set_index("phase")
    assert fault.fired_at_ns is not None
    first, last = int(frame.loc[phase, "start_ns"]), int(frame.loc[phase, "end_ns"])
    assert first <= fault.fired_at_ns <= last + STAMP_NS


def times(run: Run, **wanted: str) -> list[int]:
    """Return the times of a run's events with the given columns."""
    frame = run.events
    for name, value in wanted.items():
        frame = frame[frame[name] == value]
    return [int(each) for each in frame["time_ns"]]


def stopped(lab: Lab) -> set[str]:
    """Return the names of a lab's stopped processes."""
    found = set()
    for each in psutil.Process(lab.rack.pid).children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):  # it has just ended
            if each.status() == psutil.STATUS_STOPPED:
                found.add(each.name())
    return found


def network(lab: Lab, *argv: str) -> str:
    """Return the answer of ``ip`` in the first host's network."""
    return namespaces.run([*lab.rack.in_host_network("host-a"), "ip", *argv])


def write_file(lab: Lab, host: str) -> bool:
    """Return whether a host has room for a new file."""
    script = "echo new >/var/lib/libvirt/new && rm /var/lib/libvirt/new"
    done = subprocess.run(
        [*lab.rack.in_host(host), "sh", "-c", script], check=False, capture_output=True
    )
    return done.returncode == 0


def assert_as_before(lab: Lab, guest: Guest) -> None:
    """Check that nothing of a fault is left, and that the guest runs on one host, intact."""
    assert not stopped(lab)
    assert "state UP" in network(lab, "link", "show", "dev", "wire")
    assert "blackhole" not in network(lab, "rule")
    assert lab.wire.settings.rate_mbit_s == 1000
    assert all(write_file(lab, host.name) for host in lab.hosts)
    assert not list(lab.files.midway.iterdir())
    assert wait_until(lambda: sum(h.find(guest.uuid) is not None for h in lab.hosts) == 1, WAIT_S)
    assert not guest.paused
    assert guest.check().intact


@pytest.mark.parametrize(
    ("kind", "side", "phase", "mode", "frozen"),
    [
        pytest.param(
            "freeze-libvirtd", "destination", "prepare", "normal", {"libvirtd"},
            marks=pytest.mark.thorough,
        ),
        ("freeze-qemu", "destination", "perform", "peer2peer", {"qemu-system-x86_64"}),
        ("freeze-host", "source", "begin", "peer2peer", {"libvirtd", "qemu-system-x86_64", "sshd"}),
    ],
)  # fmt: skip
def test_frozen_processes_continue_after_the_fault(
    lab: Lab, guest: Guest, kind: str, side: Side, phase: str, mode: str, frozen: set[str]
) -> None:
    """They are stopped in the phase, and the migration completes once they run again."""
    with lab.fault(kind, phase=phase, side=side) as fault:
        migration = begin(guest, mode)
        assert fault.wait(WAIT_S)
        assert stopped(lab) >= frozen
        assert not migration.done
    run = migration.wait(60)
    assert run.outcome is Outcome.COMPLETED
    assert_in_phase(run, fault, phase.capitalize())
    assert_as_before(lab, guest)


def test_wire_cut_at_the_switchover_leaves_the_guest_on_neither_host(
    lab: Lab, guest: Guest
) -> None:
    """It is paused between STOP and RESUME, and continues once the wire is whole."""
    with lab.fault("cut-wire", phase="switchover") as fault:
        migration = begin(guest, "peer2peer")
        assert fault.wait(WAIT_S)
        assert "state DOWN" in network(lab, "link", "show", "dev", "wire")
        here = [found for host in lab.hosts if (found := host.find(guest.uuid))]
        assert [found.paused for found in here] == [True, True]
    run = migration.wait(60)
    assert run.outcome is Outcome.COMPLETED
    assert fault.fired_at_ns is not None
    (stop,) = times(run, side="source", name="STOP")
    (resume,) = times(run, side="destination", name="RESUME")
    assert stop < fault.fired_at_ns < resume
    assert fault.line is not None
    assert "src-vm-stopped" in fault.line
    assert_as_before(lab, guest)


@pytest.mark.thorough
def test_wire_flaps_from_an_iteration_on(lab: Lab, guest: Guest) -> None:
    """It fires on QEMU's event, and memory arrives between the cuts."""

    def state() -> str:
        return network(lab, "link", "show", "dev", "wire").partition(" state ")[2].split()[0]

    with lab.fault("flap-wire", phase="perform", iteration=2, period_s=0.4) as fault:
        migration = begin(guest, "normal")
        assert fault.wait(WAIT_S)
        assert fault.line == "MIGRATION_PASS 2"
        for wanted in ("UP", "DOWN", "UP", "DOWN"):
            assert wait_until(lambda wanted=wanted: state() == wanted, 10)
    run = migration.wait(60)
    assert run.outcome is Outcome.COMPLETED
    iterations = run.timeline().iterations.set_index("iteration")
    assert fault.fired_at_ns is not None
    assert int(iterations.loc[2, "start_ns"]) <= fault.fired_at_ns
    assert_in_phase(run, fault, "Perform")
    assert_as_before(lab, guest)


@pytest.mark.thorough
def test_throttled_wire_has_its_rate_again(lab: Lab, guest: Guest) -> None:
    """Only during the fault is the rate another."""
    with lab.fault("throttle-wire", phase="perform", rate_mbit_s=300) as fault:
        migration = begin(guest, "normal")
        assert fault.wait(WAIT_S)
        assert lab.wire.settings.rate_mbit_s == 300
        run = migration.wait(60)
    assert run.outcome is Outcome.COMPLETED
    assert_in_phase(run, fault, "Perform")
    assert_as_before(lab, guest)


def test_cut_control_lets_memory_pass(lab: Lab, guest: Guest) -> None:
    """All memory arrives, but the daemons cannot agree on the end before the cut is over."""
    source = guest.host
    with lab.fault("cut-control", phase="perform") as fault:
        migration = begin(guest, "peer2peer")
        assert fault.wait(WAIT_S)
        sent = "phase to 'perform3_done'"
        length = source.log.stat().st_size if source.log else 0
        assert wait_until(lambda: sent in _since(source.log, length), WAIT_S)
        assert not migration.done
    run = migration.wait(60)
    assert run.outcome is Outcome.COMPLETED
    assert_in_phase(run, fault, "Perform")
    assert_as_before(lab, guest)


def _since(log: Path | None, place: int) -> str:
    assert log is not None
    return log.read_bytes()[place:].decode(errors="replace")


def test_full_disk_refuses_the_guest(lab: Lab, guest: Guest) -> None:
    """The destination cannot prepare, the guest stays, and the host has room again."""
    source, to = guest.host, guest.other_host
    # In Prepare itself, QEMU's files may already be there when a busy machine stops the daemon.
    with lab.fault("fill-disk", phase="begin", side="destination") as fault:
        run = begin(guest, "normal").wait(60)
        assert fault.wait(0)
        assert not write_file(lab, to.name)
        assert write_file(lab, source.name)
    assert run.outcome is Outcome.FAILED
    assert run.error is not None
    assert "No space left on device" in run.error.text
    assert guest.host is source
    assert_as_before(lab, guest)


def test_killed_libvirtd_answers_again(lab: Lab, guest: Guest) -> None:
    """The migration fails, and after the fault the lab's connection works."""
    source, to = guest.host, guest.other_host
    with lab.fault("kill-libvirtd", phase="perform", side="destination") as fault:
        run = begin(guest, "peer2peer").wait(60)
        assert fault.wait(0)
    assert run.outcome is Outcome.FAILED
    assert_in_phase(run, fault, "Perform")
    # Its new libvirtd ends the guest's half there.
    assert wait_until(lambda: to.find(guest.uuid) is None, WAIT_S)
    assert guest.host is source
    assert_as_before(lab, guest)


def test_qemu_killed_at_confirm_does_not_harm_the_guest(lab: Lab, guest: Guest) -> None:
    """At that moment it runs at the destination already."""
    to = guest.other_host
    with lab.fault("kill-qemu", phase="confirm") as fault:
        run = begin(guest, "normal").wait(60)
        assert fault.wait(0)
    assert fault.fired_at_ns is not None
    (resume,) = times(run, side="destination", name="RESUME")
    assert resume < fault.fired_at_ns
    confirm = [
        time
        for time, detail in zip(run.events["time_ns"], run.events["detail"], strict=True)
        if json.loads(detail).get("phase") == "confirm3"
    ]
    # There is none if libvirtd has noticed the death first.
    assert all(fault.fired_at_ns < each + STAMP_NS for each in confirm)
    assert guest.host is to
    assert_as_before(lab, guest)


@pytest.mark.thorough
def test_mend_undoes_the_fault_of_a_killed_command(lab: Lab, guest: Guest) -> None:
    """Nothing stays frozen, though the command could not clean up, and the migration completes."""
    command = [sys.executable, "-m", "migrationlab.cli", "lab"]
    fault = ["fault", "freeze-libvirtd", "--at", "finish", "--on", "destination"]
    name = ["--name", lab.name]
    with subprocess.Popen([*command, *fault, *name], stderr=subprocess.PIPE, text=True) as run:
        assert run.stderr is not None
        assert "waiting for finish" in run.stderr.readline()
        migration = begin(guest, "normal")
        assert "freeze-libvirtd fired on: " in run.stderr.readline()
        run.kill()
    assert stopped(lab) == {"libvirtd"}
    mend = [*command, "mend", *name, "--format", "json"]
    mended = subprocess.run(mend, capture_output=True, text=True, check=True, timeout=60)
    assert json.loads(mended.stdout) == {"mended": None, "undone": ["freeze-libvirtd"]}
    assert migration.wait(60).outcome is Outcome.COMPLETED
    assert_as_before(lab, guest)


@postcopy
def test_source_qemu_frozen_in_postcopy_sends_the_rest_later(lab: Lab, guest: Guest) -> None:
    """The guest runs at the destination already, and gets all of its memory afterwards."""
    slow = {"postcopy": True, "postcopy_after_s": 0.2}
    slow |= {"bandwidth_mib_s": 20, "postcopy_bandwidth_mib_s": 60}
    with lab.fault("freeze-qemu", phase="postcopy-during") as fault:
        migration = begin(guest, "normal", **slow)
        assert fault.wait(WAIT_S)
        assert stopped(lab) == {"qemu-system-x86_64"}
    run = migration.wait(60)
    assert run.outcome is Outcome.COMPLETED
    (switched,) = times(run, side="source", name="lifecycle.SUSPENDED.POSTCOPY")
    (resumed,) = times(run, side="destination", name="RESUME")
    assert fault.fired_at_ns is not None
    assert max(switched, resumed) < fault.fired_at_ns < run.timeline().phases["end_ns"].max()
    assert_as_before(lab, guest)


@pytest.mark.thorough
def test_host_that_dies_is_gone() -> None:
    """It cannot come back, and the guest runs on at the source."""
    with Lab() as own:
        guest = own.boot(memory_mib=128, working_set_mib=16, dirty_mib_s=5)
        source, to = guest.host, guest.other_host
        with own.fault("kill-host", phase="perform", side="destination") as fault:
            run = begin(guest, "normal").wait(60)
            assert fault.wait(0)
        assert run.outcome is Outcome.FAILED
        assert_in_phase(run, fault, "Perform")
        assert not psutil.pid_exists(own.rack.hosts[to.name])
        assert guest.host is source
        assert guest.check().intact
