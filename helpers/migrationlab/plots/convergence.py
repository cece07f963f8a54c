"""Draw a forecast of pre-copy, iteration by iteration, and recorded runs beside it.

On the left, the memory left to send over time, in the model. On the right, bandwidth and dirty rate
with the model's border; each run is a point, its shape and colour by its outcome.
"""

from __future__ import annotations

import dataclasses
import math
from collections import Counter
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes

from migrationlab.forecast.precopy import (
    ENDLESS_ITERATIONS,
    Iteration,
    Precopy,
    PrecopyForecast,
    precopy_of,
)
from migrationlab.plots import palette, picture
from migrationlab.runs.run import Outcome, Run

MARKS = {
    Outcome.COMPLETED: (palette.BLUE, "o"),
    Outcome.TIMED_OUT: (palette.VERMILION, "X"),
    Outcome.DIVERGED: (palette.ORANGE, "^"),
    Outcome.CANCELLED: (palette.GREY, "s"),
    Outcome.INTERRUPTED: (palette.PURPLE, "v"),
    Outcome.FAILED: (palette.PURPLE, "D"),
    Outcome.GUEST_LOST: (palette.PURPLE, "*"),
    Outcome.UNRESOLVED: (palette.PURPLE, "P"),
}
#: The distance between points of one setting, as a share of the width.
SPREAD = 0.022


def convergence(
    forecast: PrecopyForecast,
    runs: Sequence[Run] = (),
    *,
    own: Sequence[Run] = (),
    deadline_s: float | None = None,
) -> picture.Picture:
    """Draw a forecast, and runs to compare it with; ``own`` are more runs, drawn larger.

    The model's border for the runs' deadline is drawn too.
    """
    title = _title(forecast)
    with picture.drawing(
        5.0, title, _subtitle(forecast.precopy), _alt(forecast, (*runs, *own), deadline_s)
    ) as drawn:
        left, right = drawn.figure.subplots(1, 2, width_ratios=[1, 1.15])
        _draw_iterations(left, forecast)
        _draw_plane(right, forecast.precopy, (tuple(runs), tuple(own)), deadline_s)
    return drawn


def _draw_iterations(axes: Axes, forecast: PrecopyForecast) -> None:
    drawn = _drawn(forecast)
    for index, one in enumerate(drawn):
        colour = palette.BLUE if one.guest_running else palette.VERMILION
        times, sizes = [one.start_s, one.end_s], [one.start_mib, one.end_mib]
        axes.fill_between(times, sizes, color=colour, alpha=0.18, linewidth=0)
        axes.plot(times, sizes, "-", color=colour, linewidth=2.2)
        if index:
            before = drawn[index - 1].end_mib
            axes.vlines(one.start_s, before, one.start_mib, palette.INK, ":", linewidth=1)
    threshold = forecast.precopy.threshold_mib
    end = drawn[-1].end_s
    axes.plot([], "-", color=palette.BLUE, linewidth=2.2, label="guest runs")
    if forecast.ends:
        axes.plot([], "-", color=palette.VERMILION, linewidth=2.2, label="guest is paused")
    fits = f"fits in the limit: {threshold:.0f} MiB"
    axes.axhline(threshold, color=palette.INK, linestyle="--", linewidth=1.2, label=fits)
    axes.set_xlim(0, end)
    axes.set_ylim(0, max(forecast.precopy.memory_mib, threshold) * 1.08)
    axes.set_xlabel("time since the first byte (s)")
    axes.set_ylabel("left to send (MiB)")
    axes.legend(loc="lower right", bbox_to_anchor=(1.03, 1.0), ncols=2, columnspacing=1.0)


def _drawn(forecast: PrecopyForecast) -> tuple[Iteration, ...]:
    return forecast.iterations if forecast.ends else forecast.iterations[:ENDLESS_ITERATIONS]


def _draw_plane(
    axes: Axes,
    asked: Precopy,
    runs: tuple[tuple[Run, ...], tuple[Run, ...]],
    deadline_s: float | None,
) -> None:
    placed = [
        [(known, run) for run in some if (known := precopy_of(run, asked.memory_mib)) is not None]
        for some in runs
    ]
    places = [asked, *(place for some in placed for place, _ in some)]
    width = max(place.wire_mbit_s for place in places) * 1.1
    height = max(*(place.dirty_mib_s for place in places), 80.0) * 1.15
    _draw_border(axes, asked, (width, height), deadline_s)
    labelled: set[Outcome] = set()
    for some, large in zip(placed, (False, True), strict=True):
        already: Counter[tuple[float, float]] = Counter()
        for place, run in some:
            colour, marker = MARKS[run.outcome]
            at = (place.wire_mbit_s, place.dirty_mib_s)
            already[at] += 1
            # Beside each other by order, not by chance, so that the figure stays the same.
            aside = (already[at] // 2) * (-1) ** already[at] * SPREAD * width
            axes.plot(
                at[0] + aside, at[1], marker, color=colour, markersize=13 if large else 8,
                markeredgecolor=palette.INK if large else "white",
                markeredgewidth=1.6 if large else 0.6,
                label="_" if run.outcome in labelled else picture.OUTCOMES[run.outcome].lower(),
                linestyle="none", zorder=5 if large else 4, clip_on=False,
            )  # fmt: skip
            labelled.add(run.outcome)
    axes.plot(
        asked.wire_mbit_s, asked.dirty_mib_s, "o", color="none", markersize=24,
        markeredgecolor=palette.INK, markeredgewidth=2.4, label="the setting",
        linestyle="none", zorder=6,
        clip_on=False,
    )  # fmt: skip
    axes.set_xlim(0, width)
    axes.set_ylim(0, height)
    axes.set_xlabel("wire (Mbit/s)")
    axes.set_ylabel("written by the guest (MiB/s)")
    picture.legend(axes, columns=2, columnspacing=1.0, markerscale=0.6)


def _draw_border(
    axes: Axes, asked: Precopy, size: tuple[float, float], deadline_s: float | None
) -> None:
    width, height = size
    wires = np.linspace(width / 60, width, 60)
    each = [dataclasses.replace(asked, wire_mbit_s=float(wire)) for wire in wires]
    border = np.array([min(one.border_mib_s, 2 * height) for one in each])
    axes.fill_between(wires, border, 2 * height, color=palette.GREY, alpha=0.28, linewidth=0)
    axes.plot(wires, border, "-", color=palette.INK, linewidth=2)
    for words, x, y in (("never ends", 0.17, 0.94), ("ends", 0.86, 0.06)):
        axes.text(x * width, y * height, words, fontsize=11, ha="center", va="center", zorder=3)
    if deadline_s is not None:
        most = np.array([min(one.most_mib_s(deadline_s), 2 * height) for one in each[::2]])
        axes.plot(wires[::2], most, "--", color=palette.SKY, linewidth=1.8,
                  label=f"ends within {deadline_s:g} s")  # fmt: skip


def _title(forecast: PrecopyForecast) -> str:
    seconds, downtime_ms = forecast.seconds, forecast.downtime_ms
    if seconds is None or downtime_ms is None:
        return "The model: this migration never ends by itself"
    still = f"the guest is paused for {picture.duration(downtime_ms)}"
    return f"The model: it ends after {forecast.count} and {seconds:.1f} s; {still}"


def _subtitle(asked: Precopy) -> str:
    return (
        f"{asked.dirty_mib_s:g} MiB/s written, working set {asked.working_set_mib:g} of "
        f"{asked.memory_mib:.0f} MiB in use, wire {asked.wire_mbit_s:g} Mbit/s "
        f"({asked.bandwidth_mib_s:.0f} MiB/s), limit {asked.max_downtime_ms:g} ms"
    )


def _alt(forecast: PrecopyForecast, runs: Sequence[Run], deadline_s: float | None) -> str:
    asked = forecast.precopy
    iterations = ", ".join(f"{one.start_mib:.0f}" for one in _drawn(forecast))
    text = f"{forecast}. On the left memory left to send over time, at each iteration's start: "
    text += f"{iterations} MiB; {asked.threshold_mib:.0f} MiB fit in the limit. On the right wire "
    text += "and dirty rate with the border from which a migration never ends: "
    if math.isinf(asked.border_mib_s):
        text += "over this wire none, as the working set fits in the downtime limit."
    else:
        text += f"{asked.border_mib_s:.0f} MiB/s over this wire."
    if deadline_s is not None:
        text += f" Within {deadline_s:g} s it ends up to {asked.most_mib_s(deadline_s):.0f} MiB/s."
    counted = Counter(run.outcome for run in runs)
    said = ", ".join(f"{counted[one]} {words.lower()}" for one, words in picture.OUTCOMES.items()
                     if counted[one])  # fmt: skip
    return f"{text} Runs as points: {said}." if said else text
