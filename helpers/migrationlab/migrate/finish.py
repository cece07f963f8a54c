"""The end of a migration: what is still to be asked once libvirt's call has returned, and the run.

Asks both hosts where the guest is now, the destination for the completed job's statistics (no
host longer than :data:`ANSWER_TIMEOUT_S` a question), and the guest whether its memory is whole;
each only where an answer can be had. What was recorded meanwhile comes from the recorder.

Imports no libvirt: it asks by way of hosts' connections. Never imports ``lab``.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from typing import TypeVar

import pandas as pd

from migrationlab.capture.recorder import Recorder
from migrationlab.errors import HostError, MigrationLabError
from migrationlab.explain.explanation import explain
from migrationlab.hosts.host import Host, refusals
from migrationlab.migrate.guest import GuestLike
from migrationlab.plan.plan import Plan
from migrationlab.runs.run import Outcome, Run, RunError, new_run_id
from migrationlab.runs.schema import conform

T = TypeVar("T")

ANSWER_TIMEOUT_S = 5.0
BEAT_TIMEOUT_S = 2.0
#: libvirt's own numbers: VIR_ERR_NO_DOMAIN, and VIR_DOMAIN_JOB_STATS_COMPLETED with
#: VIR_DOMAIN_JOB_STATS_KEEP_COMPLETED.
NO_DOMAIN = 42
COMPLETED_AND_KEPT = 1 | 2
#: VIR_ERR_SYSTEM_ERROR of VIR_FROM_RPC: "End of file while reading data".
HIDING = (38, 7)
#: virDomainState, by the words of ``virsh domstate``.
STATES = {
    0: "no state",
    1: "running",
    2: "idle",
    3: "paused",
    4: "in shutdown",
    5: "shut off",
    6: "crashed",
    7: "pmsuspended",
}
ABSENT, UNKNOWN = "absent", "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """A migration whose call has returned.

    Attributes:
        subject: The guest.
        record: What the run should say of it.
        source: The host that it was on.
        destination: The host that it was to go to.
        plan: How.
        uuid: The domain's UUID.
        recorder: What recorded it, still recording.
        called_ns: When the call was made.
        returned_ns: When it came back.
        outcome: What became of it.
        error: libvirt's refusal, None where it completed.
        limit_ms: The maximum downtime in force at the end.
        wire: What the run should say of the wire.
        environment: What the run should say of this machine, for as long as the call took.
    """

    subject: GuestLike
    record: Mapping[str, object]
    source: Host
    destination: Host
    plan: Plan
    uuid: str
    recorder: Recorder
    called_ns: int
    returned_ns: int
    outcome: Outcome
    error: HostError | None
    limit_ms: int | None
    wire: Mapping[str, object] | None
    environment: Mapping[str, object]

    def run(self, warnings: list[str]) -> Run:
        """Ask what is still to be asked, and return the run.

        Args:
            warnings: What a reader of the run must know already; more is added.
        """
        states = {
            "source": _state(self.source, self.uuid),
            "destination": _state(self.destination, self.uuid),
        }
        completed_job = self._completed_job(warnings)
        runs = "running" in states.values() and self.outcome is not Outcome.INTERRUPTED
        with ThreadPoolExecutor(1) as pool:
            # While the guest looks at its memory there is time for the rest.
            checking = pool.submit(self._check, warnings) if runs else None
            missed = self.recorder.missed(self.returned_ns, BEAT_TIMEOUT_S) if runs else None
            if missed is not None:
                warnings.append(f"no {missed} came after the migration")
            frames = self.recorder.stop(self.called_ns)
            frames = {name: conform(name, frame) for name, frame in frames.items()}
            clock = self.recorder.clock()
            check = checking.result() if checking else None
        if not (runs or self._stands_as_planned(states)):
            warnings.append(f"the guest's memory could not be checked: it is {_found(states)}")
        error = None if self.error is None else self._error_record(self.error, warnings)
        warnings += self.recorder.events.warnings
        called = datetime.fromtimestamp(self.called_ns / 1e9, UTC)
        return Run(
            run_id=new_run_id(called),
            created=called.isoformat(),
            migrationlab_version=version("migrationlab"),
            outcome=self.outcome,
            error=error,
            plan=self.plan,
            guest={**self.record, "uuid": self.uuid},
            source=_host_record(self.source),
            destination=_host_record(self.destination),
            accelerator=self.subject.accelerator,
            wire=self.wire,
            environment=self.environment,
            called_ns=self.called_ns,
            returned_ns=self.returned_ns,
            downtime_requested_ms=self.limit_ms,
            completed_job=completed_job or _job_by_event(frames["events"]),
            guest_check=check,
            domain_states=states,
            clock=clock,
            instruments=self.recorder.names,
            # Two hosts that were lost say the same twice.
            warnings=tuple(dict.fromkeys(warnings)),
            **frames,
        )

    def _completed_job(self, warnings: list[str]) -> Mapping[str, int | str]:
        """Return the statistics of the completed job, which the destination keeps.

        After post-copy it keeps none (qemuMigrationDstComplete in libvirt's
        ``src/qemu/qemu_migration.c``), and of an offline migration there were none.
        """
        if self.outcome is not Outcome.COMPLETED or self.plan.offline:
            return {}

        def ask() -> Mapping[str, int | str]:
            with refusals():
                domain = self.destination.connection.lookupByUUIDString(self.uuid)
                found: Mapping[str, int | str] = domain.jobStats(COMPLETED_AND_KEPT)
            return found

        try:
            stats = within(ANSWER_TIMEOUT_S, ask)
        except (HostError, TimeoutError) as error:
            why = str(error) or f"{self.destination.name} does not answer"
            warnings.append(f"no statistics of the completed job: {why}")
            return {}
        return stats if "data_total" in stats else {}

    def _stands_as_planned(self, states: Mapping[str, str]) -> bool:
        """Return whether the guest does not run where it ended up because the plan has it so."""
        if self.plan.offline:
            return True
        arrived = self.outcome is Outcome.COMPLETED
        return arrived and self.plan.paused and states["destination"] == "paused"

    def _error_record(self, error: HostError, warnings: list[str]) -> RunError:
        explanation = error.explanation or explain(str(error), code=error.code, domain=error.domain)
        hint = error.hint
        if (error.code, error.domain) == HIDING:
            reason = self.recorder.hidden_reason(str(error), self.called_ns)
            if reason is not None:
                explanation = explain(reason)
                hint = explanation.fix
                warnings.append(
                    "libvirt's error hides the reason of the failure, which the log of "
                    f"{self.source.name}'s libvirtd has: {reason}"
                )
        return RunError(
            kind=type(error).__name__,
            text=str(error),
            hint=hint,
            code=error.code,
            domain=error.domain,
            explanation=explanation.id if explanation.known else None,
        )

    def _check(self, warnings: list[str]) -> Mapping[str, object] | None:
        try:
            return self.subject.checked()
        except MigrationLabError as error:  # of whatever family: the run is made all the same
            warnings.append(f"the guest's memory could not be checked: {error}")
            return None


def within(timeout_s: float, work: Callable[[], T]) -> T:
    """Return what ``work`` returns, unless that takes too long.

    Raises:
        TimeoutError: It is not done yet; it goes on, and nobody hears of it.
    """
    answer: Future[T] = Future()

    def run() -> None:
        try:
            answer.set_result(work())
        except BaseException as error:  # noqa: BLE001 - raised to whoever waits
            answer.set_exception(error)

    threading.Thread(target=run, name="migration-question", daemon=True).start()
    return answer.result(timeout_s)


def _state(host: Host, uuid: str) -> str:
    """Return the state of a domain at a host, by :data:`STATES`, or that it is not known."""

    def ask() -> str:
        with refusals():
            number, _reason = host.connection.lookupByUUIDString(uuid).state()
        return STATES.get(number, str(number))

    try:
        return within(ANSWER_TIMEOUT_S, ask)
    except HostError as error:
        return ABSENT if error.code == NO_DOMAIN else UNKNOWN
    except TimeoutError:
        return UNKNOWN


def _found(states: Mapping[str, str]) -> str:
    return " and ".join(f"{state} at the {side}" for side, state in states.items())


def _job_by_event(events: pd.DataFrame) -> Mapping[str, int | str]:
    """Return the completed job's statistics as the source's libvirt told them in its event."""
    told = events[(events["name"] == "job_completed") & (events["side"] == "source")]["detail"]
    stats: Mapping[str, int | str] = json.loads(told.iloc[-1]) if len(told) else {}
    return stats


def _host_record(host: Host) -> dict[str, object]:
    return {"name": host.name, **asdict(host.facts), "image": host.image}
