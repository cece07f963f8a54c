"""Describe a running lab as plain values, for text and JSON."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterable
from typing import Any

import psutil

from migrationlab.errors import GuestError
from migrationlab.lab.faults import switched_on
from migrationlab.lab.guest import Guest
from migrationlab.lab.lab_base import LabBase
from migrationlab.lab.layout import HOST_NAMES, LAN_ADDRESSES, WIRE_ADDRESSES, guest_address


def inspect_lab(lab: LabBase, guests: Iterable[Guest]) -> dict[str, Any]:
    """Return a running lab's hosts, addresses, URIs, wire, guests and processes."""
    addresses = zip(HOST_NAMES, WIRE_ADDRESSES, LAN_ADDRESSES, strict=True)
    return {
        "name": lab.name,
        "hosts": [
            {
                "name": name,
                "image": host.image,
                "daemons": host.daemons,
                "libvirt": host.facts.libvirt_version,
                "qemu": host.facts.qemu_version,
                "wire_address": wire,
                "lan_address": lan,
                # For this machine, as in `virsh --connect URI list`; and for the other host.
                "uri": host.uri,
                "peer_uri": host.peer_uri,
                "log": str(host.log),
            }
            for (name, wire, lan), host in zip(addresses, lab.hosts, strict=True)
        ],
        "wire": dataclasses.asdict(lab.wire.settings),
        "broken": case.id if (case := switched_on(lab)) else None,
        "guests": [_guest(guest) for guest in guests],
        "processes": _processes(lab),
    }


def _guest(guest: Guest) -> dict[str, Any]:
    try:
        host = guest.host.name
    except GuestError:
        host = "on its way"
    return {
        **dataclasses.asdict(guest.spec),
        "host": host,
        "address": guest_address(guest.spec.number, guest.spec.ip),
        "reached_mib_s": guest.reached_mib_s(),
    }


def _processes(lab: LabBase) -> list[dict[str, Any]]:
    """Return every process of the lab, with its pid on this machine and its host."""
    hosts = {pid: name for name, pid in lab.rack.hosts.items()}
    found: list[dict[str, Any]] = []
    for process in psutil.Process(lab.rack.pid).children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):  # it has just ended
            line = [process, *process.parents()]
            host = next((hosts[each.pid] for each in line if each.pid in hosts), "rack")
            found.append({"pid": process.pid, "host": host, "program": process.name()})
    return found
