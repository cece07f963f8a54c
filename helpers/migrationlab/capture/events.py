"""What libvirt and QEMU report of a migration by themselves, from both hosts.

libvirt's events bear no time, so theirs is when this process saw them; QEMU's own bear its
microsecond stamp (monitor events, ``qapi/migration.json`` and ``qapi/run-state.json``). Both
are CLOCK_REALTIME nanoseconds. Callbacks run on libvirt's event thread and only enqueue.
"""

from __future__ import annotations

import json
import queue
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import libvirt
import libvirt_qemu

from migrationlab.hosts.connection import drain_events, refusals

Row = tuple[int, int, str, str, str, str]
#: time_ns, received_ns, side, origin, name, detail (a JSON object)
COLUMNS = ("time_ns", "received_ns", "side", "origin", "name", "detail")

#: By number, from the header's own names, so that what a newer libvirt adds stays readable.
_LIFECYCLE = {
    getattr(libvirt, name): name.removeprefix("VIR_DOMAIN_EVENT_")
    for name in (
        *("VIR_DOMAIN_EVENT_DEFINED", "VIR_DOMAIN_EVENT_UNDEFINED", "VIR_DOMAIN_EVENT_STARTED"),
        *("VIR_DOMAIN_EVENT_SUSPENDED", "VIR_DOMAIN_EVENT_RESUMED", "VIR_DOMAIN_EVENT_STOPPED"),
        *("VIR_DOMAIN_EVENT_SHUTDOWN", "VIR_DOMAIN_EVENT_PMSUSPENDED"),
        "VIR_DOMAIN_EVENT_CRASHED",
    )
}
_DETAILS = {
    (kind, value): name.removeprefix(f"VIR_DOMAIN_EVENT_{kind}_")
    for kind in _LIFECYCLE.values()
    for name, value in vars(libvirt).items()
    if name.startswith(f"VIR_DOMAIN_EVENT_{kind}_")
}
#: For how long to wait for events that are on their way: usually some milliseconds.
HEAR_OUT_S = 5
QEMU_EVENTS = ("MIGRATION", "MIGRATION_PASS", "STOP", "RESUME")


class EventLog:
    """Collects the events of one domain on any number of connections.

    Args:
        uuid: The domain's UUID, as text.
    """

    def __init__(self, uuid: str) -> None:
        self._uuid = uuid
        self._rows: queue.SimpleQueue[Row] = queue.SimpleQueue()
        self._undo: list[Callable[[], object]] = []
        self._heard: list[libvirt.virConnect] = []
        self.warnings: list[str] = []
        #: Hears each event of the hosts, on libvirt's event thread: it may only enqueue.
        self.listener: Callable[[Row], None] | None = None

    def note(self, name: str, side: str = "client", **detail: object) -> int:
        """Write down an event of the kit's own, now; return its time."""
        now = time.time_ns()
        self._rows.put((now, now, side, "migrationlab", name, json.dumps(detail)))
        return now

    def listen(self, connection: libvirt.virConnect, side: str, *, qemu: bool = True) -> None:
        """Collect what one host reports, from now until :meth:`close`.

        Args:
            connection: An open connection to the host.
            side: "source" or "destination".
            qemu: Whether to collect what its QEMU reports too.

        Raises:
            HostError: libvirt refused its own events. Where only QEMU's are refused, that is
                written down as a warning.
        """
        callbacks: Mapping[int, Callable[..., None]] = {
            libvirt.VIR_DOMAIN_EVENT_ID_LIFECYCLE: self._lifecycle,
            libvirt.VIR_DOMAIN_EVENT_ID_MIGRATION_ITERATION: self._iteration,
            libvirt.VIR_DOMAIN_EVENT_ID_JOB_COMPLETED: self._completed,
        }
        self._heard.append(connection)
        with refusals():
            for event, callback in callbacks.items():
                number = connection.domainEventRegisterAny(None, event, callback, side)
                self._undo.append(partial(connection.domainEventDeregisterAny, number))
        if not qemu:
            return
        try:
            number = libvirt_qemu.qemuMonitorEventRegister(connection, None, None, self._qemu, side)
        except libvirt.libvirtError as error:
            self.warnings.append(f"no QEMU events from the {side}: {error}")
        else:
            self._undo.append(partial(libvirt_qemu.qemuMonitorEventDeregister, connection, number))

    def drain(self) -> list[Row]:
        """Return, and forget, all rows so far."""
        return [self._rows.get() for _ in range(self._rows.qsize())]

    def close(self) -> None:
        """Stop collecting, once what has happened by now is written down."""
        if self._heard and not drain_events(self._heard, HEAR_OUT_S):
            self.warnings.append("libvirt was too busy to tell of the last events: they may miss")
        self._heard.clear()
        for undo in self._undo:
            try:
                undo()
            except libvirt.libvirtError as error:
                # The connection broke: nothing more will come over it anyway.
                self.warnings.append(f"events could not be given back: {error}")
        self._undo.clear()

    def _put(self, side: str, name: str, detail: Mapping[str, object]) -> None:
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
        if self._is_ours(domain):
            kind = _LIFECYCLE.get(event, str(event))
            self._put(side, f"lifecycle.{kind}.{_DETAILS.get((kind, detail), detail)}", {})

    def _iteration(
        self, _connection: object, domain: libvirt.virDomain, iteration: int, side: str
    ) -> None:
        if self._is_ours(domain):
            self._put(side, "migration_iteration", {"iteration": iteration})

    def _completed(
        self, _connection: object, domain: libvirt.virDomain, stats: dict[str, Any], side: str
    ) -> None:
        if self._is_ours(domain):
            self._put(side, "job_completed", stats)

    def _qemu(  # noqa: PLR0917 - libvirt calls it so
        self, _connection: object, domain: libvirt.virDomain, event: str, seconds: int,
        micros: int, detail: str | None, side: str,
    ) -> None:  # fmt: skip
        if event in QEMU_EVENTS and self._is_ours(domain):
            stamp = (seconds * 1_000_000 + micros) * 1_000
            self._take((stamp, time.time_ns(), side, "qemu", event, detail or "{}"))
