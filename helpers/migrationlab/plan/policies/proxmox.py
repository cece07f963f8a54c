"""Drive a migration as Proxmox VE does.

Source: proxmox/qemu-server e6352be67f ``src/PVE/QemuMigrate.pm``.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from migrationlab.plan.policies.action import Action, ActionKind
from migrationlab.plan.policies.policy import (
    LONGEST_DOWNTIME_MS,
    Policy,
    PolicyGuest,
    Seen,
    act,
    allow,
    set_settings,
)
from migrationlab.plan.spec import option


@dataclass(kw_only=True)
class Proxmox(Policy):
    """Proxmox VE's doubling of the downtime."""

    name: ClassVar[str] = "proxmox"
    meaning: ClassVar[str] = (
        "Counts the looks at which the rest has risen or is 0: about one for each iteration. At "
        "every sixth it doubles the maximum downtime, up to QEMU's largest. It never gives up."
    )
    source: ClassVar[str] = "proxmox/qemu-server e6352be67f, src/PVE/QemuMigrate.pm"
    #: Then it looks more often: less is left than it sends from one look to the next.
    soon_s: ClassVar[float] = 0.1
    counts: ClassVar[int] = 6

    migrate_downtime_ms: int = option(
        100, "The first limit.", minimum=1, maximum=2_000_000, unit="ms"
    )
    migrate_speed_mib_s: int = option(
        0, "The limit of the transfer; 0 for none.", minimum=0, maximum=1_048_576, unit="MiB/s"
    )
    auto_converge: bool = option(default=True, help="Whether auto-convergence is on.")
    xbzrle: bool = option(default=True, help="Whether xbzrle is on, with a tenth of the memory.")

    def settings(self) -> dict[str, object]:
        """Return the settings of a plan that belong to the policy."""
        return set_settings(
            auto_converge=self.auto_converge,
            compression=("xbzrle",) if self.xbzrle else None,
            bandwidth_mib_s=self.migrate_speed_mib_s,
        )

    @property
    def first_downtime_ms(self) -> int | None:
        """Return the maximum downtime from the start."""
        return self.migrate_downtime_ms

    @property
    def next_poll_s(self) -> float:
        """Return the seconds until the next look."""
        return self.soon_s if self._soon else self.poll_s

    def begin(self, guest: PolicyGuest) -> None:
        """Begin to drive the migration of a guest."""
        self._limit_ms = self.migrate_downtime_ms
        self._soon = False
        self._looks = self._count = 0
        self._sent = self._remaining = 0
        # A tenth of the memory, rounded up to a power of two.
        self._cache = 1 << max((guest.memory_bytes // 10 - 1).bit_length(), 12)

    def polled(self, seen: Seen) -> Iterator[Action]:
        """Look at the migration; yield the action that is due."""
        self._looks += 1
        if self._looks == 1 and self.xbzrle:
            yield act(ActionKind.SET_COMPRESSION_CACHE, "a tenth of the memory", self._cache)
        sent, remaining = seen.sent_bytes, seen.remaining_bytes
        if sent is None or remaining is None:
            return
        self._soon = self._soon or remaining < sent / self._looks
        if sent == self._sent:
            return
        counts = self._sent and (remaining > self._remaining or not remaining)
        self._sent, self._remaining = sent, remaining
        if not counts:
            return
        self._count += 1
        if self._count == self.counts and self._limit_ms < LONGEST_DOWNTIME_MS:
            self._count = 0
            self._limit_ms = min(2 * self._limit_ms, LONGEST_DOWNTIME_MS)
            yield allow(self._limit_ms, f"{self.counts} looks without progress")
