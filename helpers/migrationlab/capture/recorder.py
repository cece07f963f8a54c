"""Records one migration from both sides: puts the instruments together, and their frames.

Watches and never acts: it neither starts nor steers a migration. Each instrument that a host
or a guest cannot offer leaves its frame empty, never filled with zeros.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Protocol

import libvirt
import pandas as pd

from migrationlab.capture import clocks, daemon_log, qemu_log
from migrationlab.capture.events import COLUMNS, EventLog
from migrationlab.capture.job_stats import DEFAULT_INTERVAL_S, JobSampler, Sample
from migrationlab.capture.lab_recorder import LabRecorder
from migrationlab.capture.ping import ECHO_COLUMNS, EchoProbe
from migrationlab.capture.processes import DomainMeter
from migrationlab.capture.tcp_connections import ports_told
from migrationlab.hosts.host import Host
from migrationlab.hosts.poll import wait_until
from migrationlab.runs.schema import FRAMES, frame

#: How long before the call the beats begin: the jitter is judged by the last second of these.
BEFORE_NS = 1_200_000_000
BEAT_COLUMNS = ("arrival_ns", "sequence", "guest_ns", "writes")


class Beats(Protocol):
    """Where the beats of a guest come from."""

    def place(self, back_s: float = 0.0) -> int:
        """Return a place in the stream of beats, ``back_s`` before now or earlier."""

    def read(self, first: int) -> pd.DataFrame:
        """Return the guest's beats from a place on, with the columns of :data:`BEAT_COLUMNS`."""


#: Those that record now, by their pair of hosts: what two migrations do at once, nobody tells
#: apart by the hosts' counters and logs.
_RECORDING: dict[frozenset[str], list[Recorder]] = {}
_REGISTRY = threading.Lock()
OVERLAP = (
    "another migration ran between these hosts meanwhile: phases, bytes on the wire and processor "
    "time may be of both"
)


class Recorder:
    """Records from :meth:`start` to :meth:`stop`.

    Args:
        source: The host that the domain leaves.
        destination: The host that it goes to.
        uuid: The domain's UUID.
        names: Its name at the source, and at the destination.
        beats: Its beats, where it sends any.
        echo: Asks the guest for echoes, where it is to be asked.
        interval_s: The time from one sample to the next.
        tunnelled: Whether memory goes between the daemons.
        capture: Whether to record everything; else only libvirt's own events.
        sample: Whether to sample the job all the same, for those who act by that.

    Raises:
        HostError: A host could not be listened to.
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
        interval_s: float = DEFAULT_INTERVAL_S,
        tunnelled: bool = False,
        capture: bool = True,
        sample: bool = False,
    ) -> None:
        self.events = EventLog(uuid)
        self._sides = {"source": source, "destination": destination}
        self._logs = {side: daemon_log.size(host.log) for side, host in self._sides.items()}
        self._qemu_logs = {
            side: qemu_log.path(host.log, names[side]) for side, host in self._sides.items()
        }
        self._qemu_begins = {side: daemon_log.size(log) for side, log in self._qemu_logs.items()}
        self._beats = beats if capture else None
        self._first_beat = 0
        self._echo = echo if capture else None
        self._tunnelled = tunnelled
        self._capture = capture
        self._clocks: dict[str, Future[clocks.ClockOffset | None]] = {}
        self._connections: list[libvirt.virConnect] = []
        self._sampler: JobSampler | None = None
        self._instruments: LabRecorder | None = None
        self._domain: DomainMeter | None = None
        self._pair = frozenset({source.uri, destination.uri})
        try:
            for side, host in self._sides.items():
                connection = host.new_connection()
                self._connections.append(connection)
                self.events.listen(connection, side, qemu=capture)
            if capture or sample:
                self._sampler = JobSampler(source, uuid, interval_s)
            if capture and source.counters is not None and destination.counters is not None:
                self._instruments = LabRecorder(
                    source.counters, destination.counters, uuid, interval_s
                )
            elif capture:
                listening = zip(self._sides, self._connections, strict=True)
                self._domain = DomainMeter(dict(listening), uuid)
        except BaseException:
            self.close()
            raise

    @property
    def names(self) -> tuple[str, ...]:
        """Return the names of the frames that something records."""
        local = self._instruments.names if self._instruments is not None else ()
        recorded = {
            "events": True,
            "job": self._sampler is not None,
            "beats": self._beats is not None,
            "echoes": self._echo is not None,
            "processes": self._domain is not None,
        } | dict.fromkeys(local, True)
        return tuple(name for name in FRAMES if recorded.get(name))

    def start(self, on_sample: Callable[[Sample], None]) -> None:
        """Begin to record.

        Args:
            on_sample: Hears each sample of the job, on the sampler's thread.
        """
        with _REGISTRY:
            others = _RECORDING.setdefault(self._pair, [])
            for recorder in (*others, *([self] if others else [])):
                recorder.events.warnings.append(OVERLAP)
            others.append(self)
        if self._beats is not None:
            self._first_beat = self._beats.place(BEFORE_NS / 1e9)
        if self._capture:
            # A host far away takes a second to tell its time: while it migrates, not before.
            pool = ThreadPoolExecutor(len(self._sides), thread_name_prefix="migration-clock")
            self._clocks = {
                side: pool.submit(clocks.measure, host) for side, host in self._sides.items()
            }
            pool.shutdown(wait=False)
        if self._sampler is not None:
            self._sampler.start(on_sample)
        if self._domain is not None:
            self._domain.start()
        # Last, since what they count is counted from the call on.
        if self._instruments is not None:
            self._instruments.start()

    def returned(self) -> None:
        """Take the last figures of what belongs to the call, which has returned just now."""
        if self._instruments is not None:
            self._instruments.returned()

    def stop(self, called_ns: int) -> dict[str, pd.DataFrame]:
        """Stop, and return the frames of a run, by their names.

        Args:
            called_ns: When libvirt's call was made.
        """
        samples: list[Sample] = []
        if self._sampler is not None:
            samples = self._sampler.stop()
            self.events.warnings += self._sampler.warnings
        counted: dict[str, list[Mapping[str, int | str | None]]] = {}
        if self._instruments is not None:
            told = ports_told(self._sides["source"].log, self._logs["source"])
            counted = self._instruments.stop(told, tunnelled=self._tunnelled)
            self.events.warnings += self._instruments.warnings
        elif self._domain is not None:
            counted["processes"] = self._domain.stop()
            self.events.warnings += self._domain.warnings
        self.close()
        rows = self.events.drain()
        for side, host in self._sides.items() if self._capture else ():
            if daemon_log.shrank(host.log, self._logs[side]):
                self.events.warnings.append(
                    f"the log of the {side}'s libvirtd was cut or replaced meanwhile: the phases "
                    "that stood in it before are missing"
                )
            rows += daemon_log.phases(host.log, self._logs[side], side)
            rows += qemu_log.checkpoints(self._qemu_logs[side], self._qemu_begins[side], side)
        rows.sort()
        return {
            "events": frame("events", (dict(zip(COLUMNS, row, strict=True)) for row in rows)),
            "job": frame("job", ({"time_ns": each.time_ns, **each.statistics} for each in samples)),
            "beats": self._recorded_beats(called_ns),
            "echoes": self._recorded_echoes(),
            **{
                name: frame(name, counted.get(name, ()))
                for name in ("wire_bytes", "connections", "processes")
            },
        }

    def missed(self, since_ns: int, timeout_s: float) -> str | None:
        """Wait until the guest is heard again; return what did not come, None where all did.

        Args:
            since_ns: The moment since which it must have been heard.
            timeout_s: How long to wait for each.
        """
        if self._beats is not None and not wait_for_beat(self._beats, since_ns, timeout_s):
            return "beat"
        if self._echo is not None and not self._echo.hears(since_ns, timeout_s):
            return "echo"
        return None

    def clock(self) -> Mapping[str, Mapping[str, object] | None] | None:
        """Return how far each side's clock is from this machine's, None where nobody knows."""
        if not self._clocks:
            return None
        found = {side: answer.result() for side, answer in self._clocks.items()}
        return {side: offset.to_dict() if offset else None for side, offset in found.items()}

    def hidden_reason(self, told: str, since_ns: int) -> str | None:
        """Return the error that the source's libvirtd met before the one that it told of.

        Args:
            told: What it told.
            since_ns: The moment since which an error counts.

        Returns:
            The error's text; None where it met no other, or its log can't be read.
        """
        return daemon_log.hidden_reason(
            self._sides["source"].log, self._logs["source"], since_ns, told
        )

    def _recorded_echoes(self) -> pd.DataFrame:
        if self._echo is not None:
            return self._echo.stop()
        return pd.DataFrame({name: pd.Series(dtype=kind) for name, kind in ECHO_COLUMNS.items()})

    def _recorded_beats(self, called_ns: int) -> pd.DataFrame:
        if self._beats is None:
            return pd.DataFrame(columns=list(BEAT_COLUMNS), dtype="int64")
        beats = self._beats.read(self._first_beat)
        if len(beats) and int(beats["arrival_ns"].iloc[0]) > called_ns:
            self.events.warnings.append("the first beats were overwritten before they were read")
        return beats[beats["arrival_ns"] >= called_ns - BEFORE_NS].reset_index(drop=True)

    def close(self) -> None:
        """Let go of both hosts; does no harm where that is done already."""
        with _REGISTRY:
            if self in _RECORDING.get(self._pair, ()):
                _RECORDING[self._pair].remove(self)
        if self._sampler is not None:
            self._sampler.stop()
        if self._instruments is not None:
            self._instruments.close()
        if self._domain is not None:
            self._domain.stop()
        if self._echo is not None:
            self._echo.stop()
        self.events.close()
        for connection in self._connections:
            try:
                connection.close()
            except libvirt.libvirtError as error:
                self.events.warnings.append(f"a connection could not be closed: {error}")
        self._connections.clear()


def wait_for_beat(beats: Beats, since_ns: int, timeout_s: float) -> bool:
    """Wait until a beat has arrived after a moment; return whether one did."""
    place = beats.place(timeout_s)

    def arrived() -> bool:
        arrivals = beats.read(place)["arrival_ns"]
        return not arrivals.empty and int(arrivals.iloc[-1]) > since_ns

    return wait_until(arrived, timeout_s)
