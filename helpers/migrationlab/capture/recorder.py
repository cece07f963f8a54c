"""Record one migration from both sides: the instruments together, and their frames.

A recorder only watches: it neither starts nor steers a migration. A missing instrument leaves its
frame empty, never filled with zeros.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict
from typing import Any, Protocol

import libvirt
import pandas as pd

from migrationlab.analysis.service import overload
from migrationlab.capture import clocks, host_logs
from migrationlab.capture.events import EventLog
from migrationlab.capture.host_logs import Log
from migrationlab.capture.job_stats import DEFAULT_INTERVAL_S, JobSampler, Sample
from migrationlab.capture.lab_recorder import LabRecorder
from migrationlab.capture.ping import EchoProbe
from migrationlab.capture.processes import DomainMeter
from migrationlab.capture.tcp_connections import Ports
from migrationlab.capture.write_probe import WriteProbe
from migrationlab.errors import MigrationLabError
from migrationlab.hosts.connection import close_connection
from migrationlab.hosts.host import Host
from migrationlab.hosts.poll import wait_until
from migrationlab.runs.schema import FRAMES, frame

#: How long before the call the beats begin: the last second of these shows the jitter.
BEFORE_NS = 1_200_000_000
#: How long clients use the guest's service before the call: this shows its usual latency.
SERVICE_BEFORE_S = 2.0
#: How long they go on after the call, to see when latency is normal again.
SERVICE_AFTER_S = 2.0


class Beats(Protocol):
    """The source of a guest's beats."""

    def place(self, back_s: float = 0.0) -> int:
        """Return a place in the stream of beats, ``back_s`` before now or earlier."""

    def read(self, first: int) -> pd.DataFrame:
        """Return the beats from a place on, as the frame ``beats`` of a run."""


class Service(Protocol):
    """The clients of a guest's service, which have begun to send requests."""

    @property
    def running_s(self) -> float:
        """Return how long they have run."""

    def stop(self) -> ServiceRecord:
        """End them, and return their record; raise MigrationLabError if they failed."""

    def close(self) -> None:
        """End them at once. A second close does nothing."""


class ServiceRecord(Protocol):
    """The record of a service's clients."""

    @property
    def requests(self) -> pd.DataFrame:
        """Return the frame ``requests`` of a run."""

    @property
    def check(self) -> dict[str, object]:
        """Return the run's ``service_check``."""


#: The recorders that record now, by their pair of hosts: counters and logs of hosts do not separate
#: two migrations at once.
_RECORDING: dict[frozenset[str], list[Recorder]] = {}
_REGISTRY = threading.Lock()
OVERLAP = (
    "another migration ran between these hosts at the same time: phases, bytes on the wire and "
    "processor time may be of both"
)


class Recorder:
    """Records from :meth:`start` to :meth:`stop`.

    Args:
        names: The domain's name at the source, and at the destination.
        tunnelled: Whether memory goes between the daemons.
        capture: Whether to record everything; else only libvirt's own events.
        sample: Whether to sample the job anyway, for a plan that acts on samples.

    Raises:
        HostError: A host could not be reached.
    """

    def __init__(
        self,
        source: Host,
        destination: Host,
        *,
        uuid: str,
        names: Mapping[str, str],
        beats: Beats | None = None,
        echo: EchoProbe | None = None,
        writes: WriteProbe | None = None,
        service: Service | None = None,
        interval_s: float = DEFAULT_INTERVAL_S,
        tunnelled: bool = False,
        capture: bool = True,
        sample: bool = False,
    ) -> None:
        self.events = EventLog(uuid)
        self._sides = {"source": source, "destination": destination}
        self._logs = {side: Log(host.log) for side, host in self._sides.items()}
        self._qemu_logs = {
            side: Log(host_logs.qemu_log(host.log, names[side]))
            for side, host in self._sides.items()
        }
        self._beats = beats if capture else None
        self._first_beat = 0
        self._echo = echo if capture else None
        self._writes = writes if capture else None
        self._service = service if capture else None
        self._requests: pd.DataFrame | None = None
        self.service_check: dict[str, object] | None = None
        self._capture = capture
        self._clocks: dict[str, Future[clocks.ClockOffset | None]] = {}
        self._connections: dict[str, libvirt.virConnect] = {}
        self._job: JobSampler | None = None
        self._lab: LabRecorder | None = None
        self._instruments: list[JobSampler | LabRecorder | DomainMeter] = []
        self._pair = frozenset({source.uri, destination.uri})
        try:
            for side, host in self._sides.items():
                self._connections[side] = host.new_connection()
                self.events.listen(self._connections[side], side, qemu=capture)
            if capture or sample:
                self._job = JobSampler(source, uuid, interval_s)
                self._instruments.append(self._job)
            if capture and source.counters is not None and destination.counters is not None:
                # Last: its counts begin at the call.
                self._lab = LabRecorder(
                    source.counters, destination.counters, uuid, interval_s,
                    ports=self._ports, tunnelled=tunnelled,
                )  # fmt: skip
                self._instruments.append(self._lab)
            elif capture:
                self._instruments.append(DomainMeter(self._connections, uuid))
        except BaseException:
            self.close()
            raise

    @property
    def names(self) -> tuple[str, ...]:
        """Return the names of the frames that are recorded."""
        recorded = {"events"}.union(*(each.names for each in self._instruments))
        recorded |= {"beats"} if self._beats is not None else set()
        recorded |= {"echoes"} if self._echo is not None else set()
        recorded |= {"memory_writes"} if self._writes is not None else set()
        recorded |= {"requests"} if self._requests is not None else set()
        return tuple(name for name in FRAMES if name in recorded)

    def start(self, on_sample: Callable[[Sample], None]) -> None:
        """Start to record; pass each sample of the job to a function, on the sampler's thread."""
        if self._service is not None:
            time.sleep(max(SERVICE_BEFORE_S - self._service.running_s, 0))
        with _REGISTRY:
            others = _RECORDING.setdefault(self._pair, [])
            for recorder in (*others, *([self] if others else [])):
                recorder.events.warnings.append(OVERLAP)
            others.append(self)
        if self._beats is not None:
            self._first_beat = self._beats.place(BEFORE_NS / 1e9)
        if self._capture:
            # To ask a far host for its time takes a second: during the migration, not before it.
            pool = ThreadPoolExecutor(len(self._sides), thread_name_prefix="migration-clock")
            self._clocks = {
                side: pool.submit(clocks.measure, host) for side, host in self._sides.items()
            }
            pool.shutdown(wait=False)
        if self._job is not None:
            self._job.on_sample = on_sample
        for instrument in self._instruments:
            instrument.start()

    def returned(self) -> None:
        """Take the last figures that belong to the call, which has just returned."""
        if self._lab is not None:
            self._lab.returned()

    def stop_service(self, called_ns: int, after_s: float) -> None:
        """Let the service's clients go on for a time, end them, and keep their record.

        Clients that failed leave a warning: the migration has nothing to do with it.
        """
        if self._service is None:
            return
        time.sleep(after_s)
        try:
            record = self._service.stop()
        except MigrationLabError as error:
            self.events.warnings.append(f"the service's clients left no record: {error}")
            return
        self._requests, self.service_check = record.requests, record.check
        self.events.warnings += overload(record.requests, called_ns)
        if record.check["intact"] is None:
            reason = record.check.get("check_error")
            self.events.warnings.append(f"the service's data could not be checked: {reason}")
        elif not record.check["intact"]:
            lost = record.check["lost_writes"]
            self.events.warnings.append(f"the service has lost {lost} writes that it acknowledged")

    def stop(self, called_ns: int) -> dict[str, pd.DataFrame]:
        """Stop, and return the frames of a run, by their names."""
        rows: dict[str, Sequence[Mapping[str, Any]]] = {}
        for instrument in self._instruments:
            rows |= instrument.stop()
            self.events.warnings += instrument.warnings
        self.close()
        events = sorted([*self.events.drain(), *(self._logged() if self._capture else ())])
        rows["events"] = [dict(zip(FRAMES["events"], row, strict=True)) for row in events]
        frames = {name: frame(name, rows.get(name, ())) for name in FRAMES}
        if self._beats is not None:
            frames["beats"] = self._recorded_beats(self._beats, called_ns)
        if self._echo is not None:
            frames["echoes"] = self._echo.stop()
        if self._writes is not None:
            frames["memory_writes"] = self._writes.stop()
        if self._requests is not None:
            frames["requests"] = self._requests
        return frames

    def missed(self, since_ns: int, timeout_s: float) -> str | None:
        """Wait until each kind arrives from the guest; return the missing ones, None for none."""
        if self._beats is not None and not wait_for_beat(self._beats, since_ns, timeout_s):
            return "beat"
        if self._echo is not None and not self._echo.answered(since_ns, timeout_s):
            return "echo"
        return None

    def clock(self) -> Mapping[str, Mapping[str, object] | None] | None:
        """Return the offset of each side's clock from this machine's, None where unknown."""
        if not self._clocks:
            return None
        found = {side: answer.result() for side, answer in self._clocks.items()}
        return {side: asdict(offset) if offset else None for side, offset in found.items()}

    def hidden_reason(self, reported: str, since_ns: int) -> str | None:
        """Return the earlier error that the source's libvirtd hides behind its reported one.

        It is None if there was none after ``since_ns``, or if the log cannot be read.
        """
        return host_logs.hidden_reason(self._logs["source"], since_ns, reported)

    def close(self) -> None:
        """Release both hosts. A second close does nothing."""
        with _REGISTRY:
            if self in _RECORDING.get(self._pair, ()):
                _RECORDING[self._pair].remove(self)
        for instrument in self._instruments:
            instrument.close()
        if self._echo is not None:
            self._echo.stop()
        if self._writes is not None:
            self._writes.stop()
        if self._service is not None:
            self._service.close()
        self.events.close()
        while self._connections:
            close_connection(self._connections.popitem()[1])

    def _ports(self) -> Ports:
        return host_logs.ports(self._logs["source"])

    def _logged(self) -> list[tuple[int, int, str, str, str, str]]:
        """Return the events in the hosts' logs."""
        rows = []
        for side, log in self._logs.items():
            if log.shrank():
                self.events.warnings.append(
                    f"the log of the {side}'s libvirtd was truncated or replaced: the earlier "
                    "phases in it are missing"
                )
            rows += host_logs.phases(log, side)
            rows += host_logs.checkpoints(self._qemu_logs[side], side)
        return rows

    def _recorded_beats(self, source: Beats, called_ns: int) -> pd.DataFrame:
        beats = source.read(self._first_beat)
        if len(beats) and int(beats["arrival_ns"].iloc[0]) > called_ns:
            self.events.warnings.append("the first beats were overwritten before they were read")
        return beats[beats["arrival_ns"] >= called_ns - BEFORE_NS].reset_index(drop=True)


def wait_for_beat(beats: Beats, since_ns: int, timeout_s: float) -> bool:
    """Wait for a beat that arrives after a moment; return whether it arrived."""
    place = beats.place(timeout_s)

    def arrived() -> bool:
        arrivals = beats.read(place)["arrival_ns"]
        return not arrivals.empty and int(arrivals.iloc[-1]) > since_ns

    return wait_until(arrived, timeout_s)
