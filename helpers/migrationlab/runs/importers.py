"""Read what other tools measured of a migration: in our names and units, beside our runs.

Another tool's result has no events, no beats and no environment, so it is no ``Run``. It is an
:class:`ImportedRun`: the metrics that it has, by the names of a run's summary, and its samples as a
frame with the columns of ``job``. A figure that the tool does not have is None.

Sources: QEMU's tests/migration-stress/guestperf (``report.py``, ``progress.py``: the JSON of one
result); libvirt's ``tools/virsh-domain.c`` (cmdDomjobinfo: what a series of it prints); mig_mon
(github.com/xzpeter/mig_mon, 7f5b0cb), ``downtime.c``: its spike log and the output of its client.
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
#: What mig_mon prints, and its spike log: "SECONDS,MS" a line; the first has -1 as 64 bits.
_MIG_MON = re.compile(r"^1st and 2nd packet latency: (\d+) \(ms\)", re.MULTILINE)
_MAX_DELAY = re.compile(r"\[\d+\] max_delay: (\d+) \(ms\), cur: \d+ \(ms\)")
_TIMEOUT = re.compile(r"^Setting socket recv timeout to (\d+) \(ms\)", re.MULTILINE)
_SPIKE = re.compile(r"(\d+),(\d+)")
_NO_DELAY = 2**64 - 1
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
        if _MIG_MON.search(text) or _is_spike_log(text):
            return mig_mon(text, place.stem)
        return domjobinfo(text, place.stem)
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise StoreError(
            f"{place} must be a result of guestperf, virsh domjobinfo or mig_mon: {error!r}",
            hint="Give guestperf's JSON, the output of `virsh domjobinfo DOMAIN` once or more, or "
            "the spike log or output of mig_mon's client_rr or server.",
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


def mig_mon(text: str, name: str) -> ImportedRun:
    """Return the network downtime that mig_mon saw, from its spike log or its output.

    The downtime is the longest time between two packets. mig_mon counts it in ms, and it holds one
    usual interval between two packets. Of a loop of migrations it is that of the worst. A result
    has no samples of the job, because mig_mon asks the guest and not libvirt; ``settings`` has the
    spikes: the seconds since the log's begin, and the ms.

    Raises:
        ValueError: The text has neither a spike nor a longest time.
    """
    settings: dict[str, Any] = {}
    if _is_spike_log(text):
        lines = [(int(at), int(ms)) for at, ms in _SPIKE.findall(text)]
        spikes = [(at - lines[0][0], ms) for at, ms in lines if ms != _NO_DELAY]
        settings["spikes"] = spikes
        longest = max((ms for _, ms in spikes), default=None)
    else:
        delays = [int(each) for each in _MAX_DELAY.findall(text)]
        if not delays:
            raise ValueError("no max_delay: mig_mon ended before its third packet")
        longest = max(delays)
        for key, pattern in (("interval_ms", _TIMEOUT), ("usual_ms", _MIG_MON)):
            if said := pattern.search(text):
                settings[key] = int(said[1])
    return _imported("mig_mon", name, None, settings, {"downtime_network_ms": longest}, [])


def _is_spike_log(text: str) -> bool:
    """Return whether each line is a time and a delay, and the first is the log's begin."""
    found = [_SPIKE.fullmatch(line) for line in text.split()]
    return bool(found) and all(found) and found[0] is not None and int(found[0][2]) == _NO_DELAY


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
