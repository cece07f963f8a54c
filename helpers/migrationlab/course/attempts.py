"""What a broken case of the lab makes libvirt say: met for real, kept in a file, and read again.

A *attempt* is one attempt to migrate while something is broken: the words that came back, where
the guest was found afterwards, and what the logs have of it. The explorer of lesson 07 shows one
in the same way whether it was met a moment ago or recorded elsewhere.

Imports neither libvirt nor ``lab`` (but to try_fault one) and neither IPython nor ipywidgets.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

from migrationlab.course import json_files
from migrationlab.errors import HostError, UsageError
from migrationlab.explain.explanation import Explanation, Log, NoticedBy, causes, explain
from migrationlab.hosts.logs import log_tails
from migrationlab.plan.plan import Plan
from migrationlab.plan.uris import Mode
from migrationlab.runs.run import Run, RunError

if TYPE_CHECKING:
    from migrationlab.hosts.host import Host
    from migrationlab.lab.faults import ActiveFault
    from migrationlab.lab.guest import Guest
    from migrationlab.lab.lab import Lab

FILE = "attempts"
#: A case that is met in a mode which does not run into it would go on for good.
DEADLINE_S = 30.0
#: Of a log no more is kept.
MOST_LINES = 8
_SOURCE_LOGS = frozenset({Log.SOURCE_DAEMON, Log.SOURCE_QEMU})
_DESTINATION_LOGS = frozenset({Log.DESTINATION_DAEMON, Log.DESTINATION_QEMU})


class AttemptStage(StrEnum):
    """How far an attempt came."""

    #: No connection to a host: no migration was begun.
    CONNECTING = "connecting"
    #: A migration was begun, and failed.
    MIGRATING = "migrating"
    #: It completed: in its mode nothing depends on what was broken.
    COMPLETED = "completed"


@dataclass(frozen=True, slots=True, kw_only=True)
class LogLines:
    """What a log got while a case was met.

    Attributes:
        where: Whose it is: the host, and "libvirtd" or "QEMU of" a guest.
        lines: Its new lines that tell.
    """

    where: str
    lines: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Attempt:
    """One attempt to migrate while a case was on.

    Attributes:
        case: The case's name.
        title: What it is, in a few words.
        broken: What was changed in the lab.
        mode: The mode of the attempt.
        control: The transport of the connection URI, where it was not the case's own: "tls".
        stage: How far it came.
        text: What libvirt said; empty where it completed.
        code: libvirt's error number, None where there is none.
        domain: libvirt's error domain, likewise.
        cause_id: The explanation's id, as the kit had it then: it knows the logs too.
        found_at: The host at which the guest ran afterwards; None where nobody knows.
        intact: Whether its memory was whole; None where it could not be asked.
        logs: What the logs of both libvirtds got meanwhile, and of QEMU where those know more.
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
        """What the words mean; None where nothing was refused."""
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
        # Over ssh the reason may be hidden by another message: the kit had it from a log.
        cause = next(cause for cause in causes() if cause.id == self.cause_id)
        return dataclasses.replace(
            found, known=True, id=cause.id, cause=cause.cause, fix=cause.fix, logs=cause.logs
        )

    @property
    def noticed_by(self) -> str:
        """Who noticed it, in the words of an explanation; "nobody" where it completed."""
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
    """Break a lab, migrate into it, and mend the lab again.

    Args:
        lab: The lab.
        guest: A guest of it, which is to leave the host that it is on; some cases boot one of
            their own.
        case_id: The case.
        mode: The mode of the attempt, whatever the case's own plan has.
        control: Another transport for the connection URI, as "tls"; then the memory goes as ever.

    Raises:
        UsageError: There is no such case, or this lab cannot have it.
        LabError: It could not be switched on, or not mended.
    """
    with lab.broken(case_id, source=guest.host) as broken:
        return _attempt(broken, broken.guest or guest, Mode(mode), control)


def _attempt(broken: ActiveFault, guest: Guest, mode: Mode, control: str) -> Attempt:
    from migrationlab.migrate.start import migrate  # noqa: PLC0415 (libvirt: to try_fault one only)

    sides = (broken.source, broken.to)
    before = [dict(_lines(host, Log)) for host in sides]
    run: Run | None = None
    refused: HostError | None = None
    try:
        run = migrate(guest, to=broken.to, plan=_plan(broken, mode, control), validate=False)
    except HostError as error:
        refused = error
    told = refused if run is None else run.error
    check = asdict(guest.check()) if run is None else run.guest_check
    if run is None:
        stage = AttemptStage.CONNECTING
    else:
        stage = AttemptStage.COMPLETED if told is None else AttemptStage.MIGRATING
    made = Attempt(
        case=broken.case.id,
        title=broken.case.title,
        broken=broken.case.broken,
        mode=mode,
        control=control,
        stage=stage,
        text="" if told is None else told.text if isinstance(told, RunError) else str(told),
        code=None if told is None else told.code,
        domain=None if told is None else told.domain,
        cause_id=_cause(told),
        found_at=guest.host.name if run is None else run.found_at,
        intact=check["intact"] if check is not None else None,
        logs=(),
    )
    if made.explanation is None:
        return made
    # Both libvirtds' whatever it is: their times tell which side met it first.
    wanted = {*made.explanation.logs, Log.SOURCE_DAEMON, Log.DESTINATION_DAEMON}
    logs = []
    for host, old, mine in zip(sides, before, (_SOURCE_LOGS, _DESTINATION_LOGS), strict=True):
        for where, lines in _lines(host, wanted & mine):
            if new := [line for line in lines if line not in old.get(where, ())]:
                logs.append(LogLines(where=where, lines=tuple(new[-MOST_LINES:])))
    return dataclasses.replace(made, logs=tuple(logs))


def _cause(told: HostError | RunError | None) -> str | None:
    if isinstance(told, HostError):
        return str(told.explanation.id)
    return told.explanation if told is not None else None


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
    json_files.write([asdict(attempt) for attempt in attempts], path)


def load_attempts(name: str = FILE) -> tuple[Attempt, ...]:
    """Return the attempts of a file of ``data/course``.

    Args:
        name: The file, without its ending.

    Raises:
        StoreError: There is none, or it cannot be read.
    """
    return json_files.read(name, lambda told: tuple(_read(one) for one in told))


def _read(told: dict[str, object]) -> Attempt:
    logs = told["logs"]
    assert isinstance(logs, list)
    made = told | {
        "mode": Mode(str(told["mode"])),
        "stage": AttemptStage(str(told["stage"])),
        "logs": tuple(LogLines(where=log["where"], lines=tuple(log["lines"])) for log in logs),
    }
    return Attempt(**made)  # type: ignore[arg-type]


def find_attempt(
    attempts: Iterable[Attempt], case: str, mode: Mode | str, control: str = ""
) -> Attempt:
    """Return the attempt of a case in a mode.

    Args:
        attempts: Where to look; of several that fit, the first is taken.
        case: The case's name.
        mode: The attempt's mode.
        control: The transport of its connection URI, where it was not the case's own.

    Raises:
        UsageError: There is none.
    """
    wanted = (case, Mode(mode), control)
    for attempt in attempts:
        if (attempt.case, attempt.mode, attempt.control) == wanted:
            return attempt
    raise UsageError(
        f"nobody met {case} in {mode} mode", hint="Meet it in a lab: try_fault(lab, …)."
    )
