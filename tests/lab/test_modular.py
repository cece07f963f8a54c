"""One host with modular daemons and one with libvirtd: migrations and faults between them."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator
from typing import Any

import psutil
import pytest

from migration_helpers import postcopy
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
    return mixed.boot(memory_mib=128, working_set_mib=16, dirty_mib_s=5, disk="local", disk_mib=8)


def plan_of(**settings: Any) -> Plan:
    """Return a plan that copies the guest's disk."""
    return Plan(copy_storage="full", deadline_s=60, **settings)


def sent_to(guest: Guest, host: Host) -> None:
    """Bring the guest to a host."""
    if guest.host is not host:
        assert migrate(guest, to=host, plan=plan_of()).outcome is Outcome.COMPLETED


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
        run = migrate(guest, to=guest.other_host, plan=plan_of(mode=mode))
        assert run.outcome is Outcome.COMPLETED
        assert (run.source["daemons"], run.destination["daemons"]) == kinds
        assert run.timeline().phases["phase"].tolist() == PHASES
        assert run.summary()["guest_intact"] is True


@pytest.mark.parametrize("mode", list(Mode))
@pytest.mark.parametrize(
    "settings",
    [
        pytest.param({"tls": True}, id="tls"),
        pytest.param({"parallel": True, "compression": ("zstd",)}, id="multifd with zstd"),
        pytest.param(
            {"postcopy": True, "postcopy_after_iteration": 1}, id="post-copy", marks=postcopy
        ),
    ],
)
def test_setting_works_from_either_kind_to_the_other(
    mixed: Lab, guest: Guest, mode: Mode, settings: dict[str, Any]
) -> None:
    """The guest's memory and its copied disk arrive intact, there and back."""
    for to in (guest.other_host, guest.host):
        plan = plan_of(mode=mode, connection_uri=f"qemu+tls://{to.name}/system", **settings)
        run = migrate(guest, to=to, plan=plan)
        assert run.outcome is Outcome.COMPLETED, run.error
        assert run.guest_check is not None
        assert run.guest_check["intact"] is True
        assert run.guest_check["disk_blocks"] == guest.spec.disk_mib * 256


@pytest.mark.parametrize("mode", list(Mode))
def test_cancelled_migration_leaves_the_guest(mixed: Lab, guest: Guest, mode: Mode) -> None:
    """A cancel works from either kind of daemon; the guest stays where it is, intact."""
    for source in mixed.hosts:
        sent_to(guest, source)
        migration = start(guest, to=guest.other_host, plan=plan_of(mode=mode, bandwidth_mib_s=3))
        assert wait_until(lambda m=migration: m.progress() is not None, WAIT_S)
        migration.cancel()
        assert migration.wait(WAIT_S).outcome is Outcome.CANCELLED
        assert wait_until(lambda s=source: mixed.other(s).find(guest.uuid) is None, WAIT_S)
        assert guest.host is source
        assert guest.check().intact


@pytest.mark.parametrize("mode", list(Mode))
def test_frozen_daemon_is_the_one_that_controls_qemu(mixed: Lab, guest: Guest, mode: Mode) -> None:
    """It is virtqemud where the daemons are modular, and virtproxyd goes on."""
    sent_to(guest, mixed.host_b)
    with mixed.fault("freeze-libvirtd", phase="prepare", side="destination") as fault:
        migration = start(guest, to=mixed.host_a, plan=plan_of(mode=mode))
        assert fault.wait(WAIT_S)
        assert stopped(mixed) == {"virtqemud"}
        assert not migration.done
    assert migration.wait(60).outcome is Outcome.COMPLETED
    assert guest.check().intact


def test_killed_virtqemud_starts_again(mixed: Lab, guest: Guest) -> None:
    """The migration fails with a known cause, and the guest stays at the source, intact."""
    sent_to(guest, mixed.host_b)
    killed = mixed.rack.libvirtd("host-a")
    plan = plan_of(mode=Mode.PEER2PEER)
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


@pytest.mark.parametrize("source", [0, 1], ids=["from modular", "to modular"])
@pytest.mark.parametrize(
    "case",
    [
        "certificate-wrong-name",
        "certificate-unknown-authority",
        "certificate-expired",
        "certificate-missing",
        "same-host-uuid",
    ],
)
def test_fault_of_the_settings_has_its_cause(
    mixed: Lab, guest: Guest, case: str, source: int
) -> None:
    """virtproxyd shows the certificate, virtqemud has the UUID; the fault is undone."""
    host = mixed.hosts[source]
    sent_to(guest, host)
    with mixed.broken(case, source=host) as on:
        plan = dataclasses.replace(on.plan, copy_storage="full")
        run = migrate(guest, to=on.to, plan=plan, validate=False)
    assert run.outcome is Outcome.FAILED
    assert run.error is not None
    assert explain(run.error.text).id == case
    assert migrate(guest, to=on.to, plan=plan).outcome is Outcome.COMPLETED
