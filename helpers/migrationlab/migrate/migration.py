"""Follow a migration under way, change it, and give its run at the end.

Theory of operation. One thread makes libvirt's call, which blocks until the migration is over. The
recorder samples in another. libvirt's own thread delivers events. The fourth thread is the
controller's, and makes every change to the migration. The fifth waits for the call, and makes the
:class:`~migrationlab.Run` with ``finish``.

The call can hang: a QEMU whose network is cut at the switchover answers no libvirtd, and that
libvirtd answers no client. So the wait ends some seconds after a deadline or a cancellation that
had no effect. The run then has the outcome ``UNRESOLVED``, and the call is left to itself.
"""

from __future__ import annotations

import queue
import threading
import time
from concurrent.futures import Future
from dataclasses import dataclass

import libvirt

from migrationlab.capture.job_stats import Sample
from migrationlab.errors import HostError, UsageError
from migrationlab.forecast.case import DEFAULT_DOWNTIME_MS
from migrationlab.forecast.running import RunningForecast, SeenMigration
from migrationlab.hosts.connection import refusal, waits_on
from migrationlab.hosts.time_limit import start_call
from migrationlab.migrate.controller import Controller
from migrationlab.migrate.finish import finish
from migrationlab.migrate.record import MigrationRecord
from migrationlab.plan.policies.action import Action, ActionKind
from migrationlab.plan.settings import settings
from migrationlab.runs.run import Outcome, Run
from migrationlab.steps import Listener, Step, StepState, ignore

#: The outcome of a stopped migration by the cause of the stop; any other cause: cancelled.
STOPPED = {"deadline_s": Outcome.TIMED_OUT, "abort_when_diverging_s": Outcome.DIVERGED}
#: How old the forecast in the progress may be.
FORECAST_S = 1.0
#: How long the call may outlast the deadline, or post-copy its last progress after the deadline.
DEADLINE_GRACE_S = 3.0
#: How long to wait for an action that libvirt has not answered yet, once the call is given up.
UNANSWERED_S = 0.5
#: The outcomes after which the guest is at the source, and gets its limits back.
UNDONE = (Outcome.CANCELLED, Outcome.TIMED_OUT, Outcome.DIVERGED, Outcome.FAILED)
#: How long the call may outlast any other stop. A switchover that has begun needs some seconds.
STOP_GRACE_S = 10.0


@dataclass(frozen=True, slots=True)
class Progress:
    """The progress of a migration.

    Attributes:
        state: "starting", "running", "post-copy", "finishing", or the outcome once there is one.
        elapsed_ms: Time since libvirt's call.
        iteration: The current iteration of pre-copy, from 1; None before the first.
        memory_total_bytes: The guest's memory; None before the first sample.
        memory_remaining_bytes: The rest of the memory that is still to be sent.
        throughput_bytes_per_s: The rate at which memory is sent.
        expected_downtime_ms: The downtime that QEMU expects.
        forecast: What is forecast, at most a second old; None if it does not run, or before the
            first sample.
    """

    state: str
    elapsed_ms: int
    iteration: int | None = None
    memory_total_bytes: int | None = None
    memory_remaining_bytes: int | None = None
    throughput_bytes_per_s: int | None = None
    expected_downtime_ms: int | None = None
    forecast: RunningForecast | None = None

    @property
    def fraction(self) -> float | None:
        """Return the share of the memory that the destination has now."""
        if not self.memory_total_bytes or self.memory_remaining_bytes is None:
            return None
        return 1 - self.memory_remaining_bytes / self.memory_total_bytes


class Migration:
    """A migration under way, made and begun by :func:`start`.

    Calls that change it wait for the first iteration and for libvirt's answer, some seconds at
    most. All of them raise UsageError for a value out of range or a change without effect at this
    moment, and HostError if libvirt refuses or does not answer.
    """

    def __init__(self, record: MigrationRecord, on_step: Listener) -> None:
        self.guest = record.guest
        self.source, self.destination = record.source, record.destination
        self.plan = record.plan
        self._record = record
        self._recorder = record.recorder
        self._controller = Controller(
            record.control,
            record.plan,
            record.recorder.events,
            downtime_limit_ms=record.downtime_limit_ms,
            guest=record.policy_guest,
            on_stop=lambda: self._news.put(None),
        )
        #: Wakes the thread that waits for the call: the call is over, or is to be stopped.
        self._news: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._stopped_s: float | None = None
        self._began_s = self._progressed_s = 0.0
        self._sample: Sample | None = None
        self._seen = SeenMigration()
        self._told: tuple[float, RunningForecast] | None = None
        self._done = threading.Event()
        self._run: Run | None = None
        self._failure: BaseException | None = None
        self._on_step = on_step
        thread = threading.Thread(target=self._migrate, name="migration")
        try:
            thread.start()
        except KeyboardInterrupt:
            # Thread.start() waits for the thread, and a Ctrl-C can arrive at that moment, when
            # nobody has this object yet to cancel it.
            self.cancel()
            self._done.wait()
            raise

    def __repr__(self) -> str:
        way = f"{self.source.name} → {self.destination.name}"
        return f"Migration({self._record.name!r}, {self.plan.mode}, {way}, {self.progress().state})"

    @property
    def done(self) -> bool:
        """Return whether the migration is over and its run is there."""
        return self._done.is_set()

    def progress(self) -> Progress:
        """Return the progress from the latest sample; never blocks."""
        called_ns = self._record.called_ns
        elapsed = (time.time_ns() - called_ns) // 1_000_000 if called_ns else 0
        if self._run is not None:
            state, elapsed = str(self._run.outcome), round(self._run.summary()["call_ms"])
        elif self._record.returned_ns or self.done:
            state = "finishing"
        elif self._controller.in_postcopy:
            state = "post-copy"
        else:
            state = "running" if self._sample else "starting"
        values = self._sample.statistics if self._sample else {}
        return Progress(
            state,
            elapsed,
            iteration=values.get("iteration"),
            memory_total_bytes=values.get("memory_total_bytes"),
            memory_remaining_bytes=values.get("memory_remaining_bytes"),
            throughput_bytes_per_s=values.get("memory_bps"),
            expected_downtime_ms=values.get("expected_downtime_ms"),
            forecast=self._recent_forecast() if state == "running" else None,
        )

    def forecast(self) -> RunningForecast:
        """Forecast the rest from the iterations so far: whether it ends, when, what to change.

        The time left does not run backwards. Before the second iteration nothing is known. Never
        blocks.
        """
        limit_ms = self._controller.downtime_limit_ms or DEFAULT_DOWNTIME_MS
        return self._seen.forecast(self.plan, limit_ms, time.time_ns())

    def _recent_forecast(self) -> RunningForecast:
        """Return the forecast of the last second: each takes some ms of the machine's time."""
        now_s = time.monotonic()
        if self._told is None or now_s >= self._told[0] + FORECAST_S:
            self._told = (now_s, self.forecast())
        return self._told[1]

    def wait(self, timeout_s: float | None = None) -> Run:
        """Wait for the end, ``timeout_s`` at most, and return the run with any outcome.

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
        """Ask for the cancellation and return at once; does nothing if the migration is over.

        The guest continues at the source. A migration whose switchover has begun can complete all
        the same.
        UsageError in post-copy, which cannot be cancelled.
        """
        self._controller.stop()

    def set_max_downtime(self, max_downtime_ms: int) -> None:
        """Change the maximum downtime. Steps of the plan's policy continue from there."""
        value = _in_range("max_downtime_ms", max_downtime_ms)
        self._controller.do(Action(ActionKind.SET_MAX_DOWNTIME, value=value))

    def set_bandwidth(self, bandwidth_mib_s: int | None, *, postcopy: bool = False) -> None:
        """Change the limit of the rate at which memory is sent; None for no limit.

        Args:
            bandwidth_mib_s: The new limit in MiB/s.
            postcopy: Whether to change the limit of post-copy, which is a separate one.
        """
        field = "postcopy_bandwidth_mib_s" if postcopy else "bandwidth_mib_s"
        value = None if bandwidth_mib_s is None else _in_range(field, bandwidth_mib_s)
        kind = ActionKind.SET_POSTCOPY_BANDWIDTH if postcopy else ActionKind.SET_BANDWIDTH
        self._controller.do(Action(kind, value=value))

    def set_compression_cache(self, xbzrle_cache_bytes: int) -> None:
        """Change the size of the cache that xbzrle compresses against.

        It must be a power of two, not larger than the guest's memory needs. QEMU would accept a
        larger one: it gains nothing, and its table takes memory of the source.
        """
        value = _in_range("xbzrle_cache_bytes", xbzrle_cache_bytes)
        memory = self.progress().memory_total_bytes
        if memory is not None and value >= 2 * memory:
            largest = 1 << (memory - 1).bit_length()
            raise UsageError(
                f"xbzrle_cache_bytes must be at most {largest} (got {value})",
                hint=f"Give {largest} or less: the guest has {memory >> 20} MiB of memory",
            )
        if value & (value - 1):
            below = 1 << (value.bit_length() - 1)
            raise UsageError(
                f"xbzrle_cache_bytes must be a power of two (got {value})",
                hint=f"Give {below} or {below * 2}.",
            )
        self._controller.do(Action(ActionKind.SET_COMPRESSION_CACHE, value=value))

    def start_postcopy(self) -> None:
        """Switch to post-copy: the guest continues at the destination, and its memory follows.

        Returns when libvirt has accepted the request. The switch follows within milliseconds;
        then ``progress().state`` is "post-copy".
        """
        self._controller.do(Action(ActionKind.START_POSTCOPY))

    def pause_postcopy(self) -> None:
        """Pause post-copy, like a broken network.

        The migration ends as interrupted: the guest runs at the destination until it needs
        memory that is still at the source. Resume it with Plan(postcopy_resume=True).
        """
        self._controller.do(Action(ActionKind.PAUSE_POSTCOPY))

    def suspend(self) -> None:
        """Pause the guest, so that the rest can be sent; it continues at the destination.

        If the migration fails after all, the guest continues at the source.
        """
        self._controller.do(Action(ActionKind.SUSPEND))

    def _migrate(self) -> None:
        """Do the migration; the body of its thread."""
        record, recorder = self._record, self._recorder
        try:
            self._report("started", str(self.plan.mode))
            recorder.start(self._on_sample)
            self._began_s = self._progressed_s = time.monotonic()
            record.called_ns = recorder.events.note("call")
            self._controller.begin()
            call = start_call(record.call, "migration-call")
            call.add_done_callback(lambda _: self._news.put(None))
            self._await(call)
            recorder.returned()
            self._run = self._finish()
            self._report("done" if record.error is None else "failed", str(self._run.outcome))
        except BaseException as failure:  # noqa: BLE001 - handed to whoever waits
            self._failure = failure
            self._report("failed", str(failure))
        finally:
            self._controller.end()
            record.close()
            self._done.set()

    def _await(self, call: Future[object]) -> None:
        """Wait for libvirt's call as long as it may last, and record how it ended."""
        record = self._record
        while not call.done():
            limit_s = self._limit_s()
            left_s = None if limit_s is None else limit_s - time.monotonic()
            if left_s is not None and left_s <= 0:
                record.returned_ns = record.recorder.events.note("unresolved")
                self._controller.end(UNANSWERED_S)
                record.pending = call
                for connection in record.connections:
                    waits_on(connection, call)
                return
            try:
                self._news.get(timeout=left_s)
            except queue.Empty:
                continue
            if self._controller.stopped_by is not None and self._stopped_s is None:
                self._stopped_s = time.monotonic()
        record.returned_ns = record.recorder.events.note("return")
        error = call.exception()
        if isinstance(error, libvirt.libvirtError):
            record.error = refusal(error)
        elif error is not None:
            raise error
        self._controller.end()

    def _limit_s(self) -> float | None:
        """Return when the wait for the call ends, by the monotonic clock; None for no limit.

        Post-copy cannot be stopped, so after the deadline it has time while it makes progress.
        """
        limits = []
        if self.plan.deadline_s is not None:
            deadline_s = self._began_s + self.plan.deadline_s
            if self._controller.in_postcopy:
                deadline_s = max(deadline_s, self._progressed_s)
            limits.append(deadline_s + DEADLINE_GRACE_S)
        if self._stopped_s is not None and not self._controller.in_postcopy:
            limits.append(self._stopped_s + STOP_GRACE_S)
        return min(limits, default=None)

    def _finish(self) -> Run:
        record, controller = self._record, self._controller
        record.warnings += controller.warnings
        record.downtime_limit_ms = controller.downtime_limit_ms
        record.outcome = self._outcome()
        if record.outcome in UNDONE:
            try:
                record.undo()
            except (libvirt.libvirtError, HostError) as error:
                record.warnings.append(f"a limit of this migration stays on the guest: {error}")
        return finish(record)

    def _outcome(self) -> Outcome:
        if self._record.pending is not None:
            return Outcome.UNRESOLVED
        if self._record.error is None:
            return Outcome.COMPLETED
        if self._controller.in_postcopy:
            return Outcome.INTERRUPTED
        by = self._controller.stopped_by
        return Outcome.FAILED if by is None else STOPPED.get(by, Outcome.CANCELLED)

    def _on_sample(self, sample: Sample) -> None:
        left = None if self._sample is None else self._sample.statistics.get("data_remaining_bytes")
        if sample.statistics.get("data_remaining_bytes") != left:
            self._progressed_s = time.monotonic()
        self._sample = sample
        self._seen.sampled(sample.time_ns, sample.statistics)
        self._controller.sampled(sample)
        progress = self.progress()
        told = progress.forecast
        ahead = "" if told is None or told.ends is None else f", {told}"
        remaining = (progress.memory_remaining_bytes or 0) / 2**20
        rate = (progress.throughput_bytes_per_s or 0) / 2**20
        self._report(
            "progress",
            f"iteration {progress.iteration or 0}, {remaining:.0f} MiB to go, {rate:.0f} MiB/s"
            f"{ahead}",
            progress.fraction,
        )

    def _report(self, state: StepState, detail: str, fraction: float | None = None) -> None:
        what = f"migrating {self._record.name} from {self.source.name} to {self.destination.name}"
        try:
            self._on_step(Step(what, state, detail, fraction))
        except Exception as error:  # noqa: BLE001 - a listener's error must not end a migration
            self._recorder.events.warnings.append(
                f"a listener failed and is not called again: {error!r}"
            )
            self._on_step = ignore


def _in_range(field: str, value: object) -> int:
    """Return a value that its setting allows; UsageError if it is no integer or out of range."""
    about = settings()[field]
    low, high = about.low, about.high
    assert low is not None
    assert high is not None
    if isinstance(value, int) and not isinstance(value, bool) and low <= value <= high:
        return value
    wanted = f"an integer from {low:g} to {high:g}"
    # Python refuses to print an integer of thousands of digits.
    given = "more" if isinstance(value, int) and abs(value) >= 10**18 else repr(value)
    unit = f" {about.unit}" if about.unit else ""
    raise UsageError(f"{field} must be {wanted} (got {given})", hint=f"Give {wanted}{unit}.")
