"""Let a named policy drive a simulated migration.

The policies of ``plan.policies`` are state machines on a job's statistics. Here the statistics are
those of the simulation, and the looks come at the policy's own times. All times are in seconds
since libvirt's call.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from migrationlab.plan.plan import Plan
from migrationlab.plan.policies import catalog
from migrationlab.plan.policies.action import Action, ActionKind
from migrationlab.plan.policies.driver import PolicyDriver
from migrationlab.plan.policies.policy import PolicyGuest

#: The actions that end pre-copy, and the name of the end.
ENDS = {
    ActionKind.START_POSTCOPY: "post-copy",
    ActionKind.SUSPEND: "suspended",
    ActionKind.CANCEL: "cancelled",
}
#: A policy that has not acted at so many looks waits for a time.
QUIET_LOOKS = 16


@dataclass(slots=True)
class SimulatedPolicy:
    """A policy, and what it has done.

    Attributes:
        driver: The policy at work.
        first_ms: The downtime limit that it sets before the call; None for none.
        acted: Its actions with their times.
        quiet_looks: How many looks had no action since the last one.
    """

    driver: PolicyDriver
    first_ms: int | None
    acted: list[tuple[float, Action]] = field(default_factory=list)
    quiet_looks: int = 0

    @property
    def waits(self) -> bool:
        """Return whether it has not acted for a while."""
        return self.quiet_looks >= QUIET_LOOKS

    def sampled(self, iteration: int, remaining: float, sent: float, bytes_s: float) -> None:
        """Tell it the job's statistics, in bytes and bytes a second."""
        self.driver.sampled(
            {
                "iteration": iteration,
                "data_remaining_bytes": round(remaining),
                "data_processed_bytes": round(sent),
                "memory_bps": round(bytes_s),
            }
        )

    def looked(self, now_s: float) -> list[Action]:
        """Let it look at the migration; return what it does."""
        return self._noted(now_s, self.driver.time_passed(now_s))

    def iterated(self, iteration: int, now_s: float) -> list[Action]:
        """Tell it that an iteration began; return what it does."""
        return self._noted(now_s, self.driver.iterated(iteration, now_s))

    def _noted(self, now_s: float, actions: Iterable[Action]) -> list[Action]:
        found = list(actions)
        self.acted += [(now_s, action) for action in found]
        self.quiet_looks = 0 if found else self.quiet_looks + 1
        return found


def policy_of(plan: Plan, memory_bytes: float) -> SimulatedPolicy | None:
    """Return the policy of a plan, before its migration begins; None if the plan names none."""
    if plan.policy is None:
        return None
    policy = catalog.make(plan.policy, plan.policy_options)
    guest = PolicyGuest(memory_bytes=round(memory_bytes), parallel=bool(plan.parallel))
    return SimulatedPolicy(PolicyDriver(policy, guest), policy.first_downtime_ms)
