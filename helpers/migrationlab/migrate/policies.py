"""Decide the actions of a plan's policies while a migration runs; take no action.

Theory of operation. :class:`Policies` is a state machine without a clock, a thread or libvirt. The
``controller`` reports what happens (an iteration begins, a sample is taken, the guest leaves the
source, time passes) with the seconds since libvirt's call, and gets the :class:`Action` s that are
due. Each action is due once.

Before the first iteration only the deadline acts: until QEMU sends memory, libvirt refuses to
switch to post-copy, and there is nothing to measure. After the switchover has begun, only the
deadline is left too: the rest is sent in any case, and in post-copy the guest runs elsewhere.

**After iteration N** is when iteration N+1 begins, as in ``virsh migrate
--postcopy-after-precopy``, which waits for iteration 2 (virshMigrateIteration in libvirt's
``tools/virsh-domain.c``).

**Downtime in steps** is OpenStack Nova's (downtime_steps and update_downtime in
``nova/virt/libvirt/migration.py``): of a maximum D in n steps, D/n is allowed from the beginning,
and each step adds (D - D/n)/n, in whole milliseconds. Nova multiplies the time of a step by the
GiB to be sent; here the plan gives it directly. A step never lowers the limit in force.

**Diverging** is a guest that changes memory as fast as it is sent. QEMU counts a page that was
written twice in an iteration once (migration_update_rates in its ``migration/ram.c``). So a working
set that is written again in every iteration shows a dirty rate equal to the throughput, never above
it. A dirty rate of at least :data:`DIVERGING_SHARE` of the throughput counts as diverging: each
iteration then leaves at most a tenth less than the one before. The throughput is the growth of the
bytes sent over :data:`WINDOW_S`; QEMU measures the dirty rate about once a second, too.

**A named policy** (``plan.policy``) is a state machine of ``plan.policies``. This module tells it
what happens, and takes its actions.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping

from migrationlab.plan.downtime_steps import downtime_steps
from migrationlab.plan.plan import Plan
from migrationlab.plan.policies import catalog
from migrationlab.plan.policies.action import Action, ActionKind
from migrationlab.plan.policies.driver import PolicyDriver
from migrationlab.plan.policies.policy import PolicyGuest

DIVERGING_SHARE = 0.9
WINDOW_S = 1.0


def first_downtime_ms(plan: Plan) -> int | None:
    """Return the maximum downtime that a plan sets before the call; None if it sets none."""
    if plan.policy is not None:
        return catalog.make(plan.policy, plan.policy_options).first_downtime_ms
    return next((limit for _, limit in downtime_steps(plan)), None)


class Policies:
    """Decide for one migration, by its plan. All times are seconds since libvirt's call.

    ``guest`` is for a named policy.

    Attributes:
        iteration: The current iteration, 0 before the first.
        switched_over: Whether the guest does not run at the source any more.
    """

    def __init__(self, plan: Plan, guest: PolicyGuest | None = None) -> None:
        self._plan = plan
        self._driver: PolicyDriver | None = None
        if plan.policy is not None:
            policy = catalog.make(plan.policy, plan.policy_options)
            self._driver = PolicyDriver(policy, guest or PolicyGuest(memory_bytes=0))
        self._now_s = 0.0
        self.iteration = 0
        self.switched_over = False
        self._over = False
        self._steps = deque(downtime_steps(plan)[1:])
        self._limit_ms = 0
        self._switches = [
            (ActionKind.START_POSTCOPY, "postcopy_after_iteration", "postcopy_after_s"),
            (ActionKind.SUSPEND, "suspend_after_iteration", "suspend_after_s"),
        ]
        self._sent: deque[tuple[float, int]] = deque()
        self._diverging_since_s: float | None = None

    def time_passed(self, now_s: float) -> tuple[Action, ...]:
        """Note the time; return the actions that are due."""
        self._now_s = max(now_s, self._now_s)
        return tuple(self._due())

    def iteration_began(self, number: int, now_s: float) -> tuple[Action, ...]:
        """Note that an iteration began, counted from 1; return the actions that are due."""
        self.iteration = max(number, self.iteration)
        return self.time_passed(now_s)

    def sampled(self, statistics: Mapping[str, int], now_s: float) -> tuple[Action, ...]:
        """Note the job's statistics, by column of a run's frame; return the actions due."""
        self.iteration = max(statistics.get("iteration", 0), self.iteration)
        if self._driver is not None:
            self._driver.sampled(statistics)
        self._compare_rates(statistics, now_s)
        return self.time_passed(now_s)

    def downtime_allowed(self, max_downtime_ms: int) -> None:
        """Note the maximum downtime in force: steps up to it are skipped."""
        self._limit_ms = max_downtime_ms

    def switchover(self, *, began: bool = True) -> None:
        """Note whether the guest has left the source or runs there again."""
        self.switched_over = began

    @property
    def next_s(self) -> float | None:
        """Return the time of the next action that time alone makes due; None for never."""
        if self._over:
            return None
        times = [self._plan.deadline_s]
        if self.iteration and not self.switched_over:
            after = [getattr(self._plan, field) for _, _, field in self._switches]
            times += [seconds for seconds in after if seconds]
            times += [at for at, _ in list(self._steps)[:1]]
            if self._driver is not None and (look_s := self._driver.next_s) is not None:
                times.append(look_s)
        return min(times)

    def _due(self) -> list[Action]:
        if self._over:
            return []
        if self._now_s >= self._plan.deadline_s:
            self._over = True
            return [Action(ActionKind.DEADLINE, "deadline_s")]
        if not self.iteration or self.switched_over:
            return []
        limit_s, since_s = self._plan.abort_when_diverging_s, self._diverging_since_s
        if limit_s is not None and since_s is not None and self._now_s - since_s >= limit_s:
            self._over = True
            return [Action(ActionKind.CANCEL, "abort_when_diverging_s")]
        return [*self._switches_due(), *self._steps_due(), *self._named_due()]

    def _named_due(self) -> list[Action]:
        """Return the actions of the named policy."""
        if self._driver is None:
            return []
        due = [
            *self._driver.iterated(self.iteration, self._now_s),
            *self._driver.time_passed(self._now_s),
        ]
        if any(action.kind is ActionKind.CANCEL for action in due):
            self._over = True
        return due

    def _switches_due(self) -> list[Action]:
        due = []
        for switch in tuple(self._switches):
            kind, by_iteration, by_time = switch
            iterations, seconds = getattr(self._plan, by_iteration), getattr(self._plan, by_time)
            if iterations is not None and self.iteration > iterations:
                due.append(Action(kind, by_iteration))
            elif seconds is not None and self._now_s >= seconds:
                due.append(Action(kind, by_time))
            else:
                continue
            self._switches.remove(switch)
        return due

    def _steps_due(self) -> list[Action]:
        """Return the latest step that is due; earlier ones have no effect any more."""
        latest = None
        while self._steps and self._steps[0][0] <= self._now_s:
            latest = self._steps.popleft()[1]
        if latest is None or latest <= self._limit_ms:
            return []
        return [Action(ActionKind.SET_MAX_DOWNTIME, "downtime_steps", latest)]

    def _compare_rates(self, statistics: Mapping[str, int], now_s: float) -> None:
        sent = statistics.get("data_processed_bytes")
        if sent is None:
            return
        self._sent.append((now_s, sent))
        # Keep one sample that is at least a window old, the latest such.
        while len(self._sent) > 1 and self._sent[1][0] <= now_s - WINDOW_S:
            self._sent.popleft()
        then_s, before = self._sent[0]
        dirty = statistics.get("dirty_rate_pages_s", 0) * statistics.get("page_size_bytes", 0)
        if now_s - then_s < WINDOW_S or not dirty:
            self._diverging_since_s = None
            return
        throughput = (sent - before) / (now_s - then_s)
        if dirty < DIVERGING_SHARE * throughput:
            self._diverging_since_s = None
        elif self._diverging_since_s is None:
            self._diverging_since_s = now_s
