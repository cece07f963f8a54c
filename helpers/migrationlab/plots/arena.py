"""Draw an arena: what each policy needed for each guest, and which was the best in hindsight.

Each scene is a row of panels, each metric a column. A policy is a row of points, one for each
completed migration, with the median and its interval. A migration that did not complete has no
point and counts as the worst: where half of them did not complete, words stand for the median.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.patches import Patch

from migrationlab.plots import palette, picture
from migrationlab.runs.numbers import amount

if TYPE_CHECKING:
    from migrationlab.experiment.arena import Arena

#: The words, the unit and the divisor of each metric that is drawn.
COLUMNS = {
    "total_ms": ("total time", "s", 1000),
    "downtime_event_ms": ("downtime", "ms", 1),
    "lost_work_ms": ("guest's lost work", "s", 1000),
}
ROW_INCHES, PANEL_INCHES = 0.42, 0.75
#: The axis is logarithmic if the maximum is more than this many times the minimum.
LOGARITHMIC_FROM = 12.0
#: Which policy is best is certain if it is so in this share of the resamples.
CERTAIN = 0.95


def arena(found: Arena) -> picture.Picture:
    """Draw an arena, made by ``experiment.arena()``."""
    count = len(found.scenes) * len(found.contestants)
    height = 2.2 + ROW_INCHES * count + PANEL_INCHES * len(found.scenes)
    subtitle = (
        f"{found.blocks} migrations of each policy and guest, in blocks; "
        "green: lowest median, the best in hindsight"
    )
    names = [name for name in COLUMNS if name in set(found.standings["metric"])]
    with picture.drawing(height, title(found), subtitle, _alt(found, names)) as drawn:
        every = drawn.figure.subplots(len(found.scenes), len(names), squeeze=False, sharex="col")
        for scene, row in zip(found.scenes, every, strict=True):
            for name, axes in zip(names, row, strict=True):
                _draw(axes, found, name, scene)
                if axes is not row[0]:
                    axes.set_yticklabels([])
            row[0].set_title(scene, loc="left", fontsize=11.5, color="#555555")
            _count(row[-1], found, scene)
        for name, axes in zip(names, every[-1], strict=True):
            _scale(axes, found, name)
            words, unit, _ = COLUMNS[name]
            log = ", logarithmic" if axes.get_xscale() == "log" else ""
            axes.set_xlabel(f"{words} ({unit}{log})")
        handles = [
            picture.point(palette.BLUE, "o", "a migration"),
            *picture.estimate_handles(interval=bool(found.standings["low"].notna().any())),
            Patch(color=palette.GREEN, alpha=0.18, label="best in hindsight"),
        ]
        # A legend of the figure: one of narrow axes would leave them no width.
        drawn.figure.legend(handles=handles, loc="outside lower center", ncols=4)
    return drawn


def title(found: Arena) -> str:
    """Return what the arena shows about the total time, and no more."""
    table = found.standings[found.standings["metric"] == "total_ms"]
    if not len(table):
        return "No block is complete yet"
    if table["best_share"].isna().any():
        return f"{found.blocks} blocks are too few to say which policy is best"
    best = table[(table["regret"] == 0) & np.isfinite(table["median"].astype("float64"))]
    if not len(best):
        return "No policy completes these migrations"
    sure = best[best["best_share"] >= CERTAIN]
    known = sure["scene"].nunique()
    if not known:
        return "It is not certain which policy completes soonest"
    if known < len(found.scenes):
        many = f"{known} of {len(found.scenes)} guests"
        return f"It is certain for {many} which policy completes soonest"
    winners = sure.groupby("scene", sort=False)["contestant"].first()
    names = list(dict.fromkeys(winners))
    if len(names) == 1:
        return f"{names[0]} completes each of these migrations soonest"
    return f"No policy is best for each guest: {' and '.join(names)} complete soonest"


def _draw(axes: Axes, found: Arena, metric: str, scene: str) -> None:
    divisor = COLUMNS[metric][2]
    table = found.standings
    mine = table[(table["metric"] == metric) & (table["scene"] == scene)].set_index("contestant")
    for place, name in enumerate(found.contestants):
        values = found.values(metric, scene, name) / divisor
        ended = values[np.isfinite(values)]
        heights = place + picture.spread(len(values), 0.26)[np.isfinite(values)]
        axes.plot(ended, heights, "o", color=palette.BLUE, alpha=0.6, markersize=5, mew=0)
        row = mine.loc[name]
        if np.isinf(row["median"]):
            axes.annotate(
                "did not complete" if not len(ended) else "half did not complete", (0.98, place),
                xycoords=("axes fraction", "data"), ha="right", va="center", fontsize=10.5,
                color=palette.VERMILION,
            )  # fmt: skip
            continue
        if row["regret"] == 0:
            axes.axhspan(place - 0.42, place + 0.42, color=palette.GREEN, alpha=0.18, linewidth=0)
        ends = [None if pd.isna(row[end]) or np.isinf(row[end]) else row[end] / divisor
                for end in ("low", "high")]  # fmt: skip
        picture.draw_estimate(axes, place, row["median"] / divisor, *ends)
    picture.rows(axes, found.contestants)


def _count(axes: Axes, found: Arena, scene: str) -> None:
    ends = found.completed[found.completed["scene"] == scene].set_index("contestant")
    for place, name in enumerate(found.contestants):
        row = ends.loc[name]
        axes.annotate(
            _ended(row), (1.0, place),
            xycoords=("axes fraction", "data"), xytext=(6, 0), textcoords="offset points",
            va="center", fontsize=10.5, color=palette.INK,
        )  # fmt: skip


def _ended(row: pd.Series) -> str:
    return f"{int(row['completed'])} of {int(row['made'])} completed"


def _scale(axes: Axes, found: Arena, metric: str) -> None:
    values = np.concatenate(
        [found.values(metric, scene, name) for scene in found.scenes for name in found.contestants]
    )
    known = values[np.isfinite(values)]
    if not len(known):
        axes.set_xticks([])
    elif known.min() > 0 and known.max() > LOGARITHMIC_FROM * known.min():
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter("{x:,g}")
    else:
        axes.set_xlim(left=min(0, known.min() / COLUMNS[metric][2]))


def _alt(found: Arena, metrics: list[str]) -> str:
    parts = []
    ends = found.completed.set_index(["scene", "contestant"])
    table = found.standings.set_index(["metric", "scene", "contestant"])
    for scene in found.scenes:
        said = []
        for name in found.contestants:
            row = ends.loc[(scene, name)]
            words = [_ended(row)]
            for metric in metrics:
                median = table.loc[(metric, scene, name), "median"]
                if np.isfinite(median):
                    words.append(f"{COLUMNS[metric][0]} {amount(metric, median)}")
            said.append(f"{name}: {', '.join(words)}")
        parts.append(f"{scene}: {'; '.join(said)}")
    return f"Points for each policy on each guest, with medians. {'. '.join(parts)}."
