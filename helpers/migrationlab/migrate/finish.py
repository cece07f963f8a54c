"""Finish a migration after libvirt's call has returned: ask the last questions, make the run.

Both hosts are asked where the guest is now, the destination for the statistics of the completed
job, and the guest whether its memory is intact. Each question is asked only if an answer is
possible, and waits for :data:`ANSWER_TIMEOUT_S` at most. The frames come from the recorder.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import version
from typing import TypeVar

import libvirt
import pandas as pd

from migrationlab.analysis.workload import rate_missed
from migrationlab.capture.recorder import SERVICE_AFTER_S
from migrationlab.errors import HostError, MigrationLabError
from migrationlab.explain.explanation import explain
from migrationlab.hosts.connection import begin_call, refusals
from migrationlab.hosts.host import Host
from migrationlab.migrate import postcopy_faults
from migrationlab.migrate.record import MigrationRecord
from migrationlab.runs.run import Outcome, Run, RunError, new_run_id
from migrationlab.runs.schema import conform
from migrationlab.runs.summary import asked_mib_s

T = TypeVar("T")

ANSWER_TIMEOUT_S = 5.0
#: The same after the call has been given up: a deadline must hold.
UNRESOLVED_TIMEOUT_S = 1.0
#: How long a guest may be silent after the call, before it counts as lost.
BEAT_TIMEOUT_S = 10.0
COMPLETED_AND_KEPT = (
    libvirt.VIR_DOMAIN_JOB_STATS_COMPLETED | libvirt.VIR_DOMAIN_JOB_STATS_KEEP_COMPLETED
)
#: "End of file while reading data": it hides the reason.
HIDING = (libvirt.VIR_ERR_SYSTEM_ERROR, libvirt.VIR_FROM_RPC)
#: virDomainState, in the words of ``virsh domstate``.
STATES = (
    "no state", "running", "idle", "paused", "in shutdown", "shut off", "crashed", "pmsuspended",
)  # fmt: skip
ABSENT, UNKNOWN = "absent", "unknown"
#: The states of a guest that has ended. A paused one can have been paused before the migration.
GONE = (ABSENT, "in shutdown", "shut off", "crashed")
#: The outcomes after which the guest is not asked to check its memory: it may have none.
UNCHECKED = (Outcome.INTERRUPTED, Outcome.UNRESOLVED)
#: What a run says of an outcome that libvirt's call did not report.
LEFT_TO_RECOVER = {
    Outcome.GUEST_LOST: "libvirt's call completed, but the guest does not answer",
    Outcome.UNRESOLVED: "libvirt's call has not returned after the migration was to be stopped",
}


def finish(record: MigrationRecord) -> Run:
    """Ask the last questions about a migration, stop its recorder and return the run."""
    environment = record.machine.until_now()
    warnings, recorder = record.warnings, record.recorder
    states = _states(record)
    completed_job = _completed_job(record)
    postcopy_faults.note(record)
    runs = "running" in states.values() and record.outcome not in UNCHECKED
    # Before the guest checks its memory, which would slow the service down.
    recorder.stop_service(record.called_ns, SERVICE_AFTER_S if runs else 0)
    with ThreadPoolExecutor(1) as pool:
        # The guest checks its memory meanwhile.
        checking = pool.submit(_guest_check, record) if runs else None
        missed = recorder.missed(record.returned_ns, BEAT_TIMEOUT_S) if runs else None
        if missed is not None:
            warnings.append(f"no {missed} arrived within {BEAT_TIMEOUT_S:g} s after the migration")
        frames = recorder.stop(record.called_ns)
        frames = {name: conform(name, frame) for name, frame in frames.items()}
        clock = recorder.clock()
        check = checking.result() if checking else None
    planned = is_paused_as_planned(record, states)
    gone = states["destination"] in GONE and not planned
    if record.outcome is Outcome.COMPLETED and (gone or missed is not None):
        record.outcome = Outcome.GUEST_LOST
    if not (runs or planned):
        found = " and ".join(f"{state} at the {side}" for side, state in states.items())
        warnings.append(f"the guest's memory could not be checked: the guest is {found}")
    warnings += rate_missed_of(record, frames)
    error = _error(record, states)
    warnings += recorder.events.warnings
    called = datetime.fromtimestamp(record.called_ns / 1e9, UTC)
    return Run(
        run_id=new_run_id(called),
        created=called.isoformat(),
        migrationlab_version=version("migrationlab"),
        outcome=record.outcome,
        error=error,
        plan=record.plan,
        guest={**record.about, "uuid": record.uuid},
        source=_about_host(record.source),
        destination=_about_host(record.destination),
        accelerator=record.guest.accelerator,
        wire=record.wire,
        environment=environment,
        called_ns=record.called_ns,
        returned_ns=record.returned_ns,
        downtime_requested_ms=record.downtime_limit_ms,
        completed_job=completed_job or _job_of_event(frames["events"]),
        guest_check=check,
        domain_states=states,
        clock=clock,
        instruments=recorder.names,
        service_check=recorder.service_check,
        # Two lost hosts give the same warning twice.
        warnings=tuple(dict.fromkeys(warnings)),
        **frames,
    )


def _error(record: MigrationRecord, states: Mapping[str, str]) -> RunError | None:
    """Return the reason why a migration did not complete, None if it did."""
    if record.error is not None:
        return run_error(record, record.error)
    if record.outcome not in LEFT_TO_RECOVER:
        return None
    found = " and ".join(f"{state} at the {side}" for side, state in states.items())
    what = LEFT_TO_RECOVER[record.outcome]
    # The URIs that other machines use: this machine's own may name its files.
    ends = ("--from", record.source.peer_uri, "--to", record.destination.peer_uri)
    command = shlex.join(("migrationlab", "recover", record.name, *ends))
    hint = f"Look at both hosts before you start or end the guest on either: `{command}`"
    return RunError(kind=record.outcome, text=f"{what}: the guest is {found}", hint=hint)


def rate_missed_of(record: MigrationRecord, frames: Mapping[str, pd.DataFrame]) -> tuple[str, ...]:
    """Return a warning if the guest wrote clearly less than it was asked for."""
    # Until its memory is sent: the migration slows it down.
    events = frames["events"]
    sent_ns = events.loc[events["name"] == "MIGRATION_PASS", "time_ns"]
    until_ns = int(sent_ns.min()) if len(sent_ns) else record.called_ns
    return rate_missed(frames["beats"], until_ns, asked_mib_s(record.about))


def is_paused_as_planned(record: MigrationRecord, states: Mapping[str, str]) -> bool:
    """Return whether the plan explains that the guest runs on neither side."""
    if record.plan.offline:
        return True
    completed = record.outcome is Outcome.COMPLETED
    return completed and record.plan.paused and states["destination"] == "paused"


def run_error(record: MigrationRecord, error: HostError) -> RunError:
    """Return the run's record of libvirt's error; add a warning with a hidden reason."""
    explanation = error.explanation or explain(str(error), code=error.code, domain=error.domain)
    hint = error.hint
    if (error.code, error.domain) == HIDING:
        reason = record.recorder.hidden_reason(str(error), record.called_ns)
        if reason is not None:
            explanation = explain(reason)
            hint = explanation.fix
            record.warnings.append(
                "libvirt's error hides the reason of the failure; the log of "
                f"{record.source.name}'s libvirtd has it: {reason}"
            )
    return RunError(
        kind=type(error).__name__,
        text=str(error),
        hint=hint,
        code=error.code,
        domain=error.domain,
        explanation=explanation.id if explanation.known else None,
    )


def _completed_job(record: MigrationRecord) -> Mapping[str, int | str]:
    """Return the statistics of the completed job, which the destination keeps.

    After post-copy it keeps none (qemuMigrationDstComplete in libvirt's
    ``src/qemu/qemu_migration.c``), and an offline migration has none.
    """
    if record.outcome is not Outcome.COMPLETED or record.plan.offline:
        return {}
    try:
        stats: Mapping[str, int | str] = _asked(
            record.destination, record.uuid, lambda domain: domain.jobStats(COMPLETED_AND_KEPT)
        ).result(ANSWER_TIMEOUT_S)
    except (HostError, TimeoutError) as error:
        reason = str(error) or f"{record.destination.name} does not answer"
        record.warnings.append(f"the statistics of the completed job are missing: {reason}")
        return {}
    return stats if "data_total" in stats else {}


def _job_of_event(events: pd.DataFrame) -> Mapping[str, int | str]:
    """Return the statistics of the completed job from the event of the source's libvirt."""
    is_it = (events["name"] == "job_completed") & (events["side"] == "source")
    details = events[is_it]["detail"]
    stats: Mapping[str, int | str] = json.loads(details.iloc[-1]) if len(details) else {}
    return stats


def _guest_check(record: MigrationRecord) -> Mapping[str, object] | None:
    try:
        return record.guest.checked()
    except MigrationLabError as error:  # of any family: the run is made in any case
        record.warnings.append(f"the guest's memory could not be checked: {error}")
        return None


def _states(record: MigrationRecord) -> dict[str, str]:
    """Return the state of the domain on each side, by :data:`STATES`, absent or unknown."""
    sides = {"source": record.source, "destination": record.destination}
    limit_s = UNRESOLVED_TIMEOUT_S if record.pending is not None else ANSWER_TIMEOUT_S
    with ThreadPoolExecutor(len(sides), "state") as pool:
        asked = {
            side: pool.submit(_state, host, record.uuid, limit_s) for side, host in sides.items()
        }
        return {side: answer.result() for side, answer in asked.items()}


def _state(host: Host, uuid: str, limit_s: float) -> str:
    try:
        number, _reason = _asked(host, uuid, libvirt.virDomain.state).result(limit_s)
    except HostError as error:
        return ABSENT if error.code == libvirt.VIR_ERR_NO_DOMAIN else UNKNOWN
    except TimeoutError:
        return UNKNOWN
    return STATES[number] if number < len(STATES) else str(number)


def _asked(host: Host, uuid: str, question: Callable[[libvirt.virDomain], T]) -> Future[T]:
    """Begin to ask a host; TimeoutError if an earlier call still waits for it."""
    connection = host.connection

    def call() -> T:
        with refusals():
            return question(connection.lookupByUUIDString(uuid))

    return begin_call(connection, call)


def _about_host(host: Host) -> dict[str, object]:
    about = {"name": host.name, **asdict(host.facts), "image": host.image}
    if host.image is not None:  # only a lab knows more
        about |= {"packages": dict(host.packages or {}), "daemons": host.daemons}
    return about
