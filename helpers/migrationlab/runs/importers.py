"""Read what other tools measured of a migration: in our names and units, beside our runs.

Another tool's result has no events, no beats and no environment, so it is no ``Run``. It is an
:class:`ImportedRun`: the metrics that it has, by the names of a run's summary, and its samples as a
frame with the columns of ``job``. A figure that the tool does not have is None.

Sources: QEMU's tests/migration-stress/guestperf (``report.py``, ``progress.py``: the JSON of one
result); libvirt's ``tools/virsh-domain.c`` (cmdDomjobinfo: what a series of it prints).
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from migrationlab.errors import StoreError
from migrationlab.explain.job_figures import MIB, JobReport
from migrationlab.explain.job_report import read_job_report
from migrationlab.runs.safe_files import MIB as MIB_BYTES
from migrationlab.runs.safe_files import read_file
from migrationlab.runs.schema import FRAMES, frame

if TYPE_CHECKING:
    import pandas as pd

MAX_BYTES = 64 * MIB_BYTES
_JOB = re.compile(r"^[ \t]*Job type:", re.MULTILINE)
#: QEMU's words for the end of a migration, and ours.
_OUTCOMES = {"completed": "completed", "failed": "failed", "cancelled": "cancelled",
             "cancelling": "cancelled"}  # fmt: skip


@dataclass(frozen=True, slots=True)
class ImportedRun:
    """The result of another tool.

    Attributes:
        tool: The tool.
        name: The name of the result; by default that of its file.
        outcome: completed, failed or cancelled; None if the result does not say.
        settings: What was set, in the tool's own names.
        metrics: What was measured, by the names of a run's summary; None for what is missing.
        rows: The samples, by the columns of ``job``. Times are ns since the first sample where the
            tool gives none.
    """

    tool: str
    name: str
    outcome: str | None
    settings: Mapping[str, Any] = field(repr=False)
    metrics: Mapping[str, int | float | None] = field(repr=False)
    rows: Sequence[Mapping[str, int]] = field(repr=False)

    @property
    def job(self) -> pd.DataFrame:
        """Return the samples as a frame with the columns of a run's ``job``."""
        return frame("job", self.rows)

    def to_dict(self) -> dict[str, Any]:
        """Return the result as plain values, for JSON."""
        return {
            "tool": self.tool,
            "name": self.name,
            "outcome": self.outcome,
            "settings": dict(self.settings),
            "metrics": dict(self.metrics),
            "samples": len(self.rows),
        }


def read_result(path: str | Path) -> ImportedRun:
    """Read a file of another tool; its content says which tool that was.

    Raises:
        StoreError: The file cannot be read, or is of no known tool.
    """
    place = Path(path)
    try:
        text = read_file(place, MAX_BYTES, follow=True).decode()
    except (OSError, UnicodeDecodeError) as error:
        raise StoreError(f"reading {place} failed: {error}", hint="Check the path.") from error
    try:
        if text.lstrip().startswith("{"):
            return guestperf(json.loads(text), place.stem)
        return domjobinfo(text, place.stem)
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise StoreError(
            f"{place} must be a result of guestperf or of virsh domjobinfo: {error!r}",
            hint="Give guestperf's JSON, or the output of `virsh domjobinfo DOMAIN` once or more.",
        ) from error


def guestperf(content: Mapping[str, Any], name: str) -> ImportedRun:
    """Return the result of QEMU's guestperf from its JSON.

    Raises:
        KeyError, TypeError, ValueError: The content is no such result.
    """
    history = content["progress_history"]
    first_s = min((float(each["now"]) for each in history), default=0.0)
    rows = [_guestperf_row(each, first_s) for each in history]
    last = history[-1] if history else None
    succeeded = content.get("result", {}).get("success")
    outcome = None if last is None else _OUTCOMES.get(last["status"])
    if succeeded is False and outcome == "completed":
        outcome = "failed"  # guestperf's own verdict: the guest stayed paused
    metrics = {
        "total_ms": None if last is None else int(last["duration"]),
        "downtime_reported_ms": None if last is None else int(last["downtime"]),
        "transferred_bytes": None if last is None else int(last["ram"]["transferred_bytes"]),
        "iterations": None if last is None else int(last["ram"]["iterations"]),
    }
    if outcome != "completed":
        metrics["downtime_reported_ms"] = None  # QEMU reports one of completed migrations only
    settings = {**content["scenario"], "hardware": content["hardware"]}
    title = str(content["scenario"].get("name", name))
    return _imported("guestperf", title, outcome, settings, metrics, rows)


def _guestperf_row(each: Mapping[str, Any], first_s: float) -> dict[str, int]:
    ram = each["ram"]
    found = {
        "time_ns": round((float(each["now"]) - first_s) * 1e9),
        "iteration": ram["iterations"],
        "time_elapsed_ms": each["duration"],
        "expected_downtime_ms": each["downtime_expected"],
        "memory_total_bytes": ram["total_bytes"],
        "memory_processed_bytes": ram["transferred_bytes"],
        "memory_remaining_bytes": ram["remaining_bytes"],
        "dirty_rate_pages_s": ram["dirty_rate_pps"],
        # Megabits of 10^6 bits a second.
        "memory_bps": float(ram["transfer_rate_mbs"]) * 1e6 / 8,
        "normal_pages": ram["normal_pages"],
        "constant_pages": ram["duplicate_pages"],
        "throttle_percent": each["throttle_pcent"],
    }
    return {column: round(value) for column, value in found.items() if value is not None}


def domjobinfo(text: str, name: str) -> ImportedRun:
    """Return the result of a series of ``virsh domjobinfo``, one report after the other.

    The last report may be that of ``--completed``. A report of no job is left out.

    Raises:
        ValueError: The text has no report of a migration.
    """
    starts = [found.start() for found in _JOB.finditer(text)]
    blocks = [text[start:end] for start, end in zip(starts, [*starts[1:], len(text)], strict=True)]
    reports = [report for block in blocks if (report := read_job_report(block)) is not None]
    reports = [report for report in reports if report.state != "none"]
    if not reports:
        raise ValueError("no report of a job")
    last = reports[-1]
    outcome = last.state if last.state in _OUTCOMES.values() else None
    metrics = {
        "total_ms": _whole(last.elapsed_ms),
        "downtime_reported_ms": _whole(last.downtime_ms),
        "transferred_bytes": _whole(last.processed_mib, MIB),
        "iterations": last.iteration,
    }
    rows = [_report_row(report) for report in reports if report.state != "completed"]
    return _imported("virsh domjobinfo", name, outcome, {}, metrics, rows)


def _report_row(report: JobReport) -> dict[str, int]:
    found = {
        "time_ns": _whole(report.elapsed_ms, 1e6),
        "iteration": report.iteration,
        "time_elapsed_ms": _whole(report.elapsed_ms),
        "expected_downtime_ms": _whole(report.expected_downtime_ms),
        "memory_total_bytes": _whole(report.total_mib, MIB),
        "memory_processed_bytes": _whole(report.processed_mib, MIB),
        "memory_remaining_bytes": _whole(report.remaining_mib, MIB),
        "memory_bps": _whole(report.bandwidth_mib_s, MIB),
        "throttle_percent": _whole(report.throttle_percent),
    }
    known = {column: value for column, value in found.items() if value is not None}
    return {"time_ns": 0} | known


def _whole(value: float | None, factor: float = 1) -> int | None:
    return None if value is None else round(value * factor)


def _imported(  # noqa: PLR0917 - the fields, in their order
    tool: str,
    name: str,
    outcome: str | None,
    settings: Mapping[str, Any],
    metrics: Mapping[str, int | float | None],
    rows: Sequence[Mapping[str, int]],
) -> ImportedRun:
    assert all(row.keys() <= FRAMES["job"].keys() for row in rows)
    return ImportedRun(
        tool, name, outcome, MappingProxyType(dict(settings)), MappingProxyType(dict(metrics)),
        tuple(rows),
    )  # fmt: skip
