"""What an experiment's runs say: tables, comparisons, and what stands against them.

All that can be read and worked out; what makes the runs is ``migrationlab.experiment``'s, whose
``Experiment`` is one of these. So figures and reports need no libvirt. Imports no libvirt.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence

import pandas as pd

from migrationlab.errors import UsageError
from migrationlab.experiment import statistics
from migrationlab.experiment.comparison import CellComparison, Ends, together
from migrationlab.experiment.design import Cell
from migrationlab.experiment.experiment_files import OWN_COLUMNS, Record, fact
from migrationlab.experiment.warnings import ExperimentWarning, find
from migrationlab.runs.environment import differences, require_same
from migrationlab.runs.run import Outcome, Run
from migrationlab.runs.schema import SUMMARY

#: What a summary tells of first.
MAIN_METRICS = ("total_ms", "downtime_event_ms", "downtime_network_ms", "transferred_bytes")
#: Numbers of a run that are no result of it.
_NO_METRICS = frozenset({"downtime_requested_ms"})


def metrics() -> tuple[str, ...]:
    """Return the names of what is measured of a run: the numbers of its summary."""
    return tuple(
        name
        for name, kind in SUMMARY.items()
        if kind in ("Int64", "Float64") and name not in _NO_METRICS
    )


class Results(Record):
    """An experiment, and what its runs say."""

    @property
    def metrics(self) -> tuple[str, ...]:
        """Return the names of what was measured: numbers of the runs' summaries."""
        return metrics()

    def frame(self, *, everything: bool = False) -> pd.DataFrame:
        """Give a frame of the runs that count, a row a run, in the order of their making.

        Its columns: what :meth:`migrationlab.Runs.frame` has; ``cell``, ``block``, ``trial``,
        ``attempt`` (1, or more where earlier ones were cut short), ``warm_up``, ``stopped``; and
        one for each factor.

        Args:
            everything: Also warm-ups, and runs that were stopped and made again.
        """
        runs = self.runs if everything else self.measured
        table = runs.frame()
        for column, kind in OWN_COLUMNS.items():
            table[column] = pd.Series([fact(run)[column] for run in runs], dtype=kind)
        settings = {cell.name: cell.setting for cell in self.cells}
        for factor in self.factors:
            if factor not in table:  # the mode is in every run's summary
                values = [settings[cell][factor] for cell in table["cell"]]
                table[factor] = pd.Series(values, dtype="object").infer_objects()
        return table

    def outcomes(self) -> pd.DataFrame:
        """Give a frame of how the trials of each cell ended, a row a cell.

        Its columns: ``cell``, one for each factor, ``planned``, ``made``, and one for each
        outcome: ``completed``, ``cancelled``, ``timed_out``, ``diverged``, ``interrupted``,
        ``failed``.
        """
        planned = Counter(trial.cell for trial in self.trials)
        counted = Counter((fact(run)["cell"], run.outcome) for run in self.measured)
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
        """Give a frame of what was measured, a row for each cell and metric.

        Its columns: ``cell``, one for each factor, ``metric``; ``runs`` (that count), ``n`` (of
        them completed, with a value), ``median``, ``low`` and ``high`` (its 95 % bootstrap
        interval; missing for fewer than six values), ``least``, ``greatest``, ``relative_mad_percent``,
        ``outliers`` (how many; they count like all others).

        Args:
            metrics: Which; by default all that have a value.
            mixed: Whether runs may be put together though they were made on different machines,
                or with different software.

        Raises:
            UsageError: There is no such metric, or the runs' environments differ.
        """
        wanted = self.metrics if metrics is None else tuple(metrics)
        table = self._comparable(mixed=mixed)
        rows = []
        for metric in wanted:
            self.require_metric(metric)
            if metrics is None and table[metric].isna().all():
                continue
            for cell in self.cells:
                about = statistics.estimate(self._values(table, cell, metric))
                rows.append(
                    {
                        "cell": cell.name,
                        **cell.setting,
                        "metric": metric,
                        "runs": int((table["cell"] == cell.name).sum()),
                        "n": about.n,
                        "median": about.median,
                        "low": about.low,
                        "high": about.high,
                        "least": about.least,
                        "greatest": about.greatest,
                        "relative_mad_percent": about.relative_mad_percent,
                        "outliers": sum(about.outliers),
                    }
                )
        numbers = ("median", "low", "high", "least", "greatest", "relative_mad_percent")
        columns = [
            "cell", *self.factors, "metric", "runs", "n", "median", "low", "high", "least",
            "greatest", "relative_mad_percent", "outliers",
        ]  # fmt: skip
        return pd.DataFrame(rows, columns=columns).astype(dict.fromkeys(numbers, "Float64"))

    def points(self, metric: str, *, mixed: bool = False) -> pd.DataFrame:
        """Give a frame of every completed run's value of a metric, a row a run.

        Its columns: ``run_id``, ``cell``, one for each factor, ``trial``, ``value``, ``outlier``.

        Args:
            metric: Which.
            mixed: As for :meth:`summary`.

        Raises:
            UsageError: As for :meth:`summary`.
        """
        self.require_metric(metric)
        table = self._comparable(mixed=mixed)
        table = table[_completed(table) & table[metric].notna()].reset_index(drop=True)
        table["value"] = table[metric].astype("float64")
        table["outlier"] = False
        for _, group in table.groupby("cell"):
            table.loc[group.index, "outlier"] = list(statistics.outliers(group["value"].tolist()))
        return table[["run_id", "cell", *self.factors, "run_number", "value", "outlier"]]

    def compare(
        self,
        a: str | Mapping[str, object],
        b: str | Mapping[str, object],
        metric: str = "downtime_event_ms",
        *,
        mixed: bool = False,
    ) -> CellComparison:
        """Say how a metric of one cell differs from another's, and how sure that is.

        Args:
            a: The one cell: its name, or values of factors that only it has.
            b: The other, likewise.
            metric: What to compare.
            mixed: As for :meth:`summary`.

        Raises:
            UsageError: There is no such cell or metric, or the runs' environments differ.
        """
        one, other = self.cell(a), self.cell(b)
        if one == other:
            raise UsageError(
                f"{one.name!r} is one cell, and two are compared",
                hint=f"the cells: {'; '.join(cell.name for cell in self.cells)}",
            )
        self.require_metric(metric)
        table = self._comparable(mixed=mixed)
        return self._compared(table, [(one, other)], metric)[0]

    def pairs(self) -> Iterator[tuple[Cell, Cell]]:
        """Give the pairs of cells that differ in one factor, and so can be compared."""
        for one, other in itertools.combinations(self.cells, 2):
            if sum(one.setting[key] != other.setting[key] for key in self.factors) == 1:
                yield one, other

    def comparisons(
        self, metric: str = "downtime_event_ms", *, mixed: bool = False
    ) -> list[CellComparison]:
        """Give the comparisons of all :meth:`pairs` of cells.

        The more there are, the more seem to differ by chance alone: ``p_adjusted`` allows for it.

        Args:
            metric: What to compare.
            mixed: As for :meth:`summary`.

        Raises:
            UsageError: As for :meth:`summary`.
        """
        self.require_metric(metric)
        table = self._comparable(mixed=mixed)
        return self._compared(table, self.pairs(), metric)

    def concerns(self) -> tuple[ExperimentWarning, ...]:
        """Say what a reader should know before the figures are believed, and what to do next."""
        return find(
            self.measured,
            self.frame(),
            planned=len(self.trials),
            cut_short=self.cut_short,
            differing=self.strayed(self.measured),
        )

    def strayed(self, runs: Sequence[Run]) -> list[str]:
        """Return in which facts of their environment runs differ, those that are compared left out.

        Args:
            runs: Runs of this experiment.
        """
        return sorted(differences(runs).keys() - self._meant)

    @property
    def _meant(self) -> frozenset[str]:
        # Which accelerator runs the guest can be what is compared.
        return frozenset({"accelerator"}) & frozenset(self.factors)

    def _compared(
        self, table: pd.DataFrame, pairs: Iterable[tuple[Cell, Cell]], metric: str
    ) -> list[CellComparison]:
        found = {
            (a.name, b.name): statistics.compare(
                self._values(table, a, metric), self._values(table, b, metric)
            )
            for a, b in pairs
        }
        made = Counter(table["cell"])
        completed = Counter(table.loc[_completed(table), "cell"])
        ends = {cell.name: Ends(made[cell.name], completed[cell.name]) for cell in self.cells}
        return together(found, metric, ends)

    def _comparable(self, *, mixed: bool) -> pd.DataFrame:
        """Give the frame, if what was measured can be put together."""
        runs = self.measured
        if not mixed:
            try:
                require_same(runs, allow=self._meant)
            except UsageError as error:
                raise UsageError(
                    str(error),
                    hint="measure again in one environment; or, where the difference does not "
                    "matter, say mixed=True (--mixed)",
                ) from error
        return self.frame()

    @staticmethod
    def _values(table: pd.DataFrame, cell: Cell, metric: str) -> Sequence[float]:
        rows = table[(table["cell"] == cell.name) & _completed(table)]
        values: list[float] = rows[metric].dropna().astype("float64").tolist()
        return values

    def require_metric(self, metric: str) -> None:
        """Refuse a metric that no run has.

        Raises:
            UsageError: It is none.
        """
        if metric not in self.metrics:
            raise UsageError(
                f"no run has a {metric!r}", hint=f"there are {', '.join(self.metrics)}"
            )


def _completed(table: pd.DataFrame) -> pd.Series:
    """Tell which runs completed: how long one took that was stopped is no result."""
    return table["outcome"] == str(Outcome.COMPLETED)
