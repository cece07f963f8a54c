"""A migration under way, watched and cancelled, and at its end a run.

Theory of operation. One thread makes libvirt's call, which blocks until the migration is over;
another samples (``capture.job``); libvirt's own delivers events. A cancel, and the deadline, ask
libvirt on a connection of their own to abort the job, again and again until the call has
returned: in the call's first moments there is no job yet. Whatever happens, the end is a
:class:`~migrationlab.runs.Run`.

Made by ``migrate``, which judges and connects. Never imports ``lab``.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version

import libvirt

from migrationlab.capture.job import Sample
from migrationlab.capture.recorder import Recorder, wait_for_beat
from migrationlab.errors import HostError, LabError
from migrationlab.hosts import Host, refusal
from migrationlab.plan import Plan
from migrationlab.runs import Outcome, Run, RunError, conform, new_run_id
from migrationlab.steps import Listener, State, Step, ignore
from migrationlab.subjects import Subject

ABORT_INTERVAL_S = 0.05
BEAT_TIMEOUT_S = 2.0


@dataclass(frozen=True, slots=True)
class Prepared:
    """All that a migration needs and that can fail before it starts.

    Attributes:
        source: The host that the guest leaves.
        recorder: Records it.
        call: libvirt's call, on a connection of its own.
        control: The domain on another connection, to abort the job by.
        connections: What to close when it is over.
        uuid: The domain's UUID.
        max_downtime_ms: The limit in force.
        wire: What the run should say of the wire.
        environment: What the run should say of this machine.
        undo: Takes back what was set for this migration alone, where the guest did not leave.
    """

    source: Host
    recorder: Recorder
    call: Callable[[], object]
    control: libvirt.virDomain
    connections: tuple[libvirt.virConnect, ...]
    uuid: str
    max_downtime_ms: int | None
    wire: Mapping[str, object] | None
    environment: Mapping[str, object]
    undo: Callable[[], object]

    def close(self) -> None:
        """Close the connections."""
        for connection in self.connections:
            try:
                connection.close()
            except libvirt.libvirtError:
                continue  # the daemon is gone, and the connection with it


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a migration is.

    Attributes:
        state: "starting", "running", "finishing", or the outcome once there is one.
        elapsed_ms: Time since libvirt's call.
        iteration: The pass over memory that is under way, from 1; None before the first.
        memory_total_bytes: The guest's memory; None before the first sample.
        memory_remaining_bytes: What of it is still to be sent.
        throughput_bytes_per_s: How fast it is sent.
        expected_downtime_ms: How long QEMU expects the guest to stand still.
    """

    state: str
    elapsed_ms: int
    iteration: int | None = None
    memory_total_bytes: int | None = None
    memory_remaining_bytes: int | None = None
    throughput_bytes_per_s: int | None = None
    expected_downtime_ms: int | None = None

    @property
    def fraction(self) -> float | None:
        """Return the share of the memory that the destination has by now."""
        if not self.memory_total_bytes or self.memory_remaining_bytes is None:
            return None
        return 1 - self.memory_remaining_bytes / self.memory_total_bytes


class Migration:
    """A migration under way; made, and begun, by :func:`start`."""

    def __init__(
        self, subject: Subject, to: Host, plan: Plan, what: Prepared, on_step: Listener
    ) -> None:
        self.subject = subject
        self.source = what.source
        self.destination = to
        self.plan = plan
        self._what = what
        self._recorder = what.recorder
        self._sample: Sample | None = None
        self._called = threading.Event()
        self._called_ns = 0
        self._returned = threading.Event()
        self._done = threading.Event()
        self._stop_reason: Outcome | None = None
        self._stop_lock = threading.Lock()
        self._run: Run | None = None
        self._failure: BaseException | None = None
        self._on_step = on_step
        try:
            threading.Thread(target=self._go, name="migration").start()
        except KeyboardInterrupt:
            # Thread.start() waits for the thread, and a Ctrl-C can come in just then, when
            # nobody has this object yet to cancel it.
            self.cancel()
            self._done.wait()
            raise

    def __repr__(self) -> str:
        way = f"{self.source.name} → {self.destination.name}"
        return f"Migration({self.subject.name!r}, {self.plan.mode}, {way}, {self.progress().state})"

    @property
    def done(self) -> bool:
        """Return whether it is over and its run is there."""
        return self._done.is_set()

    def progress(self) -> Progress:
        """Return how far it is, from the latest sample; never blocks."""
        elapsed = (time.time_ns() - self._called_ns) // 1_000_000 if self._called.is_set() else 0
        if self._run is not None:
            return self._progress(str(self._run.outcome), round(self._run.summary()["call_ms"]))
        if self._returned.is_set():
            return self._progress("finishing", elapsed)
        return self._progress("running" if self._sample else "starting", elapsed)

    def wait(self, timeout_s: float | None = None) -> Run:
        """Wait until it is over, and return its run, whatever the outcome.

        Args:
            timeout_s: How long to wait at most; None for as long as it takes.

        Raises:
            TimeoutError: It is not over yet; it goes on.
        """
        if not self._done.wait(timeout_s):
            raise TimeoutError(f"{self!r} is not over after {timeout_s:g} s")
        if self._failure is not None:
            raise self._failure
        assert self._run is not None
        return self._run

    def cancel(self) -> None:
        """Ask for it to be cancelled; returns at once, and does no harm where it is over.

        The guest goes on at the source. A migration that has handed over the guest already
        completes.
        """
        self._stop(Outcome.CANCELLED)

    def _progress(self, state: str, elapsed_ms: int) -> Progress:
        values = self._sample.statistics if self._sample else {}
        return Progress(
            state,
            elapsed_ms,
            iteration=values.get("iteration"),
            memory_total_bytes=values.get("memory_total_bytes"),
            memory_remaining_bytes=values.get("memory_remaining_bytes"),
            throughput_bytes_per_s=values.get("memory_bps"),
            expected_downtime_ms=values.get("expected_downtime_ms"),
        )

    def _stop(self, reason: Outcome) -> None:
        with self._stop_lock:
            if self._stop_reason is not None or self._returned.is_set():
                return
            self._stop_reason = reason
        name = "cancel" if reason is Outcome.CANCELLED else "deadline"
        self._recorder.events.note(name)
        threading.Thread(target=self._abort, name="migration-abort", daemon=True).start()

    def _abort(self) -> None:
        while not self._returned.wait(ABORT_INTERVAL_S):
            try:
                self._what.control.abortJob()
            except libvirt.libvirtError as error:
                # No job yet, or no longer: the call will say how it ended. What else it may
                # be is worth a reader's knowing.
                if error.get_error_code() != libvirt.VIR_ERR_OPERATION_INVALID:
                    self._recorder.events.note("abort_refused", text=str(error))

    def _go(self) -> None:
        """Do the migration; the body of its thread."""
        deadline = threading.Timer(self.plan.deadline_s, self._stop, [Outcome.TIMED_OUT])
        deadline.daemon = True
        error: HostError | None = None
        try:
            self._report("started", str(self.plan.mode))
            self._recorder.start(self._on_sample)
            deadline.start()
            self._called_ns = self._recorder.events.note("call")
            self._called.set()
            try:
                self._what.call()
            except libvirt.libvirtError as refused:
                error = refusal(refused)
            returned_ns = self._recorder.events.note("return")
            self._returned.set()
            deadline.cancel()
            self._run = self._finish(returned_ns, error)
            self._report("done" if error is None else "failed", str(self._run.outcome))
        except BaseException as failure:  # noqa: BLE001 - handed to whoever waits
            self._failure = failure
            self._report("failed", str(failure))
        finally:
            deadline.cancel()
            self._returned.set()
            self._recorder.close()
            self._what.close()
            self._done.set()

    def _on_sample(self, sample: Sample) -> None:
        self._sample = sample
        progress = self.progress()
        iteration = progress.iteration or 0
        remaining = (progress.memory_remaining_bytes or 0) / 2**20
        rate = (progress.throughput_bytes_per_s or 0) / 2**20
        self._report(
            "progress",
            f"pass {iteration}, {remaining:.0f} MiB to go, {rate:.0f} MiB/s",
            progress.fraction,
        )

    def _report(self, state: State, detail: str, fraction: float | None = None) -> None:
        what = f"migrating {self.subject.name} from {self.source.name} to {self.destination.name}"
        try:
            self._on_step(Step(what, state, detail, fraction))
        except Exception as error:  # noqa: BLE001 - a listener decides nothing of a migration
            self._recorder.events.warnings.append(f"a listener failed and hears no more: {error!r}")
            self._on_step = ignore

    def _finish(self, returned_ns: int, error: HostError | None) -> Run:
        called = datetime.fromtimestamp(self._called_ns / 1e9, UTC)
        outcome = Outcome.COMPLETED
        if error is not None:
            outcome = self._stop_reason or Outcome.FAILED
        warnings: list[str] = []
        completed_job = self._completed_job(warnings) if error is None else {}
        if error is not None:
            self._undo(warnings)
        with ThreadPoolExecutor(1) as pool:
            # While the guest looks at its memory there is time for the rest.
            checking = pool.submit(self._check, warnings)
            beats = self.subject.beat_source
            if beats is not None and not wait_for_beat(beats, returned_ns, BEAT_TIMEOUT_S):
                warnings.append("no beat came after the migration")
            frames = self._recorder.stop(self._called_ns)
            frames = {name: conform(name, frame) for name, frame in frames.items()}
            check = checking.result()
        warnings += self._recorder.events.warnings
        return Run(
            run_id=new_run_id(called),
            created=called.isoformat(),
            kit_version=version("migrationlab"),
            outcome=outcome,
            error=None if error is None else _error_record(error),
            plan=self.plan,
            guest={**self.subject.record(), "uuid": self._what.uuid},
            source=_host_record(self.source),
            destination=_host_record(self.destination),
            accelerator=self.subject.accelerator,
            wire=self._what.wire,
            environment=self._what.environment,
            called_ns=self._called_ns,
            returned_ns=returned_ns,
            downtime_requested_ms=self._what.max_downtime_ms,
            completed_job=completed_job,
            guest_check=check,
            warnings=tuple(warnings),
            **frames,
        )

    def _undo(self, warnings: list[str]) -> None:
        try:
            self._what.undo()
        except libvirt.libvirtError as error:
            warnings.append(f"the guest's maximum downtime stays as the plan had it: {error}")

    def _completed_job(self, warnings: list[str]) -> Mapping[str, int | str]:
        """Return the statistics of the completed job, which the destination keeps."""
        flags = libvirt.VIR_DOMAIN_JOB_STATS_COMPLETED | libvirt.VIR_DOMAIN_JOB_STATS_KEEP_COMPLETED
        try:
            domain = self.destination.connection.lookupByName(self.subject.name)
            stats: Mapping[str, int | str] = domain.jobStats(flags)
        except libvirt.libvirtError as error:
            warnings.append(f"no statistics of the completed job: {error}")
            return {}
        return stats

    def _check(self, warnings: list[str]) -> Mapping[str, object] | None:
        try:
            return self.subject.checked()
        except LabError as error:
            warnings.append(f"the guest's memory could not be checked: {error}")
            return None


def _error_record(error: HostError) -> RunError:
    return RunError(
        kind=type(error).__name__,
        text=str(error),
        hint=error.hint,
        code=error.code,
        domain=error.domain,
    )


def _host_record(host: Host) -> dict[str, object]:
    return {
        "name": host.name,
        "hostname": host.facts.hostname,
        "libvirt_version": host.facts.libvirt_version,
        "qemu_version": host.facts.qemu_version,
        "image": host.image,
    }
