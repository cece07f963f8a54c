"""Record libvirt's messages while the lab has a fault: try for real, save to a file, read again.

An *attempt* is one try to migrate with a fault: the error of libvirt, the guest's host afterwards,
and the new lines of the logs. The explorer of lesson 07 shows new and recorded attempts in the same
way.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from migrationlab.course import json_files
from migrationlab.errors import HostError, UsageError
from migrationlab.explain.explanation import Explanation, Log, NoticedBy, causes, explain
from migrationlab.hosts.logs import log_tails
from migrationlab.plan.plan import Plan
from migrationlab.plan.uris import Mode
from migrationlab.runs.run import RunError

if TYPE_CHECKING:
    from migrationlab.hosts.host import Host
    from migrationlab.lab.faults import ActiveFault
    from migrationlab.lab.guest import Guest
    from migrationlab.lab.lab import Lab

FILE = "attempts"
#: A migration in a mode that does not meet the fault could run without end.
DEADLINE_S = 30.0
#: The number of saved lines of a log.
MAX_LINES = 8
_SOURCE_LOGS = frozenset({Log.SOURCE_DAEMON, Log.SOURCE_QEMU})
_DESTINATION_LOGS = frozenset({Log.DESTINATION_DAEMON, Log.DESTINATION_QEMU})


class AttemptStage(StrEnum):
    """The stage that an attempt reached."""

    #: The connection to a host failed: no migration was begun.
    CONNECTING = "connecting"
    #: A migration was begun, and failed.
    MIGRATING = "migrating"
    #: The migration completed: its mode does not depend on the fault.
    COMPLETED = "completed"


@dataclass(frozen=True, slots=True, kw_only=True)
class LogLines:
    """The new lines of a log during an attempt.

    Attributes:
        where: The host, and "libvirtd" or "QEMU of" a guest.
        lines: The lines that report something.
    """

    where: str
    lines: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Attempt:
    """One attempt to migrate while the lab has a fault.

    Attributes:
        case: The fault's name.
        title: The fault in a few words.
        broken: The change to the lab.
        mode: The mode of the attempt.
        control: The connection URI's transport, if it differs from the fault's plan: "tls".
        stage: The stage that the attempt reached.
        text: libvirt's message; empty if the migration completed.
        code: libvirt's error number, or None.
        domain: libvirt's error domain, or None.
        cause_id: The explanation's id at the time; the explanation used the logs too.
        found_at: The host on which the guest ran afterwards; None if it ran on no host.
        intact: Whether the guest's memory was intact; None if the check was impossible.
        logs: The new lines in the logs of both libvirtds, and in the QEMU logs that say more.
    """

    case: str
    title: str
    broken: str
    mode: Mode
    control: str
    stage: AttemptStage
    text: str
    code: int | None
    domain: int | None
    cause_id: str | None
    found_at: str | None
    intact: bool | None
    logs: tuple[LogLines, ...]

    def __repr__(self) -> str:
        return f"Attempt({self.case!r}, {self.mode}, {self.cause_id or self.stage.value})"

    @property
    def explanation(self) -> Explanation | None:
        """Return the meaning of the message; None if the migration completed."""
        if self.stage is AttemptStage.COMPLETED:
            return None
        opening = self.stage is AttemptStage.CONNECTING
        found = explain(
            self.text,
            code=self.code,
            domain=self.domain,
            opened_by=NoticedBy.CLIENT if opening else None,
            opening=opening,
        )
        if self.cause_id in (None, found.id):
            return found
        # Over ssh another message may hide the reason. A log showed the reason at the time.
        cause = next(cause for cause in causes() if cause.id == self.cause_id)
        return dataclasses.replace(
            found, known=True, id=cause.id, cause=cause.cause, fix=cause.fix, logs=cause.logs
        )

    @property
    def noticed_by(self) -> str:
        """Return who noticed the fault, in the words of an explanation; "nobody" after success."""
        found = self.explanation
        if found is None:
            return "nobody"
        return str(found.noticed_by) if found.noticed_by else "not known"


def try_fault(
    lab: Lab,
    guest: Guest,
    case_id: str,
    *,
    mode: Mode | str = Mode.PEER2PEER,
    control: str = "",
) -> Attempt:
    """Break a lab, migrate one of its guests, and fix the lab again.

    Args:
        lab: The lab.
        guest: The guest to migrate; some faults boot their own guest.
        case_id: The fault's name.
        mode: The mode of the attempt; it replaces the mode of the fault's plan.
        control: Another transport for the connection URI, for example "tls".

    Raises:
        UsageError: There is no such fault, or the fault is impossible in this lab.
        LabError: Breaking or fixing the lab failed.
    """
    with lab.broken(case_id, source=guest.host) as broken:
        return _attempt(broken, broken.guest or guest, Mode(mode), control)


def _attempt(broken: ActiveFault, guest: Guest, mode: Mode, control: str) -> Attempt:
    from migrationlab.migrate.start import migrate  # noqa: PLC0415 (libvirt: only to try for real)

    hosts = (broken.source, broken.to)
    before = [dict(_lines(host, Log)) for host in hosts]
    error: HostError | RunError | None
    check: Mapping[str, Any] | None
    cause_id: str | None
    try:
        run = migrate(guest, to=broken.to, plan=_plan(broken, mode, control), validate=False)
    except HostError as raised:
        stage, error = AttemptStage.CONNECTING, raised
        text, cause_id = str(raised), str(raised.explanation.id)
        check, found_at = asdict(guest.check()), guest.host.name
    else:
        error, check, found_at = run.error, run.guest_check, run.found_at
        stage = AttemptStage.COMPLETED if error is None else AttemptStage.MIGRATING
        text, cause_id = ("", None) if error is None else (error.text, error.explanation)
    attempt = Attempt(
        case=broken.case.id,
        title=broken.case.title,
        broken=broken.case.broken,
        mode=mode,
        control=control,
        stage=stage,
        text=text,
        code=None if error is None else error.code,
        domain=None if error is None else error.domain,
        cause_id=cause_id,
        found_at=found_at,
        intact=check["intact"] if check is not None else None,
        logs=(),
    )
    if attempt.explanation is None:
        return attempt
    # Always the logs of both libvirtds: their times show which side noticed the fault first.
    wanted = {*attempt.explanation.logs, Log.SOURCE_DAEMON, Log.DESTINATION_DAEMON}
    logs = []
    for host, old, own in zip(hosts, before, (_SOURCE_LOGS, _DESTINATION_LOGS), strict=True):
        for where, lines in _lines(host, wanted & own):
            if new := [line for line in lines if line not in old.get(where, ())]:
                logs.append(LogLines(where=where, lines=tuple(new[-MAX_LINES:])))
    return dataclasses.replace(attempt, logs=tuple(logs))


def _plan(broken: ActiveFault, mode: Mode, control: str) -> Plan:
    plan = dataclasses.replace(broken.plan, mode=mode, deadline_s=DEADLINE_S)
    if not control:
        return plan
    uri = f"qemu+{control}://{broken.to.peer_name}/system"
    return dataclasses.replace(plan, connection_uri=uri, tls=False)


def _lines(host: Host, wanted: Iterable[Log]) -> list[tuple[str, tuple[str, ...]]]:
    if host.log is None:
        return []
    tails = log_tails(host.name, host.log, wanted, lines=200)
    return [(f"{tail.host}, {tail.what}", tail.lines) for tail in tails]


def save_attempts(attempts: Iterable[Attempt], path: Path) -> None:
    """Write attempts to a file."""
    json_files.write(list(attempts), path)


def load_attempts(name: str = FILE) -> tuple[Attempt, ...]:
    """Return the attempts of a file of ``data/course``."""
    return json_files.read(name, tuple[Attempt, ...])


def find_attempt(
    attempts: Iterable[Attempt], case: str, mode: Mode | str, control: str = ""
) -> Attempt:
    """Return the first attempt with this fault, mode, and transport of the control connection.

    Raises:
        UsageError: There is no such attempt.
    """
    wanted = (case, Mode(mode), control)
    for attempt in attempts:
        if (attempt.case, attempt.mode, attempt.control) == wanted:
            return attempt
    raise UsageError(
        f"case must be a recorded attempt in {mode} mode (got {case!r})",
        hint="Try it in a lab: try_fault(lab, guest, …).",
    )
