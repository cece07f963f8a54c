"""Connections over the wire: this machine's kernel is asked about real ones."""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Iterator

import pytest

from migrationlab.capture import tcp_connections
from migrationlab.capture.tcp_connections import (
    ConnectionMeter,
    Ports,
    TcpConnection,
)
from migrationlab.hosts.poll import readable
from migrationlab.runs.schema import FRAMES, frame

#: Two ends that nothing else on this machine uses together.
HERE, THERE = "127.0.43.1", "127.0.43.2"
NETLINK_DROP_MEMBERSHIP = 2


class OwnMachine:
    """Counters of this machine's own kernel, with an address for the wire."""

    device = "lo"

    def __init__(self, address: str) -> None:
        self.address = address

    def sent_bytes(self) -> int:
        """Return no figure: these tests are about connections."""
        raise AssertionError

    def netlink(self, protocol: int) -> socket.socket:
        """Return a netlink socket of this process's network."""
        return socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, protocol)

    def processes(self, uuid: str) -> dict[str, int]:
        """Return no processes: these tests are about connections."""
        raise AssertionError


@contextlib.contextmanager
def joined(here: str = HERE) -> Iterator[tuple[socket.socket, socket.socket]]:
    """Return both ends of a new connection to THERE."""
    with socket.socket() as listening:
        listening.bind((THERE, 0))
        listening.listen()
        with socket.create_connection(listening.getsockname(), 5, (here, 0)) as client:
            server, _ = listening.accept()
            with server:
                yield client, server


def say(sender: socket.socket, receiver: socket.socket, size: int) -> None:
    """Send so many bytes, and see that they arrive."""
    sender.sendall(bytes(size))
    while size:
        size -= len(receiver.recv(size))


@pytest.fixture
def meter() -> Iterator[ConnectionMeter]:
    """Return a meter between the two ends."""
    meter = ConnectionMeter(OwnMachine(HERE), OwnMachine(THERE))
    yield meter
    meter.close()


def the_only(found: list[TcpConnection]) -> TcpConnection:
    """Return the one connection that was found."""
    assert len(found) == 1
    return found[0]


def test_traffic_is_counted_to_the_byte(meter: ConnectionMeter) -> None:
    """The payload of a connection is counted to the byte in each direction."""
    meter.start()
    before = time.time_ns()
    with joined() as (client, server):
        say(client, server, 1_000_000)
        say(server, client, 777)
        meter.read()
        ports = client.getsockname()[1], server.getsockname()[1]
    found = the_only(meter.stop())
    assert (found.local_port, found.remote_port) == ports
    assert found.latest.sent_bytes == 1_000_000
    # The last of all is the other side's good-bye (FIN), which has a number in the stream.
    assert 777 <= found.latest.received_bytes <= 778
    assert found.latest.retransmitted_bytes == 0
    assert found.latest.sent_segments > 1_000_000 / 65_536
    assert found.opened_ns is not None
    assert found.closed_ns is not None
    assert before <= found.opened_ns <= found.closed_ns <= time.time_ns()
    assert meter.warnings == []


def test_short_connection_is_reported(meter: ConnectionMeter) -> None:
    """A connection that opens and closes between two samples has all its bytes."""
    meter.start()
    with joined() as (client, server):
        say(client, server, 5000)
    # The kernel tells of its end at its leisure.
    while not meter._known:
        assert readable(meter._reports, 5)
        meter.read()
    found = the_only(meter.stop())
    assert found.latest.sent_bytes == 5000
    assert found.opened_ns == found.closed_ns is not None


def test_older_connection_counts_from_the_start(meter: ConnectionMeter) -> None:
    """A connection that is older than the sampling has only its new bytes, and no opening time."""
    with joined() as (client, server):
        say(client, server, 400_000)
        meter.start()
        say(client, server, 3000)
        found = the_only(meter.stop())
    assert (found.opened_ns, found.closed_ns) == (None, None)
    row = found.row(Ports())
    assert row["sent_bytes"] == 3000


def test_connection_closed_before_the_start_is_left_out(meter: ConnectionMeter) -> None:
    """A late report of an earlier connection is ignored."""
    with joined() as (client, server):
        say(client, server, 10)
    meter.start()
    assert meter.stop() == []


def test_connections_of_other_addresses_are_left_out(meter: ConnectionMeter) -> None:
    """A connection from an address outside the wire is left out."""
    meter.start()
    with joined(here="127.0.43.3") as (client, server):
        say(client, server, 10)
        meter.read()
    assert meter.stop() == []


def test_missing_report_gives_a_warning(meter: ConnectionMeter) -> None:
    """Without a closing report a connection keeps its last sample, without a closing time."""
    meter.start()
    with joined() as (client, server):
        say(client, server, 1234)
        meter.read()
        meter._reports.setsockopt(
            tcp_connections.SOL_NETLINK,
            NETLINK_DROP_MEMBERSHIP,
            tcp_connections.SKNLGRP_INET_TCP_DESTROY,
        )
    found = the_only(meter.stop())
    assert (found.latest.sent_bytes, found.closed_ns) == (1234, None)
    (warning,) = meter.warnings
    assert warning.startswith("the end of 1 connections over the wire was not reported")


def test_failed_dump_ends_the_sampling(meter: ConnectionMeter) -> None:
    """A failed dump gives one warning, and the earlier figures stay."""
    meter.start()
    with joined() as (client, server):
        say(client, server, 99)
        meter.read()
        meter._dumps.close()
        meter.read()
        found = the_only(meter.stop())
    assert found.latest.sent_bytes == 99
    (warning,) = meter.warnings
    assert warning.startswith("the connections over the wire end early")


@pytest.mark.parametrize(
    ("local", "remote", "tunnelled", "purpose"),
    [
        (40000, 49152, False, "memory"),
        (40000, 49153, False, "storage"),
        (40000, 49154, False, "other"),
        (40000, 16509, False, "control"),
        (40000, 16514, False, "control"),
        (40000, 22, False, "control"),
        (22, 40000, False, "control"),
        (40000, 22, True, "memory"),
        (22, 40000, True, "control"),
        (40000, 80, True, "other"),
    ],
)
def test_ports_give_the_purpose(local: int, remote: int, tunnelled: bool, purpose: str) -> None:
    """The ports give the purpose; tunnelled memory uses the source daemon's connection."""
    ports = Ports(memory=frozenset({49152}), storage=frozenset({49153}))
    assert ports.purpose(local, remote, tunnelled=tunnelled) == purpose


def test_rows_are_those_of_a_run() -> None:
    """A row has exactly the columns of the frame ``connections``."""
    row = TcpConnection(1, 2, tcp_connections.Traffic()).row(Ports())
    assert tuple(row) == tuple(FRAMES["connections"])
    made = frame("connections", [row])
    assert made["opened_ns"].isna().all()
    assert made["sent_bytes"].tolist() == [0]
