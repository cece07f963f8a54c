"""Read the counters of a lab host for the capture (see ``hosts.counters``)."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil

from migrationlab.lab.layout import DAEMONS
from migrationlab.lab.network import DEVICE, Wire
from migrationlab.lab.socket_broker import open_socket


@dataclass(frozen=True, slots=True)
class LabHostCounters:
    """The counters of one host of a lab; bytes and sockets raise LabError if it is gone."""

    name: str
    #: On the wire.
    address: str
    #: The pid of its first process; libvirtd and QEMU are its children.
    first: int
    broker: Path
    wire: Wire

    @property
    def device(self) -> str:
        """Return the name of the host's interface on the wire."""
        return DEVICE

    def sent_bytes(self) -> int:
        """Return the number of bytes that the host has sent on the wire since its start."""
        return self.wire.sent_bytes(self.name)

    def netlink(self, protocol: int) -> socket.socket:
        """Return a new netlink socket of the host's network; the network stays up while it is open.

        A kernel without such sockets raises LabError, too.
        """
        return open_socket(self.broker, self.name, socket.AF_NETLINK, socket.SOCK_RAW, protocol)

    def processes(self, uuid: str) -> dict[str, int]:
        """Return the pids of libvirtd (or virtqemud) and of a domain's QEMU, if they run."""
        found: dict[str, int] = {}
        for pid in _children(self.first):
            with contextlib.suppress(OSError):  # it has ended since
                words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
                name = Path(os.fsdecode(words[0])).name
                if name in DAEMONS:
                    found["libvirtd"] = pid
                # libvirt names the domain to QEMU by its UUID (qemuBuildCommandLine).
                elif name.startswith("qemu-system-") and uuid.encode() in words:
                    found["qemu"] = pid
        return found


def _children(pid: int) -> Iterator[int]:
    """Yield the children of a process; nothing after its end."""
    try:
        text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    except FileNotFoundError:
        # The kernel has no CONFIG_PROC_CHILDREN, so psutil looks at every process; or the host is
        # gone and has no children.
        with contextlib.suppress(psutil.NoSuchProcess):
            yield from (child.pid for child in psutil.Process(pid).children())
        return
    except ProcessLookupError:
        return
    yield from map(int, text.split())
