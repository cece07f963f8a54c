"""Waiting for something to read."""

from __future__ import annotations

import fcntl
import os
import resource
import time
from collections.abc import Iterator
from typing import IO

import pytest

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


def test_a_descriptor_may_have_any_number(pipe: tuple[IO[bytes], IO[bytes]]) -> None:
    """What select(2) refuses is waited for: nothing at first, then a byte, then the end."""
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


def test_a_wait_is_not_rounded_up(pipe: tuple[IO[bytes], IO[bytes]]) -> None:
    """Of many waits of 1.2 ms the shortest takes that, and not the 2 ms of a whole number."""
    took = []
    for _ in range(50):
        began = time.monotonic()
        assert not readable(pipe[0], 0.0012)
        took.append(time.monotonic() - began)
    assert 0.0012 <= min(took) < 0.0019
