"""Drive a migration as libvirt alone does, and as virsh does.

Source: libvirt 880b1a2e25 ``tools/virsh-domain.c`` (virshMigrateTimeout, virshMigrateIteration).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, Literal

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
class Libvirt(Policy):
    """libvirt alone, which has no policy."""

    name: ClassVar[str] = "libvirt"
    meaning: ClassVar[str] = (
        "Does nothing: no limit of the bandwidth, QEMU's maximum downtime of 300 ms, no timeout. "
        "Only a plan's deadline ends a migration that does not converge."
    )
    source: ClassVar[str] = "libvirt's src/qemu/qemu_migration.c: it has no policy"


@dataclass(kw_only=True)
class Virsh(Policy):
    """What ``virsh migrate`` does by its options."""

    name: ClassVar[str] = "virsh"
    meaning: ClassVar[str] = (
        "What `virsh migrate` does by its options --timeout and --postcopy-after-precopy: it acts "
        "once, and it never cancels. Without options it does nothing."
    )
    source: ClassVar[str] = "libvirt 880b1a2e25, tools/virsh-domain.c"
    poll_s: ClassVar[float] = 0.5

    timeout_s: int | None = option(
        None, "When to act.", minimum=1, maximum=604_800, unit="s", absent="never"
    )
    timeout_action: Literal["suspend", "postcopy"] = option("suspend", "What the timeout does.")
    postcopy_after_precopy: bool = option(
        default=False, help="Whether to switch to post-copy when iteration 2 begins."
    )

    def settings(self) -> dict[str, object]:
        """Return the settings of a plan that belong to the policy."""
        by_time = self.timeout_s is not None and self.timeout_action == "postcopy"
        return set_settings(postcopy=by_time or self.postcopy_after_precopy)

    def begin(self, guest: PolicyGuest) -> None:
        """Begin to drive the migration of a guest."""
        self._acted = self._switched = False

    def polled(self, seen: Seen) -> Iterator[Action]:
        """Look at the migration; yield the action that is due."""
        if self.timeout_s is None or self._acted or self._switched or seen.now_s <= self.timeout_s:
            return
        self._acted = True
        postcopy = self.timeout_action == "postcopy"
        kind = ActionKind.START_POSTCOPY if postcopy else ActionKind.SUSPEND
        yield act(kind, f"timeout of {self.timeout_s} s")

    def iterated(self, seen: Seen) -> Iterator[Action]:
        """Note that an iteration began; yield the action that is due."""
        if self.postcopy_after_precopy and seen.iteration == 2 and not self._switched:
            self._switched = True
            yield act(ActionKind.START_POSTCOPY, "iteration 2")
