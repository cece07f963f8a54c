"""Let a fault happen in a given phase of a migration, and undo it afterwards.

``fault_cases`` has faults of a lab's configuration, which are on before a migration begins. These
here happen in mid-migration: ``phase_watch`` waits for the phase. ``phase_faults.toml`` describes
them. A file in the lab's folder has what is needed to undo each of them, so any process can.
"""

from __future__ import annotations

import contextlib
import json
import math
import queue
import secrets
from collections.abc import Collection, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import psutil

from migrationlab.capture.events import EventLog, Row
from migrationlab.capture.host_logs import qemu_log
from migrationlab.errors import LabError, UsageError
from migrationlab.hosts.host import Host
from migrationlab.lab import registry
from migrationlab.lab.guest import Guest
from migrationlab.lab.lab_base import LabBase
from migrationlab.lab.phase_effects import EFFECTS, Options, Target, continue_all
from migrationlab.lab.phase_watch import (
    TABLES,
    LogMoment,
    Phase,
    PhaseWatch,
    find_phase,
)

Side = Literal["source", "destination"]
SIDES: tuple[Side, ...] = ("source", "destination")
#: The first QEMU that traces the steps of the switchover (see ``capture.host_logs``).
TRACES = (8, 2)


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultKind:
    """A fault that can happen in mid-migration, as ``phase_faults.toml`` describes it."""

    id: str
    title: str
    text: str
    on_side: bool = False
    unavailable: str = ""


KINDS = {name: FaultKind(id=name, **values) for name, values in TABLES["kind"].items()}


class PhaseFault:
    """A fault that waits for its phase, or has fired; :attr:`host` is None for the wire's."""

    def __init__(self, kind: FaultKind, phase: Phase, host: Host | None, watch: PhaseWatch) -> None:
        self.kind = kind
        self.phase = phase
        self.host = host
        self._watch = watch

    def __repr__(self) -> str:
        where = "" if self.host is None else f" on {self.host.name}"
        state = "waits" if self.fired_at_ns is None else "fired"
        return f"PhaseFault({self.kind.id!r}{where} at {self.phase.id}, {state})"

    @property
    def fired_at_ns(self) -> int | None:
        """Return when it had happened (CLOCK_REALTIME), None before."""
        return self._watch.fired_at_ns

    @property
    def line(self) -> str | None:
        """Return the line of a log, or the event, that it fired on."""
        return self._watch.line

    def wait(self, timeout_s: float | None = None) -> bool:
        """Wait until it has fired, ``timeout_s`` at most; return whether it has.

        Raises:
            LabError: The phase came, but the fault could not be made.
        """
        return self._watch.wait(timeout_s)


@contextlib.contextmanager
def phase_fault(
    lab: LabBase, kind: str, phase: str, guest: Guest, *, side: Side | None, options: Options
) -> Iterator[PhaseFault]:
    """Let a fault happen during a ``with``, in a phase of the next migration of ``guest``.

    See :meth:`migrationlab.lab.lab.Lab.fault`.
    """
    chosen, at = check_request(kind, phase, side, options)
    hosts = {"source": guest.host, "destination": guest.other_host}
    if any(step.log == "source-qemu" for step in at.steps) and guest.host.facts.qemu < TRACES:
        raise UsageError(
            f"phase must be one that QEMU of {guest.host.name} shows (got {phase!r})",
            hint="Let the guest leave a host of trixie: Lab(images='trixie').",
        )
    target = Target(lab, hosts[side or "source"], guest.uuid, options, {})
    effect = EFFECTS[kind]()
    effect.look(target)
    daemons = {name: _running(lab, host) for name, host in hosts.items()}
    moment = (
        contextlib.closing(LogMoment(at.steps, _logs(hosts, guest), daemons))
        if options.iteration is None
        else contextlib.closing(IterationMoment(guest, options.iteration))
    )
    with moment as awaited:
        watch = PhaseWatch(awaited, lambda: effect.apply(target))
        noted = _note(kind, target)
        watch.start()
        try:
            yield PhaseFault(chosen, at, target.host if chosen.on_side else None, watch)
        finally:
            watch.close()
            if watch.line is not None:
                effect.undo(target)
            noted.unlink(missing_ok=True)
        watch.wait(0)  # raises if the fault could not be made


def thaw(name: str) -> None:
    """Continue the stopped processes of a lab: a frozen libvirtd lets nobody attach to the lab."""
    if any(registry.files(name).midway.glob("*.json")):
        rack = psutil.Process(registry.state(name)["rack"]["pid"])
        continue_all(rack.children(recursive=True))


def undo_all(lab: LabBase) -> list[str]:
    """Undo all faults in mid-migration of a lab, of any process; return their kinds.

    Raises:
        LabError: One could not be undone.
    """
    found = []
    for noted in sorted(lab.files.midway.glob("*.json")):
        kept = json.loads(noted.read_text())
        host = next(host for host in lab.hosts if host.name == kept["host"])
        target = Target(lab, host, kept["uuid"], Options(**kept["options"]), kept["before"])
        EFFECTS[kept["kind"]]().undo(target)
        noted.unlink(missing_ok=True)
        found.append(kept["kind"])
    return found


class IterationMoment:
    """Waits for QEMU's event that an iteration of a guest's migration begins."""

    def __init__(self, guest: Guest, iteration: int) -> None:
        self._iteration = iteration
        self._rows: queue.SimpleQueue[Row | None] = queue.SimpleQueue()
        self._events = EventLog(guest.uuid)
        self._events.listener = self._rows.put
        self._events.listen(guest.host.connection, "source")

    def wait(self) -> str | None:
        """Return the event's name and number, None if :meth:`end` was called before it came."""
        while (row := self._rows.get()) is not None:
            *_, name, detail = row
            said = json.loads(detail)
            if name == "MIGRATION_PASS" and said["pass"] == self._iteration:
                return f"{name} {self._iteration}"
            # QEMU 11.1.3 has no such event for the first iteration (``analysis/phases``).
            if self._iteration == 1 and (name, said.get("status")) == ("MIGRATION", "active"):
                return f"{name} active"
        return None

    def end(self) -> None:
        """Let :meth:`wait` return."""
        self._rows.put(None)

    def release(self, kept: Collection[int]) -> None:
        """Do nothing: no daemon is stopped."""

    def close(self) -> None:
        """Stop collecting events."""
        self._events.close()


def check_request(
    kind: str, phase: str, side: str | None, options: Options
) -> tuple[FaultKind, Phase]:
    """Return the fault and the phase; raise :class:`UsageError` if they cannot be had."""
    if kind not in KINDS:
        raise UsageError(
            f"fault must be one of {', '.join(KINDS)} (got {kind!r})",
            hint="List the faults with `migrationlab lab fault --list`.",
        )
    chosen, at = KINDS[kind], find_phase(phase)
    if chosen.unavailable:
        raise UsageError(
            f"the lab cannot have {kind}: {chosen.unavailable}",
            hint="Choose another fault: migrationlab lab fault --list",
        )
    if side is not None and not chosen.on_side:
        raise UsageError(
            f"side must be left out for {kind} (got {side!r})",
            hint="Leave it out: the fault concerns both hosts.",
        )
    if side not in (None, *SIDES):
        raise UsageError(
            f"side must be source or destination (got {side!r})", hint='Give side="source".'
        )
    if options.iteration is not None and phase != "perform":
        raise UsageError(
            f"iteration must be left out in phase {phase!r} (got {options.iteration})",
            hint='Give phase="perform", or leave it out.',
        )
    for name, value in asdict(options).items():
        if value is not None and not (math.isfinite(value) and value > 0):
            raise UsageError(f"{name} must be more than 0 (got {value!r})", hint=f"Give {name}=1.")
    return chosen, at


def _logs(hosts: Mapping[str, Host], guest: Guest) -> dict[str, Path]:
    paths = {name: host.log for name, host in hosts.items()}
    paths["source-qemu"] = qemu_log(hosts["source"].log, guest.name)
    return {name: path for name, path in paths.items() if path is not None}


def _note(kind: str, target: Target) -> Path:
    """Write what undoing needs into a file of the lab's folder; return its path."""
    folder = target.lab.files.midway
    folder.mkdir(exist_ok=True)
    kept = {
        "kind": kind,
        "host": target.host.name,
        "uuid": target.uuid,
        "options": asdict(target.options),
        "before": target.before,
    }
    path = folder / f"{secrets.token_hex(4)}.json"
    path.write_text(json.dumps(kept))
    return path


def _running(lab: LabBase, host: Host) -> psutil.Process:
    daemon = lab.rack.libvirtd(host.name)
    if daemon is None:
        raise LabError(
            f"{host.name} has no libvirtd", hint="Wait for it: lab.reconnect(lab.host_a)."
        )
    return daemon
