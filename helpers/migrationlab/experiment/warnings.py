"""What stands against the figures of some runs, and what to do about it.

Each concern is one sentence of fact and one of advice, as pyperf's warnings are. Nothing is left
out of any figure for a concern. Pure: works from runs that are there. Imports no libvirt.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import pandas as pd
from scipy import stats

from migrationlab.experiment.grouping import group
from migrationlab.experiment.statistics import MIN_FOR_INTERVAL, relative_mad_percent
from migrationlab.runs.environment import differences
from migrationlab.runs.run import Outcome, Run, Runs

MOST_SPREAD_PERCENT = 10.0
#: Above it a migration waits for a processor now and then.
BUSY_PERCENT = 90.0
#: A trend within one experiment that chance brings once in a hundred.
DRIFT_P = 0.01
DRIFT_PERCENT = 5.0
#: Two hosts' clocks: how far the difference may be from being known.
CLOCK_ERROR_MS = 5.0
#: Below this share of the rate that was asked for, a workload is another one.
LEAST_RATE = 0.9
#: The metrics whose spread and drift are looked at, all durations.
WATCHED = ("total_ms", "downtime_event_ms", "downtime_network_ms")


class Kind(StrEnum):
    """What a concern is about."""

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


@dataclass(frozen=True, slots=True)
class ExperimentWarning:
    """One thing to know before the figures are believed.

    Attributes:
        kind: What it is about.
        text: What is so.
        advice: What to do next.
    """

    kind: Kind
    text: str
    advice: str

    def __str__(self) -> str:
        return f"{self.text} {self.advice}"

    def to_dict(self) -> dict[str, str]:
        """Return it as plain values."""
        return {"kind": self.kind.value, "text": self.text, "advice": self.advice}


def find(
    runs: Runs,
    table: pd.DataFrame,
    *,
    planned: int | None = None,
    cut_short: int = 0,
    differing: Sequence[str] | None = None,
) -> tuple[ExperimentWarning, ...]:
    """Say what stands against the figures of some runs.

    Args:
        runs: The runs.
        table: Their frame. Its column ``cell`` says which runs are alike; where it has none, what
            they were made on and with does.
        planned: How many runs there were to be; None where nobody planned.
        cut_short: How many trials were begun for nothing.
        differing: In which facts of their environment the runs differ without being meant to; None
            for all in which they differ.
    """
    if "cell" not in table:
        # What only runs without a figure differ in does not set the others apart.
        done = [run for run in runs if run.outcome is Outcome.COMPLETED]
        groups = group(done).of
        table = table[table["outcome"] == str(Outcome.COMPLETED)]
        table = table.assign(cell=[groups[name] for name in table["run_id"]])
    found = [concern for look in _LOOKS for concern in look(runs)]
    found += [*_mixed(sorted(differences(runs)) if differing is None else differing)]
    found += [*_unfinished(runs, planned, cut_short)]
    found += [concern for look in _TABLE_LOOKS for concern in look(table)]
    order = list(Kind)
    return tuple(sorted(found, key=lambda concern: order.index(concern.kind)))


# --- of the runs themselves ---------------------------------------------------------------------


def _damaged(runs: Runs) -> Iterator[ExperimentWarning]:
    bad = [run.run_id for run in runs if run.guest_check and run.guest_check["intact"] is False]
    if bad:
        yield ExperimentWarning(
            Kind.DAMAGE,
            f"The guest's memory was not as it had left it in {_share(bad, runs)}: {_some(bad)}.",
            "That must never be: look at these runs before anything else, and report a bug.",
        )


def _unreadable(runs: Runs) -> Iterator[ExperimentWarning]:
    if bad := list(runs.unreadable):
        one = len(bad) == 1
        yield ExperimentWarning(
            Kind.UNREADABLE,
            f"{len(bad)} {'run is' if one else 'runs are'} there and could not be read: "
            f"{_some(bad)}.",
            f"No figure counts {'it' if one else 'them'}: restore {'it' if one else 'them'} from "
            "a copy.",
        )


def _mixed(differing: Sequence[str]) -> Iterator[ExperimentWarning]:
    if differing:
        yield ExperimentWarning(
            Kind.ENVIRONMENT,
            f"The runs were not all made in one environment: they differ in {_some(differing)}.",
            "Measure again in one, or, where the difference does not matter, say so with mixed.",
        )


def _emulated(runs: Runs) -> Iterator[ExperimentWarning]:
    if any(run.accelerator == "tcg" for run in runs):
        yield ExperimentWarning(
            Kind.EMULATED,
            "QEMU translated the guest's code (TCG), so guest and migration shared processors.",
            "Compare settings with each other; for times as a cloud has them, measure where "
            "/dev/kvm is.",
        )


def _busy(runs: Runs) -> Iterator[ExperimentWarning]:
    busy = _numbers(run.environment.get("cpu_busy_percent") for run in runs)
    high = [percent for percent in busy if percent > BUSY_PERCENT]
    if high:
        yield ExperimentWarning(
            Kind.BUSY,
            f"All processors of the machine were more than {BUSY_PERCENT:.0f} % busy in "
            f"{len(high)} of {len(runs)} runs (at most {max(high):.0f} %).",
            "Stop what else runs there, lower dirty_mib_s, or take a machine with more cores.",
        )


def _loaded(runs: Runs) -> Iterator[ExperimentWarning]:
    loads = [
        float(run.environment["load_1min"]) / max(int(run.environment["cpus"]), 1)
        for run in runs
        if run.environment.get("load_1min") is not None and run.environment.get("cpus")
    ]
    high = [load for load in loads if load > 1]
    if high:
        yield ExperimentWarning(
            Kind.LOAD,
            f"More waited for a processor than there are of them before {len(high)} of "
            f"{len(runs)} runs (load by processor up to {max(high):.1f}).",
            "Stop what else runs on the machine, and measure again.",
        )


def _clocks(runs: Runs) -> Iterator[ExperimentWarning]:
    errors = [error for run in runs if (error := _clock_error_ms(run)) is not None]
    if not errors:
        return
    unknown = sum(math.isinf(error) for error in errors)
    if unknown:
        yield ExperimentWarning(
            Kind.CLOCK,
            f"In {unknown} of {len(runs)} runs nobody knows how far the hosts' clocks are apart.",
            "Trust no event downtime of these: let both hosts keep time by NTP or PTP, and "
            "connect by ssh, by which the clocks are measured.",
        )
    known = [error for error in errors if math.isfinite(error)]
    if known and max(known) > CLOCK_ERROR_MS:
        yield ExperimentWarning(
            Kind.CLOCK,
            f"How far the hosts' clocks are apart is known to {max(known):.1f} ms only.",
            "So far off can the event downtime be; let both hosts keep time by NTP or PTP.",
        )


def _clock_error_ms(run: Run) -> float | None:
    """Return how far off the difference of the hosts' clocks may be; None where nobody asked."""
    if run.clock is None:
        return None
    sides = [run.clock.get(side) for side in ("source", "destination")]
    if any(side is None for side in sides):
        return math.inf
    return sum(float(side["error_ms"]) for side in sides if side is not None)


def _slow_guests(runs: Runs) -> Iterator[ExperimentWarning]:
    reached = [
        (run.summary()["workload_before_mib_s"], asked)
        for run in runs
        if isinstance(asked := run.guest.get("dirty_mib_s"), (int, float)) and asked > 0
    ]
    short = [
        rate / asked for rate, asked in reached if rate is not None and rate < LEAST_RATE * asked
    ]
    if short:
        yield ExperimentWarning(
            Kind.WORKLOAD,
            f"The guest wrote more slowly than it was asked to before {len(short)} of {len(runs)} "
            f"migrations (at worst {100 * min(short):.0f} % of the rate).",
            "Go by workload_before_mib_s, which was measured, or lower dirty_mib_s.",
        )


def _noted(runs: Runs) -> Iterator[ExperimentWarning]:
    counted = Counter(warning for run in runs for warning in set(run.warnings))
    for warning, count in counted.most_common(5):
        yield ExperimentWarning(
            Kind.NOTED,
            f"{count} of {len(runs)} runs {'says' if count == 1 else 'say'}: {warning}",
            "See whether it bears on the question.",
        )
    if len(counted) > 5:
        yield ExperimentWarning(
            Kind.NOTED, f"There are {len(counted) - 5} more such remarks.", "See the runs' own."
        )


def _not_completed(runs: Runs) -> Iterator[ExperimentWarning]:
    ends = Counter(run.outcome for run in runs if run.outcome is not Outcome.COMPLETED)
    if ends:
        parts = ", ".join(f"{count} {str(end).replace('_', ' ')}" for end, count in ends.items())
        yield ExperimentWarning(
            Kind.NOT_COMPLETED,
            f"{ends.total()} of {len(runs)} migrations did not complete ({parts}); medians are "
            "those of the others.",
            "Give both figures together: a setting that completes less often is not faster.",
        )


_LOOKS: Sequence[Callable[[Runs], Iterator[ExperimentWarning]]] = (
    _damaged, _unreadable, _emulated, _busy, _loaded, _clocks, _slow_guests, _noted,
    _not_completed,
)  # fmt: skip


def _unfinished(runs: Runs, planned: int | None, cut_short: int) -> Iterator[ExperimentWarning]:
    # What cannot be read may be a trial's run, or a warm-up's.
    there = len(runs) + len(runs.unreadable)
    if planned is not None and there < planned:
        yield ExperimentWarning(
            Kind.UNFINISHED,
            f"{planned - there} of {planned} trials are still to be made.",
            "Run the experiment again: it goes on where it stopped.",
        )
    if cut_short:
        times = "once" if cut_short == 1 else f"{cut_short} times"
        yield ExperimentWarning(
            Kind.CUT_SHORT,
            f"A trial was cut short {times}, and is made again.",
            "Nothing to do, unless it is always the same setting that crashes: see begun.jsonl.",
        )


# --- of their figures ---------------------------------------------------------------------------


def _few(table: pd.DataFrame) -> Iterator[ExperimentWarning]:
    done = table[table["outcome"] == str(Outcome.COMPLETED)]
    counts = done.groupby("cell").size().reindex(table["cell"].unique(), fill_value=0)
    # One that never completes gets no median of more repeats.
    few = counts[(counts > 0) & (counts < MIN_FOR_INTERVAL)]
    if len(few):
        yield ExperimentWarning(
            Kind.FEW,
            f"{_cells(list(few.index), len(counts))} fewer than {MIN_FOR_INTERVAL} completed "
            "runs, too few for a 95 % interval of the median.",
            f"Make {MIN_FOR_INTERVAL - int(few.min())} more of each, or a greater number: what "
            "is measured stays.",
        )


def _spread(table: pd.DataFrame) -> Iterator[ExperimentWarning]:
    done = table[table["outcome"] == str(Outcome.COMPLETED)]
    for metric in WATCHED:
        wide: dict[str, float] = {}
        for cell, values in done.groupby("cell")[metric]:
            share = relative_mad_percent(values.dropna().astype("float64").tolist())
            if share is not None and len(values) >= 3 and share > MOST_SPREAD_PERCENT:
                wide[str(cell)] = share
        if wide:
            worst = max(wide, key=wide.__getitem__)
            yield ExperimentWarning(
                Kind.SPREAD,
                f"{metric} scatters by more than {MOST_SPREAD_PERCENT:.0f} % in "
                f"{len(wide)} of {table['cell'].nunique()} settings, most with {worst} "
                f"({wide[worst]:.0f} %).",
                "Quieten the machine, or measure until the intervals are narrow enough.",
            )


def _drift(table: pd.DataFrame) -> Iterator[ExperimentWarning]:
    done = table[table["outcome"] == str(Outcome.COMPLETED)]
    for metric in WATCHED:
        values = done[["cell", metric]].dropna()
        medians = values.groupby("cell")[metric].transform("median").astype("float64")
        # Each run against the median of its own cell, in the order of their making.
        shares = (values[metric].astype("float64") / medians - 1)[medians > 0].to_numpy()
        if len(shares) < 2 * MIN_FOR_INTERVAL or np.ptp(shares) == 0:
            continue
        order = np.arange(len(shares))
        change = 100 * stats.theilslopes(shares, order).slope * (len(shares) - 1)
        p_value = stats.kendalltau(order, shares).pvalue
        if p_value < DRIFT_P and abs(change) > DRIFT_PERCENT:
            yield ExperimentWarning(
                Kind.DRIFT,
                f"{metric} {'rose' if change > 0 else 'fell'} by {abs(change):.0f} % from the "
                f"first run to the last (p = {p_value:.1g}).",
                "Blocks keep comparisons fair; for the figures themselves find what changed "
                "(heat, other load), or raise warm_ups.",
            )


_TABLE_LOOKS: Sequence[Callable[[pd.DataFrame], Iterator[ExperimentWarning]]] = (
    _few,
    _spread,
    _drift,
)


# --- words --------------------------------------------------------------------------------------


def _numbers(values: Iterator[object]) -> list[float]:
    return [float(value) for value in values if isinstance(value, (int, float))]


def _share(some: Sequence[str], runs: Runs) -> str:
    return f"{len(some)} of {len(runs)} runs"


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def _cells(names: Sequence[str], total: int) -> str:
    if len(names) == total:
        return "There are" if total == 1 else "All settings have"
    verb = "has" if len(names) == 1 else "have"
    return f"{_some(names)} {verb}"
