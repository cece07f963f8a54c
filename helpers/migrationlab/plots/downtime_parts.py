"""Draw the parts of one run's downtime: one bar a part, each after the one before."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.patches import Patch

from migrationlab.plots import palette, picture
from migrationlab.runs.run import Run

#: The sources of a part's end, with their words, colours and hatches.
BASES = {
    "log": ("by QEMU's log", palette.VERMILION, ""),
    "events": ("by events", palette.SKY, "//"),
    "beats": ("by beats", palette.GREEN, ".."),
    "echoes": ("by echoes", palette.GREEN, ".."),
}


def downtime_parts(run: Run) -> picture.Picture:
    """Draw the parts of a run's downtime, with the sources of their ends."""
    table = run.timeline().parts
    title = _title(table)
    with picture.drawing(
        2.1 + 0.46 * max(len(table), 2), title, picture.describe(run), _alt(title, table)
    ) as drawn:
        axes = drawn.figure.subplots()
        if len(table):
            _draw(axes, table)
        else:
            picture.no_data(axes, "no downtime was measured")
    return drawn


def _draw(axes: Axes, table: pd.DataFrame) -> None:
    stop = int(table["start_ns"].iloc[0])
    starts = (table["start_ns"].to_numpy(dtype=np.int64) - stop) / 1e6
    ends = (table["end_ns"].to_numpy(dtype=np.int64) - stop) / 1e6
    span = max(float(ends.max()), 1.0)
    for row, (part, start, end) in enumerate(zip(table.itertuples(), starts, ends, strict=True)):
        known = not pd.isna(part.duration_ms)
        _, colour, hatch = BASES[part.basis] if known else ("", palette.GREY, "")
        # A part of a few microseconds must be visible too.
        axes.barh(
            row, max(end - start, span * 0.002), left=start, height=0.62, facecolor=colour,
            edgecolor=palette.INK, linewidth=0.6, hatch=hatch,
        )  # fmt: skip
        axes.text(end + span * 0.01, row, _length(part.duration_ms, part.error_ms), va="center")
        if row:
            axes.vlines(start, row - 1, row, color=palette.INK, linewidth=0.8, linestyle=":")
    picture.rows(axes, list(table["part"]))
    axes.set_xlim(0, span * 1.16)
    axes.set_xlabel("time since STOP (ms)")
    used = dict.fromkeys(BASES[basis] for basis in table["basis"])
    handles = [
        Patch(facecolor=colour, edgecolor=palette.INK, hatch=hatch, label=label, linewidth=0.6)
        for label, colour, hatch in used
    ]
    picture.legend(axes, handles, title="its end is known")


def _length(duration_ms: float, error_ms: float) -> str:
    if pd.isna(duration_ms):
        return "unknown: between two clocks"
    said = f"{duration_ms:.1f} ms"
    return f"{said} ± {error_ms:.1f}" if error_ms else said


def _title(table: pd.DataFrame) -> str:
    known = table.dropna(subset=["duration_ms"])
    if not len(known):
        return "The parts of the downtime are unknown"
    longest = known.loc[known["duration_ms"].idxmax()]
    still = known["duration_ms"].sum()
    took = f"the {longest['part']} took {longest['duration_ms']:.0f} ms"
    return f"Of {still:.0f} ms {_stretch(table)}, {took}"


def _stretch(table: pd.DataFrame) -> str:
    """Return the words for the time that the known parts cover."""
    if table["duration_ms"].isna().any():
        return "in the parts that are known"
    heard = str(table["part"].iloc[-1]).endswith("first packet")
    return f"from STOP to {'the first packet' if heard else 'RESUME'}"


def _alt(title: str, table: pd.DataFrame) -> str:
    parts = "; ".join(
        f"{row.part} {_length(row.duration_ms, row.error_ms)}, {BASES[row.basis][0]}"
        for row in table.itertuples()
    )
    return f"{title}. One bar a part, one after the other. {parts or 'There are none'}."
