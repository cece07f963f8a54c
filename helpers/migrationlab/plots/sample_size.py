"""Two settings of an experiment after so many blocks: their runs, and how sure their difference is.

Above, every run a point, those taken so far filled; below, the difference of the medians after each
number of blocks, with its interval where there are values enough for one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from migrationlab.errors import UsageError
from migrationlab.plots.picture import (
    BLUE,
    GREEN,
    GREY,
    INK,
    ORANGE,
    SKY,
    WIDTH_INCHES,
    Picture,
    head,
    style,
)
from migrationlab.runs.numbers import spoken

if TYPE_CHECKING:
    from migrationlab.experiment.comparison import CellComparison
    from migrationlab.experiment.sample_size import CumulativeComparison
    from migrationlab.experiment.statistics import Estimate

#: What a verdict comes to, in a title, by its value.
VERDICTS = {
    "different": "they differ",
    "equivalent": "equivalent, within 5 %",
    "unclear": "not told apart",
    "too few": "too few to tell anything",
}

#: So many blocks are named in the subtitle.
MOST_NAMED = 12
#: The mark and colour of what is told.
MARKS = {"different": ("D", ORANGE), "equivalent": ("s", GREEN)}
NOT_TOLD = ("o", "white")


def sample_size(grown: CumulativeComparison, n: int) -> Picture:
    """Draw two settings of an experiment after ``n`` of its blocks.

    Args:
        grown: The settings, block by block.
        n: How many blocks are taken; from 1 to all.

    Raises:
        UsageError: There are not so many.
    """
    if not 1 <= n <= len(grown.order):
        raise UsageError(
            f"{n} blocks cannot be taken of {len(grown.order)}",
            hint="Take 1 at least; experiment.run() makes those that are left.",
        )
    words, unit, divisor = spoken(grown.metric)
    found = grown.comparisons[n - 1]
    title = f"{words.capitalize()} with {n} runs of each: {VERDICTS[found.verdict.value]}"
    with style():
        figure = Figure(figsize=(WIDTH_INCHES, 6.2))
        above, below = figure.subplots(2, 1, height_ratios=[2, 3])
        _draw_runs(above, grown, n, divisor)
        label = f"{words} ({unit})" if unit else words
        cut = above.get_xlim()[0] > 0
        above.set_xlabel(f"{label}; the axis does not begin at 0" if cut else label)
        _draw_differences(below, grown.comparisons, n, divisor)
        below.set_ylabel(f"difference ({unit})" if unit else "difference")
        below.set_xlabel("runs of each")
        head(figure, title, f"{grown.b} less {grown.a}; blocks in the order {_order(grown)}")
    return Picture(figure, title, _alt(grown, n, found))


def _draw_runs(axes: Axes, grown: CumulativeComparison, n: int, divisor: int) -> None:
    estimates = grown.estimates(n)
    for place, values in enumerate((grown.values_a, grown.values_b)):
        # Spread by the order of their taking, not by chance, so that nothing moves between draws.
        heights = place + np.linspace(-0.25, 0.25, max(len(values), 2))[: len(values)]
        for number, (value, height) in enumerate(zip(values, heights, strict=True)):
            if value is None:
                continue
            taken = number < n
            axes.plot(
                value / divisor, height, "o", markersize=7, mew=1.2,
                color=BLUE if taken else "none", markeredgecolor=BLUE if taken else GREY,
            )  # fmt: skip
        _draw_estimate(axes, estimates[place], place, divisor)
    axes.set_yticks([0, 1], [grown.a, grown.b])
    axes.set_ylim(1.5, -0.5)
    axes.tick_params(axis="y", length=0)
    axes.grid(visible=False, axis="y")
    axes.margins(x=0.06)
    _legend(axes)


def _draw_estimate(axes: Axes, found: Estimate, place: int, divisor: int) -> None:
    if found.low is not None and found.high is not None:
        axes.plot(
            [found.low / divisor, found.high / divisor], [place, place], "-", color=INK,
            linewidth=5, alpha=0.45, solid_capstyle="butt",
        )  # fmt: skip
    if found.median is not None:
        axes.vlines(found.median / divisor, place - 0.34, place + 0.34, color=INK, linewidth=2.4)


def _legend(axes: Axes) -> None:
    handles = [
        Line2D([], [], color=BLUE, marker="o", linestyle="", label="taken"),
        Line2D(
            [], [], color="none", markeredgecolor=GREY, marker="o", linestyle="", label="not yet"
        ),
        Line2D([], [], color=INK, linewidth=2.4, label="median"),
        Line2D([], [], color=INK, linewidth=5, alpha=0.45, label="its 95 % interval"),
    ]
    axes.legend(handles=handles, loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=4)


def _draw_differences(axes: Axes, told: Sequence[CellComparison], n: int, divisor: int) -> None:
    axes.axhline(0, color=INK, linewidth=1.2)
    axes.axvspan(n - 0.4, n + 0.4, color=SKY, alpha=0.25, linewidth=0)
    for number, found in enumerate(told, start=1):
        if found.low is not None and found.high is not None:
            ends = [found.low / divisor, found.high / divisor]
            axes.plot([number, number], ends, "-", color=INK, linewidth=5, alpha=0.45)
        if found.difference is not None:
            marker, colour = MARKS.get(found.verdict.value, NOT_TOLD)
            axes.plot(
                number, found.difference / divisor, marker, markersize=9, mew=1.6,
                color=colour, markeredgecolor=INK,
            )  # fmt: skip
    axes.set_xticks(range(1, len(told) + 1))
    axes.set_xlim(0.4, len(told) + 0.6)
    looks = {
        "they differ": MARKS["different"],
        "equivalent": MARKS["equivalent"],
        "not told": NOT_TOLD,
    }
    handles = [
        Line2D([], [], color=colour, markeredgecolor=INK, marker=marker, linestyle="", label=what)
        for what, (marker, colour) in looks.items()
    ]
    handles += [Line2D([], [], color=INK, linewidth=5, alpha=0.45, label="95 % interval")]
    axes.legend(handles=handles, loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=4)


def _order(grown: CumulativeComparison) -> str:
    shown = ", ".join(map(str, grown.order[:MOST_NAMED]))
    return shown if len(grown.order) <= MOST_NAMED else f"{shown}, …"


def _alt(grown: CumulativeComparison, n: int, found: CellComparison) -> str:
    first = next(
        (
            number
            for number, one in enumerate(grown.comparisons, 1)
            if one.verdict.value == "different"
        ),
        None,
    )
    since = "at no number of runs" if first is None else f"for the first time with {first} of each"
    return (
        f"Above, the runs of {grown.a} and of {grown.b} as points, the first {n} of each filled. "
        f"{found.text} Below, the difference after each number of runs: they are told apart "
        f"{since}."
    )
