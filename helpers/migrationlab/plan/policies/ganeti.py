"""Drive a migration as Ganeti does.

Source: ganeti c35736d8a6 ``lib/hypervisor/hv_kvm/__init__.py``.
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
    set_settings,
)
from migrationlab.plan.spec import option


@dataclass(kw_only=True)
class Ganeti(Policy):
    """Ganeti's fixed limits."""

    name: ClassVar[str] = "ganeti"
    meaning: ClassVar[str] = (
        "32 MiB/s and 30 ms, which never change, and no timeout. With post-copy allowed it "
        "switches at the first look after the first iteration."
    )
    source: ClassVar[str] = "ganeti c35736d8a6, lib/hypervisor/hv_kvm/__init__.py"

    bandwidth_mib_s: int = option(
        32, "The limit of the transfer.", minimum=1, maximum=1_048_576, unit="MiB/s"
    )
    downtime_ms: int = option(30, "The maximum downtime.", minimum=1, maximum=2_000_000, unit="ms")
    postcopy_ram: bool = option(default=False, help="Whether post-copy is allowed.")

    def settings(self) -> dict[str, object]:
        """Return the settings of a plan that belong to the policy."""
        return set_settings(bandwidth_mib_s=self.bandwidth_mib_s, postcopy=self.postcopy_ram)

    @property
    def first_downtime_ms(self) -> int | None:
        """Return the maximum downtime from the start."""
        return self.downtime_ms

    def begin(self, guest: PolicyGuest) -> None:
        """Begin to drive the migration of a guest."""
        self._switched = False

    def polled(self, seen: Seen) -> Iterator[Action]:
        """Look at the migration; yield the action that is due."""
        if self.postcopy_ram and seen.iteration >= 2 and not self._switched:
            self._switched = True
            yield act(ActionKind.START_POSTCOPY, f"iteration {seen.iteration}")
