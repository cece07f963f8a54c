"""Say what a policy is, and what it is told.

Theory of operation. A :class:`Policy` is a dataclass whose fields are its options, each with its
default, range and meaning (``plan.spec.option``). One object drives one migration:

1. :meth:`Policy.begin` gets the guest, before libvirt's call. The policy may set its
   ``first_downtime_ms``, which is the guest's maximum downtime from the start.
2. :meth:`Policy.polled` is called every ``poll_s`` seconds while pre-copy runs, as the programs
   that these policies are from ask libvirt. :meth:`Policy.iterated` is called when an iteration
   begins. Both get what is :class:`Seen` and give the actions that are due.

A policy never asks for the time. So the same object drives a migration, replays a recorded one, and
draws its limits for an imagined guest.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self, TypeVar

from migrationlab.errors import PlanError
from migrationlab.plan.policies.action import Action, ActionKind
from migrationlab.plan.spec import options, require_valid
from migrationlab.plan.wording import nearest, quote

Made = TypeVar("Made")

GIB = 1 << 30
#: The largest maximum downtime that QEMU accepts (MAX_MIGRATE_DOWNTIME in migration/options.c).
LONGEST_DOWNTIME_MS = 2_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyGuest:
    """The guest that a policy drives.

    Attributes:
        memory_bytes: Its memory.
        copied_disks_bytes: The size of each disk that is copied.
        paused: Whether it was paused before the migration.
        parallel: Whether its memory is sent over several connections.
        vfio: Whether a device of the host is assigned to it.
    """

    memory_bytes: int
    copied_disks_bytes: tuple[int, ...] = ()
    paused: bool = False
    parallel: bool = False
    vfio: bool = False


@dataclass(frozen=True, slots=True)
class Seen:
    """What is known of a migration at one moment.

    Attributes:
        now_s: Seconds since libvirt's call.
        iteration: The current iteration; N from the moment when iteration N begins.
        statistics: The job's statistics, by column of a run's frame ``job``.
    """

    now_s: float
    iteration: int
    statistics: Mapping[str, int]

    @property
    def remaining_bytes(self) -> int | None:
        """Return the rest that is to be sent; None if it is not known."""
        return self.statistics.get("data_remaining_bytes")

    @property
    def sent_bytes(self) -> int | None:
        """Return what has been sent; None if it is not known."""
        return self.statistics.get("data_processed_bytes")

    @property
    def memory_bps(self) -> int | None:
        """Return QEMU's sending rate in bytes per second; None if it is not known."""
        return self.statistics.get("memory_bps")


@dataclass(kw_only=True)
class Policy:
    """The base of all policies; alone it does nothing.

    Attributes:
        name: The name in a plan.
        meaning: What it does, in sentences.
        source: Where its rules and defaults are from.
        poll_s: The seconds from one look at the migration to the next.
        first_downtime_ms: The maximum downtime from the start; None leaves it as it is.
        most_iterations: After so many iterations it ends pre-copy, whatever the guest does; None
            if their number alone never ends it.
    """

    name: ClassVar[str] = ""
    meaning: ClassVar[str] = ""
    source: ClassVar[str] = ""
    poll_s: ClassVar[float] = 1.0

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> Self:
        """Return the policy with some options; PlanError for an unknown or a wrong one."""
        return checked(cls, given, f"policy {cls.name}")

    def settings(self) -> dict[str, object]:
        """Return the settings of a plan that belong to the policy, by the plan's fields."""
        return {}

    @property
    def first_downtime_ms(self) -> int | None:
        """Return the maximum downtime from the start."""
        return None

    @property
    def most_iterations(self) -> int | None:
        """Return after how many iterations it ends pre-copy in any case."""
        return None

    @property
    def next_poll_s(self) -> float:
        """Return the seconds until the next look, as the policy knows them after the last one."""
        return self.poll_s

    def begin(self, guest: PolicyGuest) -> None:
        """Begin to drive the migration of a guest."""

    def polled(self, seen: Seen) -> Iterable[Action]:
        """Look at the migration; return the actions that are due."""
        return ()

    def iterated(self, seen: Seen) -> Iterable[Action]:
        """Note that an iteration began; return the actions that are due."""
        return ()


def checked(kind: type[Made], given: Mapping[str, Any], what: str) -> Made:
    """Return a dataclass of options with some values; PlanError for an unknown or a wrong one."""
    known = [each.name for each in options(kind)]
    for name in given:
        if name not in known:
            near = nearest(name, known)
            instead = f"Use {near}. " if near else ""
            raise PlanError(
                f"{what} has no option {quote(name)}",
                hint=f"{instead}Its options are: {', '.join(known) or 'none'}.",
            )
    made = kind(**given)
    require_valid(made, PlanError)
    return made


def allow(max_downtime_ms: float, why: str) -> Action:
    """Return the action that sets the maximum downtime, in whole milliseconds of QEMU's range."""
    value = min(max(int(max_downtime_ms), 1), LONGEST_DOWNTIME_MS)
    return act(ActionKind.SET_MAX_DOWNTIME, why, value)


def act(kind: ActionKind, why: str, value: int | None = None) -> Action:
    """Return an action of a policy."""
    return Action(kind, "policy", value, why)


def whole_gb(guest: PolicyGuest) -> int:
    """Return a guest's memory and copied disks in units of 10^9 bytes, rounded up."""
    return math.ceil((guest.memory_bytes + sum(guest.copied_disks_bytes)) / 1e9)


def set_settings(**settings: Any) -> dict[str, object]:
    """Return the settings that are given: neither None nor off."""
    return {name: value for name, value in settings.items() if value is not None and value}
