"""Tests of the measurement of the wire by a TCP stream."""

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
def _local_and_short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Put both ends on this machine, and shorten the stream."""
    monkeypatch.setattr(wire_check, "open_socket", lambda broker, host, *kind: socket.socket(*kind))
    monkeypatch.setattr(wire_check, "WIRE_ADDRESSES", ("127.0.0.1", "127.0.0.1"))
    monkeypatch.setattr(wire_check, "OMIT_S", 0.01)
    monkeypatch.setattr(wire_check, "COUNT_S", 0.05)
    monkeypatch.setattr(wire_check, "TIMEOUT_S", 0.2)


def test_rate_is_bytes_over_time() -> None:
    """The rate is the counted bytes over the time in which they were counted."""
    check = measure(Path("broker"), UNLIMITED)
    assert check.counted_s >= 0.05
    assert check.payload_mbit_s == pytest.approx(
        check.received_bytes * 8 / check.counted_s / 1e6, rel=1e-3
    )
    assert check.received_bytes > 0
    assert check.settings == UNLIMITED


def test_no_socket_is_left_open() -> None:
    """A measurement closes all its sockets."""
    before = set(Path("/proc/self/fd").iterdir())
    measure(Path("broker"), UNLIMITED)
    assert len(set(Path("/proc/self/fd").iterdir()) - before) == 0


def test_silence_is_an_error() -> None:
    """Where no data arrives for some time, an error is raised and no rate is returned."""
    with ExitStack() as sockets:
        pairs = [socket.socketpair() for _ in range(2)]
        (sender, _), (receiver, _) = [
            [sockets.enter_context(end) for end in pair] for pair in pairs
        ]
        with pytest.raises(TimeoutError, match="nothing arrived for"):
            wire_check._stream(sender, receiver)


def test_error_of_a_broken_stream_has_the_wires_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """The error of a broken stream has the wire's settings and a hint."""

    def breaks(*ends: socket.socket) -> None:
        raise ConnectionResetError(104, "Connection reset by peer")

    monkeypatch.setattr(wire_check, "_stream", breaks)
    with pytest.raises(LabError, match=r"rate_mbit_s=0\.1.*reset by peer") as caught:
        measure(Path("broker"), WireSpec(0.1))
    assert "lab.wire.set" in caught.value.hint


@pytest.mark.parametrize(("rate", "limit"), [(1000.0, "1000 Mbit/s"), (None, "no limit")])
def test_repr_is_one_line(rate: float | None, limit: str) -> None:
    """The repr has the measured rate and the wire's setting."""
    check = WireCheck(
        payload_mbit_s=956.44, received_bytes=1, counted_s=1.0, settings=WireSpec(rate)
    )
    assert repr(check) == f"WireCheck(956.4 Mbit/s of payload, wire set to {limit})"
