"""Find the limits of the figures of some runs, and give advice.

Each warning is one sentence of fact and one of advice, as in pyperf. A warning removes nothing from
any figure.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import pandas as pd
import scipy  # which loads scipy.stats when it is first needed: that takes a second

from migrationlab.analysis.workload import REACHED
from migrationlab.experiment.grouping import group
from migrationlab.experiment.statistics import MIN_FOR_INTERVAL, relative_mad_percent
from migrationlab.runs.environment import differences
from migrationlab.runs.run import Outcome, Run, Runs
from migrationlab.runs.summary import asked_mib_s

MAX_SPREAD_PERCENT = 10.0
#: Above this load a migration sometimes waits for a CPU.
BUSY_PERCENT = 90.0
#: A trend within one experiment that occurs by chance once in a hundred experiments.
DRIFT_P = 0.01
DRIFT_PERCENT = 5.0
#: The highest acceptable error of the offset between two hosts' clocks.
CLOCK_ERROR_MS = 5.0
#: The metrics whose spread and drift are checked; all are durations.
WATCHED = ("total_ms", "downtime_event_ms", "downtime_network_ms")


class WarningKind(StrEnum):
    """The subject of a warning, the most serious first."""

    DAMAGE = "damage"
    UNREADABLE = "unreadable"
    ENVIRONMENT = "environment"
    EMULATED = "emulated"
    BUSY = "busy"
    LOAD = "load"
    CLOCK = "clock"
    WORKLOAD = "workload"
    UNFINISHED = "unfinished"
    NOT_COMPLETED = "not completed"
    CUT_SHORT = "cut short"
    FEW = "few"
    SPREAD = "spread"
    DRIFT = "drift"
    NOTED = "noted"


#: The advice for each kind of warning.
ADVICE = {
    WarningKind.DAMAGE: "This must never happen: look at these runs before anything else, and "
    "report a bug.",
    WarningKind.UNREADABLE: "No figure counts them: restore them from a copy.",
    WarningKind.ENVIRONMENT: "Measure again in one environment. If the difference does not matter, "
    "pool the runs with mixed.",
    WarningKind.EMULATED: "Compare settings with each other. For durations as on real hosts, "
    "measure on a machine with /dev/kvm.",
    WarningKind.BUSY: "Stop other programs there, lower dirty_mib_s, or use a machine with more "
    "CPUs.",
    WarningKind.LOAD: "Stop other programs on the machine, and measure again.",
    WarningKind.CLOCK: "Synchronise both hosts by NTP or PTP, and connect by ssh, which is needed "
    "to measure the clocks.",
    WarningKind.WORKLOAD: "Use workload_before_mib_s, the measured rate, or lower dirty_mib_s.",
    WarningKind.UNFINISHED: "Run the experiment again: it continues where it stopped.",
    WarningKind.NOT_COMPLETED: "Report both figures together: a setting that completes less often "
    "is not faster.",
    WarningKind.CUT_SHORT: "Do nothing, unless the same setting crashes each time: see "
    "begun.jsonl.",
    WarningKind.FEW: f"Raise repeats until each setting has {MIN_FOR_INTERVAL} completed runs: the "
    "runs made so far still count.",
    WarningKind.SPREAD: "Stop other programs on the machine, or add repeats until the intervals "
    "are narrow enough.",
    WarningKind.DRIFT: "Find what changed (heat, other load), or raise warm_ups. Comparisons stay "
    "fair, because every cell is measured throughout.",
    WarningKind.NOTED: "Check whether it matters for the question: see the warnings of each run.",
}


@dataclass(frozen=True, slots=True)
class ExperimentWarning:
    """One limit of the figures, with advice."""

    kind: WarningKind
    text: str
    advice: str

    def __str__(self) -> str:
        return f"{self.text} {self.advice}"

    def to_dict(self) -> dict[str, str]:
        """Return the warning as plain values."""
        return {"kind": self.kind.value, "text": self.text, "advice": self.advice}


def find(
    runs: Runs,
    table: pd.DataFrame,
    *,
    planned: int | None = None,
    cut_short: int = 0,
    differing: Sequence[str] | None = None,
) -> tuple[ExperimentWarning, ...]:
    """Return the warnings of some runs, the most serious first.

    Args:
        runs: The runs.
        table: Their frame. Its column ``cell`` says which runs belong together; without that column
            their guest, wire, plan and environment do.
        planned: The number of planned runs; None for runs without a schedule.
        cut_short: The number of runs without a result.
        differing: The facts in which the runs' environments differ without intention; None for all
            facts in which they differ.
    """
    if "cell" not in table:
        # A fact in which only runs without a figure differ does not separate the others.
        done = [run for run in runs if run.outcome is Outcome.COMPLETED]
        groups = group(done).of
        table = table[table["outcome"] == str(Outcome.COMPLETED)]
        table = table.assign(cell=[groups[name] for name in table["run_id"]])
    done_table = table[table["outcome"] == str(Outcome.COMPLETED)]
    cells = list(table["cell"].unique())
    texts = {kind: [*check(runs)] for kind, check in _RUN_CHECKS.items()}
    texts |= {kind: [*check(done_table, cells)] for kind, check in _FIGURE_CHECKS.items()}
    if differs := sorted(differences(runs)) if differing is None else differing:
        texts[WarningKind.ENVIRONMENT] = [
            f"The environments of the runs differ in {_some(differs)}."
        ]
    # A run that cannot be read may be one of the planned runs, or a warm-up.
    missing = 0 if planned is None else planned - len(runs) - len(runs.unreadable)
    if missing > 0:
        texts[WarningKind.UNFINISHED] = [f"{missing} of {planned} planned runs are not done yet."]
    if cut_short:
        times = "once" if cut_short == 1 else f"{cut_short} times"
        texts[WarningKind.CUT_SHORT] = [f"A run was cut short {times}; it is made again."]
    return tuple(
        ExperimentWarning(kind, text, ADVICE[kind])
        for kind in WarningKind
        for text in texts.get(kind, ())
    )


# --- checks of the runs: each yields the texts of its warnings ----------------------------------


def _damaged(runs: Runs) -> Iterator[str]:
    bad = [run.run_id for run in runs if run.guest_check and run.guest_check["intact"] is False]
    if bad:
        yield f"The guest's memory was damaged in {len(bad)} of {len(runs)} runs: {_some(bad)}."


def _unreadable(runs: Runs) -> Iterator[str]:
    if bad := list(runs.unreadable):
        yield f"{len(bad)} {'run' if len(bad) == 1 else 'runs'} could not be read: {_some(bad)}."


def _emulated(runs: Runs) -> Iterator[str]:
    if any(run.accelerator == "tcg" for run in runs):
        yield "QEMU emulated the guest's CPUs (TCG): guest and migration shared CPU time."


def _busy(runs: Runs) -> Iterator[str]:
    known = (run.environment.get("cpu_busy_percent") for run in runs)
    high = [float(percent) for percent in known if percent is not None and percent > BUSY_PERCENT]
    if high:
        yield (
            f"The machine's CPUs were more than {BUSY_PERCENT:.0f} % busy in {len(high)} of "
            f"{len(runs)} runs (at most {max(high):.0f} %)."
        )


def _loaded(runs: Runs) -> Iterator[str]:
    loads = [
        float(run.environment["load_1min"]) / max(int(run.environment["cpus"]), 1)
        for run in runs
        if run.environment.get("load_1min") is not None and run.environment.get("cpus")
    ]
    high = [load for load in loads if load > 1]
    if high:
        yield (
            f"Load average was above the number of CPUs before {len(high)} of {len(runs)} runs "
            f"(up to {max(high):.1f} per CPU)."
        )


def _clocks(runs: Runs) -> Iterator[str]:
    errors = [error for run in runs if (error := _clock_error_ms(run)) is not None]
    if unknown := sum(math.isinf(error) for error in errors):
        yield (
            f"The offset between the hosts' clocks is unknown in {unknown} of {len(runs)} runs: "
            "do not trust their event downtimes."
        )
    known = max(filter(math.isfinite, errors), default=0.0)
    if known > CLOCK_ERROR_MS:
        yield (
            f"The offset between the hosts' clocks is known only to {known:.1f} ms: the event "
            "downtime can be wrong by as much."
        )


def _clock_error_ms(run: Run) -> float | None:
    """Return the error of the offset between the hosts' clocks; None if there is one clock."""
    if run.clock is None:
        return None
    sides = [run.clock.get(side) for side in ("source", "destination")]
    if any(side is None for side in sides):
        return math.inf
    return sum(float(side["error_ms"]) for side in sides if side is not None)


def _slow_guests(runs: Runs) -> Iterator[str]:
    shares = [
        rate / asked
        for run in runs
        if (asked := asked_mib_s(run.guest))
        and (rate := run.summary()["workload_before_mib_s"]) is not None
    ]
    short = [share for share in shares if share < REACHED]
    if short:
        yield (
            f"The guest wrote more slowly than requested before {len(short)} of {len(runs)} "
            f"migrations (at worst at {100 * min(short):.0f} % of the rate)."
        )


def _noted(runs: Runs) -> Iterator[str]:
    counted = Counter(warning for run in runs for warning in set(run.warnings))
    for warning, count in counted.most_common(5):
        yield f"{count} of {len(runs)} runs {'has' if count == 1 else 'have'} the note: {warning}"
    if len(counted) > 5:
        yield f"{len(counted) - 5} more such notes exist."


def _not_completed(runs: Runs) -> Iterator[str]:
    ends = Counter(run.outcome for run in runs if run.outcome is not Outcome.COMPLETED)
    if ends:
        parts = ", ".join(f"{count} {str(end).replace('_', ' ')}" for end, count in ends.items())
        yield (
            f"{ends.total()} of {len(runs)} migrations did not complete ({parts}); the medians are "
            "those of the others."
        )


_RUN_CHECKS: Mapping[WarningKind, Callable[[Runs], Iterator[str]]] = {
    WarningKind.DAMAGE: _damaged,
    WarningKind.UNREADABLE: _unreadable,
    WarningKind.EMULATED: _emulated,
    WarningKind.BUSY: _busy,
    WarningKind.LOAD: _loaded,
    WarningKind.CLOCK: _clocks,
    WarningKind.WORKLOAD: _slow_guests,
    WarningKind.NOT_COMPLETED: _not_completed,
    WarningKind.NOTED: _noted,
}


# --- checks of the figures ----------------------------------------------------------------------


def _few(done: pd.DataFrame, cells: Sequence[str]) -> Iterator[str]:
    counts = done.groupby("cell").size()
    # A cell that never completes gets no median from more repeats.
    few = counts[counts < MIN_FOR_INTERVAL]
    if len(few):
        yield (
            f"{_cells(list(few.index), len(cells))} fewer than {MIN_FOR_INTERVAL} completed runs, "
            "too few for a 95 % interval of the median."
        )


def _spread(done: pd.DataFrame, cells: Sequence[str]) -> Iterator[str]:
    for metric in WATCHED:
        wide: dict[str, float] = {}
        for cell, values in done.groupby("cell")[metric]:
            share = relative_mad_percent(values.dropna().astype("float64").tolist())
            if share is not None and len(values) >= 3 and share > MAX_SPREAD_PERCENT:
                wide[str(cell)] = share
        if wide:
            worst = max(wide, key=wide.__getitem__)
            yield (
                f"The relative MAD of {metric} is above {MAX_SPREAD_PERCENT:.0f} % in {len(wide)} "
                f"of {len(cells)} settings, highest with {worst} ({wide[worst]:.0f} %)."
            )


def _drift(done: pd.DataFrame, cells: Sequence[str]) -> Iterator[str]:
    for metric in WATCHED:
        values = done[["cell", metric]].dropna()
        medians = values.groupby("cell")[metric].transform("median").astype("float64")
        # Each run relative to the median of its own cell, in the order in which they were made.
        shares = (values[metric].astype("float64") / medians - 1)[medians > 0].to_numpy()
        if len(shares) < 2 * MIN_FOR_INTERVAL or np.ptp(shares) == 0:
            continue
        order = np.arange(len(shares))
        change = 100 * scipy.stats.theilslopes(shares, order).slope * (len(shares) - 1)
        p_value = scipy.stats.kendalltau(order, shares).pvalue
        if p_value < DRIFT_P and abs(change) > DRIFT_PERCENT:
            yield (
                f"{metric} {'rose' if change > 0 else 'fell'} by {abs(change):.0f} % from the "
                f"first run to the last (p = {p_value:.1g})."
            )


_FIGURE_CHECKS: Mapping[WarningKind, Callable[[pd.DataFrame, Sequence[str]], Iterator[str]]] = {
    WarningKind.FEW: _few,
    WarningKind.SPREAD: _spread,
    WarningKind.DRIFT: _drift,
}


# --- words --------------------------------------------------------------------------------------


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def _cells(names: Sequence[str], total: int) -> str:
    if len(names) == total:
        return "There are" if total == 1 else "All settings have"
    return f"{_some(names)} {'has' if len(names) == 1 else 'have'}"
