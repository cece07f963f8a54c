"""The clients' protocols, against answers as their specifications have them.

The real servers answer in ``tests/lab/test_services.py``.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from migrationlab.lab.service_protocols import (
    KEYS,
    HttpConnection,
    RedisConnection,
    RefusedError,
    Values,
)

VALUES = Values("0a1b2c3d", 100)


@contextmanager
def server(*answers: bytes) -> Iterator[tuple[socket.socket, list[bytes]]]:
    """Answer each request with the next answer; give the client's end and the requests."""
    here, there = socket.socketpair()
    seen: list[bytes] = []

    def serve() -> None:
        for answer in answers:
            seen.append(there.recv(1 << 16))
            there.sendall(answer)
        there.close()

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield here, seen
    finally:
        here.close()
        thread.join()


def test_value_tells_which_write_it_is() -> None:
    """A value of the run gives its number back; a damaged one, or another run's, gives none."""
    value = VALUES.of(77)
    assert len(value) == 100
    assert VALUES.number(value) == 77
    assert VALUES.number(value[:-1] + bytes([value[-1] ^ 1])) is None
    assert VALUES.number(Values("ffffffff", 100).of(77)) is None
    assert VALUES.number(None) is None
    assert VALUES.number(b"") is None


@pytest.mark.parametrize("connections", range(1, 9))
def test_writes_of_a_key_are_made_by_one_connection(connections: int) -> None:
    """Two writes of a key have the same remainder, so that they keep their order."""
    assert KEYS % connections == 0


def test_redis_write_is_acknowledged_by_ok() -> None:
    """Redis 8.0.2 answers +OK to SET; the command has the key and the whole value."""
    with server(b"+OK\r\n") as (opened, seen):
        RedisConnection(opened, VALUES).write(KEYS + 5)
    assert seen == [b"*3\r\n$3\r\nSET\r\n$5\r\nkey:5\r\n$100\r\n" + VALUES.of(KEYS + 5) + b"\r\n"]


def test_redis_error_is_a_refusal() -> None:
    """Redis 8.0.2 answers -OOM where maxmemory is reached: nothing was written."""
    oom = b"-OOM command not allowed when used memory > 'maxmemory'.\r\n"
    with server(oom) as (opened, _), pytest.raises(RefusedError, match="OOM command"):
        RedisConnection(opened, VALUES).write(5)


def test_redis_says_which_write_each_key_holds() -> None:
    """MGET gives an array with nil for a key that does not exist."""
    answer = b"*3\r\n$100\r\n" + VALUES.of(1) + b"\r\n$-1\r\n$3\r\nold\r\n"
    with server(answer) as (opened, _):
        assert RedisConnection(opened, VALUES).held([1, 2, 3]) == [1, None, None]


@pytest.mark.parametrize("begun", [b"", b"+O", b"$100\r\nhalf"])
def test_lost_connection_is_an_oserror(begun: bytes) -> None:
    """An answer that breaks off is a lost connection, not an acknowledgement."""
    with server(begun) as (opened, _), pytest.raises(OSError, match="closed"):
        RedisConnection(opened, VALUES).read()


CREATED = (
    b"HTTP/1.1 201 Created\r\nServer: nginx/1.26.3\r\nDate: Mon, 30 Nov 2026 14:00:00 GMT\r\n"
    b"Content-Length: 0\r\nLocation: http://guest/5\r\nConnection: keep-alive\r\n\r\n"
)
REPLACED = (
    b"HTTP/1.1 204 No Content\r\nServer: nginx/1.26.3\r\nDate: Mon, 30 Nov 2026 14:00:00 GMT\r\n"
    b"Connection: keep-alive\r\n\r\n"
)


def test_http_connection_is_kept_over_requests() -> None:
    """A new file is answered 201, a replaced one 204; the connection serves the next request."""
    with server(CREATED, REPLACED) as (opened, seen):
        connection = HttpConnection(opened, VALUES)
        connection.write(5)
        connection.write(KEYS + 5)
    assert seen[0].startswith(b"PUT /5 HTTP/1.1\r\nHost: guest\r\nContent-Length: 100\r\n\r\n")


def test_http_error_is_a_refusal() -> None:
    """A missing file is answered 404, with a page; a key without a file holds no write."""
    page = b"<html>\r\n</html>\r\n"
    missing = b"HTTP/1.1 404 Not Found\r\nContent-Length: %d\r\n\r\n" % len(page) + page
    with server(missing, missing) as (opened, _):
        connection = HttpConnection(opened, VALUES)
        with pytest.raises(RefusedError, match="404 Not Found"):
            connection.read()
        assert connection.held([5]) == [None]
