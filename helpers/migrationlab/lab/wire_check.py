"""Measure the throughput of a TCP stream through the wire, to compare it with the wire's setting.

The method is iperf's: one stream from host to host, through the shapers at both ends; the bytes
that arrive are counted. Only payload counts, so the figure is some 3 to 6 % below the rate, which
limits whole frames. The first moments do not count (iperf's ``--omit``): TCP is still finding its
rate, and the shaper's bucket is full.
"""

from __future__ import annotations

import select
import socket
import struct
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from migrationlab.errors import LabError
from migrationlab.lab.layout import HOST_NAMES, WIRE_ADDRESSES
from migrationlab.lab.socket_broker import open_socket
from migrationlab.plan.wire_spec import WireSpec

OMIT_S = 0.3
COUNT_S = 1.0
#: For connecting, and for the stream while nothing arrives.
TIMEOUT_S = 5.0
#: Large, so that this program's own calls do not slow down a wire without a limit.
CHUNK_BYTES = 1 << 20
#: Close by a reset: sending the rest would take minutes on a slow wire.
_NO_LINGER = struct.pack("ii", 1, 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class WireCheck:
    """The throughput of a TCP stream through the wire, and the bytes that were counted for it."""

    #: The rate of arrival of the payload.
    payload_mbit_s: float
    received_bytes: int
    counted_s: float
    settings: WireSpec

    def __repr__(self) -> str:
        rate = self.settings.rate_mbit_s
        limit = "no limit" if rate is None else f"{rate:g} Mbit/s"
        return f"WireCheck({self.payload_mbit_s:.1f} Mbit/s of payload, wire set to {limit})"


def measure(broker: Path, settings: WireSpec, *, here: str = HOST_NAMES[0]) -> WireCheck:
    """Send a TCP stream from a host of a lab to the other one, for about a second.

    Args:
        broker: The lab's socket broker.
        settings: The wire as the sender sees it.
        here: The name of the host that sends.

    Raises:
        LabError: The lab is down, or nothing comes through.
    """
    there, address = next(
        (name, address)
        for name, address in zip(HOST_NAMES, WIRE_ADDRESSES, strict=True)
        if name != here
    )
    with ExitStack() as sockets:
        listener, sender = (
            sockets.enter_context(open_socket(broker, host, socket.AF_INET, socket.SOCK_STREAM))
            for host in (there, here)
        )
        sender.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
        try:
            listener.bind((address, 0))
            listener.listen(1)
            for each in (listener, sender):
                each.settimeout(TIMEOUT_S)
            sender.connect(listener.getsockname())
            receiver = sockets.enter_context(listener.accept()[0])
            received_bytes, counted_s = _stream(sender, receiver)
        except OSError as error:
            raise LabError(
                f"TCP stream through the wire, {settings}, failed: {error}",
                hint="Set a wire that loses and delays less: lab.wire.set(1000)",
            ) from error
    return WireCheck(
        payload_mbit_s=round(received_bytes * 8 / counted_s / 1e6, 3),
        received_bytes=received_bytes,
        counted_s=counted_s,
        settings=settings,
    )


def _stream(sender: socket.socket, receiver: socket.socket) -> tuple[int, float]:
    """Send without pauses; return the bytes that arrived within a time, and that time."""
    for each in (sender, receiver):
        each.settimeout(0)
    piece, room = bytes(CHUNK_BYTES), bytearray(CHUNK_BYTES)
    begun = heard = time.monotonic()
    counted_from: float | None = None
    received_bytes = 0
    # poll(2), because select(2) refuses descriptors from 1024 on.
    waiting = select.poll()
    waiting.register(receiver, select.POLLIN)
    waiting.register(sender, select.POLLOUT)
    while True:
        ready = {descriptor for descriptor, _ in waiting.poll(TIMEOUT_S * 1000)}
        now = time.monotonic()
        if sender.fileno() in ready:
            sender.send(piece)
        if receiver.fileno() not in ready:
            if now - heard > TIMEOUT_S:
                raise TimeoutError(f"nothing arrived for {TIMEOUT_S:g} s")
            continue
        heard = now
        got = receiver.recv_into(room)
        # From one arrival to another, so that no part of a wait counts on a slow wire.
        if counted_from is not None:
            received_bytes += got
            if now - counted_from >= COUNT_S:
                return received_bytes, now - counted_from
        elif now - begun >= OMIT_S:
            counted_from = now
