"""Record on the lab's LAN when each beat of each guest arrives.

    observer.py ADDRESS PORT RING RECORDS

It runs inside the rack as a separate process, so that nothing in the owner delays it. The kernel
stamps each datagram as it arrives (SO_TIMESTAMPNS, CLOCK_REALTIME). It uses the standard library
only. ``migrationlab.lab.beat_buffer`` reads the file.

RING is a file with a 64-byte header, whose first eight bytes count the records ever written, and
then RECORDS records that are overwritten in turn. All numbers are little-endian.
"""

import mmap
import os
import socket
import struct
import sys

BEAT = struct.Struct("<4sIQQQ")  # struct beat in workload.c
RECORD = struct.Struct("<QQQQQ")  # arrival_ns, guest, sequence, guest_ns, writes
HEADER = 64
STAMP = struct.Struct("@qq")  # struct timespec
SO_TIMESTAMPNS = 35  # include/uapi/asm-generic/socket.h; Python has no name for it


def main(address: str, port: int, path: str, records: int) -> None:
    """Receive until killed."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    receiver = socket.socket(family, socket.SOCK_DGRAM)
    if family == socket.AF_INET6:
        receiver.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    receiver.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
    receiver.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
    receiver.bind((address, port))
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
    os.ftruncate(descriptor, HEADER + records * RECORD.size)
    ring = mmap.mmap(descriptor, 0)
    written = 0
    print("ready", flush=True)
    while True:
        data, ancillary, _, _ = receiver.recvmsg(64, 64)
        if len(data) != BEAT.size:
            continue
        magic, guest, sequence, guest_ns, writes = BEAT.unpack(data)
        if magic != b"MLB1" or not ancillary:
            continue
        seconds, nanoseconds = STAMP.unpack(ancillary[0][2])
        arrival = seconds * 1_000_000_000 + nanoseconds
        place = HEADER + written % records * RECORD.size
        RECORD.pack_into(ring, place, arrival, guest, sequence, guest_ns, writes)
        written += 1
        # The count is written last and at once ("@"), so a reader never sees half a record.
        struct.pack_into("@Q", ring, 0, written)


main(sys.argv[1], int(sys.argv[2]), sys.argv[3], int(sys.argv[4]))
