"""The main numbers of a run in one row: their names, their types, and where each comes from.

``data/README.md`` says what each means. Imports no libvirt and touches no file.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import pandas as pd

from migrationlab.analysis.cost import Cost
from migrationlab.analysis.timeline import Timeline
from migrationlab.analysis.workload import Workload

if TYPE_CHECKING:
    from migrationlab.runs.run import Run

#: Changes with the meaning of any number of a summary, so that those worked out by another
#: definition are not taken for it. ``tests/unit/runs/test_summary.py`` tells when it has to.
DEFINITION = 1

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
        "downtime_reported_error_ms": "Float64",
        "downtime_event_ms": "Float64",
        "downtime_event_error_ms": "Float64",
        "downtime_network_ms": "Float64",
        "downtime_network_low_ms": "Float64",
        "downtime_network_high_ms": "Float64",
        "downtime_guest_ms": "Float64",
        "guest_behind_ms": "Float64",
        "postcopy_ms": "Float64",
        "network_jitter_ms": "Float64",
        "transferred_bytes": "Int64",
        "wire_bytes": "Int64",
        "throughput_bytes_per_s": "Int64",
        "iterations": "Int64",
        "cable_bytes": "Int64",
        "cable_bytes_per_memory_byte": "Float64",
        "migration_cpu_s": "Float64",
        "vcpu_extra_cpu_s": "Float64",
        "cpu_s_per_gib": "Float64",
        "workload_before_mib_s": "Float64",
        "workload_sending_mib_s": "Float64",
        "recovery_ms": "Float64",
        "guest_intact": "boolean",
    }
)

DOWNTIMES = ("requested", "reported", "event", "network")


def summed_up(run: Run, line: Timeline, took: Cost, work: Workload) -> dict[str, Any]:
    """Give the keys of ``SUMMARY``, plain values, None if unknown.

    Args:
        run: The run.
        line: Its timeline, what it cost, and what it did to the guest's work.
        took: Likewise.
        work: Likewise.
    """
    sure = line.downtimes.astype(object).where(line.downtimes.notna(), None).set_index("kind")
    reported, event, network = (sure.loc[kind] for kind in ("reported", "event", "network"))
    known: dict[str, Any] = {
        "run_id": run.run_id,
        "mode": str(run.plan.mode),
        "outcome": str(run.outcome),
        "source": run.source["name"],
        "destination": run.destination["name"],
        "accelerator": run.accelerator,
        "guest_intact": None if run.guest_check is None else run.guest_check["intact"],
        "downtime_reported_error_ms": _apart(reported["high_ms"], reported["downtime_ms"]),
        "downtime_event_error_ms": _apart(event["high_ms"], event["downtime_ms"]),
        "downtime_network_low_ms": _rounded(network["low_ms"]),
        "downtime_network_high_ms": _rounded(network["high_ms"]),
        "iterations": line.iteration_count,
        "downtime_guest_ms": sure.loc["guest", "downtime_ms"],
        "workload_before_mib_s": work.before_mib_s,
        "workload_sending_mib_s": work.sending_mib_s,
    }

    def value(key: str) -> Any:
        if key in known:
            return known[key]
        return next(getattr(part, key) for part in (line, took, work) if hasattr(part, key))

    return {key: value(key) for key in SUMMARY}


def downtime_table(summaries: pd.DataFrame) -> pd.DataFrame:
    """Give the completed runs' downtimes: run_id, mode, kind, downtime_ms, low_ms, high_ms.

    Args:
        summaries: A row a run.

    Returns:
        A row a number that is known.
    """
    done = summaries.query("outcome == 'completed'")
    reported, event = done["downtime_reported_ms"], done["downtime_event_ms"]
    about = done["downtime_reported_error_ms"]
    error = done["downtime_event_error_ms"]
    requested = done["downtime_requested_ms"]
    bounds = {
        # A limit is no measurement, and so has no error.
        "requested": (requested, requested),
        "reported": (reported - about, reported + about),
        "event": (event - error, event + error),
        "network": (done["downtime_network_low_ms"], done["downtime_network_high_ms"]),
    }
    numbers = ["downtime_ms", "low_ms", "high_ms"]
    table = pd.concat(
        pd.DataFrame(
            {
                "run_id": done["run_id"],
                "mode": done["mode"],
                "kind": pd.Series(kind, index=done.index, dtype="str"),
                "downtime_ms": done[f"downtime_{kind}_ms"],
                "low_ms": low,
                "high_ms": high,
            }
        ).astype(dict.fromkeys(numbers, "Float64"))
        for kind, (low, high) in bounds.items()
    )
    return table.dropna(subset="downtime_ms", ignore_index=True)


def _apart(high: float | None, value: float | None) -> float | None:
    return None if high is None or value is None else round(high - value, 3)


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 3)
