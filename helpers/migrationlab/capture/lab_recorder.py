"""Read a lab's own counters during a migration: the wire, TCP connections, processes.

Each reading takes well under a millisecond and asks libvirt nothing, so it hardly influences the
migration. An instrument that fails leaves a warning and its readings so far.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from migrationlab.capture.periodic_timer import PeriodicTimer
from migrationlab.capture.processes import ProcessMeter
from migrationlab.capture.tcp_connections import ConnectionMeter, Ports, TcpConnection
from migrationlab.capture.wire_counter import WireMeter
from migrationlab.errors import LabError
from migrationlab.hosts.counters import HostCounters

Row = Mapping[str, int | str | None]
#: Processes and connections are sampled at most this often: a sample takes half a millisecond.
SAMPLE_INTERVAL_S = 0.1


class LabRecorder:
    """Reads from :meth:`start` to :meth:`stop`, the wire every ``interval_s``.

    At the end, ``ports`` is called for the ports of the destination's QEMU.
    """

    def __init__(
        self,
        source: HostCounters,
        destination: HostCounters,
        uuid: str,
        interval_s: float,
        *,
        ports: Callable[[], Ports] = Ports,
        tunnelled: bool = False,
    ) -> None:
        self.warnings: list[str] = []
        self._ports = ports
        self._tunnelled = tunnelled
        self._connections: ConnectionMeter | None = None
        self._processes = ProcessMeter({"source": source, "destination": destination}, uuid)
        self._wire = WireMeter(source, destination)
        self._timers = (
            PeriodicTimer("migration-wire", interval_s, self._wire.read, self.warnings),
            PeriodicTimer(
                "migration-sample", max(interval_s, SAMPLE_INTERVAL_S), self._sample, self.warnings
            ),
        )
        try:
            self._connections = ConnectionMeter(source, destination)
        except (LabError, OSError) as error:
            self.warnings.append(f"watching the connections over the wire failed: {error}")
        watched = ("connections",) if self._connections is not None else ()
        self.names: tuple[str, ...] = ("wire_bytes", *watched, "processes")
        # The time from here to the start shows the use of the processes without a migration.
        self._processes.read()

    def start(self) -> None:
        """Start to read. The bytes on the wire are counted from here."""
        self._processes.read()
        if self._connections is not None:
            self._connections.start()
        self._wire.start()
        for timer in self._timers:
            timer.start()

    def returned(self) -> None:
        """Sample the processes for the last time, after the call has returned."""
        for timer in self._timers:
            timer.stop()
        try:
            self._processes.read()
        except Exception as error:  # noqa: BLE001 (a migration that is over keeps its run)
            self.warnings.append(f"the processes' last figures are missing: {error!r}")
        self._processes.close()

    def stop(self) -> dict[str, list[Row]]:
        """Stop, and return the rows of the frames."""
        found: list[TcpConnection] = []
        if self._connections is not None:
            found = self._connections.stop()
            self.warnings += self._connections.warnings
        ports = self._ports()
        self._wire.read()
        self.warnings += self._wire.warnings
        return {
            "wire_bytes": self._wire.rows,
            "connections": [each.row(ports, tunnelled=self._tunnelled) for each in found],
            "processes": self._processes.rows,
        }

    def close(self) -> None:
        """Release the hosts. A second close does nothing."""
        for timer in self._timers:
            timer.stop()
        self._processes.close()
        self._wire.close()
        if self._connections is not None:
            self._connections.close()

    def _sample(self) -> None:
        self._processes.read()
        if self._connections is not None:
            self._connections.read()
