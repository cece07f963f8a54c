"""Gather the values of an experiment's report: design, metrics with figures, comparisons."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import pandas as pd

from migrationlab import plots
from migrationlab.experiment import statistics
from migrationlab.experiment.allocated import times_text
from migrationlab.experiment.battery import battery_of, scenarios
from migrationlab.experiment.cells import shown
from migrationlab.experiment.statistics import Verdict
from migrationlab.experiment.stored import placement
from migrationlab.experiment.warnings import WarningKind
from migrationlab.plan.guest_spec import GuestSpec
from migrationlab.plan.spec import factors
from migrationlab.report.arena import section
from migrationlab.report.figures import Figure, embed
from migrationlab.report.runs import about_all, closely, place
from migrationlab.runs.numbers import UNKNOWN, interval, near, number, probability, spoken
from migrationlab.runs.run import Outcome

if TYPE_CHECKING:
    from migrationlab.experiment.cells import Cell
    from migrationlab.experiment.comparison import CellComparison
    from migrationlab.experiment.results import Results

#: The metrics that have figures. The tables have all of them.
DRAWN = (
    "downtime_event_ms", "downtime_network_ms", "total_ms", "transferred_bytes", "cpu_s_per_gib",
    "cable_bytes_per_memory_byte", "workload_sending_mib_s",
)  # fmt: skip
#: The largest number of comparisons on a page. A grid has one for each pair of neighbours.
MOST_COMPARED = 40
#: Ends of names of errors and bounds: they have no table.
_BOUNDS = ("_error_ms", "_low_ms", "_high_ms")
_VERDICTS = {
    Verdict.DIFFERENT: "they differ",
    Verdict.EQUIVALENT: "equivalent within 5 %",
    Verdict.UNCLEAR: "no clear difference",
    Verdict.TOO_FEW: "too few runs",
}


def page(recorded: Results) -> dict[str, object]:
    """Gather the report of an experiment."""
    counted = recorded.measured or recorded.runs
    chosen = closely(counted, {run.run_id: place(run) for run in counted})
    return about_all(recorded.runs, chosen, of=len(counted)) | {
        "message": recorded.question,
        "downtime": None,
        "medians": [],
        # The page lists unreadable runs with their reasons.
        "concerns": [
            each for each in recorded.warnings() if each.kind is not WarningKind.UNREADABLE
        ],
        "differing": tuple(recorded.strayed(recorded.runs)),
        "repeat": None,
        "experiment": method(recorded),
        "results": results(recorded),
        "arena": section(recorded),
    }


def method(recorded: Results) -> dict[str, object]:
    """Gather the method of an experiment for its report."""
    design = recorded.design
    if design.hosts is not None:
        place = f"the hosts {design.hosts.source} and {design.hosts.to}"
    else:
        images = " and ".join(dict.fromkeys(design.images or ()))
        place = f"a lab on one machine, its hosts of Debian {images}"
    battery = battery_of(recorded)
    extra = [run for run in recorded.runs if (run.experiment or {}).get("warm_up")]
    return {
        "name": recorded.name,
        "place": place,
        "real": design.hosts is not None,
        "times": times_text(recorded),
        "pilot": None if design.allocation is None else design.allocation.pilot,
        "pilot_metric": None if design.allocation is None else design.allocation.metric,
        "seed": design.seed,
        "warm_ups": len(extra),
        "planned": len(recorded.planned),
        "done": len(recorded.measured),
        "directions": _directions(recorded),
        "cut_short": recorded.cut_short,
        "finished": recorded.finished,
        "cells": [_cell(cell) for cell in recorded.cells],
        "outcomes": _outcomes(recorded),
        "ends": [str(outcome).replace("_", " ") for outcome in Outcome],
        "scenarios": [] if battery is None else scenarios(battery, recorded),
        "toml": recorded.toml(),
    }


def _directions(recorded: Results) -> str:
    """Return a sentence about how often each cell was measured in each direction."""
    ways: dict[str, Counter[str]] = {cell.name: Counter() for cell in recorded.cells}
    for run in recorded.measured:
        ways[str(placement(run)["cell"])][str(run.source["name"])] += 1
    names = sorted({name for way in ways.values() for name in way})
    if len(names) < 2:
        return f"the guest went from {names[0]} only" if names else "the guest goes back and forth"
    apart = {cell: abs(way[names[0]] - way[names[1]]) for cell, way in ways.items()}
    worst = max(apart, key=apart.__getitem__)
    if apart[worst] > 1:
        counts = ", ".join(f"{ways[worst][name]} times from {name}" for name in names)
        return f"the guest went back and forth, {worst} unevenly: {counts}"
    once = ", except for one run" if apart[worst] else ""
    return (
        "the guest went back and forth, so that each setting was measured equally often in both "
        f"directions{once}"
    )


def _cell(cell: Cell) -> dict[str, str]:
    plan = {"mode": str(cell.plan.mode)} | cell.plan.changed()
    return {
        "name": cell.name,
        "plan": _listed(plan),
        "workload": UNKNOWN if cell.workload is None else _listed(_of_guest(cell.workload)),
        "wire": UNKNOWN if cell.wire is None else _listed(factors(cell.wire)),
    }


def _of_guest(workload: GuestSpec) -> dict[str, object]:
    # Settings that mean nothing for this guest.
    skipped = [
        *(["disk"] if workload.disk is None else []),
        *(["hot_"] if workload.pattern != "hot-cold" else []),
        *(["incompressible"] if workload.content == "zeros" else []),
    ]
    return {
        name: value
        for name, value in factors(workload).items()
        if value is not None and not name.startswith(tuple(skipped))
    }


def _listed(values: dict[str, object]) -> str:
    return ", ".join(f"{name} {shown(value)}" for name, value in values.items())


def _outcomes(recorded: Results) -> list[dict[str, object]]:
    table = recorded.outcomes()
    return [
        {
            "cell": row["cell"],
            "planned": row["planned"],
            "made": row["made"],
            "ends": [row[str(outcome)] for outcome in Outcome],
        }
        for row in table.to_dict(orient="records")
    ]


def results(recorded: Results) -> list[dict[str, object]]:
    """Return the table, comparisons and figure, if drawn, of each metric with values.

    Runs of different environments are pooled here: the report says where they differ.
    """
    table = recorded.summary(mixed=True)
    known = [str(name) for name in table["metric"].unique() if not str(name).endswith(_BOUNDS)]
    # Metrics with a figure come first, the most important one at the top.
    order = [name for name in DRAWN if name in known]
    order += [name for name in known if name not in DRAWN]
    return [_metric(recorded, name, table[table["metric"] == name]) for name in order]


def _metric(recorded: Results, metric: str, table: pd.DataFrame) -> dict[str, object]:
    words, unit, _ = spoken(metric)
    figure: Figure | None = None
    compared: list[CellComparison] = []
    if metric in DRAWN:
        figure = embed(plots.experiment(recorded, metric, mixed=True))
        compared = recorded.comparisons(metric, mixed=True)
    return {
        "metric": metric,
        "title": f"{words.capitalize()}{f' ({unit})' if unit else ''}",
        "figure": figure,
        "rows": [
            {
                "cell": row["cell"],
                "n": f"{row['n']} of {row['runs']}",
                "median": near(row["median"], of=metric),
                "interval": interval(row["low"], row["high"], of=metric),
                "range": interval(row["min"], row["max"], of=metric),
                "spread": number(row["relative_mad_percent"], digits=1),
                "outliers": row["outliers"],
            }
            for row in table.to_dict(orient="records")
        ],
        "compared": _compared(compared, metric),
        "left_out": max(len(compared) - MOST_COMPARED, 0),
    }


def _compared(found: list[CellComparison], metric: str) -> list[dict[str, object]]:
    return [
        {
            "a": each.a,
            "b": each.b,
            "difference": near(each.difference, of=metric),
            "percent": number(each.percent),
            "interval": interval(each.low, each.high, of=metric),
            "p": probability(each.p_adjusted),
            "verdict": _verdict(each),
            "more": UNKNOWN if each.more_runs is None else each.more_runs,
        }
        for each in found[:MOST_COMPARED]
    ]


def _verdict(found: CellComparison) -> str:
    if found.never_completes:
        return "one never completed" if found.n_a or found.n_b else "neither completed"
    alone = found.verdict is Verdict.DIFFERENT
    if alone and found.p_adjusted is not None and found.p_adjusted >= statistics.ALPHA:
        return "may be chance among so many comparisons"
    return _VERDICTS[found.verdict]
