"""Make one run of a cell of the fault matrix, and recover its guest.

The fault lasts until the run is over, and ``recover`` has looked at both hosts and done what it may
do. Then the fault is undone; a dead host stays dead, and that is confirmed. ``recover`` is called
again until the guest runs, or is lost. Both hosts and the guest are asked whether that is so.
"""

from __future__ import annotations

import contextlib
import shlex
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from migrationlab.errors import HostError, LabError, UsageError
from migrationlab.experiment.fault_cells import PAUSED, FaultCell
from migrationlab.experiment.fault_folder import FaultRow
from migrationlab.explain.explanation import causes
from migrationlab.hosts.connection import ask, close_connection, refusals
from migrationlab.hosts.host import Host
from migrationlab.hosts.time_limit import within
from migrationlab.lab.guest import Guest
from migrationlab.lab.lab import Lab
from migrationlab.lab.phase_faults import PhaseFault, Side
from migrationlab.migrate.migration import Migration
from migrationlab.migrate.recovery import Job, Kind
from migrationlab.migrate.recovery_scene import Recovery
from migrationlab.migrate.recovery_steps import recover
from migrationlab.migrate.start import start
from migrationlab.plan.virsh import virsh_line
from migrationlab.runs.run import Outcome, Run

#: How long a host of the lab may take to answer.
PATIENCE_S = 5.0
#: How long ``recover`` is called again after the fault. A post-copy resumed in vain takes 33 s.
RECOVERY_S = 75.0
#: The pause between two calls.
PAUSE_S = 0.5
#: How long the end of a QEMU that does not answer may take: libvirt waits before it kills it.
GIVE_UP_S = 60.0
#: How long a fault may take to fire once the run is over: post-copy was paused then.
FIRES_S = 10.0
#: The copy to keep if a guest runs on both hosts: it ran first.
KEPT: Side = "destination"
NOTHING, NOBODY, DEADLINE, AFTERWARDS = (
    "nothing", "nobody", "the deadline", "migrationlab, after the call",
)  # fmt: skip


@dataclass
class Recovering:
    """What ``recover`` has said and done in one run."""

    first: Recovery | None = None
    after: Recovery | None = None
    last: Recovery | None = None
    commands: list[str] = field(default_factory=list)
    trouble: list[str] = field(default_factory=list)
    by: str = NOTHING

    @property
    def over(self) -> bool:
        """Return whether the guest runs, or is lost, with nothing left to do."""
        if self.last is None or self.last.verdict.acts:
            return False
        return self.last.verdict.kind in (Kind.WELL, Kind.LOST)


def trial(lab: Lab, guest: Guest, cell: FaultCell, repeat: int) -> tuple[Run, FaultRow]:
    """Migrate a guest, let the fault of a cell happen, and recover the guest.

    Raises:
        MigrationLabError: The lab broke in another way than the fault.
    """
    sides: dict[Side, Host] = {"source": guest.host, "destination": guest.other_host}
    facts = [host.facts for host in sides.values()]
    side: Side | None = next((each for each in sides if each == cell.side), None)
    ask = partial(
        recover,
        guest.spec.name,
        source=sides["source"],
        destination=sides["destination"],
        patience_s=PATIENCE_S,
    )
    seen = Recovering()
    with lab.fault(cell.kind, phase=cell.phase, side=side, guest=guest) as fault:
        run = _migrated(guest, sides["destination"], cell, fault)
        began = time.monotonic()
        _first_look(ask, seen)
    dead = side if cell.kind == "kill-host" and fault.fired_at_ns else None
    seen.trouble += _reconnected(lab, {name: sides[name] for name in sides if name != dead})
    _recovered(partial(ask, confirm_dead=dead), seen, sides)
    took_s = time.monotonic() - began
    running = [name for name, host in sides.items() if name != dead and _runs(host, guest.uuid)]
    return run, FaultRow(
        kind=cell.kind,
        side=cell.side,
        phase=cell.phase,
        mode=str(cell.mode),
        copy=cell.copy,
        repeat=repeat,
        libvirt=" and ".join(dict.fromkeys(each.libvirt_version for each in facts)),
        qemu=" and ".join(dict.fromkeys(each.qemu_version for each in facts)),
        **about_run(run, fault.fired_at_ns),
        **_about_recovery(seen, sides),
        recover_s=round(took_s, 1),
        found_at=running[0] if len(running) == 1 else "",
        running_on=len(running),
        intact=_intact(guest) if running else None,
    )


def about_run(run: Run, fired_at_ns: int | None) -> dict[str, Any]:
    """Return what a row says of the migration, and of who noticed the fault."""
    states = run.domain_states or {}
    noticed_s, noticed_by = noticed(run, fired_at_ns)
    return {
        "run_id": run.run_id,
        "fired": fired_at_ns is not None,
        "outcome": str(run.outcome),
        "said": run.error.text if run.error else "",
        "explained": (run.error and run.error.explanation) or "",
        "noticed_s": noticed_s,
        "noticed_by": noticed_by,
        "source": states.get("source", "unknown"),
        "destination": states.get("destination", "unknown"),
    }


def _about_recovery(seen: Recovering, sides: Mapping[Side, Host]) -> dict[str, Any]:
    assert seen.first is not None
    assert seen.after is not None
    assert seen.last is not None
    return {
        "first_verdict": str(seen.first.verdict.kind),
        "first_why": seen.first.verdict.why,
        "recovered_by": seen.by,
        "commands": tuple(_without_uris(line, sides) for line in seen.commands),
        "trouble": tuple(_without_uris(line, sides) for line in seen.trouble),
        "verdict": str(seen.last.verdict.kind),
        "why": seen.last.verdict.why,
        "after_verdict": str(seen.after.verdict.kind),
        "after_why": seen.after.verdict.why,
    }


def _migrated(guest: Guest, to: Host, cell: FaultCell, fault: PhaseFault) -> Run:
    """Migrate the guest, and return the run once the fault has fired, or cannot fire any more."""
    migration = start(guest, to=to, plan=cell.plan())
    try:
        if cell.phase == PAUSED:
            migration.start_postcopy()
            migration.pause_postcopy()
        run = migration.wait()
    finally:
        _end(migration)
    # Post-copy is paused at the moment when the call returns.
    fault.wait(FIRES_S if cell.phase == PAUSED else 0)
    return run


def _end(migration: Migration) -> None:
    """End a migration that an error or Ctrl-C left under way; its deadline ends the wait."""
    if not migration.done:
        with contextlib.suppress(UsageError):  # in post-copy it can only complete
            migration.cancel()
        migration.wait()


def _first_look(ask: partial[Recovery], seen: Recovering) -> None:
    """Look while the fault lasts, and do what can be done then."""
    seen.first = seen.last = ask()
    if seen.over:
        seen.by = "lost" if seen.first.verdict.kind is Kind.LOST else "libvirt"
    elif seen.first.verdict.acts:
        _step(ask, seen, "recover, during the fault")


def _reconnected(lab: Lab, alive: Mapping[Side, Host]) -> Iterator[str]:
    """Connect again to hosts whose libvirtd has ended, which no fault undoes; say which."""
    for side, host in alive.items():
        try:
            _ = host.connection
        except HostError:
            lab.reconnect(host)
            yield f"libvirtd of the {side} ended, and the host started it again"


def _recovered(ask: partial[Recovery], seen: Recovering, sides: Mapping[Side, Host]) -> None:
    """Recover the guest after the fault."""
    end = time.monotonic() + RECOVERY_S
    before = seen.by
    seen.after = seen.last = ask()
    ask = partial(ask, keep=KEPT)
    while not (seen.over or _is_stuck(seen)) and time.monotonic() < end:
        _step(ask, seen, "recover, after the fault")
        time.sleep(PAUSE_S)
    assert seen.last is not None
    if _is_stuck(seen):
        _given_up(ask, seen, sides)
    if seen.last.verdict.kind is Kind.LOST:
        seen.by = "lost"
    elif before == seen.by == NOTHING and seen.over:
        seen.by = "the end of the fault"


def _is_stuck(seen: Recovering) -> bool:
    """Return whether the destination's QEMU waits for ever; no fault freezes it any more."""
    return seen.last is not None and seen.last.found["destination"].job is Job.STUCK


def _given_up(ask: partial[Recovery], seen: Recovering, sides: Mapping[Side, Host]) -> None:
    """End both halves of a guest, as ``recover`` says of a QEMU that waits and is not stopped."""
    assert seen.last is not None
    name = seen.last.domain
    for host in sides.values():
        within(GIVE_UP_S, partial(_destroy, host, name))
        seen.commands.append(virsh_line(host.uri, "destroy", name))
    seen.last = ask()


def _destroy(host: Host, name: str) -> None:
    connection = host.new_connection()
    try:
        with refusals():
            connection.lookupByName(name).destroy()
    finally:
        close_connection(connection)


def _step(ask: partial[Recovery], seen: Recovering, by: str) -> None:
    """Let ``recover`` do what it may do."""
    try:
        seen.last = ask(carry_out=True)
    except HostError as error:
        seen.trouble.append(str(error))
        seen.last = ask()
        return
    if seen.last.done:
        seen.commands += seen.last.done
        seen.by = by


def noticed(run: Run, fired_at_ns: int | None) -> tuple[float | None, str]:
    """Return how long after a fault somebody ended the call, and who did."""
    if fired_at_ns is None or run.outcome is Outcome.COMPLETED or fired_at_ns > run.returned_ns:
        return None, NOBODY
    after_s = round((run.returned_ns - fired_at_ns) / 1e9, 2)
    if run.outcome in (Outcome.TIMED_OUT, Outcome.UNRESOLVED):
        return after_s, DEADLINE
    if run.outcome is Outcome.GUEST_LOST:
        return after_s, AFTERWARDS
    known = {cause.id: cause.noticed_by for cause in causes()}
    by = known.get(run.error.explanation or "") if run.error else None
    return after_s, str(by or "libvirt")


def _runs(host: Host, uuid: str) -> bool:
    """Return whether a host runs a guest."""
    found = ask(host.connection, partial(host.find, uuid), PATIENCE_S)
    return found is not None and found.active and not found.paused


def _intact(guest: Guest) -> bool:
    """Return whether a guest that runs answers, and every page that it wrote is right."""
    try:
        return guest.check().intact
    except LabError:
        return False


def _without_uris(line: str, sides: Mapping[Side, Host]) -> str:
    """Return a line that is the same in both directions, and names no file of this machine."""
    for side, host in sides.items():
        for text in (shlex.quote(host.uri), host.uri, host.peer_uri):
            line = line.replace(text, side.upper())
    return line
