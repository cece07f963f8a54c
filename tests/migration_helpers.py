"""Migrate and record what libvirt sends to both QEMUs, for the live tests of settings.

The daemons of these tests' labs log each command that they send. That proves a setting, beside the
effect that can be measured from outside.
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
    """Return whether a QEMU of this user may use userfaultfd."""
    setting = Path("/proc/sys/vm/unprivileged_userfaultfd")
    return not namespaces.rootless() or (setting.exists() and setting.read_text().strip() == "1")


postcopy = pytest.mark.skipif(
    not may_use_postcopy(), reason="post-copy needs root or vm.unprivileged_userfaultfd=1"
)


@dataclass(frozen=True)
class SentCommands:
    """The commands that a host's libvirtd sent to its QEMUs, in order."""

    commands: tuple[tuple[str, dict[str, Any]], ...]

    def __contains__(self, name: str) -> bool:
        return any(name == known for known, _ in self.commands)

    def all(self, name: str) -> list[dict[str, Any]]:
        """Return the arguments of each command of that name."""
        return [arguments for known, arguments in self.commands if known == name]

    @property
    def capabilities(self) -> set[str]:
        """Return the migration capabilities that were switched on."""
        return {
            each["capability"]
            for arguments in self.all("migrate-set-capabilities")
            for each in arguments["capabilities"]
            if each["state"]
        }

    @property
    def parameters(self) -> dict[str, Any]:
        """Return the migration parameters as they were first set."""
        first: dict[str, Any] = {}
        for arguments in self.all("migrate-set-parameters"):
            first = arguments | first
        return first


def lines_since(host: Host, place: int) -> list[str]:
    """Return the lines of a host's daemon log after an offset."""
    assert host.log is not None
    with host.log.open(errors="replace") as log:
        log.seek(place)
        return log.read().splitlines()


def commands_since(host: Host, place: int) -> SentCommands:
    """Return the commands that a host's daemon sent to its QEMUs after an offset in its log."""
    found = (SENT.search(line) for line in lines_since(host, place))
    messages = [json.loads(match.group(1)) for match in found if match]
    return SentCommands(tuple((each["execute"], each.get("arguments", {})) for each in messages))


@dataclass(frozen=True)
class Migrated:
    """A completed migration, with the commands of both sides."""

    run: Run
    source: SentCommands
    destination: SentCommands
    log: list[str]
    sockets: list[str] = field(default_factory=list)


def migrate_recorded(guest: Guest, **settings: Any) -> Migrated:
    """Migrate a guest to the other host with a plan of these settings, and record the commands.

    The source's TCP connections are listed once while it is under way.
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
    source, destination = (commands_since(*each) for each in zip(sides, places, strict=True))
    return Migrated(run, source, destination, lines_since(sides[0], places[0]), sockets)


def arrived(done: Migrated) -> Migrated:
    """Check that the guest runs at the destination with intact memory."""
    assert done.run.error is None
    assert done.run.outcome is Outcome.COMPLETED
    assert done.run.guest_check is not None
    assert done.run.guest_check["intact"] is True
    return done


def with_command_log(lab: Lab) -> Lab:
    """Let a lab's daemons log the commands that they send to QEMU."""
    for host in lab.hosts:
        enter = lab.rack.in_host(host.name)
        namespaces.run([*enter, "virt-admin", "daemon-log-filters", FILTERS])
    return lab


def xml_of(guest: Guest, flags: int) -> str:
    """Return a guest's XML: flags 8 for migration, 2 for the inactive one (virDomainXMLFlags)."""
    xml: str = guest.host.connection.lookupByUUIDString(guest.uuid).XMLDesc(flags)
    return xml
