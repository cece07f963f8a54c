"""Load a service with requests at a fixed rate, and record each of them.

    python -m migrationlab.lab.service_program

Theory of operation. It runs in a separate process, so that nothing in the owner delays it. It
reads its task, a line of JSON, from standard input, connects, and answers ``{"ready": true}``. The
next line on standard input ends the load; the end of the input ends the program at once. Then it
reads every key back, and writes what it recorded, as one line of JSON.

The load is an *open loop*: request ``n`` is due at a fixed moment, whatever became of the requests
before it. A latency counts from that moment. So a pause of the guest counts for each request that
was due in it, and not only for the few that were under way (Gil Tene's "coordinated omission").
Each connection has every k-th request and makes one at a time, as a pool of connections does.

A request that the service refuses, or whose connection is lost, is made again, on a new connection
if need be, :data:`ATTEMPTS` times in all. A write counts as acknowledged if the service said so.
"""

from __future__ import annotations

import json
import socket
import sys
import threading
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from migrationlab.errors import LabError
from migrationlab.lab.service_protocols import (
    CONNECTIONS,
    KEYS,
    Connection,
    RefusedError,
    Values,
)
from migrationlab.lab.socket_broker import open_socket

ATTEMPTS = 3
#: The wait before another attempt.
RETRY_S = 0.05
#: How long a client waits for an answer, or for a connection, before it gives the connection up.
ANSWER_TIMEOUT_S = 5.0
#: How long requests that were due before the end may still take.
DRAIN_S = 5.0
#: Keys that are read back by one request.
CHUNK = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """What the program is to do; its fields are the keys of its first line.

    Attributes:
        broker: The lab's socket broker.
        network: The broker's network that the clients are on: the LAN, or a host's.
        service: The name of the service.
        address: The guest's address.
        port: The service's port.
        requests_s: The rate of the requests.
        connections: The number of connections.
        value_bytes: The size of a written value.
        write_every: One request of so many writes.
        run: A word that no other run of the program has.
    """

    broker: str
    network: str
    service: str
    address: str
    port: int
    requests_s: float
    connections: int
    value_bytes: int
    write_every: int
    run: str

    def connect(self) -> Connection:
        """Return a new connection; raise LabError, OSError or RefusedError if there is none."""
        opened = open_socket(Path(self.broker), self.network, socket.AF_INET, socket.SOCK_STREAM)
        try:
            opened.settimeout(ANSWER_TIMEOUT_S)
            opened.connect((self.address, self.port))
            opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return CONNECTIONS[self.service](opened, Values(self.run, self.value_bytes))
        except BaseException:
            opened.close()
            raise


@dataclass(slots=True)
class Request:
    """One request: when it was due, when it was first sent, and when it was answered."""

    number: int
    due_ns: int
    connection: int
    sent_ns: int | None = None
    answered_ns: int | None = None
    attempts: int = 0
    error: str = ""


@dataclass(slots=True)
class Client:
    """One connection and its requests, in order."""

    number: int
    connection: Connection | None
    requests: list[Request] = field(default_factory=list)
    reconnections: int = 0

    def lose(self) -> None:
        """Give the connection up."""
        if self.connection is not None:
            self.connection.close()
            self.connection = None
            self.reconnections += 1


class Load:
    """The clients of one task, from construction to :meth:`finish`."""

    def __init__(self, task: Task) -> None:
        self._task = task
        self._clients = [Client(n, task.connect()) for n in range(task.connections)]
        self._interval_ns = round(1e9 / task.requests_s)
        self._start_ns = time.time_ns()
        self._stopped_ns: int | None = None
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=self._run, args=(client,), daemon=True)
            for client in self._clients
        ]
        for thread in self._threads:
            thread.start()

    def finish(self) -> dict[str, Any]:
        """End the load, read all keys back, and return the record."""
        self._stopped_ns = time.time_ns()
        self._stop.set()
        for thread in self._threads:
            thread.join()
        requests = sorted(
            (request for client in self._clients for request in client.requests),
            key=lambda request: request.number,
        )
        names = ("due_ns", "sent_ns", "answered_ns", "connection", "attempts", "error")
        return {
            "requests": {name: [getattr(each, name) for each in requests] for name in names},
            "reconnections": sum(client.reconnections for client in self._clients),
            **self._check(requests),
        }

    def _run(self, client: Client) -> None:
        number = client.number
        while True:
            due_ns = self._start_ns + number * self._interval_ns
            while not self._stop.is_set() and (left_ns := due_ns - time.time_ns()) > 0:
                self._stop.wait(left_ns / 1e9)
            if self._stopped_ns is not None and due_ns > self._stopped_ns:
                return
            request = Request(number, due_ns, client.number)
            client.requests.append(request)
            if not self._too_late():
                self._make(client, request)
            number += self._task.connections

    def _too_late(self) -> bool:
        stopped_ns = self._stopped_ns
        return stopped_ns is not None and time.time_ns() - stopped_ns > DRAIN_S * 1e9

    def _make(self, client: Client, request: Request) -> None:
        while request.attempts < ATTEMPTS and not self._too_late():
            if request.attempts:
                self._stop.wait(RETRY_S)
            request.attempts += 1
            if request.sent_ns is None:
                request.sent_ns = time.time_ns()
            try:
                if client.connection is None:
                    client.connection = self._task.connect()
                if self._writes(request.number):
                    client.connection.write(request.number)
                else:
                    client.connection.read()
            except RefusedError as error:
                request.error = str(error)
            except (LabError, OSError) as error:
                request.error = str(error) or type(error).__name__
                client.lose()
            else:
                request.answered_ns = time.time_ns()
                return

    def _writes(self, number: int) -> bool:
        return number % self._task.write_every == 0

    def _check(self, requests: Iterable[Request]) -> dict[str, Any]:
        """Compare what the service holds with what it acknowledged."""
        acknowledged: dict[int, int] = {}
        possible: dict[int, set[int]] = {}
        count = 0
        for request in requests:
            if not self._writes(request.number) or not request.attempts:
                continue
            key = request.number % KEYS
            possible.setdefault(key, set()).add(request.number)
            if request.answered_ns is not None:
                count += 1
                acknowledged[key] = request.number
        try:
            held = self._held(sorted(acknowledged))
        except (LabError, OSError, RefusedError) as error:
            return {"acknowledged_writes": count, "lost_writes": None, "check_error": str(error)}
        # A write that was sent and not acknowledged may have been made.
        lost = [
            key
            for key, number in acknowledged.items()
            if (found := held[key]) is None or found < number or found not in possible[key]
        ]
        return {"acknowledged_writes": count, "lost_writes": len(lost), "checked_keys": len(held)}

    def _held(self, keys: list[int]) -> Mapping[int, int | None]:
        connection = self._task.connect()
        found: dict[int, int | None] = {}
        for start in range(0, len(keys), CHUNK):
            some = keys[start : start + CHUNK]
            found.update(zip(some, connection.held(some), strict=True))
        connection.close()
        return found


def _answer(message: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


def main() -> None:
    """Do the task of the first line of standard input."""
    task = Task(**json.loads(sys.stdin.readline()))
    try:
        load = Load(task)
    except (LabError, OSError, RefusedError) as error:
        _answer({"error": str(error)})
        return
    _answer({"ready": True})
    if sys.stdin.readline():  # else the owner has ended
        _answer(load.finish())


if __name__ == "__main__":
    main()
