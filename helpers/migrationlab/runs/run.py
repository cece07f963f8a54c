"""Represent the record of one migration with any outcome, and a list of such records.

A run does not change. Its mappings are read-only, and each access to a frame gives a fresh copy,
so that nothing done in a notebook cell changes the record. Its summary is computed once; a stored
summary of the same definition replaces the computation (:func:`remember`).

Methods that compute import what they need: pandas takes half a second or more to import, and most
commands read stored summaries only.
"""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, Any, overload

from msgspec import Meta

from migrationlab.errors import StoreError
from migrationlab.plan.plan import Plan
from migrationlab.runs import environment as identity
from migrationlab.runs.fields import FrameField, settle
from migrationlab.runs.schema import SUMMARY

if TYPE_CHECKING:
    import pandas as pd

    from migrationlab.analysis.cost import Cost
    from migrationlab.analysis.timeline import Timeline
    from migrationlab.analysis.workload import Workload

Facts = Mapping[str, Any]
RunId = Annotated[str, Meta(pattern=r"^[0-9A-Za-z][0-9A-Za-z_-]{0,79}\Z")]

#: Where a run holds its summary and its timeline. These are no fields: a changed copy has none yet.
_SUMMARY, _TIMELINE = "_summary", "_line"


class Outcome(StrEnum):
    """The outcome of a migration.

    The guest stays at the source unless the outcome is ``COMPLETED`` or ``INTERRUPTED``, or the
    source was lost. The run's ``domain_states`` show where the guest was found.
    """

    COMPLETED = "completed"
    #: Cancelled by the user.
    CANCELLED = "cancelled"
    #: Cancelled at its deadline.
    TIMED_OUT = "timed_out"
    #: Cancelled by the plan, because the guest changed memory faster than it was sent.
    DIVERGED = "diverged"
    #: Post-copy was paused or broke: the guest is at the destination, and part of its memory is
    #: still at the source.
    INTERRUPTED = "interrupted"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class RunError:
    """The reason why a migration did not complete.

    Attributes:
        kind: The class of the error.
        text: Its message; libvirt's own words if the error is libvirt's.
        hint: Advice for the user.
        code: libvirt's error number; None if the error is not libvirt's.
        domain: libvirt's error domain; None if the error is not libvirt's.
        explanation: The id of its cause in ``explain``; None if the cause is not known.
    """

    kind: str
    text: str
    hint: str = ""
    code: int | None = None
    domain: int | None = None
    explanation: str | None = None


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Run:
    """The record of one migration. Runs with the same ``run_id`` are equal.

    ``schema.RECORDED`` describes the frames; ``data/README.md`` also the keys of each mapping.

    Attributes:
        run_id: The name of the run and of its folder: see :func:`new_run_id`.
        created: The time of the call, ISO 8601 in UTC.
        migrationlab_version: The version that recorded the run.
        error: The reason why the migration did not complete; None if it completed.
        plan: The plan of the migration, with left-out URIs filled in.
        guest: The guest's properties, and the work of its workload.
        source: The source host: names, versions, hardware.
        destination: The destination host.
        accelerator: ``tcg`` or ``kvm``.
        wire: The lab's wire, as set and as measured; None without a lab.
        environment: The machine that recorded, its load, and the revision of migrationlab's code.
        called_ns: The time of libvirt's call, CLOCK_REALTIME.
        returned_ns: The time when the call returned.
        downtime_requested_ms: The downtime limit in force: the plan's, else QEMU's default.
        completed_job: libvirt's statistics of the completed job by its own names; empty if none.
        guest_check: The guest's check of its memory and disk; None if it could not be asked.
        domain_states: The state of the guest's domain at ``source`` and ``destination`` after the
            call, in libvirt's words; ``absent``: no such domain there; ``unknown``: the host could
            not be asked. None: not recorded.
        clock: The lead of the clocks of ``source`` and ``destination`` over this machine's clock:
            offset_ms, error_ms (in either direction), method. None: not known.
        instruments: The frames that were recorded. Any other frame is empty because it was not
            recorded. None: not known.
        experiment: The run's place in its experiment; None if it belongs to none.
        warnings: Facts that a reader of this run must know.
    """

    run_id: RunId
    created: str
    migrationlab_version: str
    outcome: Outcome
    error: RunError | None
    plan: Plan
    guest: Facts
    source: Facts
    destination: Facts
    accelerator: str
    wire: Facts | None
    environment: Facts
    called_ns: int
    returned_ns: int
    downtime_requested_ms: int | None
    completed_job: Mapping[str, int | str]
    guest_check: Facts | None
    domain_states: Mapping[str, str] | None = None
    clock: Facts | None = None
    instruments: tuple[str, ...] | None = None
    experiment: Facts | None = None
    warnings: tuple[str, ...]
    events: FrameField = FrameField()
    job: FrameField = FrameField()
    beats: FrameField = FrameField()
    echoes: FrameField = FrameField()
    wire_bytes: FrameField = FrameField()
    connections: FrameField = FrameField()
    processes: FrameField = FrameField()

    def __post_init__(self) -> None:
        settle(self)

    def __eq__(self, other: object) -> bool:
        return self.run_id == other.run_id if isinstance(other, Run) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.run_id)

    def __repr__(self) -> str:
        way = f"{self.source['name']} → {self.destination['name']}"
        return f"Run({self.run_id!r}, {self.plan.mode}, {self.outcome}, {way})"

    @property
    def found_at(self) -> str | None:
        """The name of the host where the guest was afterwards; None: not known."""
        if self.domain_states is None:
            arrived = self.outcome is Outcome.COMPLETED
            return str((self.destination if arrived else self.source)["name"])
        sides = {"destination": self.destination, "source": self.source}
        for state in ("running", "paused"):
            for side, host in sides.items():
                if self.domain_states[side] == state:
                    return str(host["name"])
        return None

    @property
    def environment_id(self) -> str:
        """Return the short name of the run's machines and software."""
        return identity.environment_id(self)

    def timeline(self) -> Timeline:
        """Compute phases, iterations, downtimes and rates from the recorded frames."""
        from migrationlab.runs import summary as compute  # noqa: PLC0415

        if _TIMELINE not in self.__dict__:
            self.__dict__[_TIMELINE] = compute.timeline_of(self)
        return compute.copied(self.__dict__[_TIMELINE])

    def cost(self) -> Cost:
        """Compute the cost: processor time on both hosts, memory, bytes by purpose."""
        from migrationlab.runs import summary as compute  # noqa: PLC0415

        return compute.cost_of(self, self.timeline())

    def workload(self) -> Workload:
        """Compute the guest's rate of writing memory before, during and after the migration."""
        from migrationlab.runs import summary as compute  # noqa: PLC0415

        return compute.workload_of(self, self.timeline())

    def summary(self) -> dict[str, Any]:
        """Return the run's main numbers: the keys of ``SUMMARY``, plain values; None: not known.

        Raises:
            StoreError: The record is not one that a recorder writes.
        """
        if _SUMMARY not in self.__dict__:
            from migrationlab.runs import summary as compute  # noqa: PLC0415

            try:
                self.__dict__[_SUMMARY] = compute.summarize(self)
            except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
                raise StoreError(
                    f"the summary of run {self.run_id} failed: {error!r}",
                    hint="Restore the run from a copy: its record is not as it was written.",
                ) from error
        return dict(self.__dict__[_SUMMARY])


class Runs(Sequence[Run]):
    """A sequence of runs, oldest first.

    Attributes:
        unreadable: For each run that could not be read, its name and the reason.
    """

    def __init__(
        self, runs: Iterable[Run] = (), *, unreadable: Mapping[str, str] | None = None
    ) -> None:
        self._runs = tuple(sorted(runs, key=lambda run: (run.created, run.run_id)))
        self.unreadable: Mapping[str, str] = MappingProxyType(dict(unreadable or {}))

    @overload
    def __getitem__(self, index: int) -> Run: ...
    @overload
    def __getitem__(self, index: slice) -> Runs: ...
    def __getitem__(self, index: int | slice) -> Run | Runs:
        return Runs(self._runs[index]) if isinstance(index, slice) else self._runs[index]

    def __len__(self) -> int:
        return len(self._runs)

    def __repr__(self) -> str:
        modes = Counter(str(run.plan.mode) for run in self._runs)
        outcomes = Counter(str(run.outcome) for run in self._runs)
        unreadable = Counter({"unreadable": len(self.unreadable)} if self.unreadable else {})
        counts = (modes, outcomes, unreadable)
        parts = [", ".join(f"{n} {what}" for what, n in c.items()) for c in counts if c]
        return f"Runs({'; '.join(parts) or 'none'})"

    def frame(self) -> pd.DataFrame:
        """Return the runs' summaries, a row per run."""
        import pandas as pd  # noqa: PLC0415

        rows = [run.summary() for run in self._runs]
        return pd.DataFrame(rows, columns=list(SUMMARY)).astype(dict(SUMMARY))

    def environments(self) -> pd.DataFrame:
        """Return the runs' environments: environment_id, runs (their number), and each fact.

        A row per environment, the most frequent first; see :mod:`migrationlab.runs.environment`.
        """
        return identity.environments(self._runs)

    def downtimes(self) -> pd.DataFrame:
        """Return the completed runs' downtimes: run_id, mode, kind, downtime_ms, low_ms, high_ms.

        A row per downtime. The true value is between ``low_ms`` and ``high_ms``: see
        :mod:`migrationlab.analysis.downtimes`.
        """
        from migrationlab.runs import summary as compute  # noqa: PLC0415

        return compute.downtime_table(self.frame())


def remember(run: Run, summary: Mapping[str, Any]) -> None:
    """Give a run its stored summary, which was computed with the same ``DEFINITION``.

    Raises:
        ValueError: Its keys are not those of ``SUMMARY``.
    """
    if list(summary) != list(SUMMARY):
        raise ValueError("a summary must have the keys of SUMMARY")
    run.__dict__[_SUMMARY] = dict(summary)


def new_run_id(now: datetime | None = None) -> str:
    """Return a new name for a run: its UTC time, by which names sort, and three random bytes."""
    moment = datetime.now(UTC) if now is None else now.astimezone(UTC)
    return f"{moment:%Y%m%d-%H%M%S}-{secrets.token_hex(3)}"
