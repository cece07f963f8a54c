"""Acts on a migration under way: what the user asks for, the plan's policies, and the deadline.

Theory of operation. One thread, on a connection of its own, does everything that is done to the
migration, one thing after the other; whoever else has something to say puts it into its inbox:
callers a request, libvirt's event thread an event, the sampler a sample. So a caller waits for
libvirt's answer only as long as it will, and a policy sees the same order of things as libvirt.

What steers a transfer waits until the first pass has begun: what is set before would be
overwritten when libvirt starts the transfer, and post-copy would be refused. A pause of post-copy
waits until the guest has run at the destination for :data:`SETTLE_S`: libvirt 11.3 misses one
that comes earlier, and then its call never returns. A stop (cancel, deadline, divergence) is asked
for again and again until the call has returned: in its first moments there is no job yet.

Whatever is done, or refused, is an event of the run. Imports no libvirt: the domain that it acts
on is given. Never imports ``lab``.
"""

from __future__ import annotations

import json
import queue
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import CancelledError, Future
from dataclasses import dataclass
from typing import Any, Protocol

from migrationlab.capture.events import EventLog, Row
from migrationlab.capture.job_stats import Sample
from migrationlab.errors import HostError, UsageError
from migrationlab.hosts.host import refusals
from migrationlab.migrate.policies import Action, ActionKind, Policies, downtime_steps
from migrationlab.plan.plan import Plan

#: How long a caller waits for libvirt's answer, which usually takes some milliseconds.
ANSWER_TIMEOUT_S = 5.0
ABORT_INTERVAL_S = 0.05
SETTLE_S = 0.1
#: libvirt's own numbers: VIR_ERR_OPERATION_INVALID, VIR_DOMAIN_ABORT_JOB_POSTCOPY (8.5),
#: VIR_DOMAIN_MIGRATE_MAX_SPEED_POSTCOPY (5.1), QEMU_DOMAIN_MIG_BANDWIDTH_MAX; state and reasons
#: VIR_DOMAIN_PAUSED, VIR_DOMAIN_PAUSED_POSTCOPY and …_POSTCOPY_FAILED.
OPERATION_INVALID = 55
ABORT_POSTCOPY = 1
SPEED_POSTCOPY = 1
NO_LIMIT_MIB_S = 8_796_093_022_207
PAUSED, IN_POSTCOPY = 3, (12, 13)

#: Why nothing is cancelled in post-copy.
NO_WAY_BACK = (
    "the migration is in post-copy: the guest runs at the destination already, and part of its "
    "memory is still at the source"
)
#: The unit of each act's value, as the event's detail names it.
VALUES = {
    ActionKind.SET_MAX_DOWNTIME: "max_downtime_ms",
    ActionKind.SET_BANDWIDTH: "bandwidth_mib_s",
    ActionKind.SET_POSTCOPY_BANDWIDTH: "postcopy_bandwidth_mib_s",
    ActionKind.SET_COMPRESSION_CACHE: "xbzrle_cache_bytes",
}


class Domain(Protocol):
    """What steering calls of libvirt's ``virDomain``."""

    def abortJob(self) -> object: ...  # noqa: N802, D102 - libvirt's names, here and below
    def abortJobFlags(self, flags: int) -> object: ...  # noqa: N802, D102
    def migrateSetCompressionCache(self, cacheSize: int) -> object: ...  # noqa: N802, N803, D102
    def migrateSetMaxDowntime(self, downtime: int) -> object: ...  # noqa: N802, D102
    def migrateSetMaxSpeed(self, bandwidth: int, flags: int = 0) -> object: ...  # noqa: N802, D102
    def migrateStartPostCopy(self) -> object: ...  # noqa: N802, D102
    def state(self) -> Sequence[int]: ...  # noqa: D102
    def suspend(self) -> object: ...  # noqa: D102


@dataclass(frozen=True, slots=True)
class _Request:
    action: Action
    answer: Future[None]


class Controller:
    """Acts on one migration, from :meth:`begin` to :meth:`end`.

    Args:
        domain: The domain at the source, on a connection that nothing else waits on.
        plan: The plan: its policies act by themselves.
        events: Where to write down what is done.
        limit_ms: The maximum downtime in force before.
        clock: Seconds, on any scale that only rises.
    """

    def __init__(
        self,
        domain: Domain,
        plan: Plan,
        events: EventLog,
        *,
        limit_ms: int | None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._domain = domain
        self._plan = plan
        self._events = events
        self._clock = clock
        self._policies = Policies(plan)
        self._inbox: queue.SimpleQueue[_Request | Row | Sample | None] = queue.SimpleQueue()
        self._waiting: list[_Request] = []
        self._began_s = 0.0
        self._pass = 0
        self._switching = False
        self._stands = False
        self._arrived_s: float | None = None
        self._lock = threading.Lock()
        self._ended = False
        self._thread = threading.Thread(target=self._work, name="migration-steering", daemon=True)
        steps = downtime_steps(plan)
        self.limit_ms = steps[0][1] if steps else limit_ms
        self.in_postcopy = False
        self.stopped_by: str | None = None
        self.warnings: list[str] = []

    def begin(self) -> None:
        """Begin to act: libvirt's call is made now."""
        # What is taken up again has gone over already, and libvirt says nothing of that anew.
        if self._plan.postcopy_resume and self._is_over_there():
            self.in_postcopy = True
            self._decided(yes=True)
        self._began_s = self._clock()
        self._events.listener = self._inbox.put
        self._thread.start()

    def sampled(self, sample: Sample) -> None:
        """Hear a sample of the job; from any thread."""
        self._inbox.put(sample)

    def end(self) -> None:
        """ActionKind no more: libvirt's call has returned. Once more does no harm."""
        with self._lock:
            if self._ended:
                return
            self._ended = True
        self._events.listener = None
        self._inbox.put(None)
        if self._thread.ident is not None:
            self._thread.join(ANSWER_TIMEOUT_S)

    def stop(self, by: str = "user") -> None:
        """Ask for the migration to be cancelled, and return at once; the first to ask counts.

        Args:
            by: Who asks, as :attr:`Action.by`.

        Raises:
            UsageError: The guest runs at the destination already, in post-copy.
        """
        with self._lock:
            if self._ended or self.stopped_by is not None:
                return
            act = ActionKind.DEADLINE if by == "deadline_s" else ActionKind.CANCEL
            if self.in_postcopy:
                refused = UsageError(
                    f"it cannot be cancelled: {NO_WAY_BACK}",
                    hint="let it complete; pause_postcopy() would hold the guest up instead",
                )
                self._events.note(act, by=by, refused=str(refused))
                raise refused
            self.stopped_by = by
            self._events.note(act, by=by)
        if threading.current_thread() is not self._thread:
            self._inbox.put(_Request(Action(act, by), Future()))

    def do(self, action: Action, timeout_s: float = ANSWER_TIMEOUT_S) -> None:
        """Do something to the migration, and return when libvirt has taken it.

        Args:
            action: What to do.
            timeout_s: How long to wait for it.

        Raises:
            UsageError: It makes no sense at this moment, or in this migration at all.
            HostError: libvirt refused, or has not answered yet.
        """
        self._require_sense(action)
        request = _Request(action, Future())
        self._inbox.put(request)
        try:
            request.answer.result(timeout_s)
        except CancelledError as error:
            raise _over() from error
        except TimeoutError as error:
            if self._ended:
                raise _over() from error
            if request.answer.cancel():
                raise UsageError(
                    f"{action.kind} has to wait until the migration is further, and was given up",
                    hint="try again once progress() tells of pass 1, or of post-copy for its pause",
                ) from error
            raise HostError(
                f"libvirt has not answered to {action.kind} within {timeout_s:g} s",
                hint="it may still do it: the run will tell",
            ) from error

    def _is_over_there(self) -> bool:
        try:
            with refusals():
                state, reason = self._domain.state()
        except HostError as error:
            self.warnings.append(f"whether the guest has gone over is not known: {error}")
            return False
        return state == PAUSED and reason in IN_POSTCOPY

    # --- on the one thread --------------------------------------------------------------------

    def _work(self) -> None:
        while True:
            try:
                message = self._inbox.get(timeout=self._patience())
            except queue.Empty:
                due = self._policies.passed(self._now())
            else:
                if message is None:
                    break
                due = self._heard(message)
            for action in due:
                self._follow(action)
            self._serve()
            if self.stopped_by is not None:
                self._abort()
        while not self._inbox.empty():
            if isinstance(left := self._inbox.get(), _Request):
                self._waiting.append(left)
        for request in self._waiting:
            request.answer.cancel()

    def _now(self) -> float:
        return self._clock() - self._began_s

    def _patience(self) -> float | None:
        """How long to wait for news before something is to be done without any."""
        times = []
        if (next_s := self._policies.next_s) is not None:
            times.append(next_s - self._now())
        if self.stopped_by is not None:
            times.append(ABORT_INTERVAL_S)
        if self._waiting and self._arrived_s is not None:
            times.append(self._arrived_s + SETTLE_S - self._now())
        return max(min(times), 0.001) if times else None

    def _heard(self, message: _Request | Row | Sample) -> tuple[Action, ...]:
        if isinstance(message, _Request):
            if message.action.kind not in (ActionKind.CANCEL, ActionKind.DEADLINE):
                self._waiting.append(message)
            return ()
        if isinstance(message, Sample):
            self._pass = max(message.statistics.get("iteration", 0), self._pass)
            return self._policies.sampled(message.statistics, self._now())
        _, _, side, origin, name, detail = message
        if origin != "libvirt":
            return ()
        if name == "migration_iteration":
            self._pass = max(int(json.loads(detail)["iteration"]), self._pass)
            return self._policies.began_pass(self._pass, self._now())
        if name == "lifecycle.SUSPENDED.POSTCOPY":
            with self._lock:
                self.in_postcopy = True
                if self.stopped_by is not None:
                    self.warnings.append(f"{self.stopped_by} cancelled too late: {NO_WAY_BACK}")
                    self.stopped_by = None
            self._decided(yes=True)
        elif name == "lifecycle.RESUMED.POSTCOPY" and side == "destination":
            self._arrived_s = self._now()
        elif name == "lifecycle.SUSPENDED.MIGRATED" and side == "source":
            self._decided(yes=True)
        elif name.startswith("lifecycle.RESUMED.") and side == "source":
            self._decided(yes=False)
        return ()

    def _decided(self, *, yes: bool) -> None:
        """Take down whether the guest has stopped at the source: no limit changes that any more."""
        self._stands = yes
        self._policies.decided(yes=yes)

    def _serve(self) -> None:
        """Do what was asked for and can be done by now."""
        waiting, self._waiting = self._waiting, []
        for request in waiting:
            if not self._is_time(request.action):
                self._waiting.append(request)
            elif request.answer.set_running_or_notify_cancel():
                try:
                    self._act(request.action)
                except (HostError, UsageError) as error:
                    request.answer.set_exception(error)
                else:
                    request.answer.set_result(None)

    def _is_time(self, action: Action) -> bool:
        if action.kind is ActionKind.PAUSE_POSTCOPY:
            return self._arrived_s is not None and self._now() >= self._arrived_s + SETTLE_S
        return self._pass > 0

    def _follow(self, action: Action) -> None:
        """Do what a policy wants; where it is refused, the run has a warning."""
        try:
            if action.kind in (ActionKind.CANCEL, ActionKind.DEADLINE):
                self.stop(action.by)
            else:
                self._act(action)
        except (HostError, UsageError) as error:
            self.warnings.append(f"{action.by} had no effect: {error}")

    def _act(self, action: Action) -> None:
        detail: dict[str, Any] = {"by": action.by}
        if action.kind in VALUES:
            detail[VALUES[action.kind]] = action.value
        try:
            self._require_sense(action)
            with refusals():
                self._call(action)
        except (HostError, UsageError) as error:
            self._events.note(action.kind, **detail, refused=str(error))
            raise
        self._events.note(action.kind, **detail)

    def _call(self, action: Action) -> None:
        value = action.value or 0
        match action.kind:
            case ActionKind.SET_MAX_DOWNTIME:
                self._domain.migrateSetMaxDowntime(value)
                if not self._stands:
                    self.limit_ms = value
                self._policies.allowed(value)
            case ActionKind.SET_BANDWIDTH:
                self._domain.migrateSetMaxSpeed(value or NO_LIMIT_MIB_S)
            case ActionKind.SET_POSTCOPY_BANDWIDTH:
                self._domain.migrateSetMaxSpeed(value, SPEED_POSTCOPY)
            case ActionKind.SET_COMPRESSION_CACHE:
                self._domain.migrateSetCompressionCache(value)
            case ActionKind.START_POSTCOPY:
                self._domain.migrateStartPostCopy()
                self._switching = True
            case ActionKind.PAUSE_POSTCOPY:
                self._domain.abortJobFlags(ABORT_POSTCOPY)
            case ActionKind.SUSPEND:
                self._domain.suspend()
            case ActionKind.CANCEL | ActionKind.DEADLINE:
                raise AssertionError("a stop has a way of its own")

    def _abort(self) -> None:
        if self.in_postcopy or self._ended:
            return
        try:
            with refusals():
                self._domain.abortJob()
        except HostError as error:
            if error.code != OPERATION_INVALID:
                self._events.note("abort_refused", text=str(error))  # else: no job yet, or no more

    def _require_sense(self, action: Action) -> None:
        """Refuse what cannot have an effect, in this migration or at this moment."""
        if self._ended:
            raise _over()
        if self.stopped_by is not None:
            raise UsageError(
                f"the migration is being cancelled already (by {self.stopped_by})",
                hint="wait() gives its run",
            )
        gone = self._switching or self.in_postcopy
        match action.kind:
            case ActionKind.SET_COMPRESSION_CACHE if not _has_cache(self._plan):
                problem = "this migration has no compression cache"
                hint = 'migrate with Plan(compression=("xbzrle",))'
            case ActionKind.START_POSTCOPY | ActionKind.SET_POSTCOPY_BANDWIDTH if (
                not self._plan.postcopy
            ):
                problem = "this migration cannot switch to post-copy"
                hint = "migrate with Plan(postcopy=True)"
            case ActionKind.START_POSTCOPY if gone:
                problem = "this migration has switched to post-copy already"
                hint = "pause_postcopy() pauses it"
            case ActionKind.PAUSE_POSTCOPY if not gone:
                problem = "this migration is not in post-copy, so there is nothing to pause"
                hint = "cancel() ends it, and the guest goes on at the source"
            case ActionKind.SET_BANDWIDTH if self.in_postcopy:
                problem = f"that bandwidth has no effect any more: {NO_WAY_BACK}"
                hint = "set_bandwidth(…, postcopy=True) limits what is sent now"
            case ActionKind.SET_MAX_DOWNTIME | ActionKind.SUSPEND if self.in_postcopy:
                problem = f"{action.kind} has no effect any more: {NO_WAY_BACK}"
                hint = "wait until it is complete"
            case _:
                return
        raise UsageError(problem, hint=hint)


def _has_cache(plan: Plan) -> bool:
    """Return whether a plan compresses by xbzrle, which is libvirt's method by default."""
    return plan.compression is not None and (not plan.compression or "xbzrle" in plan.compression)


def _over() -> UsageError:
    return UsageError("the migration is over", hint="wait() gives its run")
