"""Drive a migration as OpenStack Nova does: the downtime in steps, then a completion timeout.

Source: openstack/nova 00a030403f (33.0.0), ``nova/virt/libvirt/migration.py`` (downtime_steps,
update_downtime, should_trigger_timeout_action), ``driver.py`` (_live_migration_data_gb,
_live_migration_monitor) and ``nova/conf/libvirt.py``.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, Literal

from migrationlab.plan.policies.action import Action, ActionKind
from migrationlab.plan.policies.policy import (
    GIB,
    Policy,
    PolicyGuest,
    Seen,
    act,
    allow,
    set_settings,
)
from migrationlab.plan.spec import option

#: Nova counts memory and each copied disk as this many GiB at least.
LEAST_GIB = 2.0


@dataclass(kw_only=True)
class Nova(Policy):
    """OpenStack Nova's downtime steps and completion timeout."""

    name: ClassVar[str] = "nova"
    meaning: ClassVar[str] = (
        "Raises the maximum downtime in equal steps from a tenth to the whole. The time of a step "
        "grows with the guest's memory. After a timeout, which grows with it too, it cancels; or, "
        "if asked to, it switches to post-copy or pauses the guest. Nova also migrates peer2peer, "
        "with persistent and undefine_source: those are a plan's own settings."
    )
    source: ClassVar[str] = "openstack/nova 00a030403f, nova/virt/libvirt/migration.py"
    poll_s: ClassVar[float] = 0.5

    downtime_ms: int = option(500, "The last step.", minimum=100, maximum=2_000_000, unit="ms")
    downtime_steps: int = option(10, "The number of steps.", minimum=3, maximum=1000)
    downtime_delay_s: int = option(
        75, "The time of a step for each GiB.", minimum=3, maximum=86_400, unit="s"
    )
    completion_timeout_s: int = option(
        800, "The timeout for each GiB; 0 for none.", minimum=0, maximum=604_800, unit="s"
    )
    timeout_action: Literal["abort", "force_complete"] = option("abort", "What the timeout does.")
    permit_post_copy: bool = option(default=False, help="Whether post-copy is allowed.")
    permit_auto_converge: bool = option(
        default=False, help="Whether auto-convergence is on; not where post-copy is allowed."
    )
    bandwidth_mib_s: int = option(
        0, "The limit of the transfer; 0 for none.", minimum=0, maximum=1_048_576, unit="MiB/s"
    )
    parallel_connections: int = option(1, "The number of connections.", minimum=1, maximum=255)

    def settings(self) -> dict[str, object]:
        """Return the settings of a plan that belong to the policy."""
        several = self.parallel_connections > 1
        return set_settings(
            postcopy=self.permit_post_copy,
            auto_converge=self.permit_auto_converge and not self.permit_post_copy,
            bandwidth_mib_s=self.bandwidth_mib_s,
            parallel=several,
            parallel_connections=self.parallel_connections if several else None,
        )

    def begin(self, guest: PolicyGuest) -> None:
        """Begin to drive the migration of a guest."""
        gib = sum(
            max(size / GIB, LEAST_GIB) for size in (guest.memory_bytes, *guest.copied_disks_bytes)
        )
        self._steps = self.steps(gib)
        self._timeout_s = int(self.completion_timeout_s * gib)
        self._can_postcopy = self.permit_post_copy and not (guest.paused or guest.vfio)
        self._limit_ms: int | None = None
        self._timed_out = self._over = False

    def steps(self, gib: float) -> tuple[tuple[int, int], ...]:
        """Return the steps for so many GiB: seconds since the call, milliseconds."""
        delay_s = int(self.downtime_delay_s * gib)
        base = self.downtime_ms / self.downtime_steps
        rise = (self.downtime_ms - base) / self.downtime_steps
        return tuple((delay_s * i, int(base + rise * i)) for i in range(self.downtime_steps + 1))

    def polled(self, seen: Seen) -> Iterator[Action]:
        """Look at the migration; yield the actions that are due."""
        if self._over:
            return
        if self._timed_out:
            # force_complete is carried out at the poll after the one that asked for it.
            self._over = True
            kind = ActionKind.START_POSTCOPY if self._can_postcopy else ActionKind.SUSPEND
            yield act(kind, f"completion timeout of {self._timeout_s} s")
            return
        if self._timeout_s and seen.now_s > self._timeout_s:
            self._timed_out = True
            if self.timeout_action == "abort":
                self._over = True
                yield act(ActionKind.CANCEL, f"completion timeout of {self._timeout_s} s")
                return
        due = [(at, limit) for at, limit in self._steps if seen.now_s > at]
        if due and due[-1][1] != self._limit_ms:
            at, self._limit_ms = due[-1]
            yield allow(self._limit_ms, f"step of {at} s")
