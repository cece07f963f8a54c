"""Ask a Linux kernel by netlink: the layout of messages, and one kind of request, the dump.

Contains only the parts that migrationlab needs: a dump, and the attributes of its answers
(include/uapi/linux/netlink.h; numbers are in the machine's byte order). A library for all of
netlink takes longer to import than a lab takes to answer. The caller owns the socket and knows the
meaning of the bodies.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator

HEADER = struct.Struct("=IHHII")  # struct nlmsghdr: length, type, flags, sequence, sender
ATTRIBUTE = struct.Struct("=HH")  # struct nlattr: length, type
ERROR, DONE = 2, 3
REQUEST, DUMP = 0x1, 0x300
#: Two bits of an attribute's type describe the layout of its value.
TYPE_MASK = 0x3FFF
#: Four times the room that netlink(7) advises for a reader.
ROOM_BYTES = 1 << 17


def dump(channel: socket.socket, kind: int, body: bytes) -> Iterator[bytes]:
    """Ask for all objects of a kind, and yield the bodies of the answers.

    Nobody else may read the socket.

    Raises:
        OSError: The kernel refused, or did not answer within the socket's time limit.
    """
    channel.send(HEADER.pack(HEADER.size + len(body), kind, REQUEST | DUMP, 1, 0) + body)
    while True:
        for found, answer in messages(channel.recv(ROOM_BYTES)):
            if found == DONE:
                # A dump that failed midway ends like any other, but with an error number.
                if len(answer) >= 4 and (number := struct.unpack_from("=i", answer)[0]) < 0:
                    raise OSError(-number, "netlink")
                return
            yield answer


def messages(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield the type and body of each message of a datagram.

    Raises:
        OSError: The message is an error; with its number.
    """
    for kind, body in _split(data, HEADER):
        if kind == ERROR and (number := struct.unpack_from("=i", body)[0]):
            raise OSError(-number, "netlink")
        yield kind, body


def attributes(data: bytes) -> dict[int, bytes]:
    """Return the values of a message's attributes, or of a nested one's, by their types."""
    return {kind & TYPE_MASK: value for kind, value in _split(data, ATTRIBUTE)}


def _split(data: bytes, head: struct.Struct) -> Iterator[tuple[int, bytes]]:
    """Yield the type and body of each message or attribute; both begin with length and type."""
    while len(data) >= head.size:
        length, kind, *_ = head.unpack_from(data)
        yield kind, data[head.size : length]
        data = data[(max(length, head.size) + 3) & ~3 :]
