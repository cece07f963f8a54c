"""Drive a migration as libvirt, virsh, Proxmox VE, CloudStack and Ganeti do.

Sources: libvirt 880b1a2e25 ``tools/virsh-domain.c`` (virshMigrateTimeout, virshMigrateIteration);
proxmox/qemu-server e6352be67f ``src/PVE/QemuMigrate.pm``; apache/cloudstack
``LibvirtMigrateCommandWrapper.java`` (013e3e9ef1); ganeti c35736d8a6
``lib/hypervisor/hv_kvm/__init__.py``.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, Literal

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
