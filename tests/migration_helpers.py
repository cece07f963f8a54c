"""Migrations that are looked at closely, for the live tests of settings.

Beside the effect that can be seen from outside, the proof is what libvirt told both QEMUs: the
daemons of these tests' labs log each command that they send.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from migrationlab.hosts.host import Host
from migrationlab.lab import namespaces
from migrationlab.lab.guest import Guest
from migrationlab.lab.lab import Lab
from migrationlab.lab.layout import HOST_NAMES, WIRE_ADDRESSES
from migrationlab.migrate.start import migrate
from migrationlab.plan.plan import Plan
from migrationlab.runs.run import Outcome, Run
from migrationlab.steps import Step

MIB = 1 << 20
FILTERS = "1:qemu.qemu_domain 1:qemu.qemu_migration 2:qemu.qemu_monitor 3:*"
SENT = re.compile(r"QEMU_MONITOR_SEND_MSG: mon=\S+ msg=(\{.*\})(?: fd=-?\d+)?$")
ADDRESSES = dict(zip(HOST_NAMES, WIRE_ADDRESSES, strict=True))


def may_use_postcopy() -> bool:
    """Return whether a QEMU of this user's may wait for its memory by userfaultfd."""
    setting = Path("/proc/sys/vm/unprivileged_userfaultfd")
    return not namespaces.rootless() or (setting.exists() and setting.read_text().strip() == "1")


postcopy = pytest.mark.skipif(
    not may_use_postcopy(), reason="post-copy needs root or vm.unprivileged_userfaultfd=1"
)


@dataclass(frozen=True)
class ProgressLike:
    """The commands that a host's libvirtd sent to its QEMUs, in order."""

    commands: tuple[tuple[str, dict[str, Any]], ...]

    def __contains__(self, name: str) -> bool:
        return any(name == known for known, _ in self.commands)

    def all(self, name: str) -> list[dict[str, Any]]:
        """Return the arguments of each command of that name."""
        return [arguments for known, arguments in self.commands if known == name]

    @property
    def capabilities(self) -> set[str]:
        """Return the capabilities of a migration that were switched on."""
        return {
            each["capability"]
            for arguments in self.all("migrate-set-capabilities")
            for each in arguments["capabilities"]
            if each["state"]
        }

    @property
    def parameters(self) -> dict[str, Any]:
        """Return the parameters of a migration as they were first set."""
        first: dict[str, Any] = {}
        for arguments in self.all("migrate-set-parameters"):
            first = arguments | first
        return first


def lines_since(host: Host, place: int) -> list[str]:
    """Return what a host's daemon has logged from a place in its log on."""
    assert host.log is not None
    with host.log.open(errors="replace") as log:
        log.seek(place)
        return log.read().splitlines()


def told_since(host: Host, place: int) -> ProgressLike:
    """Return what a host's daemon told its QEMUs from a place in its log on."""
    found = (SENT.search(line) for line in lines_since(host, place))
    messages = [json.loads(match.group(1)) for match in found if match]
    return ProgressLike(tuple((each["execute"], each.get("arguments", {})) for each in messages))


@dataclass(frozen=True)
class Ride:
    """A migration that is over, and what both sides say of it."""

    run: Run
    source: ProgressLike
    destination: ProgressLike
    log: list[str]
    sockets: list[str] = field(default_factory=list)


def ride(guest: Guest, **settings: Any) -> Ride:
    """Migrate a guest to the other host with a plan of these settings, and look at all it did.

    While it is under way the source's TCP connections are listed once.
    """
    sides = guest.host, guest.other_host
    assert all(host.log is not None for host in sides)
    places = [host.log.stat().st_size for host in sides if host.log is not None]
    sockets: list[str] = []

    def look(step: Step) -> None:
        if step.state == "progress" and not sockets:
            enter = guest.lab.rack.in_host_network(sides[0].name)
            listed = namespaces.run([*enter, "ss", "-tnH", "state", "established"])
            sockets.extend(line.split()[3] for line in listed.splitlines())

    plan = Plan(**{"deadline_s": 30, **settings})
    run = migrate(guest, to=sides[1], plan=plan, on_step=look)
    source, destination = (told_since(*each) for each in zip(sides, places, strict=True))
    return Ride(run, source, destination, lines_since(sides[0], places[0]), sockets)


def arrived(done: Ride) -> Ride:
    """See that the guest runs at the destination, and all that it wrote is there."""
    assert done.run.error is None
    assert done.run.outcome is Outcome.COMPLETED
    assert done.run.guest_check is not None
    assert done.run.guest_check["intact"] is True
    return done


def outspoken(lab: Lab) -> Lab:
    """Let a lab's daemons log what they tell QEMU."""
    for host in lab.hosts:
        enter = lab.rack.in_host(host.name)
        namespaces.run([*enter, "virt-admin", "daemon-log-filters", FILTERS])
    return lab


def xml_of(guest: Guest, flags: int) -> str:
    """Return a guest's XML: 8 as it migrates, 2 as it is defined (virDomainXMLFlags)."""
    xml: str = guest.host.connection.lookupByUUIDString(guest.uuid).XMLDesc(flags)
    return xml
