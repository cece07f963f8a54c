"""Name everything of a lab: hosts, addresses, files.

A lab's folder holds, for its owner and for its hosts::

    lab.json  broken.json  rack.log  broker  beats.ring
    guests/  disks/  proxies/  authority/  pki/
    host-a/{run,log,etc,ssh}  host-b/{run,log,etc,ssh}

The networks exist only inside the rack, so all labs use the same addresses.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

HOST_NAMES = ("host-a", "host-b")
WIRE_ADDRESSES = ("10.11.0.1", "10.11.0.2")
#: On the LAN: the observer, and the hosts as an administrator reaches them.
OBSERVER = "10.22.0.1"
LAN_ADDRESSES = ("10.22.0.11", "10.22.0.12")
LAN_PREFIX = 24
BEAT_PORT = 7007
CONTROL_PORT = 7008
LIBVIRT_PORT = 16509
LIBVIRT_TLS_PORT = 16514
#: Records of the beat buffer: a quarter of an hour of one guest's beats.
BEAT_RECORDS = 1 << 20
#: The path of the lab's folder of guests on the hosts.
GUESTS_AT_HOST = "/var/lib/migrationlab/guests"
#: The folder of a host's own disks, which the other host does not see.
DISKS_AT_HOST = "/var/lib/migrationlab/disks"
FIRST_GUEST, LAST_GUEST = 1, 150


def guest_address(number: int) -> str:
    """Return the LAN address of a guest."""
    return f"10.22.0.{100 + number}"


def bridge_mac(address: str) -> str:
    """Return the MAC address of the bridge that has a LAN address.

    A bridge without its own address takes the lowest of its ports', and so changes it whenever a
    port comes or goes. Frames to the old address are then lost for up to a minute (Linux'
    net/bridge/br_stp_if.c, br_stp_recalculate_bridge_id).
    """
    return ":".join(["02", "00", *(f"{int(part):02x}" for part in address.split("."))])


@dataclass(frozen=True, slots=True)
class HostFiles:
    """The folder of one host."""

    directory: Path

    @property
    def socket(self) -> Path:
        """Return libvirtd's socket, by this process's path."""
        return self.directory / "run" / "libvirt-sock"

    @property
    def log(self) -> Path:
        """Return libvirtd's log."""
        return self.directory / "log" / "libvirtd.log"


@dataclass(frozen=True, slots=True)
class LabFiles:
    """The folder of one lab."""

    directory: Path

    @property
    def state(self) -> Path:
        """Return the file that says what the lab consists of."""
        return self.directory / "lab.json"

    @property
    def rack_log(self) -> Path:
        """Return the log of the rack and its programs."""
        return self.directory / "rack.log"

    @property
    def broker(self) -> Path:
        """Return the socket of the broker (see ``socket_broker``)."""
        return self.directory / "broker"

    @property
    def beats(self) -> Path:
        """Return the ring buffer of beats."""
        return self.directory / "beats.ring"

    @property
    def guests(self) -> Path:
        """Return the folder of guests' files, seen by both hosts."""
        return self.directory / "guests"

    @property
    def disks(self) -> Path:
        """Return the mount point of the hosts' own changes, which are in memory."""
        return self.directory / "disks"

    @property
    def proxies(self) -> Path:
        """Return the folder of proxy programs (see ``proxy``)."""
        return self.directory / "proxies"

    @property
    def broken(self) -> Path:
        """Return the file that names the fault that is on; missing where none is."""
        return self.directory / "broken.json"

    @property
    def authority(self) -> Path:
        """Return the folder of the lab's certificate authority: cert.pem and key.pem."""
        return self.directory / "authority"

    @property
    def pki(self) -> Path:
        """Return the folder of a TLS client's certificates, as ``pkipath`` wants it."""
        return self.directory / "pki"

    @property
    def ssh_key(self) -> Path:
        """Return the private ssh key for both hosts."""
        return self.host(HOST_NAMES[0]).directory / "ssh" / "id_ed25519"

    @property
    def known_hosts(self) -> Path:
        """Return the hosts' public ssh keys, for clients."""
        return self.host(HOST_NAMES[0]).directory / "ssh" / "known_hosts"

    def host(self, name: str) -> HostFiles:
        """Return the folder of the host ``name``."""
        return HostFiles(self.directory / name)
