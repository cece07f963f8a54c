"""The instruments that read a lab's own counters while it migrates: wire, connections, processes.

Each reading takes well under a millisecond and none asks libvirt, so that they change next to
nothing of what they measure. One that fails leaves a warning, and what it has read until then.
Imports no lab.
"""

from __future__ import annotations

from collections.abc import Mapping

from migrationlab.capture import tcp_connections
from migrationlab.capture.processes import ProcessMeter
from migrationlab.capture.sampler import PeriodicTimer
from migrationlab.capture.tcp_connections import ConnectionMeter, Ports
from migrationlab.capture.wire_counter import WireMeter
from migrationlab.errors import LabError
from migrationlab.hosts.counters import HostCounters

Row = Mapping[str, int | str | None]
#: Processes and connections are looked at no more often: a look takes half a millisecond.
LOOK_INTERVAL_S = 0.1


class LabRecorder:
    """Read from :meth:`start` to :meth:`stop`.

    Args:
        source: The counters of the host that the domain leaves.
        destination: Those of the host that it goes to.
        uuid: The domain's UUID.
        interval_s: The time from one reading of the wire to the next.
    """

    def __init__(
        self, source: HostCounters, destination: HostCounters, uuid: str, interval_s: float
    ) -> None:
        self.warnings: list[str] = []
        self._connections: ConnectionMeter | None = None
        self._processes = ProcessMeter({"source": source, "destination": destination}, uuid)
        self._timers = (
            PeriodicTimer("migration-wire", interval_s, self._read_wire),
            PeriodicTimer("migration-look", max(interval_s, LOOK_INTERVAL_S), self._look),
        )
        self._wire = WireMeter(source, destination)
        try:
            self._connections = ConnectionMeter(source, destination)
        except (LabError, OSError) as error:
            self.warnings.append(f"the connections over the wire cannot be watched: {error}")
        # From here to the start is time enough to know what they use without a migration.
        self._processes.read()

    @property
    def names(self) -> tuple[str, ...]:
        """Return the names of the frames that it fills."""
        watched = ("connections",) if self._connections is not None else ()
        return ("wire_bytes", *watched, "processes")

    def start(self) -> None:
        """Begin to read; what goes over the wire is counted from here."""
        self._processes.read()
        if self._connections is not None:
            self._connections.start()
        self._wire.start()
        for timer in self._timers:
            timer.start()

    def returned(self) -> None:
        """Read what the processes have used by now, for the last time: the call has returned."""
        for timer in self._timers:
            timer.stop()
            if timer.failure is not None:
                self.warnings.append(f"{timer.name} ended early: {timer.failure!r}")
        try:
            self._processes.read()
        except Exception as error:  # noqa: BLE001 (a migration that is over keeps its run)
            self.warnings.append(f"the processes' last figures are missing: {error!r}")
        self._processes.close()

    def stop(self, ports: Ports, *, tunnelled: bool) -> dict[str, list[Row]]:
        """Stop, and return the rows of the frames.

        Args:
            ports: What the destination's ports are for.
            tunnelled: Whether memory goes between the daemons.
        """
        found: list[tcp_connections.TcpConnection] = []
        if self._connections is not None:
            found = self._connections.stop()
            self.warnings += self._connections.warnings
        self._wire.read()
        self.warnings += self._wire.warnings
        return {
            "wire_bytes": self._wire.rows,
            "connections": tcp_connections.rows(found, ports, tunnelled=tunnelled),
            "processes": self._processes.rows,
        }

    def close(self) -> None:
        """Let go of the hosts; once more does no harm."""
        for timer in self._timers:
            timer.stop()
        self._processes.close()
        self._wire.close()
        if self._connections is not None:
            self._connections.close()

    def _read_wire(self) -> bool:
        self._wire.read()
        return True

    def _look(self) -> bool:
        self._processes.read()
        if self._connections is not None:
            self._connections.read()
        return True
