"""Ask both hosts of a migration that broke, and carry out one step of ``recovery`` on them.

Every question has a time limit and its own connection: a daemon or a connection that hangs is
no reason to wait.
"""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeVar

import libvirt
import libvirt_qemu

from migrationlab.errors import HostError, MigrationLabError
from migrationlab.hosts.connection import ask, close_connection, refusals
from migrationlab.hosts.host import NO_DOMAIN, Host
from migrationlab.hosts.time_limit import start_call, within
from migrationlab.migrate.finish import STATES
from migrationlab.migrate.recovery import (
    OF_MIGRATION,
    OTHER,
    PORTS,
    Act,
    Action,
    Found,
    Job,
    Kind,
    Side,
    Verdict,
    decide,
)  # fmt: skip
from migrationlab.migrate.start import start
from migrationlab.plan.plan import Plan
from migrationlab.plan.uri_parser import is_address
from migrationlab.plan.validation import Side as HostSide
from migrationlab.plan.validation import Situation
from migrationlab.steps import Listener

T = TypeVar("T")
#: How long it may take to answer a question that QEMU or the domain's lock can delay.
JOB_S = 3.0
#: How long a job may move nothing before it counts as stale.
STALE_S = 2.0
#: How long a QEMU that ends may take, and the pause between two looks.
ENDING_S, ENDING_PAUSE_S = 5.0, 0.2
#: How long a resumed post-copy may move nothing.
RESUME_S = 30.0
#: QEMU's states (MigrationStatus, qapi/migration.json) from which its guest cannot be resumed: it
#: has begun post-copy. libvirt does not notice it if the other host's libvirtd ended just then.
QEMU_IN_POSTCOPY = (
    "postcopy-active", "postcopy-paused", "postcopy-recover-setup", "postcopy-recover",
)  # fmt: skip
#: Post-copy goes on.
RESUME_POSTCOPY = Plan(postcopy=True, postcopy_resume=True, deadline_s=RESUME_S)
#: virDomainPausedReason, virDomainRunningReason, from 0 on, as virsh domstate --reason says them.
PAUSED = (
    "unknown", "user", "migrating", "saving", "dumping", "I/O error", "watchdog", "from snapshot",
    "shutting down", "creating snapshot", "crashed", "starting up", "post-copy",
    "post-copy failed", "api error",
)  # fmt: skip
RUNNING = (
    "unknown", "booted", "migrated", "restored", "from snapshot", "unpaused",
    "migration canceled", "save canceled", "event wakeup", "crashed", "post-copy",
    "post-copy failed",
)  # fmt: skip
REASONS = {libvirt.VIR_DOMAIN_PAUSED: PAUSED, libvirt.VIR_DOMAIN_RUNNING: RUNNING}


@dataclass(frozen=True, slots=True)
class Recovery:
    """What both hosts say about a guest, and what to do about it.

    Attributes:
        found: What each side says.
        commands: The commands of the verdict's steps, as lines to copy.
        done: The commands that were carried out before.
    """

    domain: str
    found: dict[Side, Found]
    verdict: Verdict
    commands: tuple[str, ...]
    done: tuple[str, ...] = ()

    def __str__(self) -> str:
        lines = [f"{side:12} {found}" for side, found in self.found.items()]
        lines += [f"done         {command}" for command in self.done]
        lines += ["", f"{self.verdict.kind}: {self.verdict.why}"]
        lines += [f"run          {command}" for command in self.commands]
        return "\n".join([*lines, *([self.verdict.advice] if self.verdict.advice else [])])

    def to_dict(self) -> dict[str, object]:
        """Return it as plain values."""
        return {
            "domain": self.domain,
            "found": {side: str(found) for side, found in self.found.items()},
            "verdict": str(self.verdict.kind),
            "why": self.verdict.why,
            "commands": list(self.commands),
            "advice": self.verdict.advice,
            "done": list(self.done),
        }


@dataclass(frozen=True, slots=True)
class Given:
    """What the caller said: the dead side, the copy to keep, the patience, who is told."""

    dead: Side | None
    keep: Side | None
    patience_s: float
    on_step: Listener


class Scene:
    """The two hosts of a migration that broke."""

    def __init__(
        self,
        domain: str,
        hosts: dict[Side, Host | str],
        given: Given,
    ) -> None:
        self._domain, self._given = domain, given
        self._uris: dict[Side, str] = {}
        self._hosts: dict[Side, Host] = {}
        self._own: list[Host] = []
        #: Why a side could not be reached.
        self._silent: dict[Side, str] = {}
        opening: dict[Side, Future[Host]] = {}
        for side, host in hosts.items():
            self._uris[side] = host.uri if isinstance(host, Host) else host
            if isinstance(host, Host):
                self._hosts[side] = host
            else:
                opening[side] = start_call(partial(Host, host), "recovery-open")
        for side, opened in opening.items():
            try:
                self._hosts[side] = opened.result(given.patience_s)
            except (HostError, TimeoutError) as error:
                self._silent[side] = _why(error, given.patience_s)
                continue
            self._own.append(self._hosts[side])

    def close(self) -> None:
        """Close the connections that were opened for it."""
        for host in self._own:
            host.close()

    def look(self) -> Recovery:
        """Ask both hosts at the same time, and then the destination again.

        The source takes seconds to tell of its job. A guest can arrive meanwhile, so an answer of
        the destination counts only if it is younger than the source's.
        """
        found = self._answers(OTHER)
        if "unknown" not in [each.state for each in found.values()]:
            found |= self._answers(("destination",))
        end = time.monotonic() + ENDING_S
        # libvirt is ending a QEMU, which takes a moment.
        while (ending := _ending(found)) and time.monotonic() < end:
            time.sleep(ENDING_PAUSE_S)
            found |= self._answers(ending)
        source, destination = found["source"], found["destination"]
        if source.gone and destination.state == "paused":
            found["destination"] = self._with_received(destination)
        if source.split and destination.split and self._waits_for_qemu("destination"):
            found["destination"] = replace(destination, job=Job.STUCK)
        if source.state == "paused" and source.job is Job.NONE and source.reason in OF_MIGRATION:
            status = self._qemu_says("source")
            found["source"] = replace(source, postcopy=status in QEMU_IN_POSTCOPY)
        verdict = self._possible(decide(found["source"], found["destination"], self._given.keep))
        commands = tuple(
            act.command(self._domain, self._uris, self._target()) for act in verdict.acts
        )
        return Recovery(self._domain, found, verdict, commands)

    def _answers(self, sides: Iterable[Side]) -> dict[Side, Found]:
        """Ask some hosts at the same time."""
        calls = {
            side: start_call(partial(self._look, side), "recovery-look")
            for side in sides
            if side in self._hosts and self._given.dead != side
        }
        found: dict[Side, Found] = {}
        for side in sides:
            why = self._silent.get(side, "not asked")
            found[side] = Found("unknown", reason=why, dead=self._given.dead == side)
            if side in calls:
                try:
                    found[side] = calls[side].result(self._given.patience_s)
                except (HostError, libvirt.libvirtError, TimeoutError) as error:
                    found[side] = Found("unknown", reason=_why(error, self._given.patience_s))
        return found

    def _possible(self, verdict: Verdict) -> Verdict:
        """Return the verdict, or a refusal if these versions of libvirt cannot do its step."""
        if not any(act.action is Action.RESUME_POSTCOPY for act in verdict.acts):
            return verdict
        source, to = (
            within(self._given.patience_s, partial(_side, self._hosts[side])) for side in OTHER
        )
        problems = RESUME_POSTCOPY.problems(situation=Situation(source=source, destination=to))
        if not problems:
            return verdict
        return Verdict(
            Kind.REFUSED,
            f"{verdict.why} But {problems[0].reason}.",
            advice="End neither half. Upgrade that host's libvirt, and look again.",
        )

    def _target(self) -> str:
        host = self._hosts.get("destination")
        return host.peer_name if host else "DESTINATION"

    def _asked(self, side: Side, question: Callable[[libvirt.virDomain], T]) -> T | None:
        """Ask about the domain over a new connection; None if the host has no such domain."""
        connection = self._hosts[side].new_connection()
        try:
            with refusals():
                return question(self._lookup(connection))
        except HostError as error:
            if error.code in NO_DOMAIN:
                return None
            raise
        finally:
            close_connection(connection)

    def _lookup(self, connection: libvirt.virConnect) -> libvirt.virDomain:
        try:
            return connection.lookupByName(self._domain)
        except libvirt.libvirtError as error:
            try:
                return connection.lookupByUUIDString(self._domain)
            except libvirt.libvirtError:
                raise error from None

    def _look(self, side: Side) -> Found:
        def question(domain: libvirt.virDomain) -> Found:
            number, _ = domain.state()
            job = Job.NONE
            if number in REASONS and side == "source":
                job = _job(domain)
            # A job can end meanwhile, and change the state with it.
            number, reason = domain.state()
            words = REASONS.get(number, ())
            return Found(
                state=STATES[number] if number < len(STATES) else str(number),
                reason=words[reason] if reason < len(words) else "unknown" if not words else "new",
                job=job,
                persistent=bool(domain.isPersistent()),
            )

        return self._asked(side, question) or Found("absent")

    def _with_received(self, found: Found) -> Found:
        """Ask QEMU at the destination whether it has received all memory."""
        status = self._qemu_says("destination")
        return replace(found, received=None if status is None else status == "completed")

    def _qemu_says(self, side: Side) -> str | None:
        """Return QEMU's own word for the state of its migration; None if it does not answer."""

        def question(domain: libvirt.virDomain) -> str:
            answer = libvirt_qemu.qemuMonitorCommand(domain, '{"execute": "query-migrate"}', 0)
            return str(json.loads(answer)["return"].get("status", ""))

        try:
            return within(JOB_S, lambda: self._asked(side, question))
        except (HostError, TimeoutError):
            return None

    def _waits_for_qemu(self, side: Side) -> bool:
        """Return whether a call has waited there for QEMU, longer than a resume may take.

        Only this can be asked then: a call that needs QEMU would wait as well (virsh domcontrol).
        """

        def question(domain: libvirt.virDomain) -> bool:
            state, _, since_ms = domain.controlInfo()
            waits = (libvirt.VIR_DOMAIN_CONTROL_JOB, libvirt.VIR_DOMAIN_CONTROL_OCCUPIED)
            return state in waits and since_ms >= RESUME_S * 1000

        try:
            return bool(within(JOB_S, lambda: self._asked(side, question)))
        except (HostError, TimeoutError):
            return False

    def do(self, act: Act) -> None:
        """Carry out one step."""
        if act.action is Action.FREE_SOCKET:
            self._free_socket()
        elif act.action is Action.RESUME_POSTCOPY:
            self._resume_postcopy()
        else:
            self._asked(act.side, _CALLS[act.action])

    def _resume_postcopy(self) -> None:
        """Send the rest of the memory. Ctrl-C pauses post-copy again, and loses nothing."""
        source, to = self._hosts["source"], self._hosts["destination"]
        resumed = start(
            self._domain, source=source, to=to, plan=RESUME_POSTCOPY, on_step=self._given.on_step
        )
        try:
            run = resumed.wait()
        except KeyboardInterrupt:
            with contextlib.suppress(MigrationLabError):  # it may be over
                resumed.pause_postcopy()
            raise
        if run.error is not None:
            raise HostError(run.error.text, hint=run.error.hint)

    def _free_socket(self) -> None:
        """End the migration's connections to the destination, on the source's machine."""
        shell, target = self._hosts["source"].shell, self._target()
        hint = (
            "Run as root on the source's machine: sysctl -w net.ipv4.tcp_retries2=3. The "
            "connection then ends after some seconds. If it has hung for minutes already, it "
            "ends at its next try, after 2 minutes at most. Set the old value afterwards."
        )
        if shell is None:
            raise HostError("the source's URI shows no way to run a program there", hint=hint)
        lines = shell.run("getent", "ahosts", target).stdout.splitlines()
        found = {word for line in lines for word in line.split()[:1] if is_address(word)}
        if not found:
            raise HostError(f"the source does not know the address of {target}", hint=hint)
        for address in sorted(found):
            answer = shell.run("ss", "-K", "-t", "dst", address, *PORTS)
            if answer.status != 0:
                raise HostError(f"ss -K failed at the source: {answer.complaint}", hint=hint)


_CALLS: dict[Action, Callable[[libvirt.virDomain], object]] = {
    Action.RESUME: lambda domain: domain.resume(),
    Action.DESTROY: lambda domain: domain.destroy(),
    Action.ABORT: lambda domain: domain.abortJob(),
    Action.UNDEFINE: lambda domain: domain.undefine(),
}


def _ending(found: Mapping[Side, Found]) -> list[Side]:
    return [side for side, each in found.items() if each.state == "in shutdown"]


def _side(host: Host) -> HostSide:
    return host.side


def _why(error: Exception, patience_s: float) -> str:
    """Return why a host gave no answer, on one line."""
    return " ".join(str(error).split()) or f"no answer within {patience_s:g} s"


def _job(domain: libvirt.virDomain) -> Job:
    """Return the job of a domain: whether it moves data, and whether QEMU answers at all."""
    try:
        first = ask(domain.connect(), domain.jobStats, JOB_S)
        if not first.get("type"):
            return Job.NONE
        time.sleep(STALE_S)
        second = ask(domain.connect(), domain.jobStats, JOB_S)
    except TimeoutError:
        return Job.STUCK
    except libvirt.libvirtError as error:
        code = error.get_error_code()
        if code == libvirt.VIR_ERR_OPERATION_TIMEOUT:  # cannot acquire state change lock
            return Job.STUCK
        if code == libvirt.VIR_ERR_OPERATION_INVALID:  # it has ended meanwhile
            return Job.NONE
        raise
    if not second.get("type"):
        return Job.NONE
    moved = any(first.get(key) != second.get(key) for key in ("data_processed", "data_remaining"))
    return Job.MOVING if moved else Job.STALE
