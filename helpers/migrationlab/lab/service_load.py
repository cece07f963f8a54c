"""Own the clients of a guest's service: start them, end them, and take their record.

The clients run in a separate process (``service_program``). A failure of theirs is an error of
this module's, which a migration turns into a warning.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import secrets
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from migrationlab.errors import LabError
from migrationlab.hosts.poll import readable, wait_until
from migrationlab.lab.booted_spec import BootedSpec
from migrationlab.lab.layout import guest_address
from migrationlab.lab.service_image import Service, services
from migrationlab.lab.service_program import DRAIN_S, Task
from migrationlab.lab.service_protocols import RefusedError
from migrationlab.lab.socket_broker import LAN
from migrationlab.runs.schema import frame

#: How long the clients' process may take to connect.
START_TIMEOUT_S = 15.0
#: How long it may take to read all keys back.
CHECK_TIMEOUT_S = 20.0
HINT = "Read the service's last words: print(guest.console()[-1000:])"


@dataclass(frozen=True, slots=True)
class ServiceRecord:
    """The record of a load: the frame ``requests``, and the facts of the check."""

    requests: pd.DataFrame
    check: dict[str, object]


def task_of(spec: BootedSpec, broker: Path, network: str = LAN) -> Task:
    """Return the task of the clients of a guest's service, on a network of the socket broker."""
    assert spec.service is not None
    service: Service = services()[spec.service]
    return Task(
        broker=str(broker),
        network=network,
        service=service.name,
        address=guest_address(spec.number),
        port=service.port,
        requests_s=spec.requests_s,
        connections=spec.connections,
        value_bytes=spec.value_bytes,
        write_every=service.write_every,
        run=secrets.token_hex(4),
    )


def await_service(task: Task, timeout_s: float, ended: Callable[[], bool]) -> str | None:
    """Wait until a service answers; return None, or the reason why it does not.

    Args:
        task: The task of its clients.
        timeout_s: How long it may take.
        ended: Says whether the service or its guest has ended.
    """
    reason = "it did not start"

    def answers() -> bool:
        nonlocal reason
        try:
            connection = dataclasses.replace(task, connections=1).connect()
            with contextlib.closing(connection):
                connection.prepare()
        except (OSError, RefusedError) as error:
            reason = str(error)
            return False
        return True

    if wait_until(lambda: answers() or ended(), timeout_s) and not ended():
        return None
    return reason


class ServiceLoad:
    """The clients of a guest's service, from :meth:`start` to :meth:`stop`."""

    def __init__(self, task: Task, version: str) -> None:
        self._task = task
        self._version = version
        self._process: subprocess.Popen[bytes] | None = None
        self._ready_s = 0.0

    def __repr__(self) -> str:
        return f"ServiceLoad({self._task.service}, {self._task.requests_s:g} requests/s)"

    @property
    def running_s(self) -> float:
        """Return how long the load has run."""
        return time.monotonic() - self._ready_s

    def start(self) -> None:
        """Start the load, and return once all clients are connected.

        Raises:
            LabError: They could not connect.
        """
        pipe = subprocess.PIPE
        self._process = process = subprocess.Popen(
            [sys.executable, "-m", "migrationlab.lab.service_program"],
            stdin=pipe,
            stdout=pipe,
            stderr=pipe,
            # A Ctrl-C in the terminal must reach the owner only.
            start_new_session=True,
        )
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(json.dumps(dataclasses.asdict(self._task)).encode() + b"\n")
        process.stdin.flush()
        ready = readable(process.stdout, START_TIMEOUT_S)
        answer = json.loads(process.stdout.readline() or "{}") if ready else {}
        if "ready" not in answer:
            process.kill()
            _, complaints = process.communicate()
            reason = answer.get("error") or complaints.decode(errors="replace")[-300:].strip()
            self._process = None
            raise LabError(
                f"start of the clients of {self._task.service} failed: {reason or 'no answer'}",
                hint=HINT,
            )
        self._ready_s = time.monotonic()

    def stop(self) -> ServiceRecord:
        """End the load, let the clients read back what they wrote, and return the record.

        Raises:
            LabError: The clients have ended, or do not end.
        """
        assert self._process is not None
        try:
            output, complaints = self._process.communicate(b"stop\n", DRAIN_S + CHECK_TIMEOUT_S)
        except subprocess.TimeoutExpired as error:
            raise LabError(f"the clients of {self._task.service} did not end", hint=HINT) from error
        finally:
            self.close()
        if not output:
            reason = complaints.decode(errors="replace")[-300:].strip()
            raise LabError(f"the clients of {self._task.service} failed: {reason}", hint=HINT)
        return self._record(json.loads(output))

    def close(self) -> None:
        """End the clients at once. A second close does nothing."""
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None

    def _record(self, found: dict[str, Any]) -> ServiceRecord:
        columns = found.pop("requests")
        rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
        lost = found["lost_writes"]
        about = {
            "service": self._task.service,
            "version": self._version,
            "requests_s": self._task.requests_s,
            "connections": self._task.connections,
            "connections_kept": not found["reconnections"],
            "intact": None if lost is None else not lost,
        }
        return ServiceRecord(frame("requests", rows), about | found)
