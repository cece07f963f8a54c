"""Hosts, or their libvirtd, that die during a migration: where the guest is then."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from migrationlab.errors import HostError
from migrationlab.hosts.host import Host
from migrationlab.lab.guest import Guest
from migrationlab.lab.lab import Lab
from migrationlab.migrate.migration import Migration
from migrationlab.migrate.start import start
from migrationlab.plan.plan import Plan
from migrationlab.runs.run import Outcome, Run
from migrationlab.runs.store import load_run, save_run
from migrationlab.steps import Step

pytestmark = pytest.mark.lab


@pytest.fixture
def own() -> Iterator[Lab]:
    """Give a lab whose hosts may be damaged."""
    with Lab() as made:
        yield made


@pytest.fixture
def moving(own: Lab) -> Migration:
    """Give a migration from the first host to the second that is sending memory."""
    guest = own.boot("survivor", memory_mib=128, working_set_mib=16, dirty_mib_s=5)
    under_way = threading.Event()

    def on_step(step: Step) -> None:
        if step.state == "progress":
            under_way.set()

    # So slow that it cannot be over before the host is dead.
    plan = Plan(bandwidth_mib_s=4, deadline_s=60)
    migration = start(guest, to=own.host_b, plan=plan, on_step=on_step)
    assert under_way.wait(30)
    return migration


def kill_host(lab: Lab, host: Host) -> None:
    """End a host with all that runs there, as a power cut does."""
    psutil.Process(lab.rack.hosts[host.name]).kill()


def kill_libvirtd(lab: Lab, host: Host) -> None:
    """End a host's libvirtd; its guests run on, and the host starts it again."""
    daemon = lab.rack.libvirtd(host.name)
    assert daemon is not None
    daemon.kill()


def running(lab: Lab, guest: Guest) -> list[str]:
    """Return the hosts on which a guest's CPU runs, as the living hosts report."""
    found = []
    for host in lab.hosts:
        try:
            domain = host.find(guest.uuid)
        except HostError:
            continue
        if domain is not None and domain.active and not domain.paused:
            found.append(host.name)
    return found


def recorded(run: Run, folder: Path) -> Run:
    """Check that a run can be stored, and return it as it is read again."""
    again = load_run(save_run(run, folder))
    assert again.summary() == run.summary()
    return again


@pytest.mark.parametrize(
    "kill", [kill_host, pytest.param(kill_libvirtd, marks=pytest.mark.thorough)]
)
def test_dead_destination_leaves_guest_on_source(
    own: Lab, moving: Migration, kill: Callable[[Lab, Host], None], tmp_path: Path
) -> None:
    """After the death of the destination the guest runs only at the source, with intact memory."""
    kill(own, own.host_b)
    run = recorded(moving.wait(60), tmp_path)
    assert run.outcome is Outcome.FAILED
    assert run.error is not None
    assert run.domain_states["source"] == "running"
    guest = moving.guest
    assert isinstance(guest, Guest)
    assert running(own, guest) == ["host-a"]
    assert guest.host is own.host_a
    assert guest.name == "survivor"
    assert run.guest_check is not None
    assert run.guest_check["intact"] is True
    with pytest.raises(HostError):
        guest.destroy()
    assert own.host_a.find(guest.uuid) is None


@pytest.mark.thorough
def test_dead_source_loses_the_guest(own: Lab, moving: Migration, tmp_path: Path) -> None:
    """The guest's memory is lost: the run failed and was not checked.

    The destination's half never ran, and ends by itself.
    """
    kill_host(own, own.host_a)
    run = recorded(moving.wait(60), tmp_path)
    assert run.outcome is Outcome.FAILED
    assert run.error is not None
    assert run.domain_states["source"] == "unknown"
    assert run.domain_states["destination"] != "running"
    assert run.guest_check is None
    assert any("could not be checked" in warning for warning in run.warnings)
    guest = moving.guest
    assert isinstance(guest, Guest)
    assert running(own, guest) == []
    # Whether it is lost the dead host alone could say.
    with pytest.raises(HostError):
        _ = guest.host


@pytest.mark.thorough
def test_source_without_libvirtd_keeps_the_guest(
    own: Lab, moving: Migration, tmp_path: Path
) -> None:
    """If the source's libvirtd dies, the migration fails, and the guest runs at the source."""
    kill_libvirtd(own, own.host_a)
    run = recorded(moving.wait(60), tmp_path)
    assert run.outcome is Outcome.FAILED
    assert run.error is not None
    own.restart_libvirtd(own.host_a)
    guest = moving.guest
    assert isinstance(guest, Guest)
    assert running(own, guest) == ["host-a"]
    assert guest.host is own.host_a
    assert guest.check().intact
