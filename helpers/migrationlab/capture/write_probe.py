"""Ask a lab's guest, again and again, how long its writes to memory took.

The guest's workload times its own writes and counts them by duration (``lab/payload/latency.h``).
Its counts only grow, so that a report that is lost while the guest moves costs nothing: the next
one has all. The difference of two reports is what happened between them.

The durations are by the guest's clock, which stops while the guest is paused. So they show
what slows the guest while it runs (pages that are sent, throttling, pages that are still at the
source in post-copy), and not its downtime.
"""

from __future__ import annotations

import socket
import struct
import threading
import time
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pandas as pd

from migrationlab.hosts.poll import readable
from migrationlab.runs.schema import frame

#: One report takes the guest 1 KiB to send.
INTERVAL_S = 0.02
#: How long to wait at the end for a report that is under way.
LAST_REPORT_S = 0.2
#: As enum and struct of ``latency.h``.
UNIT_NS, PARTS, BUCKETS = 16, 8, 256
_HEADER = struct.Struct("<4sIQQ")
_MAGIC = b"MLL1"
_COUNTS = np.dtype("<u4")
_SIZE = _HEADER.size + BUCKETS * _COUNTS.itemsize

Counts = npt.NDArray[np.uint32]


@dataclass(frozen=True, slots=True)
class _Report:
    request: int
    arrival_ns: int
    guest_ns: int
    counts: Counts


class WriteProbe:
    """Asks a guest for reports from its making to :meth:`stop`, every 20 ms.

    Args:
        address: Where the guest's workload takes requests: IP address and port.
        opened: A UDP socket on the network of that address. The probe closes it.
    """

    def __init__(self, address: tuple[str, int], opened: socket.socket) -> None:
        self._address = address
        self._socket = opened
        self._sent = 0
        self._reports: list[_Report] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="migration-writes", daemon=True)

    def __repr__(self) -> str:
        return f"WriteProbe({self._address[0]!r}, every {INTERVAL_S * 1e3:g} ms)"

    def begin(self) -> None:
        """Start to ask."""
        self._thread.start()

    def stop(self) -> pd.DataFrame:
        """Stop, and return the frame ``memory_writes``. A second stop returns the same frame."""
        self._stop.set()
        if self._thread.ident is not None:
            self._thread.join()
        self._socket.close()
        # A report that another one has overtaken is older than that one, and adds nothing.
        ordered = sorted(self._reports, key=lambda report: report.guest_ns)
        rows = (
            {
                "since_ns": earlier.arrival_ns,
                "arrival_ns": later.arrival_ns,
                "guest_ns": later.guest_ns,
                "latency_ns": middle_ns(bucket),
                "writes": int(grown[bucket]),
            }
            for earlier, later in pairwise(ordered)
            for grown in [later.counts - earlier.counts]
            for bucket in map(int, np.flatnonzero(grown))
        )
        return frame("memory_writes", rows)

    def _run(self) -> None:
        due = time.monotonic()
        while not self._stop.is_set():
            self._ask()
            due = max(due + INTERVAL_S, time.monotonic())
            self._receive_until(due)
        self._ask()
        self._receive_until(time.monotonic() + LAST_REPORT_S, newest=True)

    def _ask(self) -> None:
        self._sent += 1
        try:
            self._socket.sendto(b"%d latency" % self._sent, self._address)
        except OSError:
            return  # no route at this moment, as while a guest moves: the next report has it all

    def _receive_until(self, due: float, *, newest: bool = False) -> None:
        while not (newest and self._reports and self._reports[-1].request == self._sent):
            if not readable(self._socket, max(due - time.monotonic(), 0)):
                return
            try:
                data = self._socket.recv(_SIZE + 1)
            except ConnectionRefusedError:
                continue  # no workload at that port: it says so once for each request
            self._take(data, time.time_ns())

    def _take(self, data: bytes, arrival_ns: int) -> None:
        if len(data) != _SIZE or not data.startswith(_MAGIC):
            return
        _, _, request, guest_ns = _HEADER.unpack_from(data)
        counts = np.frombuffer(data, dtype=_COUNTS, offset=_HEADER.size)
        self._reports.append(_Report(request, arrival_ns, guest_ns, counts))


def middle_ns(bucket: int) -> int:
    """Return the middle of the durations of a bucket, in nanoseconds (``count_duration``)."""
    octave = max(bucket // PARTS - 1, 0)
    width = UNIT_NS << octave
    first = (bucket - octave * PARTS) * width
    return first + width // 2
