"""What a plan has the kit do by itself while a migration runs: the decisions, and only those.

Theory of operation. :class:`Policies` is a state machine without a clock, a thread or libvirt. It
is told what happens (a pass begins, a sample is taken, the guest has gone over, time passes) with
the seconds since libvirt's call, and answers with the :class:`Action` s that are due.
``steering`` feeds it and carries them out. Each action is due once.

Nothing but the deadline acts before the first pass: until QEMU sends memory libvirt refuses to
switch to post-copy, and there is nothing to measure. Once the guest stands still, the rest is sent
whatever it takes, and in post-copy it runs elsewhere: then, too, there is only the deadline left.

**After pass N** is when pass N+1 begins: as ``virsh migrate --postcopy-after-precopy`` does it,
which waits for iteration 2 (virshMigrateIteration in libvirt's ``tools/virsh-domain.c``).

**Downtime in steps** is OpenStack Nova's (downtime_steps and update_downtime in
``nova/virt/libvirt/migration.py``): of a maximum D in n steps, D/n is allowed from the beginning,
and each step adds (D - D/n)/n, in whole milliseconds. Nova multiplies the time of a step by the
GiB to be sent; here it is taken as the plan says it. A step never lowers what is allowed already.

**Diverging** is a guest that changes memory as fast as it is sent. QEMU counts a page that was
written twice in a pass once (migration_update_rates in its ``migration/ram.c``), so a working set
that is written anew in every pass shows a dirty rate at the throughput, never above it: whatever
reaches :data:`DIVERGING_SHARE` of it counts, where each pass leaves no more than a tenth less than
the one before. The throughput is the growth of the bytes sent over :data:`WINDOW_S`, as QEMU
looks at the dirty rate about once a second, too.

Imports of the kit only ``plan``.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from migrationlab.plan.plan import Plan

DIVERGING_SHARE = 0.9
WINDOW_S = 1.0


class ActionKind(StrEnum):
    """What can be done to a migration; the names of the events that say so."""

    SET_MAX_DOWNTIME = "set_max_downtime"
    SET_BANDWIDTH = "set_bandwidth"
    SET_POSTCOPY_BANDWIDTH = "set_postcopy_bandwidth"
    SET_COMPRESSION_CACHE = "set_compression_cache"
    START_POSTCOPY = "start_postcopy"
    PAUSE_POSTCOPY = "pause_postcopy"
    SUSPEND = "suspend"
    CANCEL = "cancel"
    DEADLINE = "deadline"


@dataclass(frozen=True, slots=True)
class Action:
    """Something to be done to a migration.

    Attributes:
        kind: What.
        by: Who wants it: "user", or the plan's field that says so.
        value: The new limit or size, in the unit of the act; None where it has none, and for a
            bandwidth without a limit.
    """

    kind: ActionKind
    by: str = "user"
    value: int | None = None


def downtime_steps(plan: Plan) -> tuple[tuple[float, int], ...]:
    """Return when to allow how much downtime.

    Args:
        plan: The plan.

    Returns:
        Seconds since the call, and milliseconds; the first is for the beginning. Empty where
        the plan leaves the maximum downtime to QEMU.
    """
    most, steps, step_s = plan.max_downtime_ms, plan.downtime_steps, plan.downtime_step_s
    if most is None:
        return ()
    if steps is None or step_s is None:
        return ((0.0, most),)
    base = most / steps
    rise = (most - base) / steps
    # 0 ms would be a limit that no guest meets: where that comes out, 1 ms.
    return tuple((step_s * i, max(int(base + rise * i), 1)) for i in range(steps + 1))


class Policies:
    """Decides for one migration, by its plan.

    Args:
        plan: The plan.
    """

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._now_s = 0.0
        self._pass = 0
        self._decided = False
        self._over = False
        self._steps = deque(downtime_steps(plan)[1:])
        self._allowed_ms = 0
        self._switches = [
            (ActionKind.START_POSTCOPY, "postcopy_after_iteration", "postcopy_after_s"),
            (ActionKind.SUSPEND, "suspend_after_iteration", "suspend_after_s"),
        ]
        self._sent: deque[tuple[float, int]] = deque()
        self._diverging_since_s: float | None = None

    def passed(self, now_s: float) -> tuple[Action, ...]:
        """Be told that time has passed; return what is due.

        Args:
            now_s: Seconds since libvirt's call, here as in all that follows.
        """
        self._now_s = max(now_s, self._now_s)
        return tuple(self._due())

    def began_pass(self, number: int, now_s: float) -> tuple[Action, ...]:
        """Be told that a pass over memory began, from 1 on; return what is due."""
        self._pass = max(number, self._pass)
        return self.passed(now_s)

    def sampled(self, statistics: Mapping[str, int], now_s: float) -> tuple[Action, ...]:
        """Be told the job's statistics, by the columns of a run's frame; return what is due."""
        self._pass = max(statistics.get("iteration", 0), self._pass)
        self._judge_rates(statistics, now_s)
        return self.passed(now_s)

    def allowed(self, max_downtime_ms: int) -> None:
        """Be told that a maximum downtime is in force: steps up to it are not needed any more."""
        self._allowed_ms = max_downtime_ms

    def decided(self, *, yes: bool = True) -> None:
        """Be told that the guest runs at the source no more; or, after all, that it does again."""
        self._decided = yes

    @property
    def next_s(self) -> float | None:
        """When time alone makes something due, in seconds since the call; None for never."""
        if self._over:
            return None
        times = [self._plan.deadline_s]
        if self._pass and not self._decided:
            times += [after for _, _, field in self._switches if (after := self._seconds(field))]
            times += [at for at, _ in list(self._steps)[:1]]
        return min(times)

    def _due(self) -> list[Action]:
        if self._over:
            return []
        if self._now_s >= self._plan.deadline_s:
            self._over = True
            return [Action(ActionKind.DEADLINE, "deadline_s")]
        if not self._pass or self._decided:
            return []
        most_s = self._plan.abort_when_diverging_s
        since_s = self._diverging_since_s
        if most_s is not None and since_s is not None and self._now_s - since_s >= most_s:
            self._over = True
            return [Action(ActionKind.CANCEL, "abort_when_diverging_s")]
        return [*self._switches_due(), *self._steps_due()]

    def _switches_due(self) -> list[Action]:
        due = []
        for switch in tuple(self._switches):
            act, by_pass, by_time = switch
            passes, seconds = getattr(self._plan, by_pass), self._seconds(by_time)
            if passes is not None and self._pass > passes:
                due.append(Action(act, by_pass))
            elif seconds is not None and self._now_s >= seconds:
                due.append(Action(act, by_time))
            else:
                continue
            self._switches.remove(switch)
        return due

    def _steps_due(self) -> list[Action]:
        """Return the latest step that is due: the ones that it overtook mean nothing now."""
        latest = None
        while self._steps and self._steps[0][0] <= self._now_s:
            latest = self._steps.popleft()[1]
        if latest is None or latest <= self._allowed_ms:
            return []
        return [Action(ActionKind.SET_MAX_DOWNTIME, "downtime_steps", latest)]

    def _judge_rates(self, statistics: Mapping[str, int], now_s: float) -> None:
        sent = statistics.get("data_processed_bytes")
        if sent is None:
            return
        self._sent.append((now_s, sent))
        # The oldest kept is the last one that is a whole window old.
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

    def _seconds(self, field: str) -> float | None:
        seconds: float | None = getattr(self._plan, field)
        return seconds
