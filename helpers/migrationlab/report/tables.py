"""Runs and experiments as tables of plain values, and what each of their columns means.

A table of runs holds for each run its summary, and the facts that a reader needs to tell it from
another: the guest, the wire, the plan, the software. What was recorded while it lasted stays in
the runs' own folders. Pure: imports no libvirt, touches no file.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING

import pandas as pd

from migrationlab.analysis.cost import DEFINITIONS
from migrationlab.report.columns import COLUMNS
from migrationlab.runs.run import Run, Runs
from migrationlab.runs.schema import FRAMES
from migrationlab.runs.units import unit_of

if TYPE_CHECKING:
    from migrationlab.experiment.results import Results
    from migrationlab.experiment.warnings import ExperimentWarning

#: Which facts of a run the table has besides its summary: the column, where it is, what it means.
FACTS: Mapping[str, tuple[str, str, str]] = MappingProxyType(
    {
        "guest_memory_mib": ("guest", "memory_mib", "the guest's memory"),
        "guest_working_set_mib": ("guest", "working_set_mib", "memory that its workload writes"),
        "guest_dirty_mib_s": ("guest", "dirty_mib_s", 'how fast it writes there, or "max"'),
        "guest_pattern": ("guest", "pattern", "in which order it writes there"),
        "guest_disk": ("guest", "disk", "its disk: local, shared, or none"),
        "guest_disk_mib": ("guest", "disk_mib", "the disk's size"),
        "guest_disk_mib_s": ("guest", "disk_mib_s", "how fast the workload writes to it"),
        "guest_disk_cache": ("guest", "disk_cache", "how QEMU caches it"),
        "wire_rate_mbit_s": ("wire", "rate_mbit_s", "the wire's limit in each direction"),
        "wire_measured_mbit_s": ("wire", "measured_mbit_s", "payload it carried when measured"),
        "wire_delay_ms": ("wire", "delay_ms", "the wire's delay, one way"),
        "wire_loss_percent": ("wire", "loss_percent", "share of frames that the wire loses"),
        "source_libvirt": ("source", "libvirt_version", "libvirt's version at the source"),
        "source_qemu": ("source", "qemu_version", "QEMU's version at the source"),
        "destination_libvirt": ("destination", "libvirt_version", "libvirt's version there"),
        "destination_qemu": ("destination", "qemu_version", "QEMU's version there"),
        "cpu_model": ("environment", "cpu_model", "processor of the machine that recorded"),
        "kernel": ("environment", "kernel", "its kernel"),
        "cpus": ("environment", "cpus", "its processors"),
        "load_1min": ("environment", "load_1min", "its load average of one minute at the call"),
        "cpu_busy_percent": ("environment", "cpu_busy_percent", "how busy it was during the run"),
    }
)

#: What of a guest was set, and what only happens to be so.
GUEST_SETTINGS = (
    *("memory_mib", "working_set_mib", "dirty_mib_s", "pattern"),
    *("disk", "disk_mib", "disk_mib_s", "disk_cache", "cpu", "persistent"),
)
_MARKS = {
    "warm_up": "a warm-up, which does not count",
    "stopped": "stopped by the user, and made again: it does not count",
}

#: What each other column means, by its name; the format's description says more.
MEANINGS: Mapping[str, str] = MappingProxyType(
    {
        **DEFINITIONS,
        "run_id": "name of the run, and of its folder in runs/",
        "created": "when the call was made, ISO 8601, UTC",
        "mode": "normal (managed direct) or peer2peer",
        "outcome": "completed, cancelled, timed_out, diverged, interrupted or failed",
        "source": "name of the host that the guest came from",
        "destination": "name of the host that it was to go to",
        "accelerator": "kvm, or tcg where QEMU translated the guest's code",
        "total_ms": "libvirt's time_elapsed of the job",
        "call_ms": "from libvirt's call to its return",
        "downtime_requested_ms": "limit of the downtime that was in force",
        "downtime_reported_ms": "downtime in libvirt's statistics of the completed job",
        "downtime_reported_error_ms": "how far off the reported downtime may be, either way",
        "downtime_event_ms": "from QEMU's STOP at the source to its RESUME at the destination",
        "downtime_event_error_ms": "how far off the event downtime may be, either way",
        "downtime_network_ms": "longest silence of the guest's beats (or answers) around the stop",
        "downtime_network_low_ms": "so much of that silence the migration made at least",
        "downtime_network_high_ms": "so much it made at most",
        "downtime_guest_ms": "how far the guest's own clock went on in that silence",
        "guest_behind_ms": "how far its clock fell behind in it",
        "postcopy_ms": "how long the guest ran while part of its memory was still to come",
        "network_jitter_ms": "99th percentile of the times between beats before the call",
        "transferred_bytes": "sent, by libvirt's statistics",
        "wire_bytes": "sent, by the counter of the source's interface on the wire",
        "throughput_bytes_per_s": "transferred_bytes over the time in which QEMU was sending",
        "iterations": "passes over memory, as libvirt counts them",
        "workload_before_mib_s": "how fast the guest wrote before the call",
        "workload_sending_mib_s": "how fast it wrote from the first pass until it stopped",
        "recovery_ms": "from its running again until it wrote as fast as before",
        "guest_intact": "whether the guest found all of its memory and disk as it had left it",
        "environment_id": "short name of the machines and software that it was made with",
        "migrationlab_version": "version of migrationlab that recorded the run",
        "plan_settings": "settings of the migration that differ from libvirt's defaults, as JSON",
        "error": "why the migration did not complete",
        "warnings": "what a reader of this run must know",
        "cell": "the combination of settings that was measured",
        "block": "number of the block, which has each cell once in random order",
        "run_number": "number of the run in the order of the schedule",
        "attempt": "1, or more where earlier attempts at the trial were cut short",
        "warm_up": "made before the first trial, and not counted",
        "stopped": "stopped by the user, made again, and not counted",
        "metric": "the column of runs.csv that the row is about, of the completed runs that count",
        "runs": "runs of the cell that count, whatever their outcome",
        "n": "of them completed, with a value",
        "median": "their median, in the metric's unit",
        "low": "lower end of its 95 % bootstrap interval; none for fewer than six values",
        "high": "upper end, likewise",
        "least": "the least value",
        "greatest": "the greatest value",
        "relative_mad_percent": "1.4826 times the median distance from the median, as a share of it",
        "outliers": "values beyond Tukey's fences; they count like all others",
    }
)


_KINDS = {"int64": "integer", "float64": "number", "str": "text"}


def runs_table(recorded: Runs | Results) -> pd.DataFrame:
    """Give a row a run, in the order of their making: summary, facts, and what they belong to.

    Of an experiment all runs are in it, warm-ups and stopped ones marked as such.
    """
    known = recorded if isinstance(recorded, Runs) else recorded.runs
    table = known.frame() if isinstance(recorded, Runs) else recorded.frame(everything=True)
    rows = [_facts(run) for run in known]
    facts = pd.DataFrame(rows, index=table.index)
    # A factor of the design has the name that its setting has, which is one of the facts' too.
    return table.join(facts[[name for name in facts if name not in table]])


def concerns(recorded: Runs | Results) -> tuple[ExperimentWarning, ...]:
    """Give what stands against the figures of some runs, or of an experiment."""
    if isinstance(recorded, Runs):
        from migrationlab.experiment.warnings import find  # noqa: PLC0415 (scipy is slow to load)

        return find(recorded, recorded.frame())
    return recorded.concerns()


def dictionary(tables: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Give what the columns of some tables mean: file, column, type, unit, meaning; a row each.

    Args:
        tables: The tables by the names of their files.

    Returns:
        Those rows, and of the runs' Parquet files likewise.
    """
    given = [
        (file, column, _kind(table[column]), meaning(column))
        for file, table in tables.items()
        for column in map(str, table.columns)
    ]
    given += [
        (f"runs/*/{name}.parquet", column, _KINDS[kind.lower()], COLUMNS[name][column])
        for name, columns in FRAMES.items()
        for column, kind in columns.items()
    ]
    return pd.DataFrame(
        [
            {
                "file": file,
                "column": column,
                "type": kind,
                "unit": unit_of(column).stored,
                "meaning": means,
            }
            for file, column, kind, means in given
        ]
    )


def meaning(column: str) -> str:
    """Say what a column means."""
    if column in FACTS:
        return FACTS[column][2]
    # What is none of ours is a factor: a setting in which an experiment's cells differ.
    return MEANINGS.get(column, "setting in which the cells of the experiment differ")


def settings_of_guest(run: Run) -> dict[str, object]:
    """Give what was set for a run's guest: what it is, and what it does."""
    given = {name: run.guest.get(name) for name in GUEST_SETTINGS}
    if run.guest.get("disk") is None:
        # How the disk would be is nothing to say of a guest that has none.
        given = {name: value for name, value in given.items() if not name.startswith("disk")}
    return given | {"accelerator": run.accelerator}


def mark(run: Run) -> str:
    """Say why a run of an experiment does not count; nothing where it does."""
    facts = run.experiment or {}
    return next((word for key, word in _MARKS.items() if facts.get(key)), "")


def plan_text(run: Run) -> str:
    """Give the settings of a run's plan that are not the default, as JSON."""
    return json.dumps({"mode": str(run.plan.mode)} | run.plan.changed(), ensure_ascii=False)


def _facts(run: Run) -> dict[str, object]:
    facts: dict[str, object] = {
        "created": run.created,
        "migrationlab_version": run.migrationlab_version,
        "environment_id": run.environment_id,
        "plan_settings": plan_text(run),
    }
    guest = settings_of_guest(run)
    for column, (group, key, _) in FACTS.items():
        facts[column] = (guest if group == "guest" else getattr(run, group) or {}).get(key)
    facts["error"] = None if run.error is None else f"{run.error.kind}: {run.error.text}"
    facts["warnings"] = "; ".join(run.warnings) or None
    return facts


def _kind(column: pd.Series) -> str:
    """Name a column's type for those who have no pandas."""
    known = column.dropna().infer_objects()
    if not len(known):
        return ""
    return next(_kinds(known), "text")


def _kinds(known: pd.Series) -> Iterator[str]:
    if pd.api.types.is_bool_dtype(known):
        yield "boolean"
    if pd.api.types.is_integer_dtype(known):
        yield "integer"
    if pd.api.types.is_numeric_dtype(known):
        yield "number"
