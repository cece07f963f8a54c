"""A fake recording, for the tests of what is done with recordings.

It is a small model of a pre-copy migration: each iteration sends what was written in the one
before, over a wire with a set rate. It makes the same rows as a recorder. It gives what real
recordings cannot: exact expected values, and rare cases on demand. Real migrations are in
``tests/recordings``, and the tests of the timeline run on both.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest

from migrationlab.plan.plan import Plan
from migrationlab.runs.run import Outcome, Run, RunError
from migrationlab.runs.schema import frame

MS = 1_000_000
MIB = 1024 * 1024
START = datetime(2026, 11, 22, 18, 0, 0, tzinfo=UTC)
CALLED_NS = int(START.timestamp()) * 1_000_000_000


@dataclass
class Recording:
    """The fake. Times in it are milliseconds since the call; change what a test is about."""

    mode: str = "normal"
    outcome: str = "completed"
    number: int = 1
    prepare_ms: float = 320.0
    downtime_ms: float = 330.0
    dirty_mib_s: float = 40.0
    wire_mib_s: float = 112.0
    memory_mib: float = 150.0
    with_log: bool = True
    with_qemu: bool = True
    with_beats: bool = True
    cancelled_at_ms: float = 4000.0
    events: list[dict[str, Any]] = field(default_factory=list)

    def at(self, ms: float) -> int:
        """Return a moment as a recorder would stamp it."""
        return CALLED_NS + self.number * 60_000 * MS + round(ms * MS)

    def event(self, ms: float, side: str, origin: str, name: str, **detail: Any) -> None:
        """Add an event; QEMU's are seen 0.5 ms after their stamp, the others at it."""
        if (origin == "log" and not self.with_log) or (origin == "qemu" and not self.with_qemu):
            return
        self.events.append(
            {
                "time_ns": self.at(ms),
                "received_ns": self.at(ms + (0.5 if origin == "qemu" else 0.0)),
                "side": side,
                "origin": origin,
                "name": name,
                "detail": json.dumps(detail),
            }
        )

    def phase(self, ms: float, job: str, phase: str) -> None:
        """Add a line of a daemon's log."""
        side = "source" if job == "out" else "destination"
        self.event(ms, side, "log", "phase", job=job, phase=phase)

    def build(self, **changes: Any) -> Run:
        """Play the migration and give its run."""
        completed = self.outcome in {"completed", "guest_lost"}
        active = self.prepare_ms + 20
        self.event(0, "client", "migrationlab", "call")
        self.phase(1, "out", "begin3")
        self.phase(9, "in", "prepare")
        self.event(self.prepare_ms, "destination", "libvirt", "lifecycle.STARTED.MIGRATED")
        self.phase(self.prepare_ms + 1, "out", "perform3")
        for status, ms in (("setup", active - 5), ("active", active)):
            self.event(ms, "source", "qemu", "MIGRATION", status=status)
            self.event(ms, "destination", "qemu", "MIGRATION", status=status)

        iterations, now = [(1, active)], active
        size = self.memory_mib
        while True:
            took = size / self.wire_mib_s * 1000
            if not completed and now + took > self.cancelled_at_ms:
                break
            now += took
            size = min(took / 1000 * self.dirty_mib_s, 64.0)
            if size / self.wire_mib_s < 0.3 and completed:
                break
            size = max(size, 10.0)  # what is cancelled here never gets small enough to stop
            iterations.append((len(iterations) + 1, now))
        stop, resume = now, now + self.downtime_ms
        sent = resume - 4
        if completed:
            iterations.append((len(iterations) + 1, stop + 1))
        for number, ms in iterations:
            self.event(ms, "source", "qemu", "MIGRATION_PASS", **{"pass": number})
            self.event(ms, "source", "libvirt", "migration_iteration", iteration=number)
        if completed:
            returned = resume + 210
            self.event(stop, "source", "qemu", "STOP")
            self.event(stop + 1, "source", "libvirt", "lifecycle.SUSPENDED.MIGRATED")
            self.event(stop + 0.5, "source", "qemu", "MIGRATION", status="device")
            self.event(sent, "source", "qemu", "MIGRATION", status="completed")
            self.event(sent, "destination", "qemu", "MIGRATION", status="completed")
            self.phase(sent + 1, "out", "perform3_done")
            self.phase(sent + 2, "in", "finish3")
            self.event(resume, "destination", "qemu", "RESUME")
            self.event(resume + 1, "destination", "libvirt", "lifecycle.RESUMED.MIGRATED")
            self.phase(resume + 2, "out", "confirm3")
            self.event(returned - 2, "source", "libvirt", "lifecycle.STOPPED.MIGRATED")
        else:
            sent = self.cancelled_at_ms
            returned = self.cancelled_at_ms + 30
            self.event(sent, "client", "migrationlab", "cancel")
            self.event(sent + 2, "source", "qemu", "MIGRATION", status="cancelled")
            self.phase(sent + 5, "in", "finish3")
            self.phase(sent + 12, "out", "confirm3_cancelled")
        self.event(returned, "client", "migrationlab", "return")

        fields: dict[str, Any] = {
            "run_id": f"20261122-180{self.number}00-{self.number:06x}",
            "created": (START + timedelta(minutes=self.number)).isoformat(),
            "migrationlab_version": "0.1.0",
            "outcome": Outcome(self.outcome),
            "error": _ERRORS.get(self.outcome),
            "plan": Plan(
                mode=self.mode,
                migration_uri="tcp://host-b",
                connection_uri="qemu+ssh://root@host-b/system",
            ),
            "guest": {
                "name": "guest-1",
                "uuid": "6f2a1c7e-55a9-4e21-9d6a-2f7d24a3b001",
                "memory_mib": 256,
                "working_set_mib": 64,
                "dirty_mib_s": self.dirty_mib_s,
                "pattern": "sequential",
                "incompressible": 0.5,
                "content": "random",
                "machine": "pc-q35-10.0",
            },
            "source": _host("host-a"),
            "destination": _host("host-b"),
            "accelerator": "tcg",
            "wire": {"rate_mbit_s": 1000, "delay_ms": 0, "loss_percent": 0},
            "environment": {
                "kernel": "6.18.0",
                "cpu_model": "Example CPU @ 2.0GHz",
                "cpus": 2,
                "python": "3.11.2",
                "load_1min": 0.4 + self.number / 10,
            },
            "called_ns": self.at(0),
            "returned_ns": self.at(returned),
            "downtime_requested_ms": 300,
            "completed_job": self._completed_job(active, sent, len(iterations))
            if completed
            else {},
            "guest_check": {"intact": True, "pages": 16384, "bad_pages": 0, "writes": 40000},
            "domain_states": _STATES.get(
                self.outcome, {"source": "running", "destination": "absent"}
            ),
            "clock": None,
            "warnings": (),
            "events": frame("events", self.events),
            "job": frame("job", self._job(active, sent, iterations)),
            "beats": frame("beats", self._beats(stop, resume, returned, completed=completed)),
            "echoes": frame("echoes", []),
            "requests": frame("requests", []),
            "memory_writes": frame("memory_writes", []),
            "wire_bytes": frame("wire_bytes", self._wire(active, sent, returned)),
            "connections": frame("connections", self._connections(active, sent, returned)),
            "processes": frame("processes", self._processes(active, sent, returned)),
        }
        return Run(**(fields | changes))

    def _sent_bytes(self, active: float, ms: float) -> int:
        return round(max(ms - active, 0) / 1000 * self.wire_mib_s * MIB)

    def _completed_job(self, active: float, sent: float, iterations: int) -> dict[str, int]:
        return {
            "time_elapsed": round(sent - self.prepare_ms),
            "downtime": round(self.downtime_ms),
            "data_processed": self._sent_bytes(active, sent),
            "memory_iteration": iterations,
        }

    def _job(
        self, active: float, sent: float, iterations: list[tuple[int, float]]
    ) -> list[dict[str, int]]:
        rows = []
        for ms in np.arange(self.prepare_ms, sent, 50.0):
            number, since = max(((n, t) for n, t in iterations if t <= ms), default=(0, active))
            full = self.memory_mib if number <= 1 else 40.0
            left = max(full * MIB - self._sent_bytes(since, ms), 0)
            rows.append(
                {
                    "time_ns": self.at(ms),
                    "iteration": number,
                    "time_elapsed_ms": round(ms - self.prepare_ms),
                    "data_processed_bytes": self._sent_bytes(active, ms),
                    "memory_total_bytes": 256 * MIB,
                    "memory_remaining_bytes": round(left),
                    "page_size_bytes": 4096,
                }
            )
        return rows

    def _beats(
        self, stop: float, resume: float, returned: float, *, completed: bool
    ) -> list[dict[str, int]]:
        if not self.with_beats:
            return []
        rows = []
        times = np.arange(-1100.0, returned + 200, 1.0)
        if completed:
            # The first beat needs a moment after the guest runs again.
            back = resume + 10 if self.outcome == "completed" else np.inf
            times = times[(times < stop) | (times > back)]
        for sequence, ms in enumerate(times):
            late = 0.8 if sequence % 50 == 0 else 0.0
            rows.append(
                {
                    "arrival_ns": self.at(ms + 0.2 + late),
                    "sequence": sequence,
                    "guest_ns": sequence * MS,
                    "writes": round(sequence * self.dirty_mib_s * MIB / 4096 / 1000),
                }
            )
        return rows

    def _wire(self, active: float, sent: float, returned: float) -> list[dict[str, int]]:
        return [
            {
                "time_ns": self.at(ms),
                "sent_bytes": round(self._sent_bytes(active, min(ms, sent)) * 1.04),
                "received_bytes": round(self._sent_bytes(active, min(ms, sent)) * 0.01),
                "cable_sent_bytes": round(self._sent_bytes(active, min(ms, sent)) * 1.046),
                "cable_received_bytes": round(self._sent_bytes(active, min(ms, sent)) * 0.01),
            }
            for ms in [*np.arange(0.0, returned, 50.0), returned + 1]
        ]

    def _connections(self, active: float, sent: float, returned: float) -> list[dict[str, Any]]:
        payload = self._sent_bytes(active, sent)
        return [
            {
                "purpose": purpose,
                "local_port": 40000 + remote_port,
                "remote_port": remote_port,
                "opened_ns": self.at(opened),
                "closed_ns": self.at(closed),
                "sent_bytes": sent_bytes,
                "received_bytes": 100,
                "sent_segments": sent_bytes // 1448 + 3,
                "received_segments": sent_bytes // 80_000 + 3,
                "retransmitted_bytes": 0,
            }
            for purpose, remote_port, opened, closed, sent_bytes in (
                ("control", 22, 0.0, returned, 14_000),
                ("memory", 49152, active - 5, sent, payload),
            )
        ]

    def _processes(self, active: float, sent: float, returned: float) -> list[dict[str, Any]]:
        """Use up processor time evenly: so many thousandths of a second each second."""
        rows = []
        for side, process, thread, share, first, last, before_s in (
            ("source", "libvirtd", "", 20, -5.0, returned, 0.4),
            ("source", "qemu", "", 500, -5.0, sent, 2.0),
            ("source", "qemu", "vCPU 0", 300, -5.0, sent, 1.5),
            ("source", "qemu", "main", 50, -5.0, sent, 0.4),
            ("source", "qemu", "migration", 150, active, sent, 0.0),
            ("destination", "libvirtd", "", 20, -5.0, returned, 0.2),
            ("destination", "qemu", "", 400, 200.0, returned, 0.0),
            ("destination", "qemu", "vCPU 0", 40, 200.0, returned, 0.0),
            ("destination", "qemu", "main", 360, 200.0, returned, 0.0),
        ):
            rows += [
                {
                    "time_ns": self.at(ms),
                    "side": side,
                    "process": process,
                    "thread": thread,
                    "cpu_ns": round(before_s * 1e9 + (ms - first) * share * 1e3),
                    "memory_bytes": None if thread else (300 if process == "qemu" else 30) * MIB,
                }
                for ms in [*np.arange(first, last, 100.0), last]
            ]
        return rows


_ERRORS = {
    "guest_lost": RunError(
        kind="guest_lost",
        text="libvirt's call completed, but the guest does not answer: the guest is absent at the "
        "source and running at the destination",
        hint="Look at both hosts before you start or end the guest on either.",
    ),
    "unresolved": RunError(
        kind="unresolved",
        text="libvirt's call has not returned after the migration was to be stopped: the guest is "
        "paused at the source and paused at the destination",
        hint="Look at both hosts before you start or end the guest on either.",
    ),
    "cancelled": RunError(
        kind="MigrationCancelled",
        text="operation aborted: job 'migration out' canceled by client",
        code=78,
        domain=10,
    ),
    "timed_out": RunError(
        kind="MigrationTimedOut",
        text="operation aborted: job 'migration out' canceled by client",
        hint="Raise the deadline, or lower the guest's dirty rate.",
        code=78,
        domain=10,
    ),
    "diverged": RunError(
        kind="HostError",
        text="operation aborted: job 'migration out' canceled by client",
        code=78,
        domain=10,
        explanation="cancelled",
    ),
    "interrupted": RunError(
        kind="HostError",
        text="operation failed: job 'migration in' failed in post-copy phase",
        code=9,
        domain=10,
        explanation="postcopy-failed",
    ),
    "failed": RunError(
        kind="HostError", text="unable to connect to server at 'host-b:49152'", code=38, domain=7
    ),
}


_STATES = {
    "completed": {"source": "absent", "destination": "running"},
    "guest_lost": {"source": "absent", "destination": "running"},
    "unresolved": {"source": "paused", "destination": "paused"},
    "interrupted": {"source": "paused", "destination": "running"},
}


def _host(name: str) -> dict[str, str]:
    return {
        "name": name,
        "hostname": name,
        "libvirt_version": "11.3.0",
        "qemu_version": "10.0.13",
        "image": "trixie",
    }


@pytest.fixture(scope="session")
def make_run() -> Callable[..., Run]:
    """Return a maker of fake runs: keywords are the recording's fields."""

    def make(**fields: Any) -> Run:
        return Recording(**fields).build()

    return make


@pytest.fixture
def recording() -> type[Recording]:
    """Return the recording's class, for tests that change what it recorded."""
    return Recording
