"""Bytes on the wire, by two counters that can end or begin anew."""

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
    """A queue that counts what it is told to, or none; made in pairs, one a host."""

    made: list[Queue]

    def __init__(self, meters: object) -> None:
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
    """Give a meter of two hosts with queues."""
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
    """Both counters' growth each way begins with what came between the start and the first row."""
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


def test_without_a_queue_the_cable_is_not_known(meter: WireMeter) -> None:
    """A wire without a rate has no queue to count: the columns are missing, which needs no word."""
    for queue in Queue.made:
        queue.counts = [None, None, 5000]
    meter.start()
    meter.read()
    assert column(meter, "cable_sent_bytes") == column(meter, "cable_received_bytes") == [None] * 2
    assert column(meter, "sent_bytes") == [100, 200]
    assert meter.warnings == []


@pytest.mark.parametrize("then", [10, None, OSError("no answer")])
def test_a_queue_that_begins_anew_ends_the_column(
    meter: WireMeter, then: int | OSError | None
) -> None:
    """When the wire is set anew, or does not answer, that is told once, and nothing made up."""
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


def test_a_host_that_is_gone_ends_the_bytes(meter: WireMeter) -> None:
    """When a host is gone what was counted until then stays, and one warning says that it ended."""
    for queue in Queue.made:
        queue.counts = [0] * 9
    meter._counters[0].readings = 2
    meter.start()
    meter.read()
    meter.read()
    assert column(meter, "sent_bytes") == [100]
    assert meter.warnings == ["the bytes on the wire end early: host-a is gone"]


def test_a_host_that_is_gone_at_the_start_has_no_bytes(meter: WireMeter) -> None:
    """A host that is gone from the beginning leaves no row, and one warning."""
    for queue in Queue.made:
        queue.counts = [0] * 9
    meter._counters[1].readings = 0
    meter.start()
    meter.read()
    assert meter.rows == []
    assert meter.warnings == ["the bytes on the wire end early: host-a is gone"]


def test_a_kernel_without_such_sockets_leaves_the_interface() -> None:
    """Where the queues can't be asked the interfaces still count, and a warning says so."""

    class Deaf(Counter):
        def netlink(self, protocol: int) -> socket.socket:
            raise LabError("no socket")

    meter = WireMeter(Deaf(), Deaf())
    meter.start()
    assert column(meter, "cable_sent_bytes") == [None]
    assert column(meter, "sent_bytes") == [100]
    assert meter.warnings == ["what a cable would carry cannot be counted: no socket"]


def test_this_machines_loopback_has_no_queue() -> None:
    """The real kernel is asked, and what it says of an interface without a queue is no zero."""
    cable = Cable(Counter())
    assert cable.sent_bytes() is None
    cable.close()


def test_an_interface_that_is_not_there_is_an_error() -> None:
    """Nobody counts at an interface that the host does not have."""
    counter = Counter()
    counter.device = "nowhere"
    with pytest.raises(OSError, match="No such device"):
        Cable(counter)
