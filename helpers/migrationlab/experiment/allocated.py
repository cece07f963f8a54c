"""Apply the allocation of a design to an experiment on disk, and put it in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from migrationlab.experiment.allocation import detectable, further_runs
from migrationlab.experiment.schedule import LAB_S, PlannedRun, further_schedule
from migrationlab.experiment.stored import placement
from migrationlab.runs.run import Outcome

if TYPE_CHECKING:
    from migrationlab.experiment.results import Results


def allocated_runs(results: Results) -> tuple[PlannedRun, ...]:
    """Return the runs that an experiment's finished pilot allocates.

    There are none without an allocation, before the pilot's end, and once the manifest has them.
    """
    design, recorded = results.design, results.manifest.planned
    allocation = design.allocation
    if allocation is None or len(recorded) != allocation.pilot * len(design.cells):
        return ()
    runs = results.measured
    if len(runs) < len(recorded):
        return ()
    values: dict[str, list[float]] = {cell.name: [] for cell in design.cells}
    for run in runs:
        value = run.summary()[allocation.metric]
        if run.outcome is Outcome.COMPLETED and value is not None:
            values[str(placement(run)["cell"])].append(float(value))
    pace = results.pace()
    costs_s = {cell.name: pace.run_s(cell.name) for cell in design.cells}
    pilot_s = allocation.pilot * sum(costs_s.values())
    warm_ups_s = design.warm_ups * sum(costs_s.values()) / len(costs_s)
    spent_s = pilot_s + warm_ups_s + (LAB_S if design.hosts is None else 0.0)
    added = further_runs(values, costs_s, allocation.time_s - spent_s, allocation.pilot)
    return further_schedule(added, recorded, design.seed)


def times_text(results: Results) -> str:
    """Return how often each cell is planned, in words: "10 times", "6 to 14 times"."""
    repeats = results.repeats().values()
    fewest, most = min(repeats), max(repeats)
    if fewest != most:
        return f"{fewest} to {most} times"
    return "once" if most == 1 else f"{most} times"


def weakest(repeats: Mapping[str, int]) -> float:
    """Return the superiority from which on every pair of cells shows it: see ``detectable``."""
    fewest = sorted(repeats.values())[:2]
    return detectable(fewest[0], fewest[-1])


def allocation_text(repeats: Mapping[str, int]) -> str:
    """Return the numbers of runs of the cells in words, and the power that they give."""
    fewest, most = min(repeats.values()), max(repeats.values())
    many = f"{fewest}" if fewest == most else f"{fewest} to {most}"
    cell = max(repeats, key=repeats.__getitem__)
    lead = f", most of {cell}" if fewest < most else ""
    return (
        f"{sum(repeats.values())} runs in all, {many} of each{lead}; they show differences from "
        f"{100 * weakest(repeats):.0f} % of pairs on (power 80 %)"
    )
