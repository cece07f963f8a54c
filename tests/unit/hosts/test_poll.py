"""Waiting for input and for conditions."""

from __future__ import annotations

import fcntl
import os
import resource
from collections.abc import Iterator
from types import SimpleNamespace
from typing import IO

import pytest

from migrationlab.hosts import poll
from migrationlab.hosts.poll import readable

#: The first that select(2) does not take (FD_SETSIZE).
HIGH = 1024


@pytest.fixture
def pipe() -> Iterator[tuple[IO[bytes], IO[bytes]]]:
    """Give a pipe whose reading end has a high number."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(2 * HIGH, hard)), hard))
    low, writing = os.pipe()
    high = fcntl.fcntl(low, fcntl.F_DUPFD, HIGH)
    os.close(low)
    with os.fdopen(high, "rb", buffering=0) as source, os.fdopen(writing, "wb") as sink:
        yield source, sink
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_descriptor_may_have_any_number(pipe: tuple[IO[bytes], IO[bytes]]) -> None:
    """A descriptor that select(2) refuses works: nothing at first, then a byte, then the end."""
    source, sink = pipe
    assert source.fileno() >= HIGH
    assert not readable(source, 0)
    sink.write(b"x")
    sink.flush()
    assert readable(source, 10)
    assert source.read(1) == b"x"
    sink.close()
    assert readable(source, 10)
    assert source.read(1) == b""


def test_wait_is_not_rounded_up(
    pipe: tuple[IO[bytes], IO[bytes]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """For a wait of 1.2 ms poll(2) waits 1 ms, and a sleep waits the rest."""
    slept: list[float] = []
    times = iter([0.0, 0.001])
    fake = SimpleNamespace(monotonic=lambda: next(times), sleep=slept.append)
    monkeypatch.setattr(poll, "time", fake)
    assert not poll.readable(pipe[0], 0.0012)
    assert slept == [pytest.approx(0.0002)]


def test_condition_is_tried_until_it_is_true(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first true answer is returned; between two tries the interval is slept."""
    slept: list[float] = []
    fake = SimpleNamespace(monotonic=lambda: 0.0, sleep=slept.append)
    monkeypatch.setattr(poll, "time", fake)
    answers = iter(["", "", "here"])
    assert poll.wait_until(lambda: next(answers), 5, 0.2) == "here"
    assert slept == [0.2, 0.2]


def test_condition_has_a_time_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """After the time limit, and at least one try, the last false answer is returned."""
    times = iter([0.0, 5.1])
    fake = SimpleNamespace(monotonic=lambda: next(times), sleep=lambda _: None)
    monkeypatch.setattr(poll, "time", fake)
    tries: list[int] = []
    assert poll.wait_until(lambda: tries.append(1), 5) is None
    assert tries == [1]
