"""What the downtime of one run consists of: a bar a part, each beginning where one ended."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from migrationlab.plots.picture import (
    GREEN,
    GREY,
    INK,
    SKY,
    VERMILION,
    WIDTH_INCHES,
    Picture,
    describe,
    head,
    style,
)
from migrationlab.runs.run import Run

#: By what a part's end is known, and in which colour and hatch it is drawn.
BASES = {
    "log": ("by QEMU's log", VERMILION, ""),
    "events": ("by events", SKY, "//"),
    "beats": ("by beats", GREEN, ".."),
    "echoes": ("by echoes", GREEN, ".."),
}


def downtime_parts(run: Run) -> Picture:
    """Draw the parts of a run's downtime, and by what each is known."""
    table = run.timeline().parts
    title = _title(table)
    with style():
        figure = Figure(figsize=(WIDTH_INCHES, 2.1 + 0.46 * max(len(table), 2)))
        axes = figure.subplots()
        if len(table):
            _draw(axes, table)
        else:
            axes.text(0.5, 0.5, "nothing to take apart", transform=axes.transAxes, ha="center")
            axes.set_xticks([])
            axes.set_yticks([])
        head(figure, title, describe(run))
    return Picture(figure, title, _alt(title, table))


def _draw(axes: Axes, table: pd.DataFrame) -> None:
    stop = int(table["start_ns"].iloc[0])
    starts = (table["start_ns"].to_numpy(dtype=np.int64) - stop) / 1e6
    ends = (table["end_ns"].to_numpy(dtype=np.int64) - stop) / 1e6
    span = max(float(ends.max()), 1.0)
    for row, (part, start, end) in enumerate(zip(table.itertuples(), starts, ends, strict=True)):
        known = not pd.isna(part.duration_ms)
        _, colour, hatch = BASES[part.basis] if known else ("", GREY, "")
        # A part of a few microseconds has a mark all the same.
        axes.barh(
            row, max(end - start, span * 0.002), left=start, height=0.62, facecolor=colour,
            edgecolor=INK, linewidth=0.6, hatch=hatch,
        )  # fmt: skip
        axes.text(end + span * 0.01, row, _length(part.duration_ms, part.error_ms), va="center")
        if row:
            axes.vlines(start, row - 1, row, color=INK, linewidth=0.8, linestyle=":")
    axes.set_yticks(range(len(table)), list(table["part"]))
    axes.set_ylim(len(table) - 0.45, -0.55)
    axes.set_xlim(0, span * 1.16)
    axes.tick_params(axis="y", length=0)
    axes.grid(visible=False, axis="y")
    axes.set_xlabel("time since the guest's stop (ms)")
    used = dict.fromkeys(BASES[basis] for basis in table["basis"])
    axes.legend(
        handles=[
            Patch(facecolor=colour, edgecolor=INK, hatch=hatch, label=label, linewidth=0.6)
            for label, colour, hatch in used
        ],
        loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=3, title="its end is known",
    )  # fmt: skip


def _length(duration_ms: float, error_ms: float) -> str:
    if pd.isna(duration_ms):
        return "between two clocks, not known"
    said = f"{duration_ms:.1f} ms"
    return f"{said} ± {error_ms:.1f}" if error_ms else said


def _title(table: pd.DataFrame) -> str:
    known = table.dropna(subset=["duration_ms"])
    if not len(known):
        return "Nobody knows what the downtime consisted of"
    longest = known.loc[known["duration_ms"].idxmax()]
    still = known["duration_ms"].sum()
    took = f"the {longest['part']} took {longest['duration_ms']:.0f} ms"
    return f"Of {still:.0f} ms without the guest, {took}"


def _alt(title: str, table: pd.DataFrame) -> str:
    parts = "; ".join(
        f"{row.part} {_length(row.duration_ms, row.error_ms)}, {BASES[row.basis][0]}"
        for row in table.itertuples()
    )
    return f"{title}. A bar a part, one after the other. {parts or 'There are none'}."
