"""Count the bytes on the wire between the hosts, in both directions, during a migration.

There are two counters:

- The interface's own. A packet that is cut into frames later (GSO) counts with one header.
- The queue in front of it. It counts the bytes on a cable, with the headers of all frames
  (``qdisc_pkt_len_init`` in Linux' net/core/dev.c) up to the Ethernet header: no preamble, checksum
  or gap. Only a wire with a set rate, delay or loss has such a queue.
"""

from __future__ import annotations

import fcntl
import operator
import socket
import struct
import time
from collections.abc import Mapping

from migrationlab.capture import netlink
from migrationlab.errors import LabError
from migrationlab.hosts.counters import HostCounters

#: include/uapi/linux: rtnetlink.h, pkt_sched.h, gen_stats.h, sockios.h.
NETLINK_ROUTE = 0
RTM_GETQDISC = 38
TC_H_ROOT = 0xFFFFFFFF
TCA_KIND, TCA_STATS2, TCA_STATS_BASIC = 1, 7, 1
SIOCGIFINDEX = 0x8933
_TCMSG = struct.Struct("=BxxxiIII")  # struct tcmsg: family, interface, handle, parent, info
_IFREQ = struct.Struct("=16si20x")  # struct ifreq: name, index
TIMEOUT_S = 1.0
_COLUMNS = ("sent_bytes", "received_bytes", "cable_sent_bytes", "cable_received_bytes")


class Cable:
    """Counts the bytes that a host's queue sends onto the wire.

    Raises:
        LabError: The host is gone.
        OSError: Its kernel refused.
    """

    def __init__(self, counters: HostCounters) -> None:
        self._socket = counters.netlink(NETLINK_ROUTE)
        try:
            self._socket.settimeout(TIMEOUT_S)
            self._device = _index(self._socket, counters.device)
            self._handle: int | None = None
        except BaseException:
            self._socket.close()
            raise

    def sent_bytes(self) -> int | None:
        """Return the number of bytes that have left the queue since it was set up.

        None if there is no queue, or a new one, which counts from 0 again.

        Raises:
            OSError: The kernel did not answer.
        """
        sent = None
        for body in netlink.dump(self._socket, RTM_GETQDISC, _TCMSG.pack(0, 0, 0, 0, 0)):
            _, device, handle, parent, _ = _TCMSG.unpack_from(body)
            if device == self._device and parent == TC_H_ROOT and self._handle in (None, handle):
                self._handle = handle
                sent = _counted(netlink.attributes(body[_TCMSG.size :]))
        return sent

    def close(self) -> None:
        """Release the host's network."""
        self._socket.close()


class WireMeter:
    """Counts the bytes of two hosts from :meth:`start` on; each :meth:`read` adds a row."""

    def __init__(self, source: HostCounters, destination: HostCounters) -> None:
        self.rows: list[Mapping[str, int | str | None]] = []
        self.warnings: list[str] = []
        self._counters = (source, destination)
        #: The bytes sent by the interfaces at the start; None before it, and after a host is gone.
        self._first: tuple[int, ...] | None = None
        #: The bytes sent by each queue at the start, and at the last reading.
        self._queued_first: list[int | None] = [None, None]
        self._queued: list[int | None] = [None, None]
        self._cables: list[Cable] = []
        try:
            for counters in self._counters:
                self._cables.append(Cable(counters))
        except (LabError, OSError) as error:
            self._without_cables(f"cannot be counted: {error}")

    def start(self) -> None:
        """Start to count."""
        self._first = self._sent()
        self._queued_first = self._queued = self._queue_bytes()
        self.read()

    def read(self) -> None:
        """Add a row, unless a host is gone."""
        if self._first is None:
            return
        now = time.time_ns()
        sent = self._sent()
        if sent is None:
            self._first = None
        else:
            grown = [*map(operator.sub, sent, self._first), *self._grown()]
            self.rows.append({"time_ns": now, **dict(zip(_COLUMNS, grown, strict=True))})

    def close(self) -> None:
        """Release both hosts' networks. A second close does nothing."""
        for cable in self._cables:
            cable.close()
        self._cables.clear()

    def _sent(self) -> tuple[int, ...] | None:
        try:
            return tuple(counters.sent_bytes() for counters in self._counters)
        except LabError as error:
            self.warnings.append(f"the bytes on the wire end early: {error}")
            return None

    def _grown(self) -> list[int | None]:
        """Return the growth of each queue since the start; None if it is unknown."""
        sent = self._queue_bytes()
        before, self._queued = self._queued, sent
        pairs = zip(before, sent, strict=True)
        if any(old is not None and (new is None or new < old) for old, new in pairs):
            if self._cables:
                self._without_cables("ends early: the settings of the wire were changed")
            self._queued_first = [None, None]
        return [
            None if first is None or now is None else now - first
            for first, now in zip(self._queued_first, sent, strict=True)
        ]

    def _queue_bytes(self) -> list[int | None]:
        try:
            if self._cables:
                return [cable.sent_bytes() for cable in self._cables]
        except OSError as error:
            self._without_cables(f"ends early: {error}")
        return [None, None]

    def _without_cables(self, why: str) -> None:
        self.close()
        self.warnings.append(f"what a cable would carry {why}")


def _index(channel: socket.socket, device: str) -> int:
    """Return the index of a network interface, by any socket of its network."""
    request = _IFREQ.pack(device.encode(), 0)
    index: int = _IFREQ.unpack(fcntl.ioctl(channel, SIOCGIFINDEX, request))[1]
    return index


def _counted(attributes: dict[int, bytes]) -> int | None:
    """Return the bytes that a queue has sent; None for "noqueue", which counts nothing."""
    if attributes[TCA_KIND].rstrip(b"\0") == b"noqueue":
        return None
    basic = netlink.attributes(attributes[TCA_STATS2])[TCA_STATS_BASIC]
    sent: int = struct.unpack_from("=Q", basic)[0]  # struct gnet_stats_basic
    return sent
