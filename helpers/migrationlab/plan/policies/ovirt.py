"""Drive a migration as oVirt does: one item of a schedule at a pulse, by the iterations done.

Source: oVirt/vdsm fd4b0df20b ``lib/vdsm/virt/migration.py`` (the pulse, the schedule, the legacy
downtimes); oVirt/ovirt-engine 0111fc6303 ``0000_config.sql`` and ``MigrateVmCommand.java`` (the
policies, their bandwidth).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from migrationlab.plan.policies.action import Action, ActionKind
from migrationlab.plan.policies.policy import Policy, PolicyGuest, Seen, act, allow, set_settings
from migrationlab.plan.spec import option

#: The bandwidth where the speed of neither host's link is known.
UNKNOWN_LINK_MIB_S = 52
#: An item of a schedule: the iterations that it waits for (-1: none), and a maximum downtime or
#: the kind of another action.
Item = tuple[int, int | ActionKind]
ABORT: Item = (-1, ActionKind.CANCEL)
USUAL: tuple[Item, ...] = ((1, 150), (2, 200), (3, 300), (4, 400), (6, 500))


@dataclass(kw_only=True)
class OVirt(Policy):
    """What oVirt's policies share; the schedule is the difference."""

    source: ClassVar[str] = "oVirt/vdsm fd4b0df20b, lib/vdsm/virt/migration.py"
    at_once: ClassVar[int] = 2
    first_ms: ClassVar[int] = 100
    schedule: ClassVar[tuple[Item, ...]] = ()
    compressed: ClassVar[bool] = False

    pulse_s: float = option(
        10.0, "The time from one look to the next.", minimum=0.1, maximum=3600, unit="s"
    )
    auto_converge: bool = option(default=True, help="Whether auto-convergence is on.")
    link_mbit_s: int | None = option(
        None, "The slower of both hosts' links.", minimum=8, maximum=10_000_000, unit="Mbit/s",
        absent=f"not known: {UNKNOWN_LINK_MIB_S} MiB/s",
    )  # fmt: skip

    def settings(self) -> dict[str, object]:
        """Return the settings of a plan that belong to the policy."""
        link = UNKNOWN_LINK_MIB_S
        if self.link_mbit_s is not None:
            # Mbit/s divided by 8 are taken as MiB/s, and shared by the migrations at once.
            link = max(self.link_mbit_s // 8 // self.at_once, 1)
        found = set_settings(auto_converge=self.auto_converge, bandwidth_mib_s=link)
        if any(what is ActionKind.START_POSTCOPY for _, what in self.schedule):
            found["postcopy"] = True
        return found | ({"compression": ()} if self.compressed else {})

    @property
    def next_poll_s(self) -> float:
        """Return the seconds until the next look."""
        return self.pulse_s

    @property
    def first_downtime_ms(self) -> int | None:
        """Return the maximum downtime from the start."""
        return self.first_ms

    def begin(self, guest: PolicyGuest) -> None:
        """Begin to drive the migration of a guest."""
        no_postcopy = guest.paused or guest.parallel
        self._items = deque(
            item
            for item in self.schedule
            if not (no_postcopy and item[1] is ActionKind.START_POSTCOPY)
        )
        self._first: int | None = None
        self._before = 0

    def polled(self, seen: Seen) -> Iterator[Action]:
        """Look at the migration; yield one action at most."""
        if self._first is None:
            self._first = self._before = seen.iteration
            return
        if seen.iteration <= self._before:
            return
        self._before = seen.iteration
        done = seen.iteration - self._first
        if not self._items or self._items[0][0] >= done:
            return
        after, what = self._items.popleft()
        why = f"more than {after} iterations" if after >= 0 else "another iteration"
        if not isinstance(what, ActionKind):
            yield allow(what, why)
            return
        if what is ActionKind.START_POSTCOPY:
            self._items.clear()  # once post-copy runs, nothing more is done
        yield act(what, why)


@dataclass(kw_only=True)
class MinimalDowntime(OVirt):
    """oVirt's "Minimal downtime", its default."""

    name: ClassVar[str] = "ovirt-minimal-downtime"
    meaning: ClassVar[str] = (
        "Every 10 s it may take one step from 100 to 500 ms, if enough iterations are done and a "
        "new one has begun; after the last step it cancels. There is no limit of time. It is "
        "oVirt's default."
    )
    schedule: ClassVar[tuple[Item, ...]] = (*USUAL, ABORT)


@dataclass(kw_only=True)
class SuspendWorkload(OVirt):
    """oVirt's "Suspend workload if needed"."""

    name: ClassVar[str] = "ovirt-suspend-workload"
    meaning: ClassVar[str] = (
        "As ovirt-minimal-downtime, compressed and alone on the link, with a last step of 5 s "
        "before it cancels. In spite of its name it never pauses the guest itself."
    )
    at_once: ClassVar[int] = 1
    compressed: ClassVar[bool] = True
    schedule: ClassVar[tuple[Item, ...]] = (*USUAL, (-1, 5000), ABORT)


@dataclass(kw_only=True)
class PostCopy(OVirt):
    """oVirt's "Post-copy migration"."""

    name: ClassVar[str] = "ovirt-post-copy"
    meaning: ClassVar[str] = (
        "Two steps to 200 ms, then post-copy, which ends the policy. For a paused guest and with "
        "parallel connections post-copy is left out, and it cancels instead."
    )
    schedule: ClassVar[tuple[Item, ...]] = (
        *USUAL[:2], (-1, ActionKind.START_POSTCOPY), ABORT,
    )  # fmt: skip


@dataclass(kw_only=True)
class VeryLargeVms(OVirt):
    """oVirt's "Very large VMs"."""

    name: ClassVar[str] = "ovirt-very-large-vms"
    meaning: ClassVar[str] = (
        "For guests of much memory: steps from 300 ms to 1.5 s, then 5 s, then it cancels; "
        "with parallel connections and zero-copy."
    )
    at_once: ClassVar[int] = 1
    first_ms: ClassVar[int] = 300
    schedule: ClassVar[tuple[Item, ...]] = (
        (1, 400), (2, 500), (3, 700), (4, 1000), (6, 1500), (-1, 5000), ABORT,
    )  # fmt: skip

    zerocopy: bool = option(
        default=True, help="Whether pages are sent without a copy, which needs locked memory."
    )

    def settings(self) -> dict[str, object]:
        """Return the settings of a plan that belong to the policy."""
        return super().settings() | set_settings(parallel=self.zerocopy, zerocopy=self.zerocopy)


@dataclass(kw_only=True)
class Legacy(OVirt):
    """oVirt's "Legacy" policy: downtimes that rise exponentially."""

    name: ClassVar[str] = "ovirt-legacy"
    meaning: ClassVar[str] = (
        "vdsm's own schedule, where the engine gives none: the downtimes rise exponentially to the "
        "maximum, by the iterations done. The maximum is set again after 42 iterations; then it "
        "cancels."
    )

    auto_converge: bool = option(default=False, help="Whether auto-convergence is on.")
    downtime_ms: int = option(500, "The last step.", minimum=100, maximum=2_000_000, unit="ms")
    downtime_steps: int = option(5, "The number of steps.", minimum=2, maximum=100)

    @property
    def downtimes_ms(self) -> tuple[int, ...]:
        """Return the steps: D/n + b^i, where b^(n-1) = D - D/n."""
        whole, n = self.downtime_ms, self.downtime_steps
        base = (whole - whole / n) ** (1 / (n - 1))
        return tuple(int(whole / n + base**i + 1e-9) for i in range(n))

    @property
    def first_downtime_ms(self) -> int | None:
        """Return the maximum downtime from the start."""
        return self.downtimes_ms[0]

    def begin(self, guest: PolicyGuest) -> None:
        """Begin to drive the migration of a guest."""
        super().begin(guest)
        steps = self.downtimes_ms
        self._items = deque([*enumerate(steps[1:], 1), (42, steps[-1]), ABORT])
