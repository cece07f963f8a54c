"""Draw a metric over several experiments of the same cells: over commits, versions or days."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from migrationlab.errors import UsageError
from migrationlab.plots import palette, picture
from migrationlab.runs.numbers import amount, spoken

if TYPE_CHECKING:
    from migrationlab.experiment.results import Results

COLOURS = (
    palette.BLUE, palette.VERMILION, palette.GREEN, palette.ORANGE, palette.PURPLE, palette.SKY,
)  # fmt: skip
MARKERS = "osD^vP"
#: The distance between cells at one experiment, as a share of the distance of two experiments.
ASIDE = 0.08


def history(
    recorded: Sequence[Results],
    metric: str,
    *,
    percent: float = 50,
    labels: Sequence[str] | None = None,
    mixed: bool = False,
) -> picture.Picture:
    """Draw a percentile of a metric for each cell, over experiments in the order of their time.

    Args:
        recorded: The experiments; a cell that one of them does not have is left out there.
        metric: The metric.
        percent: The percentile; by default the median.
        labels: A name for each experiment, as a version or a commit; by default its day and the
            version of migrationlab.
        mixed: Whether runs of different environments within one experiment are pooled.

    Raises:
        UsageError: There is no experiment, or not a label for each.
    """
    if not recorded or (labels is not None and len(labels) != len(recorded)):
        raise UsageError(
            f"labels must name each experiment (got {len(labels or ())} for {len(recorded)})",
            hint="Give one or more experiments, and as many labels.",
        )
    named = list(zip(labels or [_label(each) for each in recorded], recorded, strict=True))
    named.sort(key=lambda pair: pair[1].manifest.created)
    words, unit, divisor = spoken(metric)
    what = "median" if percent == 50 else f"p{percent:g}"
    title = f"{words.capitalize()} over {len(named)} experiments: {what}"
    lines: dict[str, list[tuple[int, float, float | None, float | None]]] = {}
    for place, (_, one) in enumerate(named):
        for cell, (found,) in one.quantiles(metric, [percent], mixed=mixed).items():
            if found.value is not None:
                lines.setdefault(cell, []).append((place, found.value, found.low, found.high))
    subtitle = f"{what} of each cell with its 95 % interval, where n is large enough for one"
    with picture.drawing(4.6, title, subtitle, _alt(metric, lines, len(named))) as drawn:
        axes = drawn.figure.subplots()
        for number, (cell, points) in enumerate(lines.items()):
            aside = (number - (len(lines) - 1) / 2) * ASIDE
            colour = COLOURS[number % len(COLOURS)]
            places = [place + aside for place, *_ in points]
            axes.plot(
                places, [value / divisor for _, value, *_ in points],
                MARKERS[number % len(MARKERS)] + "-", color=colour, label=cell,
            )  # fmt: skip
            for at, (_, _, low, high) in zip(places, points, strict=True):
                if low is not None and high is not None:
                    axes.vlines(at, low / divisor, high / divisor, colour, linewidth=3, alpha=0.5)
        axes.set_xticks(range(len(named)), [label for label, _ in named])
        axes.set_xlim(-0.5, len(named) - 0.5)
        axes.set_ylim(bottom=0)
        axes.set_ylabel(f"{words} ({unit})" if unit else words)
        axes.legend(loc="best", fontsize="small")
    return drawn


def _label(one: Results) -> str:
    return f"{one.manifest.created[:10]}\n{one.manifest.migrationlab_version}"


def _alt(
    metric: str, lines: dict[str, list[tuple[int, float, float | None, float | None]]], count: int
) -> str:
    parts = [
        f"{cell}: {', '.join(amount(metric, value) for _, value, *_ in points)}"
        for cell, points in lines.items()
    ]
    return f"A line for each cell over {count} experiments. {'; '.join(parts)}."
