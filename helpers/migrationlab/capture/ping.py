"""Listens for a guest that sends nothing by itself: a numbered echo request every 5 ms.

Works for any guest that answers ping: by this machine's own network, or, as in a lab, by a socket
that was opened on another. A request that meets a guest standing still is lost, or
answered once the guest runs again, so the silence between answers is what the network saw of the
downtime; the probe's period is its resolution. One thread keeps an absolute schedule; an answer's
time is the kernel's own stamp, so that a late thread does not change it.

Uses the kernel's ICMP datagram sockets (Linux, ``net/ipv4/ping.c``), which need no right but a
group within ``net.ipv4.ping_group_range``. Never imports libvirt or ``lab``.
"""

from __future__ import annotations

import socket
import struct
import threading
import time
from dataclasses import dataclass

import pandas as pd

from migrationlab.errors import LabError, UsageError
from migrationlab.hosts.poll import readable

DEFAULT_INTERVAL_S = 0.005
SHORTEST_INTERVAL_S, LONGEST_INTERVAL_S = 0.001, 1.0
#: How long the guest is heard before anything happens to it: its jitter is judged by that.
LEAD_S = 1.1
#: How long the first answer may take.
ANSWER_TIMEOUT_S = 2.0
#: How long to wait for answers that are on their way when the probe is stopped.
LAST_ANSWER_S = 0.2
ECHO_COLUMNS = {"sequence": "int64", "sent_ns": "int64", "arrival_ns": "Int64"}

_SO_TIMESTAMPNS = 35  # include/uapi/asm-generic/socket.h; Python has no name for it
_STAMP = struct.Struct("@qq")  # struct timespec
_HEADER = struct.Struct("!BBHHH")  # type, code, checksum, identifier, sequence: RFC 792, RFC 4443
_NUMBER = struct.Struct("!8sQ")
_MARK = b"MLABECHO"


@dataclass(frozen=True, slots=True)
class _IcmpVersion:
    """What differs between ICMP and ICMPv6."""

    family: socket.AddressFamily
    protocol: int
    request: int
    reply: int


_ICMP = {
    socket.AF_INET: _IcmpVersion(socket.AF_INET, socket.IPPROTO_ICMP, 8, 0),
    socket.AF_INET6: _IcmpVersion(socket.AF_INET6, socket.IPPROTO_ICMPV6, 128, 129),
}


class EchoProbe:
    """Asks an address for an echo, over and over, from :meth:`start` to :meth:`stop`.

    Args:
        address: The guest's address, or a name of it.
        interval_s: The time from one request to the next.
        opened: An ICMP datagram socket on the network that the address is of; None for one of
            this machine's own. The probe closes it.

    Raises:
        UsageError: The address means nothing here, or the interval is out of its range.
        LabError: This user may not open such a socket.
    """

    def __init__(
        self,
        address: str,
        *,
        interval_s: float = DEFAULT_INTERVAL_S,
        opened: socket.socket | None = None,
    ) -> None:
        if not SHORTEST_INTERVAL_S <= interval_s <= LONGEST_INTERVAL_S:
            raise UsageError(
                f"echo requests cannot be {interval_s} s apart",
                hint=f"give {SHORTEST_INTERVAL_S} to {LONGEST_INTERVAL_S} s",
            )
        self.address = address
        self.interval_s = interval_s
        self._kind, self._target = _resolved(address)
        self._socket = _open(self._kind) if opened is None else opened
        self._socket.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
        self._sent: list[int] = []
        self._arrived: dict[int, int] = {}
        self._latest_ns = 0
        self._answered = threading.Condition()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="migration-echo", daemon=True)

    def __repr__(self) -> str:
        return f"EchoProbe({self.address!r}, every {self.interval_s * 1e3:g} ms)"

    def begin(self) -> None:
        """Begin to ask, and return at once, whether anybody answers or not."""
        self._thread.start()

    def start(self) -> None:
        """Begin to ask, and return once the guest has been heard for :data:`LEAD_S`.

        Raises:
            UsageError: Nobody answers at that address.
        """
        self.begin()
        if not self.hears(0, ANSWER_TIMEOUT_S):
            self.stop()
            raise UsageError(
                f"{self.address} does not answer echo requests (ping)",
                hint="give an address of the guest that this machine reaches, let the guest "
                "answer ping, or leave the probe out",
            )
        self._stop.wait(LEAD_S)

    def hears(self, since_ns: int, timeout_s: float = ANSWER_TIMEOUT_S) -> bool:
        """Wait until an answer has arrived after a moment; return whether one did.

        Args:
            since_ns: The moment, CLOCK_REALTIME.
            timeout_s: How long to wait for it.
        """
        with self._answered:
            return self._answered.wait_for(lambda: self._latest_ns > since_ns, timeout_s)

    def stop(self) -> pd.DataFrame:
        """Stop, and return what was sent and answered; once more gives the same again.

        Returns:
            A row a request: ``sequence``, ``sent_ns``, and ``arrival_ns`` of its first answer,
            missing where it was lost. Both times are CLOCK_REALTIME.
        """
        self._stop.set()
        if self._thread.ident is not None:
            self._thread.join()
        self._socket.close()
        numbers = range(len(self._sent))
        return pd.DataFrame(
            {
                "sequence": pd.Series(numbers, dtype="int64"),
                "sent_ns": pd.Series(self._sent, dtype="int64"),
                "arrival_ns": pd.Series([self._arrived.get(n) for n in numbers], dtype="Int64"),
            }
        )

    def _run(self) -> None:
        due = time.monotonic()
        while not self._stop.is_set():
            self._ask()
            # Slots that were missed are left out: a burst would only be lost as one.
            due = max(due + self.interval_s, time.monotonic())
            self._receive_until(due)
        self._receive_until(time.monotonic() + LAST_ANSWER_S, newest=True)

    def _ask(self) -> None:
        sequence = len(self._sent)
        # The kernel fills in the checksum and, as identifier, the socket's own number.
        header = _HEADER.pack(self._kind.request, 0, 0, 0, sequence & 0xFFFF)
        self._sent.append(time.time_ns())
        try:
            self._socket.sendto(header + _NUMBER.pack(_MARK, sequence), self._target)
        except OSError:
            return  # no way there at this moment, as while a guest moves: lost, as its row says

    def _receive_until(self, due: float, *, newest: bool = False) -> None:
        # Those before the newest are answered before it, or are lost.
        while not (newest and len(self._sent) - 1 in self._arrived):
            if not readable(self._socket, max(due - time.monotonic(), 0)):
                return
            data, ancillary, _, _ = self._socket.recvmsg(64, 64)
            self._take(data, ancillary)

    def _take(self, data: bytes, ancillary: list[tuple[int, int, bytes]]) -> None:
        if len(data) != _HEADER.size + _NUMBER.size or data[0] != self._kind.reply:
            return
        mark, sequence = _NUMBER.unpack_from(data, _HEADER.size)
        if mark != _MARK or sequence >= len(self._sent):
            return
        seconds, nanoseconds = _STAMP.unpack(ancillary[0][2])
        arrival_ns = seconds * 1_000_000_000 + nanoseconds
        self._arrived.setdefault(sequence, arrival_ns)
        with self._answered:
            self._latest_ns = arrival_ns
            self._answered.notify_all()


def _resolved(address: str) -> tuple[_IcmpVersion, tuple[str, int]]:
    try:
        found = socket.getaddrinfo(address, None, type=socket.SOCK_DGRAM)
    except (OSError, UnicodeError) as error:
        raise UsageError(
            f"the address {address!r} of the probe means nothing here: {error}",
            hint="give the guest's IP address",
        ) from error
    family, _, _, _, target = found[0]
    return _ICMP[socket.AddressFamily(family)], target  # type: ignore[return-value]


def _open(kind: _IcmpVersion) -> socket.socket:
    try:
        return socket.socket(kind.family, socket.SOCK_DGRAM, kind.protocol)
    except PermissionError as error:
        raise LabError(
            "this user may not send echo requests: no group of theirs is in "
            "net.ipv4.ping_group_range",
            hint='sudo sysctl -w net.ipv4.ping_group_range="0 2147483647" (as systemd sets it), '
            "or leave the probe out",
        ) from error
