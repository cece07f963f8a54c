"""Define the counters of a host's machine that can be read while a guest migrates.

A lab's hosts run on this machine, so their kernels and processes can be asked directly
(``lab.host_counters``). A real host has no such counters.
"""

from __future__ import annotations

import socket
from collections.abc import Mapping
from typing import Protocol


class HostCounters(Protocol):
    """The counters of one host. Each read takes well under a millisecond.

    Every method raises LabError if the host is gone.
    """

    @property
    def device(self) -> str:
        """Return the name of the host's network interface on the wire."""

    @property
    def address(self) -> str:
        """Return its IPv4 address there."""

    def sent_bytes(self) -> int:
        """Return how many bytes the interface has sent since the host started."""

    def netlink(self, protocol: int) -> socket.socket:
        """Return a new netlink socket to the host's kernel, for questions about its network.

        Args:
            protocol: A ``NETLINK_…`` number of include/uapi/linux/netlink.h. The kernel may have no
                such sockets; that is a LabError too.
        """

    def processes(self, uuid: str) -> Mapping[str, int]:
        """Return the processes that serve a domain, by its UUID.

        They are the pids, in this process's namespace, of "libvirtd" and, while the domain has one,
        of "qemu".
        """
