"""What a TCP stream really gets through the wire: the figure that its setting is held against.

As iperf does it: one stream from host to host, through the shapers at both ends, and what arrives
is counted. Payload only, so it stays some 3 to 6 % below a rate that holds whole frames. What comes
in the first moments is not counted (iperf's ``--omit``): TCP is still finding its rate, and the
shaper's bucket is full.
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
#: For the connection, and for the stream while nothing comes.
TIMEOUT_S = 5.0
#: Large, so that a wire without a limit is not held up by this program's own calls.
CHUNK_BYTES = 1 << 20
#: To be reset instead of sent to the end, which on a slow wire would take minutes.
_NO_LINGER = struct.pack("ii", 1, 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class WireCheck:
    """What a TCP stream got through the wire.

    Attributes:
        payload_mbit_s: How fast its payload arrived.
        received_bytes: How much was counted.
        counted_s: Over how long.
        settings: What the wire was set to.
    """

    payload_mbit_s: float
    received_bytes: int
    counted_s: float
    settings: WireSpec

    def __repr__(self) -> str:
        rate = self.settings.rate_mbit_s
        limit = "no limit" if rate is None else f"{rate:g} Mbit/s"
        return f"WireCheck({self.payload_mbit_s:.1f} Mbit/s of payload, wire set to {limit})"


def measure(door: Path, settings: WireSpec) -> WireCheck:
    """Send a TCP stream from the first host of a lab to the second, for about a second.

    Args:
        door: The lab's door.
        settings: What the wire is set to.

    Raises:
        LabError: The lab is down, or nothing comes through.
    """
    (here, there), (_, address) = HOST_NAMES, WIRE_ADDRESSES
    with ExitStack() as sockets:
        listener, sender = (
            sockets.enter_context(open_socket(door, host, socket.AF_INET, socket.SOCK_STREAM))
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
                f"no TCP stream came through the wire, {settings}: {error}",
                hint="lab.wire.set(…) sets a wire that loses and delays less",
            ) from error
    return WireCheck(
        payload_mbit_s=round(received_bytes * 8 / counted_s / 1e6, 3),
        received_bytes=received_bytes,
        counted_s=counted_s,
        settings=settings,
    )


def _stream(sender: socket.socket, receiver: socket.socket) -> tuple[int, float]:
    """Send as fast as it goes; return the bytes that arrived within a time, and that time.

    Raises:
        OSError: The stream broke, or nothing came for long.
    """
    for each in (sender, receiver):
        each.settimeout(0)
    piece, room = bytes(CHUNK_BYTES), bytearray(CHUNK_BYTES)
    begun = heard = time.monotonic()
    counted_from: float | None = None
    received_bytes = 0
    # By poll(2): select(2) takes no descriptor from 1024 on.
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
                raise TimeoutError(f"nothing for {TIMEOUT_S:g} s")
            continue
        heard = now
        got = receiver.recv_into(room)
        # From one arrival to another, so that on a slow wire no part of a wait is counted.
        if counted_from is not None:
            received_bytes += got
            if now - counted_from >= COUNT_S:
                return received_bytes, now - counted_from
        elif now - begun >= OMIT_S:
            counted_from = now
