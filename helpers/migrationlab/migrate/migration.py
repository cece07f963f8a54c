"""A migration under way, watched and steered, and at its end a run.

Theory of operation. One thread makes libvirt's call, which blocks until the migration is over;
another samples (``capture.job``); libvirt's own delivers events; a fourth does what is to be done
to the migration meanwhile (``steering``). Whatever happens, the end is a
:class:`~migrationlab.Run`, made by ``ending``.

Made by ``migrate``, which judges and connects. Never imports ``lab``.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import libvirt

from migrationlab.capture.environment import MachineSampler
from migrationlab.capture.job_stats import Sample
from migrationlab.capture.recorder import Recorder
from migrationlab.errors import HostError, UsageError
from migrationlab.hosts.host import Host, refusal
from migrationlab.migrate.controller import Controller
from migrationlab.migrate.finish import Ending
from migrationlab.migrate.guest import GuestLike
from migrationlab.migrate.policies import Action, ActionKind
from migrationlab.plan.plan import Plan
from migrationlab.plan.settings import settings
from migrationlab.runs.run import Outcome, Run
from migrationlab.steps import Listener, Step, StepState, ignore

#: What a stop makes of a migration, by who asked for it; by anybody else it is cancelled.
STOPPED = {"deadline_s": Outcome.TIMED_OUT, "abort_when_diverging_s": Outcome.DIVERGED}


@dataclass(frozen=True, slots=True)
class Prepared:
    """All that a migration needs and that can fail before it starts.

    Attributes:
        source: The host that the guest leaves.
        recorder: Records it.
        call: libvirt's call, on a connection of its own.
        control: The domain on another connection, to steer the job by.
        connections: What to close when it is over.
        uuid: The domain's UUID.
        limit_before_ms: The maximum downtime in force before; None where the domain does not run.
        wire: What the run should say of the wire.
        machine: This machine, watched since a moment before the call.
        undo: Takes back what was set for this migration alone, where the guest did not leave.
    """

    source: Host
    recorder: Recorder
    call: Callable[[], object]
    control: libvirt.virDomain
    connections: tuple[libvirt.virConnect, ...]
    uuid: str
    limit_before_ms: int | None
    wire: Mapping[str, object] | None
    machine: MachineSampler
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
        state: "starting", "running", "post-copy", "finishing", or the outcome once there is one.
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
        self, subject: GuestLike, to: Host, plan: Plan, what: Prepared, on_step: Listener
    ) -> None:
        self.guest = subject
        # Asked once: its host can be gone later, or its name another.
        self._name, self._record = subject.name, subject.record()
        self.source = what.source
        self.destination = to
        self.plan = plan
        self._what = what
        self._recorder = what.recorder
        self._steering = Controller(
            what.control, plan, what.recorder.events, limit_ms=what.limit_before_ms
        )
        self._sample: Sample | None = None
        self._called = threading.Event()
        self._called_ns = 0
        self._returned = threading.Event()
        self._done = threading.Event()
        self._run: Run | None = None
        self._failure: BaseException | None = None
        self._on_step = on_step
        thread = threading.Thread(target=self._go, name="migration")
        try:
            thread.start()
        except KeyboardInterrupt:
            # Thread.start() waits for the thread, and a Ctrl-C can come in just then, when
            # nobody has this object yet to cancel it.
            self.cancel()
            self._done.wait()
            raise

    def __repr__(self) -> str:
        way = f"{self.source.name} → {self.destination.name}"
        return f"Migration({self._name!r}, {self.plan.mode}, {way}, {self.progress().state})"

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
        if self._steering.in_postcopy:
            return self._progress("post-copy", elapsed)
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

        Raises:
            UsageError: It is in post-copy: from there no way leads back.
        """
        self._steering.stop()

    def set_max_downtime(self, max_downtime_ms: int) -> None:
        """Change how long the guest may stand still.

        Like all that steers, it waits for the first pass and for libvirt, some seconds at most.
        Steps of the plan's policy go on from there.

        Args:
            max_downtime_ms: The new limit.

        Raises:
            UsageError: The limit is out of its range, or has no effect any more.
            HostError: libvirt refused, or does not answer. Both stand for all that steers.
        """
        value = _in_range("max_downtime_ms", max_downtime_ms)
        self._steering.do(Action(ActionKind.SET_MAX_DOWNTIME, value=value))

    def set_bandwidth(self, bandwidth_mib_s: int | None, *, postcopy: bool = False) -> None:
        """Change how fast memory is sent.

        Args:
            bandwidth_mib_s: The new limit, None for none.
            postcopy: Whether it is for post-copy, which has a limit of its own.
        """
        field = "postcopy_bandwidth_mib_s" if postcopy else "bandwidth_mib_s"
        value = None if bandwidth_mib_s is None else _in_range(field, bandwidth_mib_s)
        act = ActionKind.SET_POSTCOPY_BANDWIDTH if postcopy else ActionKind.SET_BANDWIDTH
        self._steering.do(Action(act, value=value))

    def set_compression_cache(self, xbzrle_cache_bytes: int) -> None:
        """Change how much of what was sent is kept for compression by xbzrle.

        Args:
            xbzrle_cache_bytes: The new size, a power of two, no more than the guest's memory
                wants. QEMU would take any size, and this machine's memory for it.
        """
        value = _in_range("xbzrle_cache_bytes", xbzrle_cache_bytes)
        memory = self.progress().memory_total_bytes
        if memory is not None and value >= 2 * memory:
            raise UsageError(
                f"a compression cache of {value >> 20} MiB is more than the guest has memory for",
                hint=f"give at most {1 << (memory - 1).bit_length()}",
            )
        if value & (value - 1):
            below = 1 << (value.bit_length() - 1)
            raise UsageError(
                f"a compression cache of {value} bytes cannot be: QEMU takes powers of two",
                hint=f"give {below} or {below * 2}",
            )
        self._steering.do(Action(ActionKind.SET_COMPRESSION_CACHE, value=value))

    def start_postcopy(self) -> None:
        """Switch to post-copy: the guest goes on at the destination, its memory follows.

        Returns when libvirt has taken the request; the switch itself comes within milliseconds,
        and ``progress().state`` tells of it.
        """
        self._steering.do(Action(ActionKind.START_POSTCOPY))

    def pause_postcopy(self) -> None:
        """Break off post-copy, as a broken network would.

        The migration ends as interrupted: the guest runs on at the destination until it needs
        memory that is still at the source. Plan(postcopy_resume=True) takes it up again.
        """
        self._steering.do(Action(ActionKind.PAUSE_POSTCOPY))

    def suspend(self) -> None:
        """Pause the guest, so that what is left can be sent; it goes on at the destination.

        Where the migration fails after all, it goes on at the source.
        """
        self._steering.do(Action(ActionKind.SUSPEND))

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

    def _go(self) -> None:
        """Do the migration; the body of its thread."""
        error: HostError | None = None
        try:
            self._report("started", str(self.plan.mode))
            self._recorder.start(self._on_sample)
            self._called_ns = self._recorder.events.note("call")
            self._steering.begin()
            self._called.set()
            try:
                self._what.call()
            except libvirt.libvirtError as refused:
                error = refusal(refused)
            returned_ns = self._recorder.events.note("return")
            self._recorder.returned()
            self._steering.end()
            self._returned.set()
            self._run = self._finish(returned_ns, error)
            self._report("done" if error is None else "failed", str(self._run.outcome))
        except BaseException as failure:  # noqa: BLE001 - handed to whoever waits
            self._failure = failure
            self._report("failed", str(failure))
        finally:
            self._steering.end()
            self._returned.set()
            self._recorder.close()
            self._what.close()
            self._done.set()

    def _on_sample(self, sample: Sample) -> None:
        self._sample = sample
        self._steering.sampled(sample)
        progress = self.progress()
        iteration = progress.iteration or 0
        remaining = (progress.memory_remaining_bytes or 0) / 2**20
        rate = (progress.throughput_bytes_per_s or 0) / 2**20
        self._report(
            "progress",
            f"pass {iteration}, {remaining:.0f} MiB to go, {rate:.0f} MiB/s",
            progress.fraction,
        )

    def _report(self, state: StepState, detail: str, fraction: float | None = None) -> None:
        what = f"migrating {self._name} from {self.source.name} to {self.destination.name}"
        try:
            self._on_step(Step(what, state, detail, fraction))
        except Exception as error:  # noqa: BLE001 - a listener decides nothing of a migration
            self._recorder.events.warnings.append(f"a listener failed and hears no more: {error!r}")
            self._on_step = ignore

    def _finish(self, returned_ns: int, error: HostError | None) -> Run:
        warnings = list(self._steering.warnings)
        outcome = self._outcome(error)
        if outcome not in (Outcome.COMPLETED, Outcome.INTERRUPTED):
            self._undo(warnings)
        return Ending(
            subject=self.guest,
            record=self._record,
            source=self.source,
            destination=self.destination,
            plan=self.plan,
            uuid=self._what.uuid,
            recorder=self._recorder,
            called_ns=self._called_ns,
            returned_ns=returned_ns,
            outcome=outcome,
            error=error,
            limit_ms=self._steering.limit_ms,
            wire=self._what.wire,
            environment=self._what.machine.until_now(),
        ).run(warnings)

    def _outcome(self, error: HostError | None) -> Outcome:
        if error is None:
            return Outcome.COMPLETED
        if self._steering.in_postcopy:
            return Outcome.INTERRUPTED
        by = self._steering.stopped_by
        return Outcome.FAILED if by is None else STOPPED.get(by, Outcome.CANCELLED)

    def _undo(self, warnings: list[str]) -> None:
        """Take back what was set for this migration alone."""
        try:
            self._what.undo()
        except libvirt.libvirtError as error:
            warnings.append(f"a limit set for this migration stays on the guest: {error}")


def _in_range(field: str, value: int) -> int:
    """Return a value that its setting allows.

    Raises:
        UsageError: It is no whole number, or out of the setting's range.
    """
    about = settings()[field]
    assert about.low is not None
    assert about.high is not None
    if isinstance(value, bool) or not isinstance(value, int):
        raise UsageError(
            f"{field} cannot be of type {type(value).__name__}", hint="give a whole number"
        )
    if not about.low <= value <= about.high:
        raise UsageError(
            f"{field} cannot be {value if abs(value) < 10**18 else 'so large'}",
            hint=f"give {about.low:g} to {about.high:g} {about.unit}",
        )
    return value
