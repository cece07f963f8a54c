"""Watch the TCP connections that a migration opens between the hosts, and their traffic.

The source's kernel is asked by netlink (sock_diag(7); include/uapi/linux/inet_diag.h and, for
``struct tcp_info``, tcp.h). No packet is captured, so the cost does not depend on the traffic. A
dump at intervals finds open connections. When a connection is closed, the kernel reports it with
its final figures (SKNLGRP_INET_TCP_DESTROY, Linux 4.5). A connection that was open before counts
from the first dump on.

The port of a connection shows its purpose. The ports of libvirtd and ssh are known. Memory and
copied disks both use ports of one range, from which the destination's libvirtd chooses
(``migration_port_min`` in qemu.conf): the log of the source's libvirtd says which (``host_logs``).
"""

from __future__ import annotations

import contextlib
import operator
import socket
import struct
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple

from migrationlab.capture import netlink
from migrationlab.hosts.counters import HostCounters
from migrationlab.hosts.poll import readable

NETLINK_SOCK_DIAG = 4
SOCK_DIAG_BY_FAMILY = 20
SKNLGRP_INET_TCP_DESTROY = 1
SOL_NETLINK, NETLINK_ADD_MEMBERSHIP = 270, 1
INET_DIAG_INFO = 2
#: Bits of the states of include/net/tcp_states.h, without SYN_RECV, TIME_WAIT, CLOSE and LISTEN.
OPEN = 0xFFF & ~(1 << 3 | 1 << 6 | 1 << 7 | 1 << 10)
#: struct inet_diag_req_v2 up to its id: family, protocol, extensions, states.
_REQUEST = struct.Struct("=BBBxI48x")
#: struct inet_diag_msg up to the interface: family, ports and addresses; then the cookie, which
#: identifies a connection as long as the kernel runs.
_FOUND = struct.Struct("!Bxxx2H4s12x4s12x")
_COOKIE = struct.Struct("=Q")
_COOKIE_AT, _FOUND_BYTES = 44, 72
#: Of struct tcp_info, in the machine's byte order: bytes_received, segs_out, segs_in; bytes_sent
#: (including what was sent again), bytes_retrans (Linux 4.19).
_RECEIVED, _SENT = struct.Struct("=QII"), struct.Struct("=QQ")
_RECEIVED_AT, _SENT_AT = 128, 200
TIMEOUT_S = 1.0
#: How long the kernel may take to report a closed connection. It does not hurry.
LAST_REPORT_S = 0.1

LIBVIRT_PORTS = (22, 16509, 16514)


class Traffic(NamedTuple):
    """The traffic of a connection: payload, and segments with pure acknowledgements."""

    sent_bytes: int = 0  # bytes that were sent again count once
    received_bytes: int = 0
    sent_segments: int = 0
    received_segments: int = 0
    retransmitted_bytes: int = 0  # payload that was sent again


NOTHING = Traffic()


@dataclass(frozen=True, slots=True)
class Ports:
    """The ports on which a destination's QEMU accepts memory, and copied disks."""

    memory: frozenset[int] = frozenset()
    storage: frozenset[int] = frozenset()

    def purpose(self, local: int, remote: int, *, tunnelled: bool = False) -> str:
        """Return the purpose of a connection: "memory", "storage", "control" or "other".

        If tunnelled, memory goes between the daemons and is nearly all of their traffic.
        """
        if remote in self.storage:
            return "storage"
        if remote in self.memory:
            return "memory"
        if remote in LIBVIRT_PORTS or local in LIBVIRT_PORTS:
            return "memory" if tunnelled and remote in LIBVIRT_PORTS else "control"
        return "other"


@dataclass(slots=True)
class TcpConnection:
    """A connection, seen from the source."""

    local_port: int
    remote_port: int
    latest: Traffic  # what it has carried
    opened_ns: int | None = None  # when it was first seen; None if it was open before
    closed_ns: int | None = None  # when the kernel reported its end; None while it is open
    first: Traffic = NOTHING  # its traffic when first seen, if it was open before

    def row(self, ports: Ports, *, tunnelled: bool = False) -> Mapping[str, int | str | None]:
        """Return its row of the frame ``connections``."""
        return {
            "purpose": ports.purpose(self.local_port, self.remote_port, tunnelled=tunnelled),
            "local_port": self.local_port,
            "remote_port": self.remote_port,
            "opened_ns": self.opened_ns,
            "closed_ns": self.closed_ns,
            **Traffic(*map(operator.sub, self.latest, self.first))._asdict(),
        }


class ConnectionMeter:
    """Watches the connections between two hosts from :meth:`start` to :meth:`stop`.

    Raises:
        LabError: The source is gone.
        OSError: Its kernel has no such sockets.
    """

    def __init__(self, source: HostCounters, destination: HostCounters) -> None:
        self.warnings: list[str] = []
        self._addresses = tuple(socket.inet_aton(each.address) for each in (source, destination))
        self._known: dict[int, TcpConnection] = {}
        self._failed = False
        with contextlib.ExitStack() as on_failure:
            self._dumps = on_failure.enter_context(source.netlink(NETLINK_SOCK_DIAG))
            self._dumps.settimeout(TIMEOUT_S)
            self._reports = on_failure.enter_context(source.netlink(NETLINK_SOCK_DIAG))
            self._reports.settimeout(0)
            # A socket without its own address does not get the reports.
            self._reports.bind((0, 0))
            self._reports.setsockopt(SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, SKNLGRP_INET_TCP_DESTROY)
            on_failure.pop_all()

    def start(self) -> None:
        """Start to count."""
        try:
            self._known = self._open()
            for known in self._known.values():
                known.first = known.latest
            # Discard the reports so far: these connections were closed before.
            self._closed()
        except OSError as error:
            self._fail(error)

    def read(self) -> int:
        """Record open and closed connections; return the number of ends without a report."""
        if self._failed:
            return 0
        now = time.time_ns()
        try:
            present = self._open()
            # Read after the dump: the final figures of connections that ended in between.
            closed = self._closed()
        except OSError as error:
            self._fail(error)
            return 0
        for cookie, found in (present | closed).items():
            if cookie not in self._known:
                self._known[cookie] = replace(found, opened_ns=now)
            self._known[cookie].latest = found.latest
        for cookie in closed:
            self._known[cookie].closed_ns = now
        unseen = self._known.keys() - present.keys()
        return sum(self._known[cookie].closed_ns is None for cookie in unseen)

    def stop(self) -> list[TcpConnection]:
        """Record the last figures, and return all connections."""
        end = time.monotonic() + LAST_REPORT_S
        while (unreported := self.read()) and (left_s := end - time.monotonic()) > 0:
            readable(self._reports, left_s)
        if unreported:
            self.warnings.append(
                f"the end of {unreported} connections over the wire was not reported: their "
                "figures are those of the last sample"
            )
        self.close()
        return list(self._known.values())

    def close(self) -> None:
        """Release the host's network. A second close does nothing."""
        self._dumps.close()
        self._reports.close()

    def _fail(self, error: OSError) -> None:
        self._failed = True
        self.warnings.append(f"the connections over the wire end early: {error}")

    def _open(self) -> dict[int, TcpConnection]:
        """Return each connection that is open, by its cookie."""
        request = _REQUEST.pack(socket.AF_INET, socket.IPPROTO_TCP, 1 << (INET_DIAG_INFO - 1), OPEN)
        return self._ours(netlink.dump(self._dumps, SOCK_DIAG_BY_FAMILY, request))

    def _closed(self) -> dict[int, TcpConnection]:
        """Return each connection that was closed since the last time, by its cookie."""
        bodies: list[bytes] = []
        while True:
            try:
                data = self._reports.recv(netlink.ROOM_BYTES)
            except BlockingIOError:
                return self._ours(bodies)
            bodies += [body for _, body in netlink.messages(data)]

    def _ours(self, bodies: Iterable[bytes]) -> dict[int, TcpConnection]:
        found = {}
        for body in bodies:
            family, local, remote, here, there = _FOUND.unpack_from(body)
            info = netlink.attributes(body[_FOUND_BYTES:]).get(INET_DIAG_INFO)
            # Without figures: the rest of a connection whose ports wait to be free again.
            if family == socket.AF_INET and (here, there) == self._addresses and info is not None:
                cookie = _COOKIE.unpack_from(body, _COOKIE_AT)[0]
                found[cookie] = TcpConnection(local, remote, _traffic(info))
        return found


def _traffic(info: bytes) -> Traffic:
    received, segments_out, segments_in = _RECEIVED.unpack_from(info, _RECEIVED_AT)
    sent, again = _SENT.unpack_from(info, _SENT_AT)
    return Traffic(sent - again, received, segments_out, segments_in, again)
