"""Gather the values of a report's section about an arena: policies compared on the same guests."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import pandas as pd

from migrationlab import plots
from migrationlab.experiment.contest import arena, forecasts, is_arena
from migrationlab.experiment.forecasts import has_forecasts
from migrationlab.experiment.statistics import ALPHA, min_p
from migrationlab.plots.arena import COLUMNS, title
from migrationlab.report.figures import embed
from migrationlab.runs.numbers import UNKNOWN, amount, moment, probability

if TYPE_CHECKING:
    from migrationlab.experiment.arena import Arena
    from migrationlab.experiment.results import Results

NEVER = "did not complete"


def section(recorded: Results) -> dict[str, object] | None:
    """Gather the section; None for an experiment that does not compare named policies.

    Runs of different environments are pooled here: the report says where they differ.
    """
    if not is_arena(recorded) or not recorded.measured:
        return None
    found = arena(recorded, mixed=True)
    if not found.blocks:
        return None
    return {
        "title": title(found),
        "figure": embed(plots.arena(found)),
        "blocks": found.blocks,
        "completed": completed_rows(found),
        "metrics": [
            {"name": name, "title": COLUMNS[name][0], "standings": standing_rows(found, name),
             "worst": worst_rows(found, name), "duels": duel_rows(found, name),
             "few": too_few(found, name)}
            for name in COLUMNS
        ],
        "stored": has_forecasts(recorded.directory),
        "forecasts": forecast_rows(forecasts(recorded)),
        "cite": citation(recorded),
    }  # fmt: skip


def citation(recorded: Results) -> str:
    """Return how to cite a recorded experiment."""
    runs = recorded.measured
    return (
        f"migrationlab {recorded.manifest.migrationlab_version}: {recorded.question} "
        f"Experiment {recorded.id}, {len(runs)} migrations from {moment(runs[0].created)} "
        f"to {moment(runs[-1].created)}."
    )


def completed_rows(found: Arena) -> list[dict[str, object]]:
    """Return how often each policy completed, with the interval of the share."""
    return [
        {
            "scene": row["scene"],
            "contestant": row["contestant"],
            "count": f"{row['completed']} of {row['made']}",
            "interval": f"{100 * row['low']:.0f} to {100 * row['high']:.0f} %",
        }
        for row in found.completed.to_dict(orient="records")
        if row["made"]
    ]


def standing_rows(found: Arena, metric: str) -> list[dict[str, object]]:
    """Return median and regret of each policy on each guest, by one metric."""
    table = found.standings[found.standings["metric"] == metric]
    return [
        {
            "scene": row["scene"],
            "contestant": row["contestant"],
            "median": _said(metric, row["median"]),
            "interval": _interval(metric, row["low"], row["high"]),
            "regret": _said(metric, row["regret"]),
            "regret_interval": _interval(metric, row["regret_low"], row["regret_high"]),
            "best": UNKNOWN if pd.isna(row["best_share"]) else f"{100 * row['best_share']:.0f} %",
        }
        for row in table.to_dict(orient="records")
    ]


def worst_rows(found: Arena, metric: str) -> list[dict[str, object]]:
    """Return each policy's greatest regret over the guests, the least first."""
    table = found.worst[found.worst["metric"] == metric].sort_values("worst_regret", kind="stable")
    return [
        {
            "contestant": row["contestant"],
            "regret": _said(metric, row["worst_regret"]),
            "interval": _interval(metric, row["low"], row["high"]),
            "scene": row["scene"] if row["worst_regret"] > 0 else UNKNOWN,
        }
        for row in table.to_dict(orient="records")
    ]


def duel_rows(found: Arena, metric: str) -> list[dict[str, object]]:
    """Return the pairwise comparisons by one metric."""
    table = found.duels[found.duels["metric"] == metric]
    return [
        {
            "scene": row["scene"],
            "a": row["a"],
            "b": row["b"],
            "worse": f"{100 * row['b_worse']:.0f} %",
            "p": UNKNOWN if pd.isna(row["p_adjusted"]) else probability(row["p_adjusted"]),
        }
        for row in table.to_dict(orient="records")
    ]


def too_few(found: Arena, metric: str) -> bool:
    """Return whether so few blocks cannot show that any pair differs, with p adjusted."""
    table = found.duels[found.duels["metric"] == metric]
    return min_p(found.blocks, found.blocks) * len(table) >= ALPHA


def forecast_rows(table: pd.DataFrame) -> list[dict[str, object]]:
    """Return forecasts beside what was measured, where a forecast can speak."""
    return [
        {
            "scene": row["scene"],
            "contestant": row["contestant"],
            "completed": f"{row['completed']} of {row['made']}",
            "ends": f"{100 * row['ends']:.0f} %"
            if row["speaks"]
            else "the dirty curve is not known",
            "total": _between("total_ms", row, "total"),
            "downtime": _between("downtime_event_ms", row, "downtime"),
            "measured_total": _known("total_ms", row["measured_total_ms"]),
            "measured_downtime": _known("downtime_event_ms", row["measured_downtime_ms"]),
        }
        for row in table.to_dict(orient="records")
    ]


def _between(metric: str, row: dict[str, float], name: str) -> str:
    median = row.get(f"{name}_ms")
    if median is None or pd.isna(median):
        return UNKNOWN
    ends = (row[f"{name}_low_ms"], row[f"{name}_high_ms"])
    return f"{amount(metric, median)} ({_interval(metric, *ends)})"


def _known(metric: str, value: float | None) -> str:
    return UNKNOWN if value is None or pd.isna(value) else amount(metric, value)


def _said(metric: str, value: float) -> str:
    return NEVER if math.isinf(value) else amount(metric, value)


def _interval(metric: str, low: float, high: float) -> str:
    if pd.isna(low):
        return UNKNOWN
    if math.isinf(low):
        return NEVER
    most = "∞" if pd.isna(high) or math.isinf(high) else amount(metric, high)
    return f"{amount(metric, low)} to {most}"
