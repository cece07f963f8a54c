"""Draw a metric of an experiment: each run a point, each cell its median and interval.

Each cell is a row. In a grid, each setting of the later factors has its own panel, so that rows of
a panel differ only in the first factor. Runs that did not complete have no value; the end of their
row counts them.
"""

from __future__ import annotations

import itertools
import math
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from migrationlab.plots import palette, picture
from migrationlab.runs.numbers import SECONDS_FROM_MS, amount, setting, spoken
from migrationlab.runs.run import Outcome

if TYPE_CHECKING:
    from migrationlab.experiment.cells import Cell
    from migrationlab.experiment.results import Results

#: The axis is logarithmic if the maximum is more than this many times the minimum.
LOGARITHMIC_FROM = 30.0
ROW_INCHES, PANEL_INCHES = 0.44, 0.62
#: The number of letters that fit beside the rest of a title.
LONGEST_TITLE = 64


@dataclass(frozen=True, slots=True)
class Panel:
    """Cells that are drawn together: their common settings, and their labels and names."""

    title: str
    rows: tuple[tuple[str, str], ...]


def experiment(recorded: Results, metric: str, *, mixed: bool = False) -> picture.Picture:
    """Draw a metric of an experiment's completed runs by cell.

    Outliers are marked, and count like all others. Text counts the runs that did not complete.
    ``mixed`` draws runs of different environments together.
    """
    points = recorded.points(metric, mixed=mixed)
    table = recorded.summary([metric], mixed=mixed).set_index("cell")
    ends = recorded.outcomes().set_index("cell")
    words, unit, divisor = spoken(metric)
    if unit == "ms" and points["value"].max() >= SECONDS_FROM_MS:
        unit, divisor = "s", 1000
    title = _title(recorded, metric, table, mixed=mixed)
    panels = arrange(recorded)
    count = sum(len(panel.rows) for panel in panels)
    titled = sum(bool(panel.title) for panel in panels)
    height = 2.3 + ROW_INCHES * count + PANEL_INCHES * titled
    alt = _alt(recorded, metric, table, ends)
    with picture.drawing(height, title, _subtitle(recorded), alt) as drawn:
        ratios = [len(panel.rows) for panel in panels]
        every = drawn.figure.subplots(
            len(panels), 1, sharex=True, squeeze=False, height_ratios=ratios
        )[:, 0]
        for axes, panel in zip(every, panels, strict=True):
            _draw(axes, panel, points=points, table=table, ends=ends, divisor=divisor)
        _scale(every[-1], points["value"] / divisor)
        every[-1].set_xlabel(_label(words, unit, every[-1]))
        _legend(every[0], points, table)
    return drawn


def arrange(recorded: Results) -> list[Panel]:
    """Return panels of cells that differ only in the first factor."""
    first, *others = recorded.design.factors or ("",)
    groups: dict[tuple[str, ...], list[Cell]] = {}
    for cell in recorded.cells:
        groups.setdefault(tuple(_said(cell, key) for key in others), []).append(cell)
    if not others or len(groups) == len(recorded.cells):
        # Nothing was crossed: each cell has its own name.
        return [Panel("", tuple((_short(cell), cell.name) for cell in recorded.cells))]
    return [
        Panel(", ".join(common), tuple((_said(cell, first), cell.name) for cell in cells))
        for common, cells in groups.items()
    ]


def _short(cell: Cell) -> str:
    return ", ".join(_said(cell, factor) for factor in cell.setting) or cell.name


def _said(cell: Cell, factor: str) -> str:
    from migrationlab.experiment.cells import shown  # noqa: PLC0415 (only for an experiment)

    value = shown(cell.setting[factor])
    if factor in ("plan", "mode"):
        return value
    return setting(factor, value)


# --- what is drawn ------------------------------------------------------------------------------


def _draw(
    axes: Axes,
    panel: Panel,
    *,
    points: pd.DataFrame,
    table: pd.DataFrame,
    ends: pd.DataFrame,
    divisor: int,
) -> None:
    for place, (_, name) in enumerate(panel.rows):
        mine = points[points["cell"] == name]
        values = mine["value"].to_numpy(dtype=np.float64) / divisor
        # In the order of the runs, so that a drift is visible too.
        heights = place + picture.spread(len(values), 0.28)
        odd = mine["outlier"].to_numpy(dtype=bool)
        for marked, colour, marker in ((~odd, palette.BLUE, "o"), (odd, palette.VERMILION, "D")):
            axes.plot(
                values[marked], heights[marked], marker, color=colour,
                alpha=0.7, markersize=6, mew=0,
            )  # fmt: skip
        row = table.loc[name]
        picture.draw_estimate(axes, place, *(row[["median", "low", "high"]] / divisor))
        axes.annotate(
            _counted(row, ends.loc[name]), (1.0, place), xycoords=("axes fraction", "data"),
            xytext=(8, 0), textcoords="offset points", va="center", fontsize=11, color=palette.INK,
        )  # fmt: skip
    picture.rows(axes, [label for label, _ in panel.rows])
    axes.set_title(panel.title, loc="left", fontsize=11.5, color="#555555")


def _counted(row: pd.Series, ends: pd.Series) -> str:
    """Return the number of runs in a row, and the outcomes of the others."""
    n, made = int(row["n"]), int(ends["made"])
    parts = [f"n = {n}" if n == made else f"n = {n} of {made}"]
    parts += [
        f"{int(ends[outcome])} {str(outcome).replace('_', ' ')}"
        for outcome in map(str, Outcome)
        if outcome != str(Outcome.COMPLETED) and ends[outcome]
    ]
    return ", ".join(parts)


def _scale(axes: Axes, values: pd.Series) -> None:
    """Choose an axis that separates the values and does not mislead."""
    if not len(values):
        axes.set_xticks([])
    elif values.min() > 0 and values.max() > LOGARITHMIC_FROM * values.min():
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter("{x:,g}")
    elif values.min() >= 0 and values.min() < 0.6 * values.max():
        axes.set_xlim(0, values.max() * 1.05)
    elif values.min() < values.max():
        axes.margins(x=0.06)
    else:
        axes.set_xlim(0, max(values.max() * 1.5, 1))


def _label(words: str, unit: str, axes: Axes) -> str:
    label = f"{words} ({unit})" if unit else words
    if axes.get_xscale() == "log":
        return f"{label}, logarithmic"
    return label if axes.get_xlim()[0] <= 0 else f"{label}; the axis does not begin at 0"


def _legend(axes: Axes, points: pd.DataFrame, table: pd.DataFrame) -> None:
    handles = [picture.point(palette.BLUE, "o", "a run")]
    if points["outlier"].any():
        handles += [picture.point(palette.VERMILION, "D", "outlier")]
    estimates = picture.estimate_handles(interval=bool(table["low"].notna().any()))
    picture.legend(axes, [*handles, *estimates], columns=4)


# --- words --------------------------------------------------------------------------------------


def _title(recorded: Results, metric: str, table: pd.DataFrame, *, mixed: bool) -> str:
    from migrationlab.experiment.statistics import ALPHA, Verdict, min_p  # noqa: PLC0415 (scipy)

    words = spoken(metric)[0]
    medians = table["median"].dropna().astype("float64")
    if not len(medians):
        return f"No run completed, so there is no {words} to compare"
    if len(recorded.cells) == 1:
        return f"{words.capitalize()}: {amount(metric, medians.iloc[0])} (median)"
    low, high = str(medians.idxmin()), str(medians.idxmax())
    if low == high:
        only = f"{amount(metric, medians[low])} with {_short(recorded.cell(low))}"
        return f"{words.capitalize()}: {only}, others unknown"
    least, most = amount(metric, medians[low]), amount(metric, medians[high])
    names = [_short(recorded.cell(name)) for name in (low, high)]
    said = f"{words.capitalize()}: {least} with {names[0]}, {most} with {names[1]}"
    total = len(recorded.cells)
    over = f"over {len(medians)}{f' of {total}' if total > len(medians) else ''} settings"
    if len(medians) > 2:
        said = f"{words.capitalize()}: {least} ({names[0]}) to {most} ({names[1]}) {over}"
    if len(said) > LONGEST_TITLE:
        said = f"{words.capitalize()}: {least} to {most} {over}"
    found = recorded.compare(low, high, metric, mixed=mixed)
    verdict = found.verdict
    # The two cells are the extremes of many pairs, so p is adjusted for all pairs (Bonferroni).
    pairs = math.comb(len(medians), 2)
    if verdict is Verdict.DIFFERENT and (found.p_value or 0.0) * pairs >= ALPHA:
        few = min_p(found.n_a, found.n_b) * pairs >= ALPHA
        verdict = Verdict.TOO_FEW if few else Verdict.UNCLEAR
    return {
        Verdict.EQUIVALENT: f"{said}: equivalent within 5 %",
        Verdict.UNCLEAR: f"{said}: difference not shown yet",
        Verdict.TOO_FEW: f"{said}: too few runs to tell",
    }.get(verdict, said)


def _subtitle(recorded: Results) -> str:
    done, planned = len(recorded.measured), len(recorded.planned)
    count = f"all {planned} runs" if done == planned else f"{done} of {planned} runs"
    return f"{textwrap.shorten(recorded.question, 90, placeholder=' …')}  ({count} done)"


def _alt(recorded: Results, metric: str, table: pd.DataFrame, ends: pd.DataFrame) -> str:

    def row(name: str) -> Iterator[str]:
        found = table.loc[name]
        yield (
            "no value" if pd.isna(found["median"]) else f"median {amount(metric, found['median'])}"
        )
        if pd.notna(found["low"]):
            low, high = amount(metric, found["low"]), amount(metric, found["high"])
            yield f"95 % interval {low} to {high}"
        if found["outliers"]:
            yield f"{found['outliers']} outlier{'s' if found['outliers'] > 1 else ''}"
        yield _counted(found, ends.loc[name])

    names: Sequence[str] = [cell.name for cell in recorded.cells]
    said = "; ".join(f"{name}: {', '.join(row(name))}" for name in itertools.islice(names, 24))
    rest = f"; and {len(names) - 24} more" if len(names) > 24 else ""
    return f"A row of points for each setting, one point for each run. {said}{rest}."
