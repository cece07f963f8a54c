"""What can be read off a host's machine while a guest migrates, beyond what libvirt tells.

A lab's hosts run on this machine, so their kernels and processes can be asked directly
(``lab.hostmeters``). A real host offers none of this. Imports no libvirt and no lab.
"""

from __future__ import annotations

import socket
from collections.abc import Mapping
from typing import Protocol


class Meters(Protocol):
    """A host's own counters. Whatever is read here takes well under a millisecond."""

    @property
    def device(self) -> str:
        """Return the name of the host's network interface on the wire."""

    @property
    def address(self) -> str:
        """Return its IPv4 address there."""

    def sent_bytes(self) -> int:
        """Return how many bytes the interface has sent since the host started.

        Raises:
            LabError: The host is gone.
        """

    def netlink(self, protocol: int) -> socket.socket:
        """Return a new netlink socket that asks the host's kernel about the host's network.

        Args:
            protocol: Which part of it, a ``NETLINK_…`` number of include/uapi/linux/netlink.h.

        Raises:
            LabError: The host is gone, or its kernel has no such sockets.
        """

    def processes(self, uuid: str) -> Mapping[str, int]:
        """Return the processes that serve a domain, by this process's numbers.

        Args:
            uuid: The domain's UUID.

        Returns:
            "libvirtd", and "qemu" while the domain has one; what is not there is left out.
        """
