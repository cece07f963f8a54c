"""Finish a migration after libvirt's call has returned: ask the last questions, make the run.

Both hosts are asked where the guest is now, the destination for the statistics of the completed
job, and the guest whether its memory is intact. Each question is asked only if an answer is
possible, and waits for :data:`ANSWER_TIMEOUT_S` at most. The frames come from the recorder.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import version
from typing import TypeVar

import libvirt
import pandas as pd

from migrationlab.errors import HostError, MigrationLabError
from migrationlab.explain.explanation import explain
from migrationlab.hosts.connection import refusals
from migrationlab.hosts.host import Host
from migrationlab.migrate.record import MigrationRecord
from migrationlab.runs.run import Outcome, Run, RunError, new_run_id
from migrationlab.runs.schema import conform

T = TypeVar("T")

ANSWER_TIMEOUT_S = 5.0
BEAT_TIMEOUT_S = 2.0
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


def finish(record: MigrationRecord) -> Run:
    """Ask the last questions about a migration, stop its recorder and return the run."""
    environment = record.machine.until_now()
    warnings, recorder = record.warnings, record.recorder
    states = {
        "source": _state(record.source, record.uuid),
        "destination": _state(record.destination, record.uuid),
    }
    completed_job = _completed_job(record)
    runs = "running" in states.values() and record.outcome is not Outcome.INTERRUPTED
    with ThreadPoolExecutor(1) as pool:
        # The guest checks its memory meanwhile.
        checking = pool.submit(_guest_check, record) if runs else None
        missed = recorder.missed(record.returned_ns, BEAT_TIMEOUT_S) if runs else None
        if missed is not None:
            warnings.append(f"no {missed} arrived after the migration")
        frames = recorder.stop(record.called_ns)
        frames = {name: conform(name, frame) for name, frame in frames.items()}
        clock = recorder.clock()
        check = checking.result() if checking else None
    if not (runs or is_paused_as_planned(record, states)):
        found = " and ".join(f"{state} at the {side}" for side, state in states.items())
        warnings.append(f"the guest's memory could not be checked: the guest is {found}")
    error = None if record.error is None else run_error(record, record.error)
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
        # Two lost hosts give the same warning twice.
        warnings=tuple(dict.fromkeys(warnings)),
        **frames,
    )


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
        stats: Mapping[str, int | str] = _ask(
            record.destination, record.uuid, lambda domain: domain.jobStats(COMPLETED_AND_KEPT)
        )
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


def _state(host: Host, uuid: str) -> str:
    """Return the state of a domain on a host, by :data:`STATES`, absent or unknown."""
    try:
        number, _reason = _ask(host, uuid, libvirt.virDomain.state)
    except HostError as error:
        return ABSENT if error.code == libvirt.VIR_ERR_NO_DOMAIN else UNKNOWN
    except TimeoutError:
        return UNKNOWN
    return STATES[number] if number < len(STATES) else str(number)


def _ask(host: Host, uuid: str, question: Callable[[libvirt.virDomain], T]) -> T:
    """Ask a host about a domain; TimeoutError after :data:`ANSWER_TIMEOUT_S`.

    The question then goes on, and its answer is dropped.
    """
    answer: Future[T] = Future()

    def ask() -> None:
        try:
            with refusals():
                answer.set_result(question(host.connection.lookupByUUIDString(uuid)))
        except BaseException as error:  # noqa: BLE001 - raised to whoever waits
            answer.set_exception(error)

    threading.Thread(target=ask, name="migration-question", daemon=True).start()
    return answer.result(ANSWER_TIMEOUT_S)


def _about_host(host: Host) -> dict[str, object]:
    return {"name": host.name, **asdict(host.facts), "image": host.image}
