"""The record of one migration: its facts and frames, whatever its outcome.

``run.py`` adds what is computed from a record.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Any

from msgspec import Meta

from migrationlab.plan.plan import Plan
from migrationlab.runs.fields import FrameField, settle

Facts = Mapping[str, Any]
RunId = Annotated[str, Meta(pattern=r"^[0-9A-Za-z][0-9A-Za-z_-]{0,79}\Z")]


class Outcome(StrEnum):
    """The outcome of a migration.

    After ``CANCELLED``, ``TIMED_OUT`` and ``DIVERGED`` the guest is at the source, after
    ``COMPLETED`` at the destination. After ``FAILED`` it is at the source; if the switchover had
    begun, libvirt has resumed it there, or it can be paused on one host or both. After any other
    outcome look at both hosts. The run's ``domain_states`` show where the guest was found.
    """

    COMPLETED = "completed"
    #: libvirt's call completed, but the guest is gone or does not answer.
    GUEST_LOST = "guest_lost"
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
    #: libvirt's call did not return in time after a deadline or a cancellation: the migration can
    #: still end in any way.
    UNRESOLVED = "unresolved"


#: The outcomes after which libvirt's call had completed.
MOVED = (Outcome.COMPLETED, Outcome.GUEST_LOST)


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
class RunRecord:
    """The record of one migration. Runs with the same ``run_id`` are equal.

    ``schema.RECORDED`` describes the frames; ``data/README.md`` also the keys of each mapping.

    Attributes:
        run_id: The name of the run and of its folder: see :func:`new_run_id`.
        created: The time of the call, ISO 8601 in UTC.
        migrationlab_version: The version that recorded the run.
        outcome: How the migration ended, a word of :class:`Outcome`.
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
        service_check: The guest's service, its clients, and what it held after the migration of
            what it had acknowledged. None without a service, or if its clients failed.
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
    service_check: Facts | None = None
    warnings: tuple[str, ...]
    events: FrameField = FrameField()
    job: FrameField = FrameField()
    beats: FrameField = FrameField()
    echoes: FrameField = FrameField()
    requests: FrameField = FrameField()
    memory_writes: FrameField = FrameField()
    wire_bytes: FrameField = FrameField()
    connections: FrameField = FrameField()
    processes: FrameField = FrameField()

    def __post_init__(self) -> None:
        settle(self)

    def __eq__(self, other: object) -> bool:
        return self.run_id == other.run_id if isinstance(other, RunRecord) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.run_id)

    @property
    def found_at(self) -> str | None:
        """Return the name of the guest's host afterwards; None: not known."""
        if self.domain_states is None:
            arrived = self.outcome in MOVED
            return str((self.destination if arrived else self.source)["name"])
        sides = {"destination": self.destination, "source": self.source}
        for state in ("running", "paused"):
            for side, host in sides.items():
                if self.domain_states[side] == state:
                    return str(host["name"])
        return None


def summary_facts(run: RunRecord) -> dict[str, Any]:
    """Return the part of a run's summary that needs none of its frames."""
    return {
        "run_id": run.run_id,
        "mode": str(run.plan.mode),
        "outcome": str(run.outcome),
        "source": run.source["name"],
        "destination": run.destination["name"],
        "accelerator": run.accelerator,
        "guest_intact": None if run.guest_check is None else run.guest_check["intact"],
    }
