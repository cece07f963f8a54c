"""Collect the events that libvirt and QEMU report of a migration, from both hosts.

libvirt's events have no time, so they get the time when this process received them. QEMU's own
events have its microsecond stamp (monitor events, ``qapi/migration.json`` and
``qapi/run-state.json``). Both are CLOCK_REALTIME nanoseconds. Callbacks run on libvirt's event
thread and only enqueue.
"""

from __future__ import annotations

import json
import queue
import re
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import libvirt
import libvirt_qemu

from migrationlab.hosts.connection import ask, call_later, drain_events, refusals

#: time_ns, received_ns, side, origin, name, detail (a JSON object): the columns of ``events``.
Row = tuple[int, int, str, str, str, str]

#: By number, from the header's names. An event of a newer libvirt is recorded as its number.
_LIFECYCLE = {
    value: name.removeprefix("VIR_DOMAIN_EVENT_")
    for name, value in vars(libvirt).items()
    if re.fullmatch("VIR_DOMAIN_EVENT_[A-Z]+", name)
}
_DETAILS = {
    (kind, value): name.removeprefix(f"VIR_DOMAIN_EVENT_{kind}_")
    for kind in _LIFECYCLE.values()
    for name, value in vars(libvirt).items()
    if name.startswith(f"VIR_DOMAIN_EVENT_{kind}_")
}
#: How long to wait for the last events: usually they take some milliseconds.
LAST_EVENT_S = 5
#: How long to wait until a host has unregistered one kind of event.
UNREGISTER_S = 0.5
QEMU_EVENTS = ("MIGRATION", "MIGRATION_PASS", "STOP", "RESUME")


class EventLog:
    """Collects the events of one domain on any number of connections."""

    def __init__(self, uuid: str) -> None:
        self._uuid = uuid
        self._rows: queue.SimpleQueue[Row] = queue.SimpleQueue()
        self._undo: list[tuple[libvirt.virConnect, Callable[[], object]]] = []
        self._connections: list[libvirt.virConnect] = []
        self.warnings: list[str] = []
        #: Called with each event of the hosts on libvirt's event thread: it may only enqueue.
        self.listener: Callable[[Row], None] | None = None

    def note(self, name: str, side: str = "client", **detail: object) -> int:
        """Record an event of migrationlab itself with the present time; return that time."""
        now = time.time_ns()
        self._rows.put((now, now, side, "migrationlab", name, json.dumps(detail)))
        return now

    def listen(self, connection: libvirt.virConnect, side: str, *, qemu: bool = True) -> None:
        """Collect the events of one host and its QEMU from now until :meth:`close`.

        Raises:
            HostError: libvirt refused its own events. If it refuses only QEMU's, that is a warning.
        """
        callbacks: Mapping[int, Callable[..., None]] = {
            libvirt.VIR_DOMAIN_EVENT_ID_LIFECYCLE: self._lifecycle,
            libvirt.VIR_DOMAIN_EVENT_ID_MIGRATION_ITERATION: self._iteration,
            libvirt.VIR_DOMAIN_EVENT_ID_JOB_COMPLETED: self._completed,
        }
        self._connections.append(connection)
        with refusals():
            for event, callback in callbacks.items():
                number = connection.domainEventRegisterAny(None, event, callback, side)
                undo = partial(connection.domainEventDeregisterAny, number)
                self._undo.append((connection, undo))
        if not qemu:
            return
        try:
            number = libvirt_qemu.qemuMonitorEventRegister(connection, None, None, self._qemu, side)
        except libvirt.libvirtError as error:
            self.warnings.append(f"no QEMU events from the {side}: {error}")
        else:
            undo = partial(libvirt_qemu.qemuMonitorEventDeregister, connection, number)
            self._undo.append((connection, undo))

    def drain(self) -> list[Row]:
        """Return all rows since the last call."""
        return [self._rows.get() for _ in range(self._rows.qsize())]

    def close(self) -> None:
        """Record all events up to now, then stop collecting."""
        if self._connections and not drain_events(self._connections, LAST_EVENT_S):
            self.warnings.append(
                "libvirt was too busy to report the last events: some may be missing"
            )
        self._connections.clear()
        while self._undo:
            connection, undo = self._undo.pop()
            try:
                ask(connection, undo, UNREGISTER_S)
            except libvirt.libvirtError as error:
                # The connection is broken, so it reports nothing more.
                self.warnings.append(f"unregistering events failed: {error}")
            except TimeoutError:
                self.warnings.append("unregistering events failed: a host does not answer")
                # A registered callback keeps this log, its connection and their memory.
                left = [undo, *(each for on, each in self._undo if on is connection)]
                self._undo = [each for each in self._undo if each[0] is not connection]
                for each in left:
                    call_later(connection, each)

    def _put(
        self, domain: libvirt.virDomain, side: str, name: str, detail: Mapping[str, object]
    ) -> None:
        if self._is_ours(domain):
            now = time.time_ns()
            self._take((now, now, side, "libvirt", name, json.dumps(detail)))

    def _take(self, row: Row) -> None:
        self._rows.put(row)
        if (listener := self.listener) is not None:
            listener(row)

    def _is_ours(self, domain: libvirt.virDomain) -> bool:
        return bool(domain.UUIDString() == self._uuid)

    def _lifecycle(
        self, _connection: object, domain: libvirt.virDomain, event: int, detail: int, side: str
    ) -> None:
        kind = _LIFECYCLE.get(event, str(event))
        self._put(domain, side, f"lifecycle.{kind}.{_DETAILS.get((kind, detail), detail)}", {})

    def _iteration(
        self, _connection: object, domain: libvirt.virDomain, iteration: int, side: str
    ) -> None:
        self._put(domain, side, "migration_iteration", {"iteration": iteration})

    def _completed(
        self, _connection: object, domain: libvirt.virDomain, stats: dict[str, Any], side: str
    ) -> None:
        self._put(domain, side, "job_completed", stats)

    def _qemu(  # noqa: PLR0917 - libvirt calls it like this
        self, _connection: object, domain: libvirt.virDomain, event: str, seconds: int,
        micros: int, detail: str | None, side: str,
    ) -> None:  # fmt: skip
        if event in QEMU_EVENTS and self._is_ours(domain):
            stamp = (seconds * 1_000_000 + micros) * 1_000
            self._take((stamp, time.time_ns(), side, "qemu", event, detail or "{}"))
