"""Name everything of a lab: hosts, addresses, files.

A lab's folder holds, for its owner and for its hosts::

    lab.json  broken.json  midway/  rack.log  broker  beats.ring
    guests/  disks/  proxies/  authority/  pki/
    host-a/{run,log,etc,ssh}  host-b/{run,log,etc,ssh}

The networks exist only inside the rack, so all labs use the same addresses.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

HOST_NAMES = ("host-a", "host-b")
WIRE_ADDRESSES = ("10.11.0.1", "10.11.0.2")
#: The same with IPv6, where this machine's kernel has it.
WIRE_ADDRESSES6 = ("fd11::1", "fd11::2")
#: On the LAN: the observer, and the hosts' addresses for an administrator.
OBSERVER = "10.22.0.1"
LAN_ADDRESSES = ("10.22.0.11", "10.22.0.12")
LAN_PREFIX = 24
OBSERVER6 = "fd22::1"
LAN_ADDRESSES6 = ("fd22::11", "fd22::12")
PREFIX6 = 64
BEAT_PORT = 7007
CONTROL_PORT = 7008
LIBVIRT_PORT = 16509
LIBVIRT_TLS_PORT = 16514
#: Records of the beat buffer: a quarter of an hour of one guest's beats.
BEAT_RECORDS = 1 << 20
#: The daemons that control QEMU. libvirtd also serves the network; with modular daemons virtproxyd
#: does that.
DAEMONS = ("libvirtd", "virtqemud")
Daemons = Literal["monolithic", "modular"]
#: The path of the lab's folder of guests on the hosts.
GUESTS_AT_HOST = "/var/lib/migrationlab/guests"
#: The folder of a host's own disks, which the other host does not see.
DISKS_AT_HOST = "/var/lib/migrationlab/disks"
FIRST_GUEST, LAST_GUEST = 1, 150


def guest_address(number: int, ip: str = "ipv4") -> str:
    """Return the LAN address of a guest. Only one that was booted with ip="ipv6" has the other."""
    return f"fd22::{100 + number}" if ip == "ipv6" else f"10.22.0.{100 + number}"


def bridge_mac(address: str) -> str:
    """Return the MAC address of the bridge that has a LAN address.

    A bridge without its own address takes the lowest of its ports' addresses, which can change with
    each port that comes or goes. Frames to the old address are then lost for up to a minute (Linux'
    net/bridge/br_stp_if.c, br_stp_recalculate_bridge_id).
    """
    return ":".join(["02", "00", *(f"{int(part):02x}" for part in address.split("."))])


class Below:
    """A path below the ``directory`` of the object."""

    def __init__(self, *parts: str) -> None:
        self._parts = parts

    def __get__(self, owner: Any, kind: type | None = None) -> Path:
        """Return the path."""
        return Path(owner.directory, *self._parts)


@dataclass(frozen=True, slots=True)
class HostFiles:
    """The folder of one host."""

    directory: Path

    @property
    def daemon(self) -> str:
        """Return the name of the daemon that controls QEMU: libvirtd, or modular virtqemud."""
        modular = Path(self.directory, "etc/libvirt/virtqemud.conf").exists()
        return "virtqemud" if modular else "libvirtd"

    @property
    def server(self) -> str:
        """Return the name of the daemon that serves other machines: libvirtd, or virtproxyd."""
        return "virtproxyd" if self.daemon == "virtqemud" else "libvirtd"

    @property
    def socket(self) -> Path:
        """Return the socket of that daemon, by this process's path.

        libvirt's clients on a modular host use this one, too; the socket of the old name is
        virtproxyd's.
        """
        name = "virtqemud-sock" if self.daemon == "virtqemud" else "libvirt-sock"
        return Path(self.directory, "run", name)

    @property
    def log(self) -> Path:
        """Return the log of that daemon."""
        return Path(self.directory, "log", f"{self.daemon}.log")

    @property
    def config(self) -> str:
        """Return the settings of that daemon, below the host's root."""
        return f"etc/libvirt/{self.daemon}.conf"


@dataclass(frozen=True, slots=True)
class LabFiles:
    """The folder of one lab."""

    directory: Path

    #: The file that lists the parts of the lab.
    state = Below("lab.json")
    #: The log of the rack and its programs.
    rack_log = Below("rack.log")
    #: The socket of the broker (see ``socket_broker``).
    broker = Below("broker")
    #: The ring buffer of beats.
    beats = Below("beats.ring")
    #: The folder of guests' files, seen by both hosts.
    guests = Below("guests")
    #: The mount point of the hosts' own changes, which are in memory.
    disks = Below("disks")
    #: The folder of proxy programs (see ``proxy``).
    proxies = Below("proxies")
    #: The file that names the fault that is on; missing if none is on.
    broken = Below("broken.json")
    #: The folder with a file for each fault in mid-migration that waits or is on.
    midway = Below("midway")
    #: The folder of the lab's certificate authority: cert.pem and key.pem.
    authority = Below("authority")
    #: The folder of a TLS client's certificates, in the form for ``pkipath``.
    pki = Below("pki")
    #: The private ssh key for both hosts.
    ssh_key = Below(HOST_NAMES[0], "ssh", "id_ed25519")
    #: The hosts' public ssh keys, for clients.
    known_hosts = Below(HOST_NAMES[0], "ssh", "known_hosts")

    def host(self, name: str) -> HostFiles:
        """Return the folder of the host ``name``."""
        return HostFiles(self.directory / name)
