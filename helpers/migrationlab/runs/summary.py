"""Compute the figures of a run: its timeline, and its summary as ``schema.METRICS`` lists it.

Needs pandas, numpy and :mod:`migrationlab.analysis`. A run imports this module when it computes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import fields, replace
from typing import Any

import pandas as pd

from migrationlab.analysis.cost import Cost, cost
from migrationlab.analysis.downtimes import with_service
from migrationlab.analysis.service import ServiceView, service_view
from migrationlab.analysis.timeline import Recording, Timeline, build
from migrationlab.analysis.workload import Workload, workload
from migrationlab.analysis.write_latency import WriteLatency, write_latency
from migrationlab.runs.record import MOVED, Facts, Outcome, RunRecord, summary_facts
from migrationlab.runs.schema import DOWNTIMES, SUMMARY

#: The numbers of a :class:`WriteLatency` that a summary has.
WRITE_NUMBERS = (
    "before_p99_us", "sending_p99_us", "sending_max_us", "after_p99_us", "after_max_us",
)  # fmt: skip
#: The first QEMU that computes its expected downtime when it is asked.
ON_DEMAND = (11, 1)


def timeline_of(run: RunRecord) -> Timeline:
    """Compute a run's timeline."""
    same = {field.name for field in fields(Recording)} - {"completed", "offline", "mode"}
    facts: dict[str, Any] = {name: getattr(run, name) for name in same}
    line = build(
        Recording(
            **facts,
            completed=run.outcome in MOVED,
            offline=run.plan.offline,
            mode=str(run.plan.mode),
        )
    )
    return replace(
        line,
        downtimes=with_service(line.downtimes, service_of(run, line)),
        notes=(*line.notes, *_expectation(run)),
    )


def _expectation(run: RunRecord) -> Iterator[str]:
    """Yield what is special of QEMU's expected downtime, if the source's QEMU is of 11.1 or newer.

    Source: QEMU's commits dd4fe8844b52 and 54a814cc0947 (11.1); of older ones
    migration_update_counters in migration/migration.c.
    """
    version = str(run.source.get("qemu_version") or "")
    found = re.match(r"(\d+)\.(\d+)", version, re.ASCII)
    newer = found is not None and (int(found[1]), int(found[2])) >= ON_DEMAND
    if newer and run.job["expected_downtime_ms"].notna().any():
        yield (
            f"QEMU {version} computes expected_downtime_ms when it is asked: what was left to "
            "send, of memory and devices, when the last iteration began, at the present rate. "
            "QEMU before 11.1 counts memory only, and names the limit until it has measured how "
            "fast the guest dirties memory. Values of the two cannot be compared."
        )


def copied(line: Timeline) -> Timeline:
    """Return a timeline with copies of its frames, so that a caller can change them."""
    values = {field.name: getattr(line, field.name) for field in fields(line)}
    frames = {name: v.copy() for name, v in values.items() if isinstance(v, pd.DataFrame)}
    return replace(line, **frames)


def cost_of(run: RunRecord, line: Timeline) -> Cost:
    """Compute the cost of a run."""
    return cost(
        processes=run.processes,
        connections=run.connections,
        wire_bytes=run.wire_bytes,
        moments=line,
        moved=run.outcome in (*MOVED, Outcome.INTERRUPTED),
        memory_bytes=int(run.guest.get("memory_mib") or 0) << 20 or None,
    )


def workload_of(run: RunRecord, line: Timeline) -> Workload:
    """Compute the effect of a run on the guest's workload."""
    return workload(
        beats=run.beats,
        iterations=line.iterations,
        moments=line,
        asked_mib_s=asked_mib_s(run.guest),
    )


def asked_mib_s(guest: Facts) -> float | None:
    """Return the rate of writing that a guest was asked for at every moment; None: there is none.

    A guest that writes as fast as it can, or in phases, has no such rate.
    """
    asked = guest.get("dirty_mib_s")
    return asked if isinstance(asked, (int, float)) and guest.get("phases") is None else None


def service_of(run: RunRecord, line: Timeline) -> ServiceView:
    """Compute what the clients of the guest's service noticed of a run."""
    return service_view(run.requests, line)


def write_latency_of(run: RunRecord, line: Timeline) -> WriteLatency:
    """Compute how long the guest's writes to memory took."""
    return write_latency(run.memory_writes, line.iterations, line)


def summarize(run: RunRecord) -> dict[str, Any]:
    """Return the keys of ``SUMMARY`` with plain values; None: not known."""
    line = timeline_of(run)  # not kept by the run: thousands of timelines need much memory
    parts = (line, cost_of(run, line), work := workload_of(run, line))
    service = service_of(run, line)
    sure = line.downtimes.astype(object).where(line.downtimes.notna(), None).set_index("kind")
    reported, event, network = (sure.loc[kind] for kind in ("reported", "event", "network"))
    known: dict[str, Any] = {
        **summary_facts(run),
        "iterations": line.iteration_count,
        "downtime_reported_error_ms": _apart(reported["high_ms"], reported["downtime_ms"]),
        "downtime_event_error_ms": _apart(event["high_ms"], event["downtime_ms"]),
        "downtime_network_low_ms": _rounded(network["low_ms"]),
        "downtime_network_high_ms": _rounded(network["high_ms"]),
        "downtime_guest_ms": sure.loc["guest", "downtime_ms"],
        "workload_before_mib_s": work.before_mib_s,
        "workload_sending_mib_s": work.sending_mib_s,
        **_service_numbers(service, run),
        **_write_numbers(write_latency_of(run, line)),
    }

    def value(key: str) -> Any:
        if key in known:
            return known[key]
        return next(getattr(part, key) for part in parts if hasattr(part, key))

    return {key: value(key) for key in SUMMARY}


def _service_numbers(service: ServiceView, run: RunRecord) -> dict[str, Any]:
    parts = service.parts.set_index("part").astype(object)
    during = parts.where(parts.notna(), None)
    names = ("requests_s", "p50_ms", "p99_ms", "p999_ms", "max_ms")
    known = {f"service_{name}": during[name].get("during") for name in names}
    return {
        **known,
        "downtime_service_ms": service.downtime_service_ms,
        "service_failed": service.failed,
        "service_recovery_ms": service.recovery_ms,
        "service_intact": (run.service_check or {}).get("intact"),
    }


def _write_numbers(found: WriteLatency) -> dict[str, Any]:
    return {f"write_{name}": getattr(found, name) for name in WRITE_NUMBERS}


def downtime_table(summaries: pd.DataFrame) -> pd.DataFrame:
    """Return the completed runs' downtimes: run_id, mode, kind, downtime_ms, low_ms, high_ms.

    Args:
        summaries: A row per run.

    Returns:
        A row per known number.
    """
    done = summaries.query("outcome == 'completed'")
    numbers = ["downtime_ms", "low_ms", "high_ms"]
    tables = []
    for kind in DOWNTIMES:
        value = done[f"downtime_{kind}_ms"]
        match kind:
            case "requested":  # a limit is not measured, so it has no error
                low = high = value
            case "network":
                low, high = done["downtime_network_low_ms"], done["downtime_network_high_ms"]
            case _:
                error = done[f"downtime_{kind}_error_ms"]
                low, high = value - error, value + error
        table = done[["run_id", "mode"]].assign(kind=kind, downtime_ms=value, low_ms=low)
        table = table.assign(high_ms=high).astype(dict.fromkeys(numbers, "Float64"))
        tables.append(table.astype({"kind": "str"}))
    return pd.concat(tables).dropna(subset="downtime_ms", ignore_index=True)


def _apart(high: float | None, value: float | None) -> float | None:
    return None if high is None or value is None else round(high - value, 3)


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 3)
