"""Send numbered echo requests to a guest, one every 5 ms: for a guest that sends no beats.

Works for any guest that answers ping: on this machine's own network or, in a lab, through a socket
that was opened on another network. A request that meets a paused guest is lost, or answered after
the guest runs again. So the silence between answers is the downtime on the network, with the period
of the probe as its resolution. One thread keeps an absolute schedule. The time of an
answer is the kernel's own stamp, so a late thread does not change it.

Uses the kernel's ICMP datagram sockets (Linux, ``net/ipv4/ping.c``). They need only a group within
``net.ipv4.ping_group_range``.
"""

from __future__ import annotations

import socket
import struct
import threading
import time

import pandas as pd

from migrationlab.errors import LabError, UsageError
from migrationlab.hosts.poll import readable
from migrationlab.runs.schema import frame

DEFAULT_INTERVAL_S = 0.005
MIN_INTERVAL_S, MAX_INTERVAL_S = 0.001, 1.0
#: How long to ping before anything happens to the guest: this shows its jitter.
LEAD_S = 1.1
#: How long the first answer may take.
ANSWER_TIMEOUT_S = 2.0
#: How long to wait at the end for answers that are under way.
LAST_ANSWER_S = 0.2

_SO_TIMESTAMPNS = 35  # include/uapi/asm-generic/socket.h; Python has no name for it
_STAMP = struct.Struct("@qq")  # struct timespec
_HEADER = struct.Struct("!BBHHH")  # type, code, checksum, identifier, sequence: RFC 792, RFC 4443
_NUMBER = struct.Struct("!8sQ")
_MARK = b"MLABECHO"


#: The protocol, and its types of a request and a reply.
_VERSIONS = {
    socket.AF_INET: (socket.IPPROTO_ICMP, 8, 0),
    socket.AF_INET6: (socket.IPPROTO_ICMPV6, 128, 129),
}


class EchoProbe:
    """Sends echo requests to an address from :meth:`start` to :meth:`stop`.

    Args:
        opened: An ICMP datagram socket on the network of the address; None to open one on this
            machine's own. The probe closes it.

    Raises:
        UsageError: The address is unknown here, or the interval is out of range.
        LabError: This user may not open such a socket.
    """

    def __init__(
        self,
        address: str,
        *,
        interval_s: float = DEFAULT_INTERVAL_S,
        opened: socket.socket | None = None,
    ) -> None:
        if not MIN_INTERVAL_S <= interval_s <= MAX_INTERVAL_S:
            raise UsageError(
                f"interval_s must be from {MIN_INTERVAL_S} to {MAX_INTERVAL_S} (got {interval_s})",
                hint=f"Give interval_s={DEFAULT_INTERVAL_S}, or leave it out.",
            )
        self.address = address
        self.interval_s = interval_s
        family, self._target = _resolved(address)
        protocol, self._request, self._reply = _VERSIONS[family]
        self._socket = opened or _open(family, protocol)
        self._socket.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
        self._sent: list[int] = []
        self._arrived: dict[int, int] = {}
        self._latest_ns = 0
        self._arrival = threading.Condition()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="migration-echo", daemon=True)

    def __repr__(self) -> str:
        return f"EchoProbe({self.address!r}, every {self.interval_s * 1e3:g} ms)"

    def begin(self) -> None:
        """Start to send, and return at once, also without an answer."""
        self._thread.start()

    def start(self) -> None:
        """Start to send, and return after the guest has answered for :data:`LEAD_S`.

        Raises:
            UsageError: There is no answer from that address.
        """
        self.begin()
        if not self.answered(0, ANSWER_TIMEOUT_S):
            self.stop()
            raise UsageError(
                f"{self.address} does not answer echo requests (ping)",
                hint="Give an address of the guest that this machine reaches, let the guest "
                "answer ping, or leave the probe out.",
            )
        self._stop.wait(LEAD_S)

    def answered(self, since_ns: int, timeout_s: float = ANSWER_TIMEOUT_S) -> bool:
        """Wait for an answer that arrives after a moment; return whether it arrived."""
        with self._arrival:
            return self._arrival.wait_for(lambda: self._latest_ns > since_ns, timeout_s)

    def stop(self) -> pd.DataFrame:
        """Stop, and return the frame ``echoes``: sequence, sent_ns, arrival_ns of a first answer.

        A lost request has a row without arrival. A second stop returns the same frame.
        """
        self._stop.set()
        if self._thread.ident is not None:
            self._thread.join()
        self._socket.close()
        rows = (
            {"sequence": number, "sent_ns": sent_ns, "arrival_ns": self._arrived.get(number)}
            for number, sent_ns in enumerate(self._sent)
        )
        return frame("echoes", rows)

    def _run(self) -> None:
        due = time.monotonic()
        while not self._stop.is_set():
            self._send()
            # Missed slots are skipped: a burst of requests would be lost together.
            due = max(due + self.interval_s, time.monotonic())
            self._receive_until(due)
        self._receive_until(time.monotonic() + LAST_ANSWER_S, newest=True)

    def _send(self) -> None:
        sequence = len(self._sent)
        # The kernel fills in the checksum and, as identifier, the socket's own number.
        header = _HEADER.pack(self._request, 0, 0, 0, sequence & 0xFFFF)
        self._sent.append(time.time_ns())
        try:
            self._socket.sendto(header + _NUMBER.pack(_MARK, sequence), self._target)
        except OSError:
            return  # no route at this moment, as while a guest moves: its row says it was lost

    def _receive_until(self, due: float, *, newest: bool = False) -> None:
        # Requests before the newest are answered before it, or are lost.
        while not (newest and len(self._sent) - 1 in self._arrived):
            if not readable(self._socket, max(due - time.monotonic(), 0)):
                return
            data, ancillary, _, _ = self._socket.recvmsg(64, 64)
            self._take(data, ancillary)

    def _take(self, data: bytes, ancillary: list[tuple[int, int, bytes]]) -> None:
        if len(data) != _HEADER.size + _NUMBER.size or data[0] != self._reply:
            return
        mark, sequence = _NUMBER.unpack_from(data, _HEADER.size)
        if mark != _MARK or sequence >= len(self._sent):
            return
        seconds, nanoseconds = _STAMP.unpack(ancillary[0][2])
        arrival_ns = seconds * 1_000_000_000 + nanoseconds
        self._arrived.setdefault(sequence, arrival_ns)
        with self._arrival:
            self._latest_ns = arrival_ns
            self._arrival.notify_all()


def _resolved(address: str) -> tuple[socket.AddressFamily, tuple[str, int]]:
    try:
        found = socket.getaddrinfo(address, None, type=socket.SOCK_DGRAM)
    except (OSError, UnicodeError) as error:
        raise UsageError(
            f"address must be an IP address or a known name (got {address!r}: {error})",
            hint="Give the guest's IP address.",
        ) from error
    family, _, _, _, target = found[0]
    return family, target  # type: ignore[return-value]


def _open(family: socket.AddressFamily, protocol: int) -> socket.socket:
    try:
        return socket.socket(family, socket.SOCK_DGRAM, protocol)
    except PermissionError as error:
        raise LabError(
            "this user may not send echo requests: none of their groups is in "
            "net.ipv4.ping_group_range",
            hint='Run: sudo sysctl -w net.ipv4.ping_group_range="0 2147483647" (as systemd sets '
            "it), or leave the probe out.",
        ) from error
