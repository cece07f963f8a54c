"""Switch faults on in a running lab, and fix them again.

One fault at a time is on. A file in the lab's folder names it before anything is changed. So any
process can fix the lab. ``fault_cases`` lists the faults.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from migrationlab.errors import UsageError
from migrationlab.hosts.host import Host
from migrationlab.lab.fault_cases import FaultCase, Sides, find
from migrationlab.lab.guest import Guest, domains_of
from migrationlab.lab.host_changes import undo_all
from migrationlab.lab.lab_base import LabBase
from migrationlab.plan.plan import Plan

#: A small guest boots soon, and reads all blocks of a small disk soon.
SMALL_GUEST = {"memory_mib": 128, "working_set_mib": 8, "dirty_mib_s": 5, "disk_mib": 4}


@dataclass(frozen=True, slots=True)
class ActiveFault:
    """A fault that is switched on, and the ``plan`` from ``source`` to ``to`` that meets it."""

    case: FaultCase
    plan: Plan
    source: Host
    to: Host
    #: The guest that was made for it; None if any guest on ``source`` meets the fault.
    guest: Guest | None

    @property
    def expected(self) -> str:
        """Return the id of the error's explanation."""
        return self.case.id


def switched_on(lab: LabBase) -> FaultCase | None:
    """Return the fault that is on in a lab, or None."""
    state = _state(lab)
    return None if state is None else find(state["case"])


def switch_on(
    lab: LabBase, case_id: str, *, source: Host | None, boot: Callable[..., Guest]
) -> ActiveFault:
    """Break a lab until :func:`fix`.

    Guests leave ``source``, by default the first host; ``boot`` boots one in that lab.

    Raises:
        UsageError: There is no such fault, another one is on, or this lab cannot have it.
        LabError: It could not be switched on; the lab is as before.
    """
    case = find(case_id)
    source = source or lab.host_a
    lab.require_own("source", source)
    sides = Sides(lab, source, lab.other(source))
    if lacking := case.lacking(sides):
        raise UsageError(
            f"switching {case.id} on failed: this lab cannot have it", hint=f"Use {lacking}."
        )
    _take(lab, case, source)
    try:
        for change in case.changes(sides):
            change.make()
        made = {**SMALL_GUEST, **case.guest} if case.guest is not None else None
        guest = boot(case.id, on=source, **made) if made is not None else None
    except BaseException:
        fix(lab)
        raise
    return ActiveFault(case, case.plan_for(sides), source, sides.to, guest)


def fix(lab: LabBase) -> FaultCase | None:
    """Fix the fault that is on, and end its own guest; return the fault or None.

    Raises:
        LabError: It could not be fixed completely.
    """
    state = _state(lab)
    if state is None:
        return None
    case = find(state["case"])
    source = next(host for host in lab.hosts if host.name == state["source"])
    undo_all(case.changes(Sides(lab, source, lab.other(source))))
    if case.guest is not None:
        for domain, guest in domains_of(lab):
            if domain.name == case.id:
                guest.clear()
    lab.files.broken.unlink()
    return case


@contextmanager
def breaking(
    lab: LabBase, case_id: str, *, source: Host | None, boot: Callable[..., Guest]
) -> Iterator[ActiveFault]:
    """Break a lab during a ``with``; arguments and errors are those of :func:`switch_on`."""
    on = switch_on(lab, case_id, source=source, boot=boot)
    try:
        yield on
    finally:
        fix(lab)


def _state(lab: LabBase) -> dict[str, str] | None:
    try:
        state: dict[str, str] = json.loads(lab.files.broken.read_text())
    except FileNotFoundError:
        return None
    return state


def _take(lab: LabBase, case: FaultCase, source: Host) -> None:
    """Record the next fault in the lab's folder, unless one is on already."""
    text = json.dumps({"case": case.id, "source": source.name})
    # A name of this call only: two may break a lab at the same moment, and one is refused.
    partial = lab.files.broken.with_suffix(f".{secrets.token_hex(4)}")
    partial.write_text(text)
    try:
        lab.files.broken.hardlink_to(partial)
    except FileExistsError as error:
        on = switched_on(lab)
        raise UsageError(
            f"the fault {on.id if on else ''} is switched on already",
            hint="Fix the lab first: `migrationlab lab mend`, or leave its `with`.",
        ) from error
    finally:
        partial.unlink()
