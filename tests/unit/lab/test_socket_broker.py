"""The lab's door, as its visitors see it; ``tests/lab/test_cost.py`` has what a real one gives."""

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
def doorkeeper(tmp_path: Path) -> Iterator[Callable[[Behaviour], Path]]:
    """Give a door whose keeper does as a test says to the first visitor."""
    path = tmp_path / "my-lab" / "door"
    path.parent.mkdir()
    kept: list[threading.Thread] = []
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listening:
        listening.bind(str(path))
        listening.listen()

        def keep(behaviour: Behaviour) -> Path:
            def serve() -> None:
                visitor, _ = listening.accept()
                with visitor:
                    behaviour(visitor)

            kept.append(threading.Thread(target=serve))
            kept[-1].start()
            return path

        yield keep
        for thread in kept:
            thread.join(10)


def test_a_visitor_gets_what_it_asked_for(doorkeeper: Callable[[Behaviour], Path]) -> None:
    """Network, family, type and protocol arrive as given, and the socket that comes back works."""
    asked: list[list[object]] = []

    def give(visitor: socket.socket) -> None:
        asked.append(json.loads(visitor.recv(256)))
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as given:
            socket.send_fds(visitor, [b"socket"], [given.fileno()])

    path = doorkeeper(give)
    with open_socket(path, LAN, socket.AF_INET, socket.SOCK_DGRAM, socket.IPPROTO_UDP) as given:
        given.bind(("127.0.0.1", 0))
        assert given.type == socket.SOCK_DGRAM
    assert asked == [["lan", socket.AF_INET, socket.SOCK_DGRAM, socket.IPPROTO_UDP]]


def test_a_refusal_is_told_with_its_reason(doorkeeper: Callable[[Behaviour], Path]) -> None:
    """Where the rack says why there is no socket, so does the error, with the lab's name."""

    def refuse(visitor: socket.socket) -> None:
        visitor.recv(256)
        visitor.send(b"Protocol not supported")

    with pytest.raises(LabError, match="network host-a of lab my-lab: Protocol not supp") as caught:
        open_socket(doorkeeper(refuse), "host-a", socket.AF_NETLINK, socket.SOCK_RAW, 99)
    assert caught.value.hint


def test_a_rack_that_ends_just_then_is_a_lab_that_ended(
    doorkeeper: Callable[[Behaviour], Path],
) -> None:
    """A door that closes without a word means that the lab is over."""
    path = doorkeeper(lambda visitor: visitor.recv(256) and None)
    with pytest.raises(LabError, match="of lab my-lab: the lab ended"):
        open_socket(path, LAN, socket.AF_INET, socket.SOCK_DGRAM)


def test_a_rack_that_does_not_answer_is_told_of(
    doorkeeper: Callable[[Behaviour], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody waits at a door for ever."""
    monkeypatch.setattr(socket_broker, "TIMEOUT_S", 0.01)
    over = threading.Event()
    path = doorkeeper(lambda visitor: over.wait(10) and None)
    with pytest.raises(LabError, match="lab my-lab did not answer"):
        open_socket(path, LAN, socket.AF_INET, socket.SOCK_DGRAM)
    over.set()


def test_a_lab_without_a_door_is_down(tmp_path: Path) -> None:
    """Where nobody listens, or nothing is, the lab is down."""
    with pytest.raises(LabError, match="is down"):
        open_socket(tmp_path / "door", LAN, socket.AF_INET, socket.SOCK_DGRAM)
