"""Read the results of an experiment: tables, comparisons and warnings.

Reading results needs no libvirt, so figures and reports need none either. ``Experiment`` is a
:class:`Results` that can also run.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pandas as pd

from migrationlab.errors import UsageError
from migrationlab.experiment import statistics
from migrationlab.experiment.allocated import allocated_runs
from migrationlab.experiment.cells import Cell
from migrationlab.experiment.comparison import (
    CellComparison,
    Completion,
    adjust_for_multiple_comparisons,
)
from migrationlab.experiment.quantiles import Equivalence, Quantile, equivalence, quantile
from migrationlab.experiment.schedule import PlannedRun
from migrationlab.experiment.stopping import stopped_at
from migrationlab.experiment.stored import PLACEMENT_COLUMNS, StoredExperiment, placement
from migrationlab.experiment.warnings import ExperimentWarning, find
from migrationlab.runs.environment import differences, require_same
from migrationlab.runs.run import Outcome, Run
from migrationlab.runs.schema import SUMMARY

if TYPE_CHECKING:
    from migrationlab.experiment.arena import Arena

#: The metrics that a summary shows first.
MAIN_METRICS = ("total_ms", "downtime_event_ms", "downtime_network_ms", "transferred_bytes")
#: Numbers of a run that are settings, not measurements.
_NO_METRICS = frozenset({"downtime_requested_ms"})
#: The columns of a summary that hold statistics, and their types.
_STATISTICS = {
    "runs": "int64", "n": "int64", "median": "Float64", "low": "Float64", "high": "Float64",
    "min": "Float64", "max": "Float64", "relative_mad_percent": "Float64", "outliers": "int64",
}  # fmt: skip


def metrics() -> tuple[str, ...]:
    """Return the names of the metrics: the measured numbers of a run's summary."""
    return tuple(
        name
        for name, kind in SUMMARY.items()
        if kind in ("Int64", "Float64") and name not in _NO_METRICS
    )


class Results(StoredExperiment):
    """An experiment, and the results of its runs."""

    @property
    def metrics(self) -> tuple[str, ...]:
        """Return the names of the metrics: the measured numbers of the runs' summaries."""
        return metrics()

    @property
    def stopped_at(self) -> int | None:
        """Return the block after which it stopped early, by its design; None if it did not."""
        return None if self.design.stopping is None else stopped_at(self, self.design.stopping)

    @property
    def planned(self) -> tuple[PlannedRun, ...]:
        """Return the planned runs, in order: after a pilot also those that it allocates."""
        return super().planned + self.allocated

    @property
    def allocated(self) -> tuple[PlannedRun, ...]:
        """Return the runs that the finished pilot allocates, until the manifest records them."""
        return allocated_runs(self)

    def repeats(self) -> dict[str, int]:
        """Return how many runs of each cell are planned."""
        counted = Counter(run.cell for run in self.planned)
        return {cell.name: counted[cell.name] for cell in self.cells}

    def frame(self, *, everything: bool = False) -> pd.DataFrame:
        """Return a frame of the runs that count, one row a run, in the order of the schedule.

        Its columns: those of :meth:`migrationlab.Runs.frame`; ``cell``, ``block``, ``run_number``,
        ``attempt`` (1, or more where earlier attempts were cut short), ``warm_up``, ``stopped``;
        ``pair`` if several pairs of hosts made them; and one for each factor.

        With ``everything`` it has warm-ups too, and runs that were stopped and made again.
        """
        runs = self.runs if everything else self.measured
        table = runs.frame()
        for column, kind in PLACEMENT_COLUMNS.items():
            table[column] = pd.Series([placement(run)[column] for run in runs], dtype=kind)
        if any("pair" in placement(run) for run in runs):
            table["pair"] = pd.Series([placement(run).get("pair") for run in runs], dtype="str")
        settings = {cell.name: cell.setting for cell in self.cells}
        for factor in self.design.factors:
            if factor not in table:  # the mode is in every run's summary
                values = [settings[cell][factor] for cell in table["cell"]]
                table[factor] = pd.Series(values, dtype="object").infer_objects()
        return table

    def outcomes(self) -> pd.DataFrame:
        """Return a frame of the outcomes of each cell, one row a cell.

        Its columns: ``cell``, one for each factor, ``planned``, ``made``, and one for each
        outcome: ``completed``, ``cancelled``, ``timed_out``, ``diverged``, ``interrupted``,
        ``failed``.
        """
        planned = Counter(run.cell for run in self.planned)
        counted = Counter((placement(run)["cell"], run.outcome) for run in self.measured)
        rows = [
            {
                "cell": cell.name,
                **cell.setting,
                "planned": planned[cell.name],
                "made": sum(counted[cell.name, outcome] for outcome in Outcome),
                **{str(outcome): counted[cell.name, outcome] for outcome in Outcome},
            }
            for cell in self.cells
        ]
        return pd.DataFrame(rows)

    def summary(self, metrics: Iterable[str] | None = None, *, mixed: bool = False) -> pd.DataFrame:
        """Return a frame of statistics, one row for each cell and metric.

        Its columns: ``cell``, one for each factor, ``metric``; ``runs`` (that count), ``n`` (runs
        that completed, with a value), ``median``, ``low`` and ``high`` (the 95 % bootstrap interval
        of the median; missing for fewer than six values), ``min``, ``max``,
        ``relative_mad_percent`` (1.4826 times the median absolute deviation, as a share of the
        median), ``outliers`` (how many; they count like all other values).

        By default it has all metrics that have a value. ``mixed`` pools runs of different machines
        or software; without it they are an error.
        """
        wanted = self.metrics if metrics is None else tuple(metrics)
        table = self.comparable(mixed=mixed)
        rows = []
        for metric in wanted:
            self.require_metric(metric)
            if metrics is None and table[metric].isna().all():
                continue
            for cell in self.cells:
                found = statistics.estimate(self._values(table, cell, metric))
                row = {name: getattr(found, name) for name in _STATISTICS if name != "runs"}
                row |= {
                    "runs": int((table["cell"] == cell.name).sum()),
                    "outliers": sum(found.outliers),
                }
                rows.append({"cell": cell.name, **cell.setting, "metric": metric, **row})
        columns = ["cell", *self.design.factors, "metric", *_STATISTICS]
        return pd.DataFrame(rows, columns=columns).astype(_STATISTICS)

    def points(self, metric: str, *, mixed: bool = False) -> pd.DataFrame:
        """Return a frame of every completed run's value of a metric, one row a run.

        Its columns: ``run_id``, ``cell``, one for each factor, ``run_number``, ``value``,
        ``outlier``.
        """
        self.require_metric(metric)
        table = self.comparable(mixed=mixed)
        table = table[_completed(table) & table[metric].notna()].reset_index(drop=True)
        table["value"] = table[metric].astype("float64")
        table["outlier"] = False
        for _, group in table.groupby("cell"):
            table.loc[group.index, "outlier"] = list(statistics.outliers(group["value"].tolist()))
        return table[["run_id", "cell", *self.design.factors, "run_number", "value", "outlier"]]

    def compare(
        self,
        a: str | Mapping[str, object],
        b: str | Mapping[str, object],
        metric: str = "downtime_event_ms",
        *,
        mixed: bool = False,
    ) -> CellComparison:
        """Compare a metric of cell ``b`` with that of ``a``: the difference and its certainty.

        A cell is given by its name, or by values of factors that only this cell has. For ``mixed``
        see :meth:`summary`.
        """
        one, other = self.cell(a), self.cell(b)
        if one == other:
            raise UsageError(
                f"a and b must be two cells (got {one.name!r} twice)",
                hint=f"Choose two of: {'; '.join(cell.name for cell in self.cells)}.",
            )
        self.require_metric(metric)
        return self._compared(self.comparable(mixed=mixed), [(one, other)], metric)[0]

    def pairs(self) -> Iterator[tuple[Cell, Cell]]:
        """Yield the pairs of cells that differ in one factor only."""
        for one, other in itertools.combinations(self.cells, 2):
            if sum(one.setting[key] != other.setting[key] for key in self.design.factors) == 1:
                yield one, other

    def comparisons(
        self, metric: str = "downtime_event_ms", *, mixed: bool = False
    ) -> list[CellComparison]:
        """Return the comparisons of all :meth:`pairs` of cells.

        With more comparisons, more cells seem to differ by chance alone:
        ``p_adjusted`` allows for it.
        """
        self.require_metric(metric)
        return self._compared(self.comparable(mixed=mixed), self.pairs(), metric)

    def quantiles(
        self, metric: str, percents: Iterable[float] = (50, 95, 99), *, mixed: bool = False
    ) -> dict[str, tuple[Quantile, ...]]:
        """Return percentiles of a metric for each cell, with intervals where n is large enough.

        For ``mixed`` see :meth:`summary`.
        """
        wanted = tuple(percents)
        if not wanted or not all(0 < percent < 100 for percent in wanted):
            raise UsageError(
                f"percents must be numbers between 0 and 100 (got {wanted})",
                hint="Give percents=(95, 99).",
            )
        self.require_metric(metric)
        table = self.comparable(mixed=mixed)
        values = {cell.name: self._values(table, cell, metric) for cell in self.cells}
        return {
            name: tuple(quantile(found, percent) for percent in wanted)
            for name, found in values.items()
        }

    def equivalence(
        self,
        a: str | Mapping[str, object],
        b: str | Mapping[str, object],
        metric: str = "downtime_event_ms",
        *,
        margin: float,
        mixed: bool = False,
    ) -> Equivalence:
        """Test whether cell ``b`` is within a margin of cell ``a``, by two one-sided tests.

        ``margin`` is in the metric's unit, and must be chosen before the data are seen. For the
        other arguments see :meth:`compare`.
        """
        self.require_metric(metric)
        table = self.comparable(mixed=mixed)
        one, other = self.cell(a), self.cell(b)
        return equivalence(
            self._values(table, one, metric), self._values(table, other, metric), margin
        )

    def effects(self, metric: str, *, mixed: bool = False) -> pd.DataFrame:
        """Return the main effect of each factor, one row for each value but the factor's first.

        All runs with a value are compared with all runs with the factor's first value, over the
        values of the other factors. That is fair only in a balanced layout: full or fractional.
        The columns: ``factor``, ``base``, ``value``, and those of a comparison (``n_a``, ``n_b``,
        ``difference``, ``low``, ``high``, ``p_value``), with ``p_adjusted`` for all rows.
        """
        self.require_metric(metric)
        if self.design.allocation is not None:
            raise UsageError(
                "effects need equal repeats (got an experiment with `allocate`)",
                hint=f'Use comparisons("{metric}"), which compare two cells each.',
            )
        table = self.comparable(mixed=mixed)
        rows = []
        for factor in self.design.factors:
            grouped: dict[Any, list[float]] = {}
            for cell in self.cells:
                values = grouped.setdefault(cell.setting[factor], [])
                values += self._values(table, cell, metric)
            (base, ours), *others = grouped.items()
            for value, theirs in others:
                found = statistics.compare(ours, theirs)
                kept = ("n_a", "n_b", "difference", "low", "high", "p_value")
                row = {name: getattr(found, name) for name in kept}
                rows.append({"factor": factor, "base": base, "value": value, **row})
        adjusted = statistics.holm([row["p_value"] for row in rows])
        return pd.DataFrame(
            [row | {"p_adjusted": p} for row, p in zip(rows, adjusted, strict=True)]
        )

    def arena(self, *, mixed: bool = False) -> Arena:
        """Compare the named plans on each guest and wire: completed, medians, regret, duels.

        For ``mixed`` see :meth:`summary`.
        """
        from migrationlab.experiment.contest import arena  # noqa: PLC0415 (only for an arena)

        return arena(self, mixed=mixed)

    def warnings(self) -> tuple[ExperimentWarning, ...]:
        """Return warnings about the limits of the figures, with advice."""
        return find(
            self.measured,
            self.frame(),
            planned=len(self.planned),
            cut_short=self.cut_short,
            differing=self.strayed(self.measured),
        )

    def strayed(self, runs: Sequence[Run]) -> list[str]:
        """Return the facts in which the environments of runs differ, except compared facts."""
        return sorted(differences(runs).keys() - self._compared_facts)

    @property
    def _compared_facts(self) -> frozenset[str]:
        # The accelerator of the guest can be a factor.
        return frozenset({"accelerator"}) & frozenset(self.design.factors)

    def _compared(
        self, table: pd.DataFrame, pairs: Iterable[tuple[Cell, Cell]], metric: str
    ) -> list[CellComparison]:
        table = _aligned(table, metric)
        found = {
            (a.name, b.name): statistics.compare(
                self._values(table, a, metric), self._values(table, b, metric)
            )
            for a, b in pairs
        }
        made = Counter(table["cell"])
        completed = Counter(table.loc[_completed(table), "cell"])
        completions = {
            cell.name: Completion(made[cell.name], completed[cell.name]) for cell in self.cells
        }
        return adjust_for_multiple_comparisons(found, metric, completions)

    def comparable(self, *, mixed: bool) -> pd.DataFrame:
        """Return the frame of the runs that count if they may be pooled; refuse otherwise."""
        runs = self.measured
        if not mixed:
            try:
                require_same(runs, allow=self._compared_facts)
            except UsageError as error:
                raise UsageError(
                    str(error),
                    hint="Measure again in one environment. If the difference does not matter, "
                    "pool the runs with mixed=True (--mixed).",
                ) from error
        return self.frame()

    @staticmethod
    def _values(table: pd.DataFrame, cell: Cell, metric: str) -> Sequence[float]:
        # The column first: to take rows of all columns takes fifty times as long.
        rows = table[metric][(table["cell"] == cell.name) & _completed(table)]
        values: list[float] = rows.dropna().astype("float64").tolist()
        return values

    def require_metric(self, metric: str) -> None:
        """Refuse an unknown metric."""
        if metric not in self.metrics:
            raise UsageError(
                f"metric must be a number of a run's summary (got {metric!r})",
                hint=f"Use one of: {', '.join(self.metrics)}.",
            )


def _aligned(table: pd.DataFrame, metric: str) -> pd.DataFrame:
    """Return the frame with a metric's values aligned over the pairs of hosts.

    The pair is a random effect: the median of a pair's completed runs is subtracted, and that of
    all is added (aligned ranks: Hodges and Lehmann, *Annals of Mathematical Statistics* 33, 1962).
    A pair makes whole blocks, so its median is over the same cells as every other's.
    """
    if "pair" not in table or table["pair"].nunique() < 2:
        return table
    values = table[metric].astype("float64").where(_completed(table))
    aligned = table.copy()
    aligned[metric] = values - values.groupby(table["pair"]).transform("median") + values.median()
    return aligned


def _completed(table: pd.DataFrame) -> pd.Series:
    """Return which runs completed: the time until a stop is not a result."""
    return table["outcome"] == str(Outcome.COMPLETED)
