"""One host with modular daemons and one with libvirtd: migrations and faults between them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import psutil
import pytest

from migrationlab.explain.explanation import explain
from migrationlab.hosts.host import Host
from migrationlab.hosts.poll import wait_until
from migrationlab.lab.guest import Guest
from migrationlab.lab.lab import Lab
from migrationlab.migrate.start import migrate, start
from migrationlab.plan.plan import Mode, Plan
from migrationlab.runs.run import Outcome

pytestmark = [pytest.mark.lab, pytest.mark.thorough, pytest.mark.timeout(600)]
#: How long a phase may take to come, and a daemon to start again.
WAIT_S = 30
PHASES = ["Begin", "Prepare", "Perform", "Finish", "Confirm"]


@pytest.fixture(scope="module")
def mixed() -> Iterator[Lab]:
    """Give a lab whose first host has modular daemons."""
    with Lab(daemons=("modular", "monolithic")) as lab:
        yield lab


@pytest.fixture(scope="module")
def guest(mixed: Lab) -> Guest:
    """Give a guest that was booted on the host with modular daemons."""
    return mixed.boot(memory_mib=128, working_set_mib=16, dirty_mib_s=5)


def sent_to(guest: Guest, host: Host) -> None:
    """Bring the guest to a host."""
    if guest.host is not host:
        assert migrate(guest, to=host).outcome is Outcome.COMPLETED


def stopped(lab: Lab) -> set[str]:
    """Return the names of a lab's stopped processes."""
    found = set()
    for each in psutil.Process(lab.rack.pid).children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):  # it has just ended
            if each.status() == psutil.STATUS_STOPPED:
                found.add(each.name())
    return found


@pytest.mark.parametrize("mode", list(Mode))
def test_both_directions_work_and_the_run_names_the_daemons(
    mixed: Lab, guest: Guest, mode: Mode
) -> None:
    """The phases come from both kinds of logs, and the memory arrives intact."""
    sent_to(guest, mixed.host_a)
    for kinds in (("modular", "monolithic"), ("monolithic", "modular")):
        run = migrate(guest, to=guest.other_host, plan=Plan(mode=mode))
        assert run.outcome is Outcome.COMPLETED
        assert (run.source["daemons"], run.destination["daemons"]) == kinds
        assert run.timeline().phases["phase"].tolist() == PHASES
        assert run.summary()["guest_intact"] is True


@pytest.mark.parametrize("mode", list(Mode))
def test_frozen_daemon_is_the_one_that_controls_qemu(mixed: Lab, guest: Guest, mode: Mode) -> None:
    """It is virtqemud where the daemons are modular, and virtproxyd goes on."""
    sent_to(guest, mixed.host_b)
    with mixed.fault("freeze-libvirtd", phase="prepare", side="destination") as fault:
        migration = start(guest, to=mixed.host_a, plan=Plan(mode=mode, deadline_s=40))
        assert fault.wait(WAIT_S)
        assert stopped(mixed) == {"virtqemud"}
        assert not migration.done
    assert migration.wait(60).outcome is Outcome.COMPLETED
    assert guest.check().intact


def test_killed_virtqemud_starts_again(mixed: Lab, guest: Guest) -> None:
    """The migration fails with a known cause, and the guest stays at the source, intact."""
    sent_to(guest, mixed.host_b)
    killed = mixed.rack.libvirtd("host-a")
    plan = Plan(mode=Mode.PEER2PEER, deadline_s=40)
    with mixed.fault("kill-libvirtd", phase="perform", side="destination") as fault:
        run = start(guest, to=mixed.host_a, plan=plan).wait(60)
        assert fault.wait(0)
    again = mixed.rack.libvirtd("host-a")
    assert killed is not None
    assert again is not None
    assert again.name() == "virtqemud"
    assert again.pid != killed.pid
    assert run.outcome is Outcome.FAILED
    assert run.error is not None
    assert explain(run.error.text).id == "host-lost"
    # The new virtqemud ends the guest's half there.
    assert wait_until(lambda: mixed.host_a.find(guest.uuid) is None, WAIT_S)
    assert guest.host is mixed.host_b
    assert guest.check().intact


@pytest.mark.parametrize("case", ["certificate-wrong-name", "same-host-uuid"])
def test_fault_of_the_settings_is_met_by_modular_daemons(
    mixed: Lab, guest: Guest, case: str
) -> None:
    """virtproxyd shows the wrong certificate, virtqemud has the wrong UUID; both are undone."""
    sent_to(guest, mixed.host_b)
    with mixed.broken(case, source=mixed.host_b) as on:
        run = migrate(guest, to=on.to, plan=on.plan, validate=False)
    assert run.outcome is Outcome.FAILED
    assert run.error is not None
    assert explain(run.error.text).id == case
    assert migrate(guest, to=mixed.host_a, plan=on.plan).outcome is Outcome.COMPLETED
