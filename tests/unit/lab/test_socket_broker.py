"""Tests of the socket broker's client; ``tests/lab/test_cost.py`` uses a real broker."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from migrationlab.errors import LabError
from migrationlab.lab import socket_broker
from migrationlab.lab.socket_broker import LAN, open_socket

Behaviour = Callable[[socket.socket], None]


@pytest.fixture
def broker_answers(tmp_path: Path) -> Iterator[Callable[[Behaviour], Path]]:
    """Return a function that starts a broker, which treats its first client as the test says."""
    path = tmp_path / "my-lab" / "broker"
    path.parent.mkdir()
    threads: list[threading.Thread] = []
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listening:
        listening.bind(str(path))
        listening.listen()

        def start(behaviour: Behaviour) -> Path:
            def serve() -> None:
                client, _ = listening.accept()
                with client:
                    behaviour(client)

            threads.append(threading.Thread(target=serve))
            threads[-1].start()
            return path

        yield start
        for thread in threads:
            thread.join(10)


def test_client_gets_the_socket_it_asked_for(broker_answers: Callable[[Behaviour], Path]) -> None:
    """The broker gets network, family, type and protocol as given; the returned socket works."""
    asked: list[list[object]] = []

    def give(client: socket.socket) -> None:
        asked.append(json.loads(client.recv(256)))
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as given:
            socket.send_fds(client, [b"socket"], [given.fileno()])

    path = broker_answers(give)
    with open_socket(path, LAN, socket.AF_INET, socket.SOCK_DGRAM, socket.IPPROTO_UDP) as given:
        given.bind(("127.0.0.1", 0))
        assert given.type == socket.SOCK_DGRAM
    assert asked == [["lan", socket.AF_INET, socket.SOCK_DGRAM, socket.IPPROTO_UDP]]


def test_refusal_has_its_reason(broker_answers: Callable[[Behaviour], Path]) -> None:
    """The error has the rack's reason for no socket, and the lab's name."""

    def refuse(client: socket.socket) -> None:
        client.recv(256)
        client.send(b"Protocol not supported")

    with pytest.raises(LabError, match="of lab my-lab failed: Protocol not supported") as caught:
        open_socket(broker_answers(refuse), "host-a", socket.AF_NETLINK, socket.SOCK_RAW, 99)
    assert caught.value.hint


def test_silent_end_means_that_the_lab_ended(
    broker_answers: Callable[[Behaviour], Path],
) -> None:
    """A connection that closes without an answer means that the lab ended."""
    path = broker_answers(lambda client: client.recv(256) and None)
    with pytest.raises(LabError, match="of lab my-lab failed: the lab ended"):
        open_socket(path, LAN, socket.AF_INET, socket.SOCK_DGRAM)


def test_missing_answer_is_an_error(
    broker_answers: Callable[[Behaviour], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A broker that does not answer is an error after the time limit."""
    monkeypatch.setattr(socket_broker, "TIMEOUT_S", 0.01)
    over = threading.Event()
    path = broker_answers(lambda client: over.wait(10) and None)
    with pytest.raises(LabError, match="lab my-lab did not answer"):
        open_socket(path, LAN, socket.AF_INET, socket.SOCK_DGRAM)
    over.set()


def test_lab_without_a_broker_is_down(tmp_path: Path) -> None:
    """Without a socket of the broker the lab is down."""
    with pytest.raises(LabError, match="is down"):
        open_socket(tmp_path / "broker", LAN, socket.AF_INET, socket.SOCK_DGRAM)
