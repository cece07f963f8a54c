"""Read the runs of an experiment as an arena, and put forecasts beside them.

A contestant is a plan that the design names, a scene is a combination of the other factors. The
guest's slow-down is ``lost_work_ms``: the time that the guest would have needed, at its usual rate,
for what it did not write from the first iteration until the migration was complete. It holds the
downtime, the throttling of auto-converge, and the waiting for pages in post-copy.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import pandas as pd

from migrationlab.errors import UsageError
from migrationlab.experiment.arena import Arena, evaluate
from migrationlab.experiment.cells import Cell, shown
from migrationlab.experiment.forecasts import has_forecasts, read_forecasts
from migrationlab.experiment.statistics import estimate
from migrationlab.experiment.stored import placement
from migrationlab.forecast.forecast import DRAWS
from migrationlab.forecast.run_inputs import inputs_of
from migrationlab.runs.numbers import setting
from migrationlab.runs.run import Outcome, Run

if TYPE_CHECKING:
    from migrationlab.experiment.results import Results

#: The parts of a run in which nothing was sent.
_IDLE = frozenset({"before", "prepare", "after"})


def is_arena(recorded: Results) -> bool:
    """Return whether an experiment compares named policies: each of its plans has one."""
    return "plan" in recorded.design.factors and all(cell.plan.policy for cell in recorded.cells)


def arena(recorded: Results, *, mixed: bool = False) -> Arena:
    """Compare the plans of an experiment on each of its guests and wires.

    Args:
        recorded: The experiment.
        mixed: Whether runs of different environments are pooled.

    Raises:
        UsageError: The design names no plans, or the environments differ.
    """
    return evaluate(contest_table(recorded, mixed=mixed))


def contest_table(recorded: Results, *, mixed: bool = False) -> pd.DataFrame:
    """Return the frame of the runs that count, with ``scene``, ``contestant`` and ``completed``.

    Raises:
        UsageError: The design names no plans, or the environments differ.
    """
    if "plan" not in recorded.design.factors:
        raise UsageError(
            "an arena must have plans with names (got a grid of settings)",
            hint='Name them: [plans.nova], and below it policy = "nova".',
        )
    table = recorded.comparable(mixed=mixed)
    cells = {cell.name: cell for cell in recorded.cells}
    ordered = [cells[name] for name in table["cell"]]
    lost = {run.run_id: lost_work_ms(run) for run in recorded.measured}
    table = table.assign(
        scene=[scene_of(cell) for cell in ordered],
        contestant=[str(cell.setting["plan"]) for cell in ordered],
        completed=table["outcome"] == str(Outcome.COMPLETED),
        lost_work_ms=pd.array([lost[name] for name in table["run_id"]], dtype="Float64"),
    )
    # In the order of the design, which names contestants and scenes.
    order = {cell.name: place for place, cell in enumerate(recorded.cells)}
    return table.sort_values("cell", key=lambda names: names.map(order), kind="stable")


def scene_of(cell: Cell) -> str:
    """Return the name of a cell's scene: its guest and its wire."""
    parts = [
        shown(value) if key == "guest" else setting(key, shown(value))
        for key, value in cell.setting.items()
        if key != "plan"
    ]
    return ", ".join(parts) or "one guest"


def lost_work_ms(run: Run) -> float | None:
    """Return the guest's lost work as time at its usual rate; None if its work is not known."""
    rates = run.workload().rates
    busy = rates[~rates["part"].isin(_IDLE)].dropna(subset=["share"])
    if busy.empty:
        return None
    return float((busy["duration_ms"] * (1 - busy["share"])).sum())


def forecasts(recorded: Results, *, draws: int = DRAWS) -> pd.DataFrame:
    """Put a forecast beside the runs of each cell, where a forecast can speak.

    It cannot for a guest whose dirty curve is not known before, as one whose rate changes. The
    forecasts that were stored before the first run are taken, if the experiment has them.

    Args:
        recorded: The experiment.
        draws: The number of simulations for the intervals of forecasts that are not stored.

    Returns:
        A row per cell with runs: ``scene``, ``contestant``, ``speaks`` (whether it can), ``stored``
        (whether it was made before the runs), ``made``, ``completed``; ``ends`` (a probability),
        ``total_ms``, ``total_low_ms``, ``total_high_ms``, ``downtime_ms``, ``downtime_low_ms``,
        ``downtime_high_ms``; and of its completed runs the medians ``measured_total_ms`` and
        ``measured_downtime_ms``.
    """
    stored = has_forecasts(recorded.directory)
    known = read_forecasts(recorded.directory).cells if stored else {}
    rows = []
    for cell in recorded.cells:
        runs = [run for run in recorded.measured if placement(run)["cell"] == cell.name]
        if not runs:
            continue
        given = None if stored else inputs_of(runs[0])
        told = given.forecast(draws=draws).to_dict() if given is not None else known.get(cell.name)
        rows.append(
            {
                "scene": scene_of(cell), "contestant": str(cell.setting.get("plan", cell.name)),
                "speaks": told is not None, "stored": stored, "made": len(runs),
                "completed": sum(run.outcome is Outcome.COMPLETED for run in runs),
                **_told(told), **_measured(runs),
            }
        )  # fmt: skip
    return pd.DataFrame(rows)


def _told(told: Mapping[str, Any] | None) -> dict[str, float | None]:
    """Return the numbers of a forecast; None for each that it does not have."""
    row: dict[str, float | None] = {"ends": None if told is None else told["ends"]}
    for name, key, scale in (("total", "total_s", 1000), ("downtime", "downtime_ms", 1)):
        for part, column in (("median", ""), ("low", "_low"), ("high", "_high")):
            value = None if told is None else told[key][part]
            row[f"{name}{column}_ms"] = None if value is None else scale * value
    return row


def _measured(runs: list[Run]) -> dict[str, float | None]:
    """Return the medians of the completed runs; None without any."""
    found = [run.summary() for run in runs if run.outcome is Outcome.COMPLETED]
    return {
        key: estimate([each[name] for each in found if each[name] is not None]).median
        for key, name in (
            ("measured_total_ms", "total_ms"), ("measured_downtime_ms", "downtime_event_ms")
        )
    }  # fmt: skip
