"""Bytes on the wire, by two counters that can end or restart."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from migrationlab.capture import wire_counter
from migrationlab.capture.wire_counter import Cable, WireMeter
from migrationlab.errors import LabError
from migrationlab.runs.schema import FRAMES, frame


class Counter:
    """Counters of a host whose interface sends a hundred bytes each time one looks."""

    device = "lo"
    address = "127.0.0.1"

    def __init__(self, readings: int = 1000) -> None:
        self.readings = readings
        self.sent = 5000

    def sent_bytes(self) -> int:
        """Return how many bytes there were by now."""
        if self.readings == 0:
            raise LabError("host-a is gone")
        self.readings -= 1
        self.sent += 100
        return self.sent

    def netlink(self, protocol: int) -> socket.socket:
        """Return a netlink socket of this process's network."""
        return socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, protocol)

    def processes(self, uuid: str) -> dict[str, int]:
        """Return no processes: these tests are about bytes."""
        raise AssertionError


class Queue:
    """A queue with given counts, or none; made in pairs, one per host."""

    made: list[Queue]

    def __init__(self, counters: object) -> None:
        self.counts: list[int | OSError | None] = []
        self.closed = 0
        Queue.made.append(self)

    def sent_bytes(self) -> int | None:
        """Return the next count."""
        count = self.counts.pop(0)
        if isinstance(count, OSError):
            raise count
        return count

    def close(self) -> None:
        """Count how often it is let go."""
        self.closed += 1


@pytest.fixture
def meter(monkeypatch: pytest.MonkeyPatch) -> Iterator[WireMeter]:
    """Return a meter of two hosts with queues."""
    Queue.made = []
    monkeypatch.setattr(wire_counter, "Cable", Queue)
    meter = WireMeter(Counter(), Counter())
    yield meter
    meter.close()


def column(meter: WireMeter, name: str) -> list[object]:
    """Return a column of the rows so far, missing values as None."""
    values = frame("wire_bytes", meter.rows)[name]
    return [
        None if missing else value for value, missing in zip(values, values.isna(), strict=True)
    ]


def test_bytes_are_counted_from_the_start(meter: WireMeter) -> None:
    """Both counters count the bytes in each direction from the start."""
    source, destination = Queue.made
    source.counts, destination.counts = [70, 70, 1070], [1, 3, 6]
    meter.start()
    meter.read()
    assert column(meter, "sent_bytes") == column(meter, "received_bytes") == [100, 200]
    assert column(meter, "cable_sent_bytes") == [0, 1000]
    assert column(meter, "cable_received_bytes") == [2, 5]
    times = column(meter, "time_ns")
    assert times == sorted(times)
    assert set(meter.rows[0]) == set(FRAMES["wire_bytes"])
    assert meter.warnings == []


def test_wire_without_queue_lacks_bytes_of_the_queue(meter: WireMeter) -> None:
    """A wire without a rate has no queue to count, and gives no warning."""
    for queue in Queue.made:
        queue.counts = [None, None, 5000]
    meter.start()
    meter.read()
    assert column(meter, "cable_sent_bytes") == column(meter, "cable_received_bytes") == [None] * 2
    assert column(meter, "sent_bytes") == [100, 200]
    assert meter.warnings == []


@pytest.mark.parametrize("then", [10, None, OSError("no answer")])
def test_restarted_queue_ends_the_column(meter: WireMeter, then: int | OSError | None) -> None:
    """If the wire's settings change or the kernel fails, the column ends with one warning."""
    source, destination = Queue.made
    source.counts, destination.counts = [100, 300, then], [0, 0, 0]
    meter.start()
    meter.read()
    meter.read()
    assert column(meter, "cable_sent_bytes") == [200, None, None]
    assert column(meter, "sent_bytes") == [100, 200, 300]
    (warning,) = meter.warnings
    assert warning.startswith("what a cable would carry ends early")
    assert source.closed == destination.closed == 1


def test_lost_host_ends_the_bytes(meter: WireMeter) -> None:
    """A lost host keeps its earlier bytes and gives one warning."""
    for queue in Queue.made:
        queue.counts = [0] * 9
    meter._counters[0].readings = 2
    meter.start()
    meter.read()
    meter.read()
    assert column(meter, "sent_bytes") == [100]
    assert meter.warnings == ["the bytes on the wire end early: host-a is gone"]


def test_host_lost_at_the_start_has_no_bytes(meter: WireMeter) -> None:
    """A host that is lost at the start has no row and one warning."""
    for queue in Queue.made:
        queue.counts = [0] * 9
    meter._counters[1].readings = 0
    meter.start()
    meter.read()
    assert meter.rows == []
    assert meter.warnings == ["the bytes on the wire end early: host-a is gone"]


def test_without_netlink_the_interface_counts() -> None:
    """If the queues cannot be read, the interfaces are counted, with a warning."""

    class Deaf(Counter):
        def netlink(self, protocol: int) -> socket.socket:
            raise LabError("no socket")

    meter = WireMeter(Deaf(), Deaf())
    meter.start()
    assert column(meter, "cable_sent_bytes") == [None]
    assert column(meter, "sent_bytes") == [100]
    assert meter.warnings == ["what a cable would carry cannot be counted: no socket"]


def test_loopback_has_no_queue() -> None:
    """The loopback interface has no queue, so its bytes are None and not 0."""
    cable = Cable(Counter())
    assert cable.sent_bytes() is None
    cable.close()


def test_unknown_interface_is_an_error() -> None:
    """An interface that the host does not have is an error."""
    counter = Counter()
    counter.device = "nowhere"
    with pytest.raises(OSError, match="No such device"):
        Cable(counter)
