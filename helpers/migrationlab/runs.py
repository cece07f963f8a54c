"""A run: the finished record of one migration, whatever became of it; and a row of runs.

A run cannot be changed. Its mappings are read-only, and each access to a frame gives a fresh
copy, so that nothing done in a notebook cell reaches the record.

Knows what a run holds (``FRAMES`` and ``SUMMARY`` name every column, key and type) and nothing
of where it came from or how it is kept. Imports no libvirt and touches no file.
"""

from __future__ import annotations

import math
import re
import secrets
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from types import MappingProxyType
from typing import Any, Self, overload

import numpy as np
import pandas as pd

from migrationlab.capture.timeline import Timeline, build
from migrationlab.plan import Plan

Facts = Mapping[str, Any]

RUN_ID = re.compile(r"[0-9A-Za-z][0-9A-Za-z_-]{0,79}")

# Int64 and Float64 (pandas' own types) hold a missing value; int64 has none.
FRAMES: Mapping[str, Mapping[str, str]] = MappingProxyType(
    {
        "events": {
            "time_ns": "int64",
            "received_ns": "int64",
            "side": "str",
            "origin": "str",
            "name": "str",
            "detail": "str",
        },
        "job": {
            "time_ns": "int64",
            "iteration": "Int64",
            "time_elapsed_ms": "Int64",
            "expected_downtime_ms": "Int64",
            "data_total_bytes": "Int64",
            "data_processed_bytes": "Int64",
            "data_remaining_bytes": "Int64",
            "memory_total_bytes": "Int64",
            "memory_processed_bytes": "Int64",
            "memory_remaining_bytes": "Int64",
            "memory_bps": "Int64",
            "dirty_rate_pages_s": "Int64",
            "page_size_bytes": "Int64",
            "constant_pages": "Int64",
            "normal_pages": "Int64",
            "postcopy_requests": "Int64",
            "throttle_percent": "Int64",
            "compression_cache_bytes": "Int64",
            "compression_bytes": "Int64",
            "compression_pages": "Int64",
            "compression_cache_misses": "Int64",
            "compression_overflows": "Int64",
            "disk_total_bytes": "Int64",
            "disk_processed_bytes": "Int64",
            "disk_remaining_bytes": "Int64",
            "disk_bps": "Int64",
        },
        "beats": {
            "arrival_ns": "int64",
            "sequence": "int64",
            "guest_ns": "int64",
            "writes": "int64",
        },
        "echoes": {"sequence": "int64", "sent_ns": "int64", "arrival_ns": "Int64"},
        "wire_bytes": {"time_ns": "int64", "sent_bytes": "int64", "received_bytes": "int64"},
    }
)

SUMMARY: Mapping[str, str] = MappingProxyType(
    {
        "run_id": "str",
        "mode": "str",
        "outcome": "str",
        "source": "str",
        "destination": "str",
        "accelerator": "str",
        "total_ms": "Int64",
        "call_ms": "Float64",
        "downtime_requested_ms": "Int64",
        "downtime_reported_ms": "Int64",
        "downtime_event_ms": "Float64",
        "downtime_network_ms": "Float64",
        "postcopy_ms": "Float64",
        "network_jitter_ms": "Float64",
        "transferred_bytes": "Int64",
        "wire_bytes": "Int64",
        "throughput_bytes_per_s": "Int64",
        "iterations": "Int64",
        "guest_intact": "boolean",
    }
)


DOWNTIMES = ("requested", "reported", "event", "network")


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


class _Frame:
    """A field that keeps a frame to itself: it copies what goes in and what comes out."""

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    @overload
    def __get__(self, run: None, owner: type) -> Self: ...
    @overload
    def __get__(self, run: Run, owner: type) -> pd.DataFrame: ...
    def __get__(self, run: Run | None, owner: type) -> Self | pd.DataFrame:
        if run is None:
            # dataclasses asks the class for the field's default: there is none.
            raise AttributeError(self._name)
        return run.__dict__[f"_{self._name}"].copy()

    def __set__(self, run: Run, value: pd.DataFrame) -> None:
        run.__dict__[f"_{self._name}"] = conform(self._name, value)


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Run:
    """The record of one migration. Two runs are equal if they bear the same ``run_id``.

    Attributes:
        run_id: Its name, and that of its folder: see :func:`new_run_id`.
        created: When the call was made, ISO 8601 in UTC.
        kit_version: The version of migrationlab that recorded it.
        outcome: What became of the migration.
        error: Why it did not complete, None where it did.
        plan: How the guest was migrated, left-out URIs filled in.
        guest: name, uuid, memory_mib, machine; a lab's guest also working_set_mib, dirty_mib_s,
            pattern, and what its disk is.
        source: name, hostname, libvirt_version, qemu_version, image (None for a real host).
        destination: Likewise.
        accelerator: ``tcg`` or ``kvm``.
        wire: rate_mbit_s, delay_ms, loss_percent of a lab's wire, None where there is no lab.
        environment: The machine that recorded: kernel, cpu_model, cpus, python and the like.
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
        warnings: What a reader of this run must know.
        events: See ``FRAMES``, and ``data/README.md`` for what each column means.
        job: Likewise, a row a sample.
        beats: Likewise, a row a datagram.
        echoes: Likewise, a row a request that the guest was to answer.
        wire_bytes: Likewise, a row a sample.
    """

    run_id: str
    created: str
    kit_version: str
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
    warnings: tuple[str, ...]
    events: _Frame = _Frame()
    job: _Frame = _Frame()
    beats: _Frame = _Frame()
    echoes: _Frame = _Frame()
    wire_bytes: _Frame = _Frame()

    def __post_init__(self) -> None:
        if not RUN_ID.fullmatch(self.run_id):
            raise ValueError(f"not the name of a run: {self.run_id!r}")
        object.__setattr__(self, "outcome", Outcome(self.outcome))
        object.__setattr__(self, "warnings", tuple(self.warnings))
        for name in ("guest", "source", "destination", "environment", "completed_job"):
            if not isinstance(getattr(self, name), Mapping):
                raise TypeError(f"{name} of a run is a mapping")
            object.__setattr__(self, name, _frozen(getattr(self, name)))
        for name in ("wire", "guest_check", "domain_states", "clock"):
            object.__setattr__(self, name, _frozen(getattr(self, name)))

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
        """Work out phases, passes, downtimes and rates from what was recorded."""
        return build(
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
            completed_job=self.completed_job,
            downtime_requested_ms=self.downtime_requested_ms,
        )

    def summary(self) -> dict[str, Any]:
        """Give the run's main numbers: the keys of ``SUMMARY``, plain values, None if unknown."""
        line = self.timeline()
        known: dict[str, Any] = {
            "run_id": self.run_id,
            "mode": str(self.plan.mode),
            "outcome": str(self.outcome),
            "source": self.source["name"],
            "destination": self.destination["name"],
            "accelerator": self.accelerator,
            "guest_intact": None if self.guest_check is None else self.guest_check["intact"],
        }
        return {key: known[key] if key in known else getattr(line, key) for key in SUMMARY}


class Runs(Sequence[Run]):
    """Some runs, in the order of their making."""

    def __init__(self, runs: Iterable[Run] = ()) -> None:
        self._runs = tuple(sorted(runs, key=lambda run: (run.created, run.run_id)))

    @overload
    def __getitem__(self, index: int) -> Run: ...
    @overload
    def __getitem__(self, index: slice) -> Runs: ...
    def __getitem__(self, index: int | slice) -> Run | Runs:
        return Runs(self._runs[index]) if isinstance(index, slice) else self._runs[index]

    def __len__(self) -> int:
        return len(self._runs)

    def __repr__(self) -> str:
        if not self._runs:
            return "Runs(none)"
        modes = Counter(str(run.plan.mode) for run in self._runs)
        outcomes = Counter(str(run.outcome) for run in self._runs)
        parts = (", ".join(f"{n} {what}" for what, n in c.items()) for c in (modes, outcomes))
        return f"Runs({'; '.join(parts)})"

    def frame(self) -> pd.DataFrame:
        """Give a frame of the runs' summaries, a row a run."""
        rows = [run.summary() for run in self._runs]
        return pd.DataFrame(rows, columns=list(SUMMARY)).astype(dict(SUMMARY))

    def downtimes(self) -> pd.DataFrame:
        """Give the completed runs' downtimes: run_id, mode, kind, downtime_ms; a row a number."""
        done = self.frame().query("outcome == 'completed'")
        table = done.melt(
            id_vars=["run_id", "mode"],
            value_vars=[f"downtime_{kind}_ms" for kind in DOWNTIMES],
            var_name="kind",
            value_name="downtime_ms",
        )
        table["kind"] = table["kind"].str.removeprefix("downtime_").str.removesuffix("_ms")
        return table.astype({"downtime_ms": "Float64"}).dropna(ignore_index=True)


def new_run_id(now: datetime | None = None) -> str:
    """Make a name for a run: its UTC time, which sorts, and three random bytes."""
    moment = datetime.now(UTC) if now is None else now.astimezone(UTC)
    return f"{moment:%Y%m%d-%H%M%S}-{secrets.token_hex(3)}"


def frame(name: str, rows: Iterable[Mapping[str, object]]) -> pd.DataFrame:
    """Make one of a run's frames out of rows.

    Args:
        name: ``events``, ``job``, ``beats``, ``echoes`` or ``wire_bytes``.
        rows: A mapping a row. A key left out is a missing value.

    Returns:
        The frame, with the columns and types that ``FRAMES`` gives it.
    """
    given = list(rows)
    # Column by column with its type: by way of floats great whole numbers would be rounded.
    return pd.DataFrame(
        {
            column: pd.Series([row.get(column) for row in given], dtype=kind)
            for column, kind in FRAMES[name].items()
        }
    )


def conform(name: str, given: pd.DataFrame) -> pd.DataFrame:
    """Give a copy of ``given`` with the columns and types of the run's frame ``name``.

    Raises:
        ValueError: A column is missing or unknown, or its values are not of its type.
    """
    columns = FRAMES[name]
    # A frame that comes from here already, as most do: to change its types anew takes longer.
    types = [(column, str(kind)) for column, kind in given.dtypes.items()]
    if types == list(columns.items()) and given.index.equals(pd.RangeIndex(len(given))):
        return given.copy()
    if set(given.columns) != set(columns):
        differing = ", ".join(sorted(set(given.columns) ^ set(columns)))
        raise ValueError(f"columns of {name!r} missing or unknown: {differing}")
    made = given[list(columns)].astype(dict(columns))
    return made.reset_index(drop=True).copy()


def _frozen(value: Any) -> Any:
    """Give a read-only copy, of plain Python types only: what JSON can hold."""
    if isinstance(value, Mapping):
        return MappingProxyType({str(key): _frozen(item) for key, item in value.items()})
    if isinstance(value, (list, tuple)):
        return tuple(_frozen(item) for item in value)
    if isinstance(value, np.generic):
        return _frozen(value.item())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    raise TypeError(f"a run cannot hold a {type(value).__name__}: {value!r}")
