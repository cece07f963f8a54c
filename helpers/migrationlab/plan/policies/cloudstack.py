"""Drive a migration as CloudStack does.

Source: apache/cloudstack ``LibvirtMigrateCommandWrapper.java`` (013e3e9ef1).
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
)
from migrationlab.plan.spec import option


@dataclass(kw_only=True)
class CloudStack(Policy):
    """CloudStack's agent on KVM."""

    name: ClassVar[str] = "cloudstack"
    meaning: ClassVar[str] = (
        "Sets one maximum downtime after 1 s, pauses the guest after a time if asked to, and "
        "cancels a guest that still runs after an hour. A paused guest is never cancelled. It "
        "compresses in any case."
    )
    source: ClassVar[str] = "apache/cloudstack 013e3e9ef1, LibvirtMigrateCommandWrapper.java"
    poll_s: ClassVar[float] = 0.1

    downtime_ms: int = option(
        -1, "The maximum downtime; -1 leaves QEMU's.", minimum=-1, maximum=2_000_000, unit="ms"
    )
    pause_after_ms: int = option(
        -1, "When to pause the guest; -1 for never.", minimum=-1, maximum=604_800_000, unit="ms"
    )
    wait_s: int = option(
        3600, "When to cancel; the global migratewait.", minimum=1, maximum=604_800, unit="s"
    )
    speed_mib_s: int = option(
        -1, "The limit of the transfer; -1 for none. CloudStack takes the link's Mbit/s for MiB/s.",
        minimum=-1, maximum=1_048_576, unit="MiB/s",
    )  # fmt: skip
    auto_converge: bool = option(default=False, help="Whether auto-convergence is on.")

    def settings(self) -> dict[str, object]:
        """Return the settings of a plan that belong to the policy."""
        speed = self.speed_mib_s if self.speed_mib_s > 0 else None
        found = set_settings(auto_converge=self.auto_converge, bandwidth_mib_s=speed)
        return found | {"compression": ()}

    def begin(self, guest: PolicyGuest) -> None:
        """Begin to drive the migration of a guest."""
        self._set = self._paused = self._over = False

    def polled(self, seen: Seen) -> Iterator[Action]:
        """Look at the migration; yield the actions that are due."""
        if self._over or self._paused:
            return
        if seen.now_s >= 1 and not self._set:
            self._set = True
            if self.downtime_ms > 0:
                yield allow(self.downtime_ms, "1 s after the call")
        if seen.now_s > self.wait_s:
            self._over = True
            yield act(ActionKind.CANCEL, f"migratewait of {self.wait_s} s")
        elif 0 <= self.pause_after_ms < 1000 * seen.now_s:
            self._paused = True
            yield act(ActionKind.SUSPEND, f"pauseafter of {self.pause_after_ms} ms")
