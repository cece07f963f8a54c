"""Draw two settings of an experiment after some of its blocks: their runs, and the difference.

Above, each run is a point, filled if its block is counted. Below, the difference of the medians
after each number of blocks, with its interval if there are enough values.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from migrationlab.errors import UsageError
from migrationlab.plots import palette, picture
from migrationlab.runs.numbers import spoken

if TYPE_CHECKING:
    from migrationlab.experiment.comparison import CellComparison
    from migrationlab.experiment.sample_size import CumulativeComparison

#: The words of a title for each verdict.
VERDICTS = {
    "different": "they differ",
    "equivalent": "equivalent, within 5 %",
    "unclear": "no difference shown",
    "too few": "too few to tell",
}

#: The number of blocks that the subtitle names.
MOST_NAMED = 12
#: The mark and colour of a clear verdict.
MARKS = {"different": ("D", palette.ORANGE), "equivalent": ("s", palette.GREEN)}
UNDECIDED = ("o", "white")


def sample_size(grown: CumulativeComparison, n: int) -> picture.Picture:
    """Draw two settings of an experiment after ``n`` of its blocks."""
    if not 1 <= n <= len(grown.order):
        raise UsageError(
            f"n must be an integer from 1 to {len(grown.order)} (got {n})",
            hint="Choose fewer blocks, or make more with experiment.run().",
        )
    words, unit, divisor = spoken(grown.metric)
    found = grown.comparisons[n - 1]
    title = f"{words.capitalize()} with {n} runs of each: {VERDICTS[found.verdict.value]}"
    subtitle = f"{grown.b} minus {grown.a}; blocks in the order {_order(grown)}"
    with picture.drawing(6.2, title, subtitle, _alt(grown, n, found)) as drawn:
        above, below = drawn.figure.subplots(2, 1, height_ratios=[2, 3])
        _draw_runs(above, grown, n, divisor)
        label = f"{words} ({unit})" if unit else words
        cut = above.get_xlim()[0] > 0
        above.set_xlabel(f"{label}; the axis does not begin at 0" if cut else label)
        _draw_differences(below, grown.comparisons, n, divisor)
        below.set_ylabel(f"difference ({unit})" if unit else "difference")
        below.set_xlabel("runs of each")
    return drawn


def _draw_runs(axes: Axes, grown: CumulativeComparison, n: int, divisor: int) -> None:
    estimates = grown.estimates(n)
    for place, values in enumerate((grown.values_a, grown.values_b)):
        heights = place + picture.spread(max(len(values), 2), 0.25)[: len(values)]
        for number, (value, height) in enumerate(zip(values, heights, strict=True)):
            if value is None:
                continue
            taken = number < n
            axes.plot(
                value / divisor, height, "o", markersize=7, mew=1.2,
                color=palette.BLUE if taken else "none",
                markeredgecolor=palette.BLUE if taken else palette.GREY,
            )  # fmt: skip
        found = estimates[place]
        ends = (found.median, found.low, found.high)
        picture.draw_estimate(
            axes, place, *(None if end is None else end / divisor for end in ends)
        )
    picture.rows(axes, [grown.a, grown.b])
    axes.margins(x=0.06)
    handles = [
        picture.point(palette.BLUE, "o", "counted"),
        picture.point("none", "o", "not yet", palette.GREY),
    ]
    picture.legend(axes, [*handles, *picture.estimate_handles()], columns=4)


def _draw_differences(axes: Axes, told: Sequence[CellComparison], n: int, divisor: int) -> None:
    axes.axhline(0, color=palette.INK, linewidth=1.2)
    axes.axvspan(n - 0.4, n + 0.4, color=palette.SKY, alpha=0.25, linewidth=0)
    for number, found in enumerate(told, start=1):
        if found.low is not None and found.high is not None:
            ends = [found.low / divisor, found.high / divisor]
            axes.plot([number, number], ends, "-", **picture.INTERVAL)
        if found.difference is not None:
            marker, colour = MARKS.get(found.verdict.value, UNDECIDED)
            axes.plot(
                number, found.difference / divisor, marker, markersize=9, mew=1.6,
                color=colour, markeredgecolor=palette.INK,
            )  # fmt: skip
    axes.set_xticks(range(1, len(told) + 1))
    axes.set_xlim(0.4, len(told) + 0.6)
    looks = {
        "they differ": MARKS["different"],
        "equivalent": MARKS["equivalent"],
        "undecided": UNDECIDED,
    }
    handles = [
        picture.point(colour, marker, what, palette.INK) for what, (marker, colour) in looks.items()
    ]
    handles += [Line2D([], [], label="95 % interval", **picture.INTERVAL)]
    picture.legend(axes, handles, columns=4)


def _order(grown: CumulativeComparison) -> str:
    shown = ", ".join(map(str, grown.order[:MOST_NAMED]))
    return shown if len(grown.order) <= MOST_NAMED else f"{shown}, …"


def _alt(grown: CumulativeComparison, n: int, found: CellComparison) -> str:
    verdicts = [one.verdict.value for one in grown.comparisons]
    since = "at no number of runs"
    if "different" in verdicts:
        since = f"for the first time with {verdicts.index('different') + 1} of each"
    return (
        f"Above, the runs of {grown.a} and of {grown.b} as points, the first {n} of each filled. "
        f"{found.text} Below, the difference after each number of runs: it is shown "
        f"{since}."
    )
