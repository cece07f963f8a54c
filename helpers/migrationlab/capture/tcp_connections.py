"""Which TCP connections a migration opens between the hosts, and what goes over each.

The source's kernel is asked, by netlink (sock_diag(7); include/uapi/linux/inet_diag.h and, for
``struct tcp_info``, tcp.h): no packet is captured, so it costs the same whatever is sent. A dump
now and then finds what is open; the kernel itself tells when a connection is closed, with its
final figures (SKNLGRP_INET_TCP_DESTROY, Linux 4.5). A connection that was open before counts from
the first dump on.

What a connection is for, its port tells. libvirtd's and ssh's are known. Memory and copied disks
both come to ports of one range, from which the destination's libvirtd picks (``migration_port_min``
in qemu.conf): the source's libvirtd is told which, and its log says so. Imports no libvirt and no
lab.
"""

from __future__ import annotations

import contextlib
import re
import socket
import struct
import time
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

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
#: struct inet_diag_msg up to the interface: family, ports and addresses; then the cookie, which is
#: a connection's own as long as the kernel runs.
_FOUND = struct.Struct("!Bxxx2H4s12x4s12x")
_COOKIE = struct.Struct("=Q")
_COOKIE_AT, _FOUND_BYTES = 44, 72
#: Of struct tcp_info, in the machine's byte order: bytes_received, segs_out, segs_in; bytes_sent
#: (with what was sent again), bytes_retrans (Linux 4.19).
_RECEIVED, _SENT = struct.Struct("=QII"), struct.Struct("=QQ")
_RECEIVED_AT, _SENT_AT = 128, 200
TIMEOUT_S = 1.0
#: How long the kernel may take to tell of a connection's end, which it does at its leisure.
LAST_WORD_S = 0.1

LIBVIRT_PORTS = (22, 16509, 16514)
#: qemuMigrationSrcPerformNative in libvirt's src/qemu/qemu_migration.c, and the cookie that the
#: destination gave (qemuMigrationCookieNBDXMLFormat in qemu_migration_cookie.c).
_MEMORY = re.compile(r"qemuMigrationSrcPerformNative:\d+ : .*\buri=tcp:(?://)?\S+:(\d+)")
_STORAGE = re.compile(r"<nbd port='(\d+)'")


@dataclass(frozen=True, slots=True)
class Traffic:
    """What a connection has carried.

    Attributes:
        sent_bytes: Payload, what was sent again counted once.
        received_bytes: Payload.
        sent_segments: All segments, pure acknowledgements too.
        received_segments: Likewise.
        retransmitted_bytes: Payload that was sent again.
    """

    sent_bytes: int = 0
    received_bytes: int = 0
    sent_segments: int = 0
    received_segments: int = 0
    retransmitted_bytes: int = 0


@dataclass(slots=True)
class TcpConnection:
    """A connection, seen from the source.

    Attributes:
        local_port: Its port there.
        remote_port: Its port at the destination.
        opened_ns: When it was first seen; None where it was open before.
        closed_ns: When the kernel told of its end; None while it is open.
        first: What it had carried when it was first seen, if it was open before.
        latest: What it has carried.
    """

    local_port: int
    remote_port: int
    opened_ns: int | None
    closed_ns: int | None
    first: Traffic
    latest: Traffic


@dataclass(frozen=True, slots=True)
class Ports:
    """The ports of a destination's QEMU.

    Attributes:
        memory: Where it takes memory.
        storage: Where it takes copied disks.
    """

    memory: frozenset[int] = frozenset()
    storage: frozenset[int] = frozenset()

    def purpose(self, local: int, remote: int, *, tunnelled: bool = False) -> str:
        """Return what a connection is for: "memory", "storage", "control" or "other".

        Args:
            local: Its port at the source.
            remote: Its port at the destination.
            tunnelled: Whether memory goes between the daemons, which is nearly all of it then.
        """
        if remote in self.storage:
            return "storage"
        if remote in self.memory:
            return "memory"
        if remote in LIBVIRT_PORTS or local in LIBVIRT_PORTS:
            return "memory" if tunnelled and remote in LIBVIRT_PORTS else "control"
        return "other"


def ports_told(log: Path | None, start: int) -> Ports:
    """Return the ports that the log of a source's libvirtd has told of since it had a length.

    Args:
        log: The log, or None where it can't be read: then no port is known.
        start: The length then.
    """
    try:
        text = log.read_bytes()[start:].decode(errors="replace") if log is not None else ""
    except OSError:
        text = ""  # without a log, as on a real host
    return Ports(
        memory=frozenset(map(int, _MEMORY.findall(text))),
        storage=frozenset(map(int, _STORAGE.findall(text))),
    )


class ConnectionMeter:
    """Watches the connections over the wire from :meth:`start` to :meth:`stop`.

    Args:
        source: The counters of the host that the domain leaves.
        destination: Those of the host that it goes to.

    Raises:
        LabError: The source is gone.
        OSError: Its kernel has no such sockets.
    """

    def __init__(self, source: HostCounters, destination: HostCounters) -> None:
        self.warnings: list[str] = []
        self._ends = tuple(socket.inet_aton(each.address) for each in (source, destination))
        self._known: dict[int, TcpConnection] = {}
        self._failed = False
        with contextlib.ExitStack() as on_failure:
            self._asked = on_failure.enter_context(source.netlink(NETLINK_SOCK_DIAG))
            self._asked.settimeout(TIMEOUT_S)
            self._told = on_failure.enter_context(source.netlink(NETLINK_SOCK_DIAG))
            self._told.settimeout(0)
            # One without an address of its own is left out of what all are told.
            self._told.bind((0, 0))
            self._told.setsockopt(SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, SKNLGRP_INET_TCP_DESTROY)
            on_failure.pop_all()

    def start(self) -> None:
        """Count from here."""
        try:
            for cookie, (local, remote, traffic) in self._open().items():
                self._known[cookie] = TcpConnection(local, remote, None, None, traffic, traffic)
            # What was told by now was closed before.
            self._news()
        except OSError as error:
            self._fail(error)

    def read(self) -> None:
        """Take down what is open, and what was closed."""
        self._look()

    def stop(self) -> list[TcpConnection]:
        """Take down the last figures, and return every connection that there was."""
        end = time.monotonic() + LAST_WORD_S
        while (unheard := self._look()) and (left_s := end - time.monotonic()) > 0:
            readable(self._told, left_s)
        if unheard:
            self.warnings.append(
                f"of {unheard} connections over the wire the end was not heard: their figures are "
                "those of the last look at them"
            )
        self.close()
        return list(self._known.values())

    def close(self) -> None:
        """Let go of the host's network; once more does no harm."""
        self._asked.close()
        self._told.close()

    def _look(self) -> int:
        """Take down what is known by now; return how many have gone without a word."""
        if self._failed:
            return 0
        now = time.time_ns()
        try:
            present = self._open()
            # Heard after that: of what ended in between, these are the last figures.
            news = self._news()
        except OSError as error:
            self._fail(error)
            return 0
        for cookie, found in (present | news).items():
            self._take(now, cookie, *found)
        for cookie in news:
            self._known[cookie].closed_ns = now
        return sum(
            known.closed_ns is None and cookie not in present
            for cookie, known in self._known.items()
        )

    def _fail(self, error: OSError) -> None:
        self._failed = True
        self.warnings.append(f"the connections over the wire end early: {error}")

    def _take(self, now: int, cookie: int, local: int, remote: int, traffic: Traffic) -> None:
        if cookie not in self._known:
            self._known[cookie] = TcpConnection(local, remote, now, None, Traffic(), traffic)
        self._known[cookie].latest = traffic

    def _open(self) -> dict[int, tuple[int, int, Traffic]]:
        """Return the ports and traffic of each connection that is open, by its cookie."""
        request = _REQUEST.pack(socket.AF_INET, socket.IPPROTO_TCP, 1 << (INET_DIAG_INFO - 1), OPEN)
        return self._ours(netlink.dump(self._asked, SOCK_DIAG_BY_FAMILY, request))

    def _news(self) -> dict[int, tuple[int, int, Traffic]]:
        """Return likewise what was closed since the last time."""
        bodies: list[bytes] = []
        while True:
            try:
                data = self._told.recv(netlink.ROOM_BYTES)
            except BlockingIOError:
                return self._ours(bodies)
            bodies += [body for _, body in netlink.messages(data)]

    def _ours(self, bodies: Iterable[bytes]) -> dict[int, tuple[int, int, Traffic]]:
        found = {}
        for body in bodies:
            family, local, remote, here, there = _FOUND.unpack_from(body)
            info = netlink.attributes(body[_FOUND_BYTES:]).get(INET_DIAG_INFO)
            # Without figures: what is left of a connection while its ports wait to be free again.
            if family == socket.AF_INET and (here, there) == self._ends and info is not None:
                found[_COOKIE.unpack_from(body, _COOKIE_AT)[0]] = local, remote, _traffic(info)
        return found


def rows(
    connections: Iterable[TcpConnection], ports: Ports, *, tunnelled: bool = False
) -> list[Mapping[str, int | str | None]]:
    """Return the rows of a run's frame of connections, in the order in which they were seen."""
    return [
        {
            "purpose": ports.purpose(each.local_port, each.remote_port, tunnelled=tunnelled),
            "local_port": each.local_port,
            "remote_port": each.remote_port,
            "opened_ns": each.opened_ns,
            "closed_ns": each.closed_ns,
            **{
                name: value - getattr(each.first, name)
                for name, value in asdict(each.latest).items()
            },
        }
        for each in connections
    ]


def _traffic(info: bytes) -> Traffic:
    received, segments_out, segments_in = _RECEIVED.unpack_from(info, _RECEIVED_AT)
    sent, again = _SENT.unpack_from(info, _SENT_AT)
    return Traffic(sent - again, received, segments_out, segments_in, again)
