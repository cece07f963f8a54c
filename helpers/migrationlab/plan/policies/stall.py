"""Drive a migration by KubeVirt's proposed stall detection: switch over at a local minimum.

Theory of operation. Each iteration begins with a rest to be sent. If the rest is not clearly below
the least one of a window ago, more iterations do not help: the migration has *stalled*. It then
waits until the rest is near the best one seen, and lets that rest be sent: with a higher limit, by
post-copy, or not at all if the rest is too long. The patience for the best rest halves.

Source: kubevirt/kubevirt v1.9.0 ``pkg/virt-launcher/virtwrap/stall-detector.go`` (VEP 248, alpha
gate MigrationStallDetection). The text of VEP 248 differs in details; the code counts here.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from migrationlab.plan.policies.action import Action, ActionKind
from migrationlab.plan.policies.kubevirt import KubeVirtBase
from migrationlab.plan.policies.policy import LONGEST_DOWNTIME_MS, PolicyGuest, Seen, allow
from migrationlab.plan.spec import option

#: The limit from the start is the maximum, but not more than this.
FIRST_MS = 300


@dataclass(kw_only=True)
class StallDetection(KubeVirtBase):
    """VEP 248's stall detection."""

    name: ClassVar[str] = "kubevirt-stall-detection"
    meaning: ClassVar[str] = (
        "VEP 248, alpha in KubeVirt v1.9: when the rest of an iteration is no longer clearly below "
        "the least of 40 s ago, it waits for a rest near the best one, then allows the downtime "
        "for it, switches to post-copy, or cancels if that downtime would be too long."
    )
    source: ClassVar[str] = "kubevirt/kubevirt v1.9.0, virtwrap/stall-detector.go (VEP 248)"

    stall_margin_percent: float = option(
        4.0, "How far below the least rest of a window ago progress is.", minimum=0, maximum=99,
        unit="%",
    )  # fmt: skip
    stall_progress_timeout_s: float = option(
        40.0, "The window, and the first patience.", minimum=0.1, maximum=86_400, unit="s"
    )
    switchover_timeout_s: float = option(
        60.0, "How long a set limit may have no effect.", minimum=0.1, maximum=86_400, unit="s"
    )
    ewma_alpha: float = option(
        0.4, "The weight of a new rate in the mean rate.", minimum=0.01, maximum=1
    )
    precopy_possible_factor: float = option(
        1.5, "How far above the maximum an expected downtime still gets the maximum.",
        minimum=1, maximum=1000,
    )  # fmt: skip
    patience_window_decay_factor: float = option(
        0.5, "What is left of the patience each time.", minimum=0.01, maximum=1
    )
    completion_timeout_factor: float = option(
        2.0, "The timeouts within which the rest must be sent.", minimum=1, maximum=1000
    )
    search_local_minima: bool = option(
        default=True, help="Whether to wait for a rest near the best one."
    )
    max_downtime_ms: int = option(
        900, "The longest downtime.", minimum=1, maximum=2_000_000, unit="ms"
    )

    @property
    def first_downtime_ms(self) -> int | None:
        """Return the maximum downtime from the start."""
        return min(self.max_downtime_ms, FIRST_MS)

    def begin(self, guest: PolicyGuest) -> None:
        """Begin to drive the migration of a guest."""
        super().begin(guest)
        self._rate: float | None = None
        self._records: list[tuple[float, int]] = []
        self._best: int | None = None
        self._rests: list[int] = []
        self._patience_s = self._patient_since_s = 0.0
        self._set_s: float | None = None

    @property
    def _margin(self) -> float:
        return self.stall_margin_percent / 100

    def polled(self, seen: Seen) -> Iterator[Action]:
        """Look at the migration; yield the action that is due."""
        if seen.memory_bps:
            alpha = self.ewma_alpha if self._rate is not None else 1.0
            self._rate = alpha * seen.memory_bps + (1 - alpha) * (self._rate or 0.0)
        if self._over:
            return
        if self._set_s is not None:
            if seen.now_s - self._set_s > self.switchover_timeout_s:
                why = f"no switchover within {self.switchover_timeout_s:g} s of the limit"
                yield self._end(ActionKind.CANCEL, why)
        elif seen.now_s > self._timeout_s:
            why = f"completion timeout of {self._timeout_s:g} s"
            if not self._may_disrupt:
                yield self._end(ActionKind.CANCEL, why)
                return
            self._timeout_s *= 2
            yield self._disrupt(seen, why)

    def iterated(self, seen: Seen) -> Iterator[Action]:
        """Note that an iteration began; yield the action that is due."""
        rest = seen.remaining_bytes
        if rest is None or self._over or self._set_s is not None:
            return
        if self._best is None:
            self._look_for_stall(seen.now_s, rest)
        else:
            self._look_for_minimum(seen.now_s, rest)
        if self._best is None:
            return
        if not self.search_local_minima or rest <= self._best * (1 + self._margin):
            yield from self._switch_over(seen, rest)

    def _look_for_stall(self, now_s: float, rest: int) -> None:
        self._records.append((now_s, rest))
        old = [r for at, r in self._records if now_s - at >= self.stall_progress_timeout_s]
        if old and rest >= min(old) * (1 - self._margin):
            self._best = min(r for _, r in self._records)
            self._patience_s, self._patient_since_s = self.stall_progress_timeout_s, now_s

    def _look_for_minimum(self, now_s: float, rest: int) -> None:
        heapq.heappush(self._rests, rest)
        if now_s - self._patient_since_s > self._patience_s:
            self._best = heapq.heappop(self._rests)
            self._patience_s *= self.patience_window_decay_factor
            self._patient_since_s = now_s

    def _switch_over(self, seen: Seen, rest: int) -> Iterator[Action]:
        if not self._rate:
            return
        expected_s = rest / self._rate
        if expected_s > self.completion_timeout_factor * self._timeout_s - seen.now_s:
            return
        why = f"stalled: {rest >> 20} MiB left, {1000 * expected_s:.0f} ms expected"
        if self._may_disrupt:
            yield self._disrupt(seen, why)
        elif 1000 * expected_s <= self.precopy_possible_factor * self.max_downtime_ms:
            self._set_s = seen.now_s
            yield allow(self.max_downtime_ms, why)
        else:
            yield self._end(ActionKind.CANCEL, why)

    def _disrupt(self, seen: Seen, why: str) -> Action:
        if self.allow_post_copy and not self._guest.vfio:
            return self._end(ActionKind.START_POSTCOPY, why)
        self._set_s = seen.now_s
        return allow(LONGEST_DOWNTIME_MS, why)
