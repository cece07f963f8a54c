"""Look at both hosts after a migration that broke, and carry out the steps of ``recovery``.

Every question has a time limit and its own connection: a daemon or a connection that hangs is
no reason to wait. After each step both hosts are asked again, and the decision is made again.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeVar

import libvirt
import libvirt_qemu

from migrationlab.errors import HostError, UsageError
from migrationlab.hosts.connection import close_connection, refusals
from migrationlab.hosts.host import NO_DOMAIN, Host
from migrationlab.hosts.poll import wait_until
from migrationlab.hosts.time_limit import start_call, within
from migrationlab.migrate.finish import STATES
from migrationlab.migrate.recovery import (
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
from migrationlab.plan.problem import require_none
from migrationlab.plan.uri_parser import is_address
from migrationlab.plan.uris import validate_domain_name
from migrationlab.plan.validation import Side as HostSide
from migrationlab.plan.validation import Situation

T = TypeVar("T")
#: How long a host may take to be reached and to tell the state of a domain.
LOOK_S, MOST_PATIENCE_S = 15.0, 600.0
#: How long it may take to answer a question that QEMU or the domain's lock can delay.
JOB_S = 3.0
#: How long a job may move nothing before it counts as stale.
STALE_S = 2.0
#: How long to wait for the effect of a step.
EFFECT_S = 20.0
#: How long a step may take.
STEP_S = 40.0
MOST_STEPS = 6
#: Post-copy goes on.
RESUME_POSTCOPY = Plan(postcopy=True, postcopy_resume=True, deadline_s=STEP_S - 10)
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


def recover(
    domain: str,
    *,
    source: Host | str,
    destination: Host | str,
    confirm_dead: Side | None = None,
    keep: Side | None = None,
    carry_out: bool = False,
    patience_s: float = LOOK_S,
) -> Recovery:
    """Say who has a guest after a migration that broke, and what to do; with consent, do it.

    Args:
        domain: The guest's name or UUID.
        source: The host that it left, or its connection URI.
        destination: The host that it went to, or its connection URI.
        confirm_dead: The side whose machine you have fenced: nothing runs there any more.
        keep: The copy to keep if the guest runs on both hosts; the other one is destroyed.
        carry_out: Whether to carry out the steps, one at a time, looking again after each. It
            stops where the state is not as expected.
        patience_s: How long a host may take to be reached and to tell the state of the domain.

    Raises:
        UsageError: An argument is wrong.
        HostError: A step was refused, or had no effect.
    """
    require_none(validate_domain_name(domain))
    for name, side in (("confirm_dead", confirm_dead), ("keep", keep)):
        if side not in (None, *OTHER):
            raise UsageError(
                f"{name} must be source or destination (got {side!r})",
                hint=f'Give {name}="source".',
            )
    uris = [host.uri if isinstance(host, Host) else host for host in (source, destination)]
    if uris[0] == uris[1]:
        raise UsageError(
            f"destination must be another host than the source (got {uris[1]!r} for both)",
            hint="Give the URI of the host that the guest went to.",
        )
    if not 0 < patience_s <= MOST_PATIENCE_S:
        raise UsageError(
            f"patience_s must be more than 0 and at most {MOST_PATIENCE_S:g} (got {patience_s!r})",
            hint=f"Leave it out: the default is {LOOK_S:g}.",
        )
    hosts: dict[Side, Host | str] = {"source": source, "destination": destination}
    scene = _Scene(domain, hosts, _Given(confirm_dead, keep, patience_s))
    try:
        return _carried_out(scene) if carry_out else scene.look()
    finally:
        scene.close()


def _carried_out(scene: _Scene) -> Recovery:
    """Carry out one step after the other, as long as each has an effect."""
    seen = scene.look()
    done: list[str] = []
    while seen.verdict.acts and len(done) < MOST_STEPS:
        act, before = seen.verdict.acts[0], seen
        try:
            within(STEP_S, partial(scene.do, act), "recovery-step")
        except TimeoutError:
            raise HostError(
                f"{before.commands[0]} has not returned after {STEP_S:g} s",
                hint="Look at both hosts again.",
            ) from None
        done.append(before.commands[0])
        looks: list[Recovery] = []

        def changed(before: Recovery = before, looks: list[Recovery] = looks) -> bool:
            looks.append(scene.look())
            return looks[-1].found != before.found

        if not wait_until(changed, EFFECT_S):
            raise HostError(
                f"{done[-1]} had no effect: {seen.verdict.why}", hint="Look at both hosts' logs."
            )
        seen = looks[-1]
    return replace(seen, done=tuple(done))


@dataclass(frozen=True, slots=True)
class _Given:
    """What the caller of :func:`recover` said: the dead side, the copy to keep, the patience."""

    dead: Side | None
    keep: Side | None
    patience_s: float


class _Scene:
    """The two hosts of a migration that broke."""

    def __init__(
        self,
        domain: str,
        hosts: dict[Side, Host | str],
        given: _Given,
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
        for host in self._own:
            host.close()

    def look(self) -> Recovery:
        """Ask both hosts at the same time."""
        calls = {
            side: start_call(partial(self._look, side), "recovery-look") for side in self._hosts
        }
        found: dict[Side, Found] = {}
        for side in OTHER:
            why = self._silent.get(side, "not asked")
            found[side] = Found("unknown", reason=why, dead=self._given.dead == side)
            if side in calls and self._given.dead != side:
                try:
                    found[side] = calls[side].result(self._given.patience_s)
                except (HostError, libvirt.libvirtError, TimeoutError) as error:
                    found[side] = Found("unknown", reason=_why(error, self._given.patience_s))
        if found["source"].gone and found["destination"].state == "paused":
            found["destination"] = self._with_received(found["destination"])
        verdict = self._possible(decide(found["source"], found["destination"], self._given.keep))
        commands = tuple(
            act.command(self._domain, self._uris, self._target()) for act in verdict.acts
        )
        return Recovery(self._domain, found, verdict, commands)

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

        def question(domain: libvirt.virDomain) -> bool:
            answer = libvirt_qemu.qemuMonitorCommand(domain, '{"execute": "query-migrate"}', 0)
            return bool(json.loads(answer)["return"].get("status") == "completed")

        try:
            received = within(JOB_S, lambda: self._asked("destination", question))
        except (HostError, TimeoutError):
            return found
        return replace(found, received=received)

    def do(self, act: Act) -> None:
        """Carry out one step."""
        if act.action is Action.FREE_SOCKET:
            self._free_socket()
        elif act.action is Action.RESUME_POSTCOPY:
            source, to = self._hosts["source"], self._hosts["destination"]
            run = start(self._domain, source=source, to=to, plan=RESUME_POSTCOPY).wait()
            if run.error is not None:
                raise HostError(run.error.text, hint=run.error.hint)
        else:
            self._asked(act.side, _CALLS[act.action])

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


def _side(host: Host) -> HostSide:
    return host.side


def _why(error: Exception, patience_s: float) -> str:
    """Return why a host gave no answer, on one line."""
    return " ".join(str(error).split()) or f"no answer within {patience_s:g} s"


def _job(domain: libvirt.virDomain) -> Job:
    """Return the job of a domain: whether it moves data, and whether QEMU answers at all."""
    try:
        first = within(JOB_S, domain.jobStats)
        if not first.get("type"):
            return Job.NONE
        time.sleep(STALE_S)
        second = within(JOB_S, domain.jobStats)
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


__all__ = ["Kind", "Recovery", "recover"]
