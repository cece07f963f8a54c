"""Drive a migration as KubeVirt does: a completion timeout, and a timeout without progress.

Source: kubevirt/kubevirt v1.9.0 (79d34c1762) ``pkg/virt-config/virt-config.go`` and
``pkg/virt-launcher/virtwrap/live-migration-source.go``; the downtime ramp is VEP 291's
(kubevirt/enhancements), as main has it since 3f0bf899db.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from migrationlab.plan.policies.action import Action, ActionKind
from migrationlab.plan.policies.policy import (
    Policy,
    PolicyGuest,
    Seen,
    act,
    allow,
    set_settings,
    whole_gb,
)
from migrationlab.plan.spec import option

#: The longest downtime that KubeVirt allows a guest with VFIO devices after the timeout.
LONGEST_VFIO_S = 2000


@dataclass(kw_only=True)
class KubeVirtBase(Policy):
    """What KubeVirt's policies share: the options, and the end by a timeout."""

    poll_s: ClassVar[float] = 0.4

    completion_timeout_s_per_gib: int = option(
        150, "The timeout for each 10^9 bytes.", minimum=1, maximum=604_800, unit="s"
    )
    bandwidth_mib_s: int = option(
        0, "The limit of the transfer; 0 for none.", minimum=0, maximum=1_048_576, unit="MiB/s"
    )
    allow_auto_converge: bool = option(default=False, help="Whether auto-convergence is on.")
    allow_post_copy: bool = option(default=False, help="Whether post-copy is allowed.")
    allow_workload_disruption: bool | None = option(
        None, "Whether the guest may be paused, or put into post-copy.",
        absent="as allow_post_copy",
    )  # fmt: skip
    parallel_connections: int = option(
        8, "The number of connections; 0 for a guest with a limit of its processors, and none with "
        "post-copy.", minimum=0, maximum=255,
    )  # fmt: skip

    def settings(self) -> dict[str, object]:
        """Return the settings of a plan that belong to the policy."""
        several = self.parallel_connections > 1 and not self.allow_post_copy
        return set_settings(
            postcopy=self.allow_post_copy,
            auto_converge=self.allow_auto_converge,
            bandwidth_mib_s=self.bandwidth_mib_s,
            parallel=several,
            parallel_connections=self.parallel_connections if several else None,
        )

    def begin(self, guest: PolicyGuest) -> None:
        """Begin to drive the migration of a guest."""
        self._guest = guest
        self._timeout_s = float(self.completion_timeout_s_per_gib * whole_gb(guest))
        self._forced = self._over = False

    @property
    def _may_disrupt(self) -> bool:
        own = self.allow_workload_disruption
        return self.allow_post_copy if own is None else own

    def _end(self, kind: ActionKind, why: str) -> Action:
        self._over = True
        return act(kind, why)


@dataclass(kw_only=True)
class KubeVirt(KubeVirtBase):
    """KubeVirt v1.9's rules."""

    name: ClassVar[str] = "kubevirt"
    meaning: ClassVar[str] = (
        "Cancels after a timeout, which grows with the guest's memory, or after 150 s in which the "
        "rest never became less from one look to the next; the downtime is left to QEMU. "
        "Where the guest may be disrupted, the timeout switches to post-copy or pauses the guest, "
        "and twice the timeout cancels."
    )
    source: ClassVar[str] = "kubevirt/kubevirt v1.9.0, virtwrap/live-migration-source.go"

    progress_timeout_s: int = option(
        150, "The time without progress.", minimum=1, maximum=604_800, unit="s"
    )

    def begin(self, guest: PolicyGuest) -> None:
        """Begin to drive the migration of a guest."""
        super().begin(guest)
        self._remaining: int | None = None
        self._progressed_s: float | None = None

    def polled(self, seen: Seen) -> Iterator[Action]:
        """Look at the migration; yield the action that is due."""
        if self._over:
            return
        late = seen.now_s > self._timeout_s
        if late and self._may_disrupt and not self._forced:
            yield self._force()
        elif self._stuck(seen):
            yield self._end(ActionKind.CANCEL, f"no progress for {self.progress_timeout_s} s")
        elif late:
            yield self._end(ActionKind.CANCEL, f"completion timeout of {self._timeout_s:g} s")

    def _force(self) -> Action:
        self._forced = True
        why = f"completion timeout of {self._timeout_s:g} s"
        if self.allow_post_copy and not self._guest.vfio:
            return self._end(ActionKind.START_POSTCOPY, why)
        self._timeout_s *= 2
        if self._guest.vfio:
            return allow(1000 * min(self._timeout_s, LONGEST_VFIO_S), why)
        return act(ActionKind.SUSPEND, why)

    def _stuck(self, seen: Seen) -> bool:
        remaining, before = seen.remaining_bytes, self._remaining
        self._remaining = remaining
        if remaining is None:
            return False
        if self._progressed_s is None or before is None or remaining < before:
            self._progressed_s = seen.now_s
        return seen.now_s - self._progressed_s > self.progress_timeout_s


@dataclass(kw_only=True)
class DowntimeRamp(KubeVirt):
    """VEP 291's downtime ramp, in front of KubeVirt's rules."""

    name: ClassVar[str] = "kubevirt-downtime-ramp"
    meaning: ClassVar[str] = (
        "VEP 291, as proposed for KubeVirt: from iteration 3 on, the maximum downtime rises in "
        "equal steps, 10 s apart, up to a ceiling. The timeouts are KubeVirt's. The code adds a "
        "seventh of what is left above the first limit, as here; the text of the proposal counts "
        "in another way."
    )
    source: ClassVar[str] = "kubevirt/enhancements VEP 291; kubevirt/kubevirt main 3f0bf899db"

    initial_ms: int = option(150, "The first limit.", minimum=1, maximum=2_000_000, unit="ms")
    steps: int = option(7, "The number of steps to the ceiling.", minimum=1, maximum=1000)
    start_after_iteration: int = option(
        3, "The iteration from which on it rises.", minimum=1, maximum=1_000_000
    )
    cooldown_s: float = option(
        10.0, "The time from one step to the next.", minimum=0.1, maximum=86_400, unit="s"
    )
    max_downtime_ms: int = option(900, "The ceiling.", minimum=1, maximum=2_000_000, unit="ms")

    def begin(self, guest: PolicyGuest) -> None:
        """Begin to drive the migration of a guest."""
        super().begin(guest)
        self._limit_ms: int | None = None
        self._changed_s = 0.0

    def polled(self, seen: Seen) -> Iterator[Action]:
        """Look at the migration; yield the actions that are due."""
        yield from super().polled(seen)
        if not (self._over or self._forced):
            yield from self._rise(seen)

    def _rise(self, seen: Seen) -> Iterator[Action]:
        if self._limit_ms is None:
            self._limit_ms = min(self.initial_ms, self.max_downtime_ms)
            self._changed_s = seen.now_s
            yield allow(self._limit_ms, "the first look")
            return
        # Rounded: the sum of many looks is not exact.
        cooled = round(seen.now_s - self._changed_s, 3) >= self.cooldown_s
        if seen.iteration < self.start_after_iteration or not cooled:
            return
        if self._limit_ms < self.max_downtime_ms:
            step = max((self.max_downtime_ms - self.initial_ms) // self.steps, 1)
            self._limit_ms = min(self._limit_ms + step, self.max_downtime_ms)
            self._changed_s = seen.now_s
            yield allow(self._limit_ms, f"iteration {seen.iteration}")
