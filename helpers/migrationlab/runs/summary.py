"""Compute the summary of a run: its main numbers in one row, as ``schema.METRICS`` lists them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd

from migrationlab.analysis.cost import Cost
from migrationlab.analysis.timeline import Timeline
from migrationlab.analysis.workload import Workload
from migrationlab.runs.schema import SUMMARY

if TYPE_CHECKING:
    from migrationlab.runs.run import Run

#: The number of the definition of all numbers. Raise it when the meaning of a number changes, so
#: that stored summaries are computed again. ``tests/unit/runs/test_summary.py`` notices a change.
DEFINITION = 1

DOWNTIMES = ("requested", "reported", "event", "network")


def summed_up(run: Run, line: Timeline, took: Cost, work: Workload) -> dict[str, Any]:
    """Return the keys of ``SUMMARY`` with plain values; None: not known.

    Args:
        run: The run.
        line: Its timeline.
        took: Its cost.
        work: What it did to the guest's workload.
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
        "iterations": line.iteration_count,
        "downtime_reported_error_ms": _apart(reported["high_ms"], reported["downtime_ms"]),
        "downtime_event_error_ms": _apart(event["high_ms"], event["downtime_ms"]),
        "downtime_network_low_ms": _rounded(network["low_ms"]),
        "downtime_network_high_ms": _rounded(network["high_ms"]),
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
    """Return the completed runs' downtimes: run_id, mode, kind, downtime_ms, low_ms, high_ms.

    Args:
        summaries: A row per run.

    Returns:
        A row per known number.
    """
    done = summaries.query("outcome == 'completed'")
    requested = done["downtime_requested_ms"]
    bounds = {
        # A limit is not measured, so it has no error.
        "requested": (requested, requested),
        **{kind: _within(done, kind) for kind in ("reported", "event")},
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


def _within(done: pd.DataFrame, kind: str) -> tuple[pd.Series, pd.Series]:
    value, error = done[f"downtime_{kind}_ms"], done[f"downtime_{kind}_error_ms"]
    return value - error, value + error


def _apart(high: float | None, value: float | None) -> float | None:
    return None if high is None or value is None else round(high - value, 3)


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 3)
