"""Speak with the services in guests: one connection to Redis, nginx or PostgreSQL.

A *write* has a number. It stores a value under the key ``number % KEYS``; the value names the
client's run and the number, so that a later read tells which write the service holds. The rest of
the value does not compress.

Redis's protocol (RESP2, redis.io/docs/latest/develop/reference/protocol-spec) and the part of
HTTP/1.1 (RFC 9112) that is needed here are a few lines. PostgreSQL's is not: ``pg8000`` speaks it.
"""

from __future__ import annotations

import random
import socket
from collections.abc import Sequence
from typing import Any, Protocol

#: The number of keys. Each number of connections up to 8 divides it: all writes of a key are made
#: by one connection, in order.
KEYS = 8400
#: The longest answer line or header that is read.
LONGEST_LINE = 8192
_NOISE = random.Random(7).randbytes(1 << 17)  # noqa: S311 (no secret)


class RefusedError(Exception):
    """The service answered that it does not do what was asked."""


class Connection(Protocol):
    """A connection to a service. All methods raise OSError if the connection is lost."""

    def prepare(self) -> None:
        """Make ready what requests need; raise RefusedError while the service starts."""

    def write(self, number: int) -> None:
        """Make a write, and return after the service has acknowledged it."""

    def read(self) -> None:
        """Make a request that writes nothing."""

    def held(self, keys: Sequence[int]) -> list[int | None]:
        """Return the number of the write that each key holds; None: none of this run."""

    def close(self) -> None:
        """Close the connection."""


class Values:
    """The values of one run's writes, each ``size`` bytes."""

    def __init__(self, run: str, size: int) -> None:
        self._run = run
        self._size = size

    def __repr__(self) -> str:
        return f"Values({self._run!r}, {self._size} bytes)"

    def of(self, number: int) -> bytes:
        """Return the value of a write."""
        head = f"{self._run}:{number:015d}:".encode()
        start = number * 997 % (len(_NOISE) >> 1)
        return head + _NOISE[start : start + self._size - len(head)]

    def number(self, value: bytes | None) -> int | None:
        """Return the number of the write that made a value; None: another run's, or damaged."""
        head = self._run.encode() + b":"
        digits = (value or b"")[len(head) : len(head) + 15]
        if value is None or not value.startswith(head) or not digits.isdigit():
            return None
        return int(digits) if value == self.of(int(digits)) else None


class _Lines:
    """A socket as a stream of lines and blocks."""

    def __init__(self, opened: socket.socket) -> None:
        self._socket = opened
        self._reader = opened.makefile("rb")

    def send(self, data: bytes) -> None:
        self._socket.sendall(data)

    def line(self) -> bytes:
        line = self._reader.readline(LONGEST_LINE)
        if not line.endswith(b"\r\n"):
            raise ConnectionResetError("the service closed the connection")
        return line[:-2]

    def block(self, size: int) -> bytes:
        data = self._reader.read(size)
        if len(data) < size:
            raise ConnectionResetError("the service closed the connection")
        return data

    def close(self) -> None:
        self._reader.close()
        self._socket.close()


class RedisConnection:
    """A connection to Redis: a write is a SET, a read a GET."""

    def __init__(self, opened: socket.socket, values: Values) -> None:
        self._lines = _Lines(opened)
        self._values = values

    def prepare(self) -> None:
        """Ask for a PONG."""
        self._ask(b"PING")

    def write(self, number: int) -> None:
        """SET a key."""
        self._ask(b"SET", b"key:%d" % (number % KEYS), self._values.of(number))

    def read(self) -> None:
        """GET a key."""
        self._ask(b"GET", b"key:0")

    def held(self, keys: Sequence[int]) -> list[int | None]:
        """MGET keys."""
        found = self._ask(b"MGET", *(b"key:%d" % key for key in keys))
        assert isinstance(found, list)
        return [self._values.number(value) for value in found]

    def close(self) -> None:
        """Close the connection."""
        self._lines.close()

    def _ask(self, *words: bytes) -> bytes | list[bytes | None] | None:
        parts = [b"*%d\r\n" % len(words)]
        parts += [b"$%d\r\n%b\r\n" % (len(word), word) for word in words]
        self._lines.send(b"".join(parts))
        return self._answer()

    def _answer(self) -> bytes | list[bytes | None] | None:
        line = self._lines.line()
        kind, rest = line[:1], line[1:]
        if kind == b"-":
            raise RefusedError(rest.decode(errors="replace"))
        if kind == b"$":
            return None if rest == b"-1" else self._lines.block(int(rest) + 2)[:-2]
        if kind == b"*":
            found = [self._answer() for _ in range(int(rest))]
            return [value for value in found if not isinstance(value, list)]
        return rest


class HttpConnection:
    """A kept connection to a web server: a write is a PUT, a read the GET of a page."""

    def __init__(self, opened: socket.socket, values: Values) -> None:
        self._lines = _Lines(opened)
        self._values = values

    def prepare(self) -> None:
        """GET the page."""
        self.read()

    def write(self, number: int) -> None:
        """PUT a file."""
        self._ask("PUT", f"/{number % KEYS}", self._values.of(number))

    def read(self) -> None:
        """GET the page."""
        self._ask("GET", "/page")

    def held(self, keys: Sequence[int]) -> list[int | None]:
        """GET files."""
        return [self._values.number(self._found(f"/{key}")) for key in keys]

    def close(self) -> None:
        """Close the connection."""
        self._lines.close()

    def _found(self, path: str) -> bytes | None:
        try:
            return self._ask("GET", path)
        except RefusedError:
            return None

    def _ask(self, method: str, path: str, body: bytes = b"") -> bytes:
        head = f"{method} {path} HTTP/1.1\r\nHost: guest\r\nContent-Length: {len(body)}\r\n\r\n"
        self._lines.send(head.encode() + body)
        status = self._lines.line().split(b" ", 2)
        headers = {}
        while line := self._lines.line():
            name, _, value = line.partition(b":")
            headers[name.strip().lower()] = value.strip()
        content = self._lines.block(int(headers.get(b"content-length", b"0")))
        if not status[1].startswith(b"2"):
            raise RefusedError(b" ".join(status[1:]).decode(errors="replace"))
        return content


class PostgresConnection:
    """A connection to PostgreSQL: a write is one committed transaction, which sets a row."""

    def __init__(self, opened: socket.socket, values: Values) -> None:
        import pg8000.native  # noqa: PLC0415 (only these clients need it)

        self._values = values
        self._lost = pg8000.exceptions.InterfaceError
        self._refused = pg8000.exceptions.DatabaseError
        self._opened = opened
        try:
            self._connection = pg8000.native.Connection("postgres", sock=opened)
        except self._refused as error:
            raise RefusedError(str(error)) from error
        except self._lost as error:
            raise ConnectionResetError(str(error)) from error

    def prepare(self) -> None:
        """Make the table."""
        self._ask("CREATE TABLE IF NOT EXISTS written (key integer PRIMARY KEY, value bytea)")

    def write(self, number: int) -> None:
        """Set a row."""
        self._ask(
            "INSERT INTO written VALUES (:key, :value) "
            "ON CONFLICT (key) DO UPDATE SET value = excluded.value",
            key=number % KEYS,
            value=self._values.of(number),
        )

    def read(self) -> None:
        """Select a row."""
        self._ask("SELECT value FROM written WHERE key = 0")

    def held(self, keys: Sequence[int]) -> list[int | None]:
        """Select rows."""
        rows = self._ask(
            "SELECT key, value FROM written WHERE key BETWEEN :first AND :last",
            first=min(keys),
            last=max(keys),
        )
        found = {key: self._values.number(value) for key, value in rows}
        return [found.get(key) for key in keys]

    def close(self) -> None:
        """Close the connection."""
        self._opened.close()

    def _ask(self, query: str, **values: object) -> list[list[Any]]:
        try:
            return list(self._connection.run(query, **values) or ())
        except self._refused as error:
            raise RefusedError(str(error)) from error
        except self._lost as error:
            raise ConnectionResetError(str(error)) from error


CONNECTIONS: dict[str, type[RedisConnection | HttpConnection | PostgresConnection]] = {
    "redis": RedisConnection,
    "nginx": HttpConnection,
    "postgresql": PostgresConnection,
}
