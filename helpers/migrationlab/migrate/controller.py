"""Act on a migration under way: for its user, for the plan's policies, and at the deadline.

Theory of operation. One thread, on its own connection, makes every change to the migration, one
after the other. All others put a message into its inbox: callers a request, libvirt's event thread
an event, the sampler a sample. So a caller can limit its wait for libvirt's answer, and a policy
sees events in the same order as libvirt.

Three kinds of action have to wait or to be repeated:

- A change of the transfer waits until the first iteration has begun. libvirt overwrites earlier
  values when it starts the transfer, and refuses to switch to post-copy.
- A pause of post-copy waits until the guest has run at the destination for :data:`SETTLE_S`.
  libvirt 11.3 misses an earlier pause, and then its call never returns.
- A stop (cancel, deadline, divergence) is repeated until the call has returned: in the first
  moments there is no job yet that could be aborted.

Each action and each refusal becomes an event of the run.
"""

from __future__ import annotations

import json
import queue
import threading
import time
from collections.abc import Callable
from concurrent.futures import CancelledError, Future
from dataclasses import dataclass
from typing import Any

import libvirt

from migrationlab.capture.events import EventLog, Row
from migrationlab.capture.job_stats import Sample
from migrationlab.errors import HostError, UsageError
from migrationlab.hosts.connection import refusals, waits_on
from migrationlab.hosts.time_limit import start_call
from migrationlab.migrate.policies import Policies, first_downtime_ms
from migrationlab.plan.plan import Plan
from migrationlab.plan.policies.action import Action, ActionKind
from migrationlab.plan.policies.policy import PolicyGuest

#: How long a caller waits for libvirt's answer, which usually takes some milliseconds.
ANSWER_TIMEOUT_S = 5.0
ABORT_INTERVAL_S = 0.05
SETTLE_S = 0.1
#: QEMU_DOMAIN_MIG_BANDWIDTH_MAX in libvirt's src/qemu/qemu_domain.h.
NO_LIMIT_MIB_S = 8_796_093_022_207
IN_POSTCOPY = (libvirt.VIR_DOMAIN_PAUSED_POSTCOPY, libvirt.VIR_DOMAIN_PAUSED_POSTCOPY_FAILED)

#: The reason why post-copy cannot be cancelled.
NO_WAY_BACK = (
    "the migration is in post-copy: the guest runs at the destination, and part of its memory is "
    "still at the source"
)
#: For each action except the stops: libvirt's method, its flags, and the name of the action's value
#: in the detail of its event.
CALLS: dict[ActionKind, tuple[str, tuple[int, ...], str | None]] = {
    ActionKind.SET_MAX_DOWNTIME: ("migrateSetMaxDowntime", (), "max_downtime_ms"),
    ActionKind.SET_BANDWIDTH: ("migrateSetMaxSpeed", (), "bandwidth_mib_s"),
    ActionKind.SET_POSTCOPY_BANDWIDTH: (
        "migrateSetMaxSpeed",
        (libvirt.VIR_DOMAIN_MIGRATE_MAX_SPEED_POSTCOPY,),
        "postcopy_bandwidth_mib_s",
    ),
    ActionKind.SET_COMPRESSION_CACHE: ("migrateSetCompressionCache", (), "xbzrle_cache_bytes"),
    ActionKind.START_POSTCOPY: ("migrateStartPostCopy", (), None),
    ActionKind.PAUSE_POSTCOPY: ("abortJobFlags", (libvirt.VIR_DOMAIN_ABORT_JOB_POSTCOPY,), None),
    ActionKind.SUSPEND: ("suspend", (), None),
}
STOPS = (ActionKind.CANCEL, ActionKind.DEADLINE)


@dataclass(frozen=True, slots=True)
class _Request:
    action: Action
    answer: Future[None]


class Controller:
    """Act on one migration, from :meth:`begin` to :meth:`end`.

    Args:
        domain: The domain at the source, on a connection without blocking calls.
        plan: The plan with its policies.
        events: The log of all actions.
        downtime_limit_ms: The maximum downtime in force before the migration.
        guest: The guest, for a named policy.
        on_stop: Called when the migration is to be stopped, on any thread.
        clock: Seconds, on any scale that only rises.
    """

    def __init__(
        self,
        domain: libvirt.virDomain,
        plan: Plan,
        events: EventLog,
        *,
        downtime_limit_ms: int | None,
        guest: PolicyGuest | None = None,
        on_stop: Callable[[], object] = lambda: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._domain = domain
        self._plan = plan
        self._events = events
        self._clock = clock
        self._on_stop = on_stop
        self._policies = Policies(plan, guest)
        self._inbox: queue.SimpleQueue[_Request | Row | Sample | None] = queue.SimpleQueue()
        self._waiting: list[_Request] = []
        self._began_s = 0.0
        self._switching = False
        self._arrived_s: float | None = None
        self._lock = threading.Lock()
        self._ended = False
        self._thread = threading.Thread(target=self._work, name="migration-control", daemon=True)
        first_ms = first_downtime_ms(plan)
        self.downtime_limit_ms = downtime_limit_ms if first_ms is None else first_ms
        self.in_postcopy = False
        self.stopped_by: str | None = None
        self.warnings: list[str] = []

    def begin(self) -> None:
        """Begin to act, at the moment of libvirt's call."""
        # A resumed post-copy has switched over already, so libvirt sends no new event.
        if self._plan.postcopy_resume and self._is_in_postcopy():
            self.in_postcopy = True
            self._policies.switchover(began=True)
        self._began_s = self._clock()
        self._events.listener = self._inbox.put
        self._thread.start()

    def sampled(self, sample: Sample) -> None:
        """Take a sample of the job. Any thread may call this."""
        self._inbox.put(sample)

    def end(self, timeout_s: float = ANSWER_TIMEOUT_S) -> None:
        """Stop acting, after libvirt's call has returned. A second call does nothing.

        An action that libvirt does not answer is left to itself after ``timeout_s``.
        """
        with self._lock:
            if self._ended:
                return
            self._ended = True
        self._events.listener = None
        self._inbox.put(None)
        if self._thread.ident is not None:
            self._thread.join(timeout_s)
        if self._thread.is_alive():
            waits_on(self._domain.connect(), start_call(self._thread.join, "migration-answer"))

    def stop(self, by: str = "user", *, why: str = "") -> None:
        """Ask to cancel the migration and return at once; only the first request counts.

        ``by`` and ``why`` are as in :class:`Action`. Post-copy raises UsageError.
        """
        with self._lock:
            if self._ended or self.stopped_by is not None:
                return
            kind = ActionKind.DEADLINE if by == "deadline_s" else ActionKind.CANCEL
            if self.in_postcopy:
                error = UsageError(
                    f"the migration cannot be cancelled: {NO_WAY_BACK}",
                    hint="Call wait() until it is complete, or pause_postcopy().",
                )
                self._events.note(kind, by=by, refused=str(error))
                raise error
            self.stopped_by = by
            self._events.note(kind, by=by, **self._named(by, why))
        self._on_stop()
        if threading.current_thread() is not self._thread:
            self._inbox.put(_Request(Action(kind, by), Future()))

    def do(self, action: Action, timeout_s: float = ANSWER_TIMEOUT_S) -> None:
        """Act on the migration, and return when libvirt has accepted it.

        Raises:
            UsageError: The action has no effect at this moment, or in this migration at all.
            HostError: libvirt refused, or has not answered yet.
        """
        self._require_effect(action)
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
                    f"{action.kind} failed: the migration has not come far enough "
                    f"within {timeout_s:g} s",
                    hint="Try again when progress().iteration is 1 or more; for pause_postcopy(), "
                    'when progress().state is "post-copy"',
                ) from error
            raise HostError(
                f"{action.kind} failed: libvirt has not answered within {timeout_s:g} s",
                hint="Look at the run's timeline later: libvirt may still do it.",
            ) from error

    def _is_in_postcopy(self) -> bool:
        try:
            with refusals():
                state, reason = self._domain.state()
        except HostError as error:
            self.warnings.append(f"the state of the resumed post-copy is not known: {error}")
            return False
        return state == libvirt.VIR_DOMAIN_PAUSED and reason in IN_POSTCOPY

    # --- on the controller's thread -----------------------------------------------------------

    def _work(self) -> None:
        while True:
            try:
                message = self._inbox.get(timeout=self._wait_s())
            except queue.Empty:
                due = self._policies.time_passed(self._now())
            else:
                if message is None:
                    break
                due = self._receive(message)
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

    def _wait_s(self) -> float | None:
        """Return the longest wait for a message until an action is due without one."""
        times = []
        if (next_s := self._policies.next_s) is not None:
            times.append(next_s - self._now())
        if self.stopped_by is not None:
            times.append(ABORT_INTERVAL_S)
        if self._waiting and self._arrived_s is not None:
            times.append(self._arrived_s + SETTLE_S - self._now())
        return max(min(times), 0.001) if times else None

    def _receive(self, message: _Request | Row | Sample) -> tuple[Action, ...]:
        """Take a message; return the actions of the policies."""
        if isinstance(message, _Request):
            if message.action.kind not in STOPS:
                self._waiting.append(message)
            return ()
        if isinstance(message, Sample):
            return self._policies.sampled(message.statistics, self._now())
        _, _, side, origin, name, detail = message
        if origin != "libvirt":
            return ()
        if name == "migration_iteration":
            return self._policies.iteration_began(int(json.loads(detail)["iteration"]), self._now())
        if name == "lifecycle.SUSPENDED.POSTCOPY":
            with self._lock:
                self.in_postcopy = True
                if self.stopped_by is not None:
                    self.warnings.append(f"{self.stopped_by} cancelled too late: {NO_WAY_BACK}")
                    self.stopped_by = None
            self._policies.switchover(began=True)
        elif name == "lifecycle.RESUMED.POSTCOPY" and side == "destination":
            self._arrived_s = self._now()
        elif name == "lifecycle.SUSPENDED.MIGRATED" and side == "source":
            self._policies.switchover(began=True)
        elif name.startswith("lifecycle.RESUMED.") and side == "source":
            self._policies.switchover(began=False)
        return ()

    def _serve(self) -> None:
        """Do the requests that are possible now."""
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
        return self._policies.iteration > 0

    def _follow(self, action: Action) -> None:
        """Do an action of a policy; a refusal becomes a warning of the run."""
        try:
            if action.kind in STOPS:
                self.stop(action.by, why=action.why)
            else:
                self._act(action)
        except (HostError, UsageError) as error:
            self.warnings.append(f"{action.by} had no effect: {error}")

    def _act(self, action: Action) -> None:
        method, flags, name = CALLS[action.kind]
        detail: dict[str, Any] = {"by": action.by} | ({name: action.value} if name else {})
        detail |= self._named(action.by, action.why)
        unlimited = action.kind is ActionKind.SET_BANDWIDTH
        value = action.value or (NO_LIMIT_MIB_S if unlimited else 0)
        try:
            self._require_effect(action)
            with refusals():
                getattr(self._domain, method)(*([value] if name else []), *flags)
        except (HostError, UsageError) as error:
            self._events.note(action.kind, **detail, refused=str(error))
            raise
        if action.kind is ActionKind.START_POSTCOPY:
            self._switching = True
        elif action.kind is ActionKind.SET_MAX_DOWNTIME:
            if not self._policies.switched_over:  # afterwards no limit changes that
                self.downtime_limit_ms = value
            self._policies.downtime_allowed(value)
        self._events.note(action.kind, **detail)

    def _named(self, by: str, why: str) -> dict[str, str]:
        """Return what the event of a named policy's action says besides."""
        return {"policy": str(self._plan.policy), "why": why} if by == "policy" else {}

    def _abort(self) -> None:
        if self.in_postcopy or self._ended:
            return
        try:
            with refusals():
                self._domain.abortJob()
        except HostError as error:
            if error.code != libvirt.VIR_ERR_OPERATION_INVALID:
                self._events.note("abort_refused", text=str(error))  # else: no job yet, or no more

    def _require_effect(self, action: Action) -> None:
        """Refuse an action without effect in this migration or at this moment."""
        if self._ended:
            raise _over()
        if self.stopped_by is not None:
            raise UsageError(
                f"{action.kind} failed: the migration is being cancelled (by {self.stopped_by})",
                hint="Call wait() to get its run.",
            )
        gone = self._switching or self.in_postcopy
        match action.kind:
            case ActionKind.SET_COMPRESSION_CACHE if not _has_cache(self._plan):
                problem = "this migration has no compression cache"
                hint = 'Migrate with Plan(compression=("xbzrle",))'
            case ActionKind.START_POSTCOPY | ActionKind.SET_POSTCOPY_BANDWIDTH if (
                not self._plan.postcopy
            ):
                problem = "this migration cannot switch to post-copy"
                hint = "Migrate with Plan(postcopy=True)."
            case ActionKind.START_POSTCOPY if gone:
                problem = "this migration has switched to post-copy already"
                hint = "Call wait() until it is complete, or pause_postcopy()."
            case ActionKind.PAUSE_POSTCOPY if not gone:
                problem = "this migration is not in post-copy"
                hint = "Call cancel() to end it: the guest continues at the source."
            case ActionKind.SET_BANDWIDTH if self.in_postcopy:
                problem, hint = NO_WAY_BACK, "Call set_bandwidth(…, postcopy=True)"
            case ActionKind.SET_MAX_DOWNTIME | ActionKind.SUSPEND if self.in_postcopy:
                problem, hint = NO_WAY_BACK, "Call wait() until it is complete."
            case _:
                return
        raise UsageError(f"{action.kind} failed: {problem}", hint=hint)


def _has_cache(plan: Plan) -> bool:
    """Return whether a plan compresses by xbzrle, which is libvirt's default method."""
    return plan.compression is not None and (not plan.compression or "xbzrle" in plan.compression)


def _over() -> UsageError:
    return UsageError("the migration is over", hint="Call wait() to get its run.")
