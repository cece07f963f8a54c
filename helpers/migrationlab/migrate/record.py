"""Hold the record of one migration, from its preparation to its run.

``start`` makes the record, ``Migration`` fills it in, and ``finish`` turns it into the run.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field

import libvirt

from migrationlab.capture.environment import MachineSampler
from migrationlab.capture.recorder import Recorder
from migrationlab.errors import HostError
from migrationlab.hosts.connection import close_connection
from migrationlab.hosts.host import Host
from migrationlab.migrate.guest import GuestLike
from migrationlab.plan.plan import Plan
from migrationlab.plan.policies.policy import PolicyGuest
from migrationlab.runs.run import Outcome


@dataclass(slots=True, kw_only=True)
class MigrationRecord:
    """One migration: its means before the start, and its result.

    Attributes:
        about: The run's record of the guest, asked before the migration, because its host can
            be lost later.
        machine: Measures this machine since a moment before the call.
        wire: The run's record of the wire.
        call: libvirt's call, on its own connection.
        control: The domain on another connection, for changes while the call blocks.
        connections: The connections to close at the end.
        undo: Restores the settings of this migration, if the guest stays.
        downtime_limit_ms: The maximum downtime in force; None if the domain does not run.
        policy_guest: What a named policy knows of the guest.
        counts_faults: Whether the destination's QEMU counts how long the guest waits for pages.
        error: libvirt's refusal, None if the migration completed.
        pending: libvirt's call, if the wait for it was given up.
        warnings: The warnings for readers of the run.
    """

    guest: GuestLike
    name: str
    about: Mapping[str, object]
    uuid: str
    source: Host
    destination: Host
    plan: Plan
    recorder: Recorder
    machine: MachineSampler
    wire: Mapping[str, object] | None
    call: Callable[[], object]
    control: libvirt.virDomain
    connections: tuple[libvirt.virConnect, ...]
    undo: Callable[[], object]
    downtime_limit_ms: int | None
    policy_guest: PolicyGuest | None = None
    counts_faults: bool = False
    called_ns: int = 0
    returned_ns: int = 0
    outcome: Outcome = Outcome.FAILED
    error: HostError | None = None
    pending: Future[object] | None = None
    warnings: list[str] = field(default_factory=list)

    def close(self) -> None:
        """Stop the recorder and close the connections, which a pending call still needs."""
        self.recorder.close()
        if self.pending is not None:
            self.pending.add_done_callback(self._close_connections)
        else:
            self._close_connections()

    def _close_connections(self, _call: Future[object] | None = None) -> None:
        for connection in self.connections:
            close_connection(connection)
