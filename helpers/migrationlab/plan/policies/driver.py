"""Drive a policy: tell it what happens, when its turn is; replay a job; imagine one.

Theory of operation. :class:`PolicyDriver` is what stands between a migration and a policy. It gets
samples, iterations and the time, and calls the policy at its looks. As the programs that the
policies are from sleep between two looks, the next look is counted from the last one. There is no
look before the first iteration, when libvirt has no statistics yet, and none after the switchover.

:func:`imagined` drives a policy for a guest that never converges, which shows all that it does.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from migrationlab.plan.policies.action import Action, ActionKind
from migrationlab.plan.policies.policy import Policy, PolicyGuest, Seen

MIB = 1 << 20


class PolicyDriver:
    """Call a policy's looks during one migration. All times are seconds since libvirt's call."""

    def __init__(self, policy: Policy, guest: PolicyGuest) -> None:
        self._policy = policy
        policy.begin(guest)
        self._next_s = policy.next_poll_s
        self._iteration = 0
        self._statistics: Mapping[str, int] = {}

    @property
    def next_s(self) -> float | None:
        """Return the time of the next look; None before the first iteration."""
        return self._next_s if self._ready else None

    def sampled(self, statistics: Mapping[str, int]) -> None:
        """Note a sample of the job."""
        self._statistics = statistics

    def iterated(self, iteration: int, now_s: float) -> list[Action]:
        """Note the current iteration; return the actions that are due if it has just begun."""
        if iteration <= self._iteration:
            return []
        self._iteration = iteration
        return list(self._policy.iterated(self._seen(now_s))) if self._ready else []

    def time_passed(self, now_s: float) -> list[Action]:
        """Note the time; return the actions that are due."""
        if not self._ready or now_s < self._next_s:
            return []
        due = list(self._policy.polled(self._seen(now_s)))
        self._next_s = round(now_s + self._policy.next_poll_s, 3)
        return due

    @property
    def _ready(self) -> bool:
        return bool(self._iteration and self._statistics)

    def _seen(self, now_s: float) -> Seen:
        return Seen(now_s, self._iteration, self._statistics)


def replayed(
    policy: Policy,
    guest: PolicyGuest,
    samples: Iterable[tuple[float, Mapping[str, int]]],
) -> Iterator[tuple[float, Action]]:
    """Yield what a policy would have done in a recorded job, with the time of each action.

    Args:
        policy: The policy, new.
        guest: The guest of the job.
        samples: The job's samples: seconds since the call, and the statistics by column.
    """
    driver = PolicyDriver(policy, guest)
    for now_s, statistics in samples:
        # Looks that were due since the last sample had only that one.
        while (next_s := driver.next_s) is not None and next_s < now_s:
            yield from _timed(next_s, driver.time_passed(next_s))
        driver.sampled(statistics)
        yield from _timed(now_s, driver.iterated(statistics.get("iteration", 0), now_s))
        yield from _timed(now_s, driver.time_passed(now_s))


def _timed(now_s: float, actions: Iterable[Action]) -> Iterator[tuple[float, Action]]:
    return ((now_s, action) for action in actions)


@dataclass(frozen=True, slots=True, kw_only=True)
class Imagined:
    """A guest that writes all it can, so that no iteration leaves less than the one before.

    Attributes:
        memory_mib: Its memory.
        rate_mib_s: The rate at which it is sent.
        iteration_s: The time of an iteration.
    """

    memory_mib: int = 2048
    rate_mib_s: float = 117.0
    iteration_s: float = 5.0

    @property
    def guest(self) -> PolicyGuest:
        """Return the guest, as a policy gets it."""
        return PolicyGuest(memory_bytes=self.memory_mib * MIB)

    def samples(
        self, until_s: float, interval_s: float = 0.1
    ) -> Iterator[tuple[float, dict[str, int]]]:
        """Yield the samples of its job."""
        rate = round(self.rate_mib_s * MIB)
        rest = min(self.memory_mib * MIB, round(rate * self.iteration_s))
        for number in range(round(until_s / interval_s) + 1):
            now_s = round(number * interval_s, 3)
            iteration = 1 + int(now_s / self.iteration_s)
            # In each iteration the rest shrinks; the next one begins with all of it again.
            left = rest - rate * (now_s - (iteration - 1) * self.iteration_s) / 2
            yield (
                now_s,
                {
                    "iteration": iteration,
                    "data_remaining_bytes": round(left),
                    "data_processed_bytes": round(rate * now_s),
                    "memory_bps": rate,
                },
            )


def imagined(policy: Policy, job: Imagined, *, until_s: float) -> Iterator[tuple[float, Action]]:
    """Yield what a policy does for a guest that never converges, up to its last action."""
    first = policy.first_downtime_ms
    if first is not None:
        yield 0.0, Action(ActionKind.SET_MAX_DOWNTIME, "policy", first, "before the call")
    for now_s, action in replayed(policy, job.guest, job.samples(until_s)):
        yield now_s, action
        if action.kind is ActionKind.CANCEL or action.kind is ActionKind.START_POSTCOPY:
            return
