"""A TCP stream as a measure: what it counts, and what it says where nothing comes."""

from __future__ import annotations

import socket
from contextlib import ExitStack
from pathlib import Path

import pytest

from migrationlab.errors import LabError
from migrationlab.lab import wire_check
from migrationlab.lab.wire_check import WireCheck, measure
from migrationlab.plan.wire_spec import WireSpec

UNLIMITED = WireSpec(None)


@pytest.fixture(autouse=True)
def _here_and_short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let both ends stand on this machine, and the stream last no longer than it must."""
    monkeypatch.setattr(wire_check, "open_socket", lambda door, host, *kind: socket.socket(*kind))
    monkeypatch.setattr(wire_check, "WIRE_ADDRESSES", ("127.0.0.1", "127.0.0.1"))
    monkeypatch.setattr(wire_check, "OMIT_S", 0.01)
    monkeypatch.setattr(wire_check, "COUNT_S", 0.05)
    monkeypatch.setattr(wire_check, "TIMEOUT_S", 0.2)


def test_the_rate_is_bytes_over_time() -> None:
    """What is told is what was counted over the time that it was counted for."""
    check = measure(Path("door"), UNLIMITED)
    assert check.counted_s >= 0.05
    assert check.payload_mbit_s == pytest.approx(
        check.received_bytes * 8 / check.counted_s / 1e6, rel=1e-3
    )
    assert check.received_bytes > 0
    assert check.settings == UNLIMITED


def test_no_socket_is_left_open() -> None:
    """Whoever measures often is left with no more open files than before."""
    before = set(Path("/proc/self/fd").iterdir())
    measure(Path("door"), UNLIMITED)
    assert len(set(Path("/proc/self/fd").iterdir()) - before) == 0


def test_silence_is_an_error() -> None:
    """Where what is sent goes nowhere, it is told after a time, and no rate is made up."""
    with ExitStack() as sockets:
        pairs = [socket.socketpair() for _ in range(2)]
        (sender, _), (receiver, _) = [
            [sockets.enter_context(end) for end in pair] for pair in pairs
        ]
        with pytest.raises(TimeoutError, match="nothing arrived for"):
            wire_check._stream(sender, receiver)


def test_a_broken_stream_is_told_with_the_wires_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """A user hears of the wire, and what to do, instead of a bare OSError."""

    def breaks(*ends: socket.socket) -> None:
        raise ConnectionResetError(104, "Connection reset by peer")

    monkeypatch.setattr(wire_check, "_stream", breaks)
    with pytest.raises(LabError, match=r"rate_mbit_s=0\.1.*reset by peer") as caught:
        measure(Path("door"), WireSpec(0.1))
    assert "lab.wire.set" in caught.value.hint


@pytest.mark.parametrize(("rate", "limit"), [(1000.0, "1000 Mbit/s"), (None, "no limit")])
def test_a_check_shows_as_one_line(rate: float | None, limit: str) -> None:
    """Measured and set stand side by side."""
    check = WireCheck(
        payload_mbit_s=956.44, received_bytes=1, counted_s=1.0, settings=WireSpec(rate)
    )
    assert repr(check) == f"WireCheck(956.4 Mbit/s of payload, wire set to {limit})"
