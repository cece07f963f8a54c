"""A run: the finished record of one migration, whatever became of it; and a row of runs.

A run cannot be changed. Its mappings are read-only, and each access to a frame gives a fresh
copy, so that nothing done in a notebook cell reaches the record. So its summary is worked out once,
and one that was worked out before, by the same definition, is as good (:func:`remember`). A frame
can be given as a function that reads it, for runs by the thousand.

Knows what a run holds (its frames are described in ``frames``) and nothing of where it came from
or how it is kept. Imports no libvirt and touches no file.
"""

from __future__ import annotations

import re
import secrets
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from types import MappingProxyType
from typing import Any, overload

import pandas as pd

from migrationlab.analysis.cost import Cost, cost
from migrationlab.analysis.timeline import Recording, Timeline, build
from migrationlab.analysis.workload import Workload, workload
from migrationlab.errors import StoreError
from migrationlab.plan.plan import Plan
from migrationlab.runs import environment as identity
from migrationlab.runs.fields import FrameField, settle
from migrationlab.runs.summary import SUMMARY, downtime_table, summed_up

Facts = Mapping[str, Any]

RUN_ID = re.compile(r"[0-9A-Za-z][0-9A-Za-z_-]{0,79}")

#: Where a run keeps its summary once there is one. No field: a changed copy has none yet.
_SUMMARY = "_summary"


class Outcome(StrEnum):
    """What became of a migration.

    In all but ``COMPLETED`` and ``INTERRUPTED`` the guest goes on at the source, unless that was
    lost: ``domain_states`` of the run say where it was found.
    """

    COMPLETED = "completed"
    #: By the user.
    CANCELLED = "cancelled"
    #: Cancelled by its deadline.
    TIMED_OUT = "timed_out"
    #: Cancelled by the plan, since the guest changed memory faster than it was sent.
    DIVERGED = "diverged"
    #: Post-copy was paused, or broke: the guest is at the destination, with part of its memory
    #: still at the source.
    INTERRUPTED = "interrupted"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class RunError:
    """Why a migration did not complete.

    Attributes:
        kind: The name of the error's class.
        text: What it said, libvirt's own words where they were libvirt's.
        hint: What the user can do.
        code: libvirt's error number, None where the error was not libvirt's.
        domain: libvirt's error domain, None likewise.
        explanation: The id of its cause, as ``explain`` knows it; None where it knows none.
    """

    kind: str
    text: str
    hint: str = ""
    code: int | None = None
    domain: int | None = None
    explanation: str | None = None


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Run:
    """The record of one migration. Two runs are equal if they bear the same ``run_id``.

    Attributes:
        run_id: Its name, and that of its folder: see :func:`new_run_id`.
        created: When the call was made, ISO 8601 in UTC.
        migrationlab_version: The version of migrationlab that recorded it.
        outcome: What became of the migration.
        error: Why it did not complete, None where it did.
        plan: How the guest was migrated, left-out URIs filled in.
        guest: name, uuid, memory_mib, machine; a lab's guest also working_set_mib, dirty_mib_s,
            pattern, and what its disk is; xml_sha256, the hash of what its domain is made of.
        source: name, hostname, libvirt_version, qemu_version, image (None for a real host); of its
            machine kernel, cpu_model, cpus, memory_mib (None where not known).
        destination: Likewise.
        accelerator: ``tcg`` or ``kvm``.
        wire: rate_mbit_s, delay_ms, loss_percent of a lab's wire, and measured_mbit_s, what a TCP
            stream got through it (None: not measured); None where there is no lab.
        environment: The machine that recorded: kernel, cpu_model, cpus, python and the like; how
            busy it was (load_1min, cpu_busy_percent), and the revision of the kit's code.
        called_ns: When libvirt's call was made, CLOCK_REALTIME.
        returned_ns: When it came back.
        downtime_requested_ms: The limit that was in force: the plan's, else QEMU's own.
        completed_job: libvirt's statistics of the completed job by its own names, empty if none.
        guest_check: What the guest's check of its memory and disk said: intact, pages, bad_pages,
            writes, disk_blocks, bad_blocks; None where it could not be asked.
        domain_states: Where the guest was found afterwards: the state of its domain at
            ``source`` and at ``destination``, by libvirt's names; ``absent`` where that host has
            no such domain, ``unknown`` where it could not be asked. None in a run that was
            recorded before the kit looked.
        clock: How far the clock of ``source`` and of ``destination`` is ahead of this machine's:
            offset_ms, error_ms (either way), method; None for a host whose clock is not known,
            and for the whole where nothing was measured.
        instruments: The names of the frames that something recorded; None in a run that was
            recorded before the kit said so. What is not named is empty because nobody looked.
        experiment: Which trial of which experiment this is, None where it is none.
        warnings: What a reader of this run must know.
        events: See ``FRAMES``, and ``data/README.md`` for what each column means.
        job: Likewise, a row a sample.
        beats: Likewise, a row a datagram.
        echoes: Likewise, a row a request that the guest was to answer.
        wire_bytes: Likewise, a row a sample.
        connections: Likewise, a row a TCP connection over the wire.
        processes: Likewise, a row a sample of a process or of one of its threads.
    """

    run_id: str
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
        if not RUN_ID.fullmatch(self.run_id):
            raise ValueError(f"not the name of a run: {self.run_id!r}")
        settle(self)
        object.__setattr__(self, "outcome", Outcome(self.outcome))

    def __eq__(self, other: object) -> bool:
        return self.run_id == other.run_id if isinstance(other, Run) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.run_id)

    def __repr__(self) -> str:
        way = f"{self.source['name']} → {self.destination['name']}"
        return f"Run({self.run_id!r}, {self.plan.mode}, {self.outcome}, {way})"

    @property
    def found_at(self) -> str | None:
        """The name of the host at which the guest ran afterwards; None where nobody knows."""
        if self.domain_states is None:
            arrived = self.outcome is Outcome.COMPLETED
            return str((self.destination if arrived else self.source)["name"])
        sides = {"destination": self.destination, "source": self.source}
        for state in ("running", "paused"):
            for side, host in sides.items():
                if self.domain_states[side] == state:
                    return str(host["name"])
        return None

    def timeline(self) -> Timeline:
        """Work out phases, iterations, downtimes and rates from what was recorded."""
        recording = Recording(
            events=self.events,
            job=self.job,
            beats=self.beats,
            echoes=self.echoes,
            clock=self.clock,
            wire_bytes=self.wire_bytes,
            called_ns=self.called_ns,
            returned_ns=self.returned_ns,
            completed=self.outcome is Outcome.COMPLETED,
            offline=self.plan.offline,
            mode=str(self.plan.mode),
            completed_job=self.completed_job,
            downtime_requested_ms=self.downtime_requested_ms,
        )
        return build(recording)

    @property
    def environment_id(self) -> str:
        """Return the short name of the machines and software that it was made with."""
        return identity.environment_id(self)

    def cost(self) -> Cost:
        """Work out what it cost: processor time on both hosts, memory, bytes by purpose."""
        return self._cost(self.timeline())

    def _cost(self, line: Timeline) -> Cost:
        return cost(
            processes=self.processes,
            connections=self.connections,
            wire_bytes=self.wire_bytes,
            moments=line,
            moved=self.outcome in (Outcome.COMPLETED, Outcome.INTERRUPTED),
            memory_bytes=int(self.guest.get("memory_mib") or 0) << 20 or None,
        )

    def workload(self) -> Workload:
        """Work out how fast the guest wrote its memory before, meanwhile and after."""
        return self._workload(self.timeline())

    def _workload(self, line: Timeline) -> Workload:
        return workload(beats=self.beats, iterations=line.iterations, moments=line)

    def summary(self) -> dict[str, Any]:
        """Give the run's main numbers: the keys of ``SUMMARY``, plain values, None if unknown.

        Raises:
            StoreError: The record is not as a recorder writes it.
        """
        if _SUMMARY not in self.__dict__:
            try:
                line = self.timeline()
                figures = summed_up(self, line, self._cost(line), self._workload(line))
            except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
                raise StoreError(
                    f"the figures of run {self.run_id} cannot be worked out: {error!r}",
                    hint="Its record is not as a recorder writes it: restore it from a copy.",
                ) from error
            self.__dict__[_SUMMARY] = figures
        return dict(self.__dict__[_SUMMARY])


class Runs(Sequence[Run]):
    """Some runs, in the order of their making.

    Args:
        runs: The runs.
        unreadable: Those that belong to them but could not be read: by name, why.

    Attributes:
        unreadable: Likewise.
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
        """Give a frame of the runs' summaries, a row a run."""
        rows = [run.summary() for run in self._runs]
        return pd.DataFrame(rows, columns=list(SUMMARY)).astype(dict(SUMMARY))

    def environments(self) -> pd.DataFrame:
        """Give a frame of what the runs were made with: environment_id, runs, and each fact.

        A row an environment, the most frequent first; see :mod:`migrationlab.runs.environment`.
        """
        return identity.environments(self._runs)

    def downtimes(self) -> pd.DataFrame:
        """Give the completed runs' downtimes: run_id, mode, kind, downtime_ms, low_ms, high_ms.

        A row a number; the last two say how far off it may be, see ``capture.downtimes``.
        """
        return downtime_table(self.frame())


def remember(run: Run, summary: Mapping[str, Any]) -> None:
    """Give a run the summary that was worked out of it before, by the same ``DEFINITION``.

    Raises:
        ValueError: Its keys are not those of ``SUMMARY``.
    """
    if list(summary) != list(SUMMARY):
        raise ValueError("not a summary: its keys are others")
    run.__dict__[_SUMMARY] = dict(summary)


def new_run_id(now: datetime | None = None) -> str:
    """Make a name for a run: its UTC time, which sorts, and three random bytes."""
    moment = datetime.now(UTC) if now is None else now.astimezone(UTC)
    return f"{moment:%Y%m%d-%H%M%S}-{secrets.token_hex(3)}"
