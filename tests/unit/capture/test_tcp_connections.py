"""Connections over the wire: what this machine's own kernel tells of real ones."""

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
        """Return no processes likewise."""
        raise AssertionError


@contextlib.contextmanager
def joined(here: str = HERE) -> Iterator[tuple[socket.socket, socket.socket]]:
    """Give both ends of a new connection to THERE."""
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
    """Give a meter between the two ends."""
    meter = ConnectionMeter(OwnMachine(HERE), OwnMachine(THERE))
    yield meter
    meter.close()


def the_only(found: list[TcpConnection]) -> TcpConnection:
    """Return the one connection that was found."""
    assert len(found) == 1
    return found[0]


def test_what_goes_over_a_connection_is_counted_to_the_byte(meter: ConnectionMeter) -> None:
    """Payload is counted each way as the programs sent it, whatever the segments."""
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


def test_one_too_short_to_be_looked_at_is_heard_of(meter: ConnectionMeter) -> None:
    """A connection that came and went between two looks is there, with its whole traffic."""
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


def test_one_that_was_open_before_counts_from_the_start(meter: ConnectionMeter) -> None:
    """Of a connection older than the migration only the growth is counted; it has no beginning."""
    with joined() as (client, server):
        say(client, server, 400_000)
        meter.start()
        say(client, server, 3000)
        found = the_only(meter.stop())
    assert (found.opened_ns, found.closed_ns) == (None, None)
    (row,) = tcp_connections.rows([found], Ports())
    assert row["sent_bytes"] == 3000


def test_what_ended_before_the_start_is_left_out(meter: ConnectionMeter) -> None:
    """The kernel's late word of an earlier connection is not taken for one of this migration."""
    with joined() as (client, server):
        say(client, server, 10)
    meter.start()
    assert meter.stop() == []


def test_other_connections_are_none_of_its_business(meter: ConnectionMeter) -> None:
    """What goes to the same machine from another address did not go over the wire."""
    meter.start()
    with joined(here="127.0.43.3") as (client, server):
        say(client, server, 10)
        meter.read()
    assert meter.stop() == []


def test_an_end_that_is_not_heard_is_told(meter: ConnectionMeter) -> None:
    """Without the kernel's word the last look's figures stay, without an end, and a warning."""
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


def test_a_kernel_that_does_not_answer_ends_it(meter: ConnectionMeter) -> None:
    """An error leaves one warning and what was known by then, however often it is asked again."""
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
def test_ports_say_what_a_connection_is_for(
    local: int, remote: int, tunnelled: bool, purpose: str
) -> None:
    """Each port has its purpose; tunnelled, memory goes over what the source's daemon opened."""
    ports = Ports(memory=frozenset({49152}), storage=frozenset({49153}))
    assert ports.purpose(local, remote, tunnelled=tunnelled) == purpose


def test_rows_are_those_of_a_run() -> None:
    """A row has exactly the columns of a run's frame of connections."""
    zero = tcp_connections.Traffic()
    (row,) = tcp_connections.rows([TcpConnection(1, 2, None, None, zero, zero)], Ports())
    assert tuple(row) == tuple(FRAMES["connections"])
    made = frame("connections", [row])
    assert made["opened_ns"].isna().all()
    assert made["sent_bytes"].tolist() == [0]
