"""The probe of a guest's writes, against a socket that answers as the workload does."""

from __future__ import annotations

import socket
import struct
from collections.abc import Mapping

import pytest

from migrationlab.capture.write_probe import BUCKETS, WriteProbe, middle_ns
from migrationlab.runs.schema import FRAMES

#: As ``struct latency_report`` of the workload's latency.h.
REPORT = struct.Struct(f"<4sIQQ{BUCKETS}I")


class Workload:
    """A workload that answers when a test says so, with the counts that the test gives."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self._socket.settimeout(10)
        self.address: tuple[str, int] = self._socket.getsockname()

    def answer(self, guest_ns: int, counts: Mapping[int, int], magic: bytes = b"MLL1") -> None:
        """Answer the next request."""
        asked, probe = self._socket.recvfrom(64)
        number, verb = asked.split()
        assert verb == b"latency"
        filled = [counts.get(bucket, 0) for bucket in range(BUCKETS)]
        self._socket.sendto(REPORT.pack(magic, 1, int(number), guest_ns, *filled), probe)

    def skip(self) -> None:
        """Lose the next request."""
        self._socket.recv(64)

    def close(self) -> None:
        """Answer no more."""
        self._socket.close()


def probe_of(workload: Workload) -> WriteProbe:
    """Return a probe of a workload that has begun to ask."""
    probe = WriteProbe(workload.address, socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
    probe.begin()
    return probe


def test_frame_has_what_grew_between_two_reports() -> None:
    """A lost report costs nothing: the next one has its writes. Other datagrams are ignored."""
    workload = Workload()
    probe = probe_of(workload)
    workload.answer(100, {3: 5, 40: 2**32 - 1})
    workload.answer(150, {3: 9}, magic=b"MLB1")
    workload.skip()
    workload.answer(200, {3: 7, 40: 1, 60: 1})
    workload.answer(300, {3: 7, 40: 1, 60: 1})
    workload.close()
    found = probe.stop()
    assert dict(found.dtypes.astype(str)) == dict(FRAMES["memory_writes"])
    grown = zip(found["guest_ns"], found["latency_ns"], found["writes"], strict=True)
    # The guest's counters have 32 bits, and start again after the largest number.
    expected = [(200, middle_ns(3), 2), (200, middle_ns(40), 2), (200, middle_ns(60), 1)]
    assert list(grown) == expected
    assert (found["since_ns"] < found["arrival_ns"]).all()
    assert probe.stop().equals(found)


def test_guest_that_does_not_answer_leaves_an_empty_frame() -> None:
    """Nothing was measured, so nothing is said."""
    workload = Workload()
    workload.close()
    assert probe_of(workload).stop().empty


@pytest.mark.parametrize("ns", [0, 15, 127, 128, 1000, 123_456, 10**9, 100 * 10**9])
def test_middle_of_its_bucket_is_near_a_duration(ns: int) -> None:
    """As ``count_duration`` of latency.h counts it, within 8 ns or 6.25 %."""
    units = ns >> 4
    octave = max(units.bit_length() - 4, 0)
    bucket = (octave << 3) + (units >> octave)
    assert bucket < BUCKETS
    assert abs(middle_ns(bucket) - ns) <= max(8, ns / 16)
