"""List the cells of the fault matrix: a fault in a phase of one kind of migration.

A cell that cannot be made says why. Nothing here needs a lab.
"""

from __future__ import annotations

import itertools
import tomllib
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any, Literal

from migrationlab.errors import UsageError
from migrationlab.plan.guest_spec import GuestSpec
from migrationlab.plan.plan import Plan
from migrationlab.plan.uris import Mode
from migrationlab.plan.wording import quote

Copy = Literal["pre-copy", "post-copy"]
COPIES: tuple[Copy, ...] = ("pre-copy", "post-copy")
MODES = (Mode.NORMAL, Mode.PEER2PEER)
SIDES = ("source", "destination")
#: The lab's table of faults and phases. It is read as a file: cells are listed without a lab.
_TABLES: dict[str, Any] = tomllib.loads(
    files("migrationlab").joinpath("lab", "phase_faults.toml").read_text()
)
KINDS: tuple[str, ...] = tuple(_TABLES["kind"])
PHASES: tuple[str, ...] = tuple(_TABLES["phase"])
POSTCOPY_PHASES = tuple(name for name in PHASES if name.startswith("postcopy-"))
PAUSED = "postcopy-paused"
#: The phases in which the destination has no QEMU yet.
BEFORE_INCOMING = ("begin", "prepare")
#: The image of both hosts. The libvirt of trixie (11.3) cannot resume post-copy that broke.
IMAGES: dict[Copy, str] = {"pre-copy": "trixie", "post-copy": "trixie-backports"}
#: The deadline of each migration. Without a fault it takes a second or two.
DEADLINE_S = 8
#: The guest of the matrix: small, so that a migration is short, and busy enough to be checked.
GUEST = GuestSpec(memory_mib=128, working_set_mib=16, dirty_mib_s=10)


@dataclass(frozen=True, slots=True)
class FaultCell:
    """A fault in a phase of one kind of migration.

    Attributes:
        kind: The fault.
        side: The host that it concerns; empty for a fault of the wire.
        phase: The phase that it fires in.
        mode: How the migration is made.
        copy: "pre-copy" or "post-copy".
        impossible: Why there is no such run; empty if there is one.
    """

    kind: str
    side: str
    phase: str
    mode: Mode
    copy: Copy
    impossible: str = ""

    def __str__(self) -> str:
        side = f" at the {self.side}" if self.side else ""
        return f"{self.kind}{side}, {self.phase}, {self.mode}, {self.copy}"

    @property
    def key(self) -> tuple[str, str, str, str, str]:
        """Return what tells this cell from the others."""
        return (self.kind, self.side, self.phase, str(self.mode), self.copy)

    def plan(self) -> Plan:
        """Return the plan of its migration.

        In post-copy memory is sent slowly, so that the phase after the switch lasts.
        """
        if self.copy == "pre-copy":
            return Plan(mode=self.mode, deadline_s=DEADLINE_S)
        slow: dict[str, Any] = {"bandwidth_mib_s": 20, "postcopy_bandwidth_mib_s": 20}
        if self.phase == PAUSED:
            slow = {"bandwidth_mib_s": 8, "postcopy_bandwidth_mib_s": 2}
        else:
            slow["postcopy_after_s"] = 0.2
        return Plan(mode=self.mode, deadline_s=DEADLINE_S, postcopy=True, **slow)


def cells(
    kinds: Collection[str] = (),
    phases: Collection[str] = (),
    *,
    modes: Sequence[Mode] = MODES,
    copies: Sequence[Copy] = COPIES,
) -> list[FaultCell]:
    """Return the cells of the matrix, also those that cannot be made.

    Args:
        kinds: The faults; none given: all.
        phases: The phases; none given: all.
        modes: The modes of the migrations.
        copies: Pre-copy, post-copy, or both.

    Raises:
        UsageError: There is no such fault or phase.
    """
    _require("kinds", kinds, KINDS)
    _require("phases", phases, PHASES)
    chosen = [name for name in KINDS if not kinds or name in kinds]
    at = [name for name in PHASES if not phases or name in phases]
    return [
        FaultCell(kind, side, phase, mode, copy, _impossible(kind, side, phase, mode, copy))
        for kind in chosen
        for side in (SIDES if _TABLES["kind"][kind].get("on_side") else ("",))
        for phase, mode, copy in itertools.product(at, modes, copies)
    ]


def _require(field: str, given: Collection[str], known: tuple[str, ...]) -> None:
    for name in given:
        if name not in known:
            raise UsageError(
                f"{field} must be of {', '.join(known)} (got {quote(name)})",
                hint="List them with `migrationlab lab fault --list`.",
            )


def _impossible(kind: str, side: str, phase: str, mode: Mode, copy: Copy) -> str:
    """Return why there is no such run."""
    return next(_reasons(kind, side, phase, mode, copy), "")


def _reasons(kind: str, side: str, phase: str, mode: Mode, copy: Copy) -> Iterator[str]:
    if reason := _TABLES["kind"][kind].get("unavailable"):
        yield str(reason)
    if copy == "pre-copy" and phase in POSTCOPY_PHASES:
        yield "pre-copy does not have this phase"
    if copy == "post-copy" and phase not in POSTCOPY_PHASES:
        yield "until the switch to post-copy it is the same as in pre-copy"
    if kind == "cut-control" and mode is Mode.NORMAL:
        yield "in normal mode the two daemons have no connection with each other"
    if kind.endswith("-qemu") and side == "destination" and phase in BEFORE_INCOMING:
        yield "the destination has no QEMU yet"
