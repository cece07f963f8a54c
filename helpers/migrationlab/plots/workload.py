"""Draw the effect of a migration on the guest's workload: the rate of writing, over time."""

from __future__ import annotations

import itertools

import numpy as np
from matplotlib.axes import Axes

from migrationlab.analysis.workload import CURVE_MS, RECOVERED, Workload
from migrationlab.plots import palette, picture
from migrationlab.runs.run import Run

#: The label, colour, hatch and opacity of the parts that are no iterations.
PARTS = {
    "paused": ("guest is paused", palette.VERMILION, "xx", 0.35),
    "post-copy": ("memory still arriving", palette.GREEN, "//", 0.25),
}
#: Bursts above this many times the usual rate are cut off.
MOST_TIMES = 2.5


def workload(run: Run) -> picture.Picture:
    """Draw the guest's rate of writing before, during and after its migration."""
    work = run.workload()
    title = _title(work)
    with picture.drawing(4.6, title, picture.describe(run), _alt(work)) as drawn:
        axes = drawn.figure.subplots()
        picture.time_axis(axes, run)
        axes.set_ylabel("written (MiB/s)")
        axes.yaxis.set_major_formatter("{x:,g}")
        if len(work.curve):
            _draw_parts(axes, run, work)
            _draw_rates(axes, run, work)
            picture.legend(axes)
        else:
            picture.no_data(axes, "not known")
    return drawn


def _draw_parts(axes: Axes, run: Run, work: Workload) -> None:
    """Shade iterations over memory alternately, the pause, and post-copy."""
    shades = itertools.cycle((palette.SKY, palette.GREY))
    labelled = set()
    for row in work.rates.itertuples():
        if str(row.part).startswith("iteration "):
            label, colour, hatch, alpha = "iterations over memory", next(shades), "", 0.25
        elif row.part in PARTS:
            label, colour, hatch, alpha = PARTS[row.part]
        else:
            continue
        start, end = picture.second(run, row.start_ns), picture.second(run, row.end_ns)
        shown = "_" if label in labelled else label
        axes.axvspan(
            start, end, facecolor=colour, alpha=alpha, linewidth=0, label=shown, hatch=hatch,
            edgecolor=palette.INK,
        )  # fmt: skip
        labelled.add(label)


def _draw_rates(axes: Axes, run: Run, work: Workload) -> None:
    seconds = picture.seconds(run, work.curve["time_ns"])
    rates = work.curve["mib_s"].to_numpy(dtype=np.float64)
    axes.plot(
        seconds, rates, "-", color=palette.BLUE, linewidth=1, alpha=0.7, label=f"in {CURVE_MS} ms"
    )
    known = work.rates.dropna(subset=["mib_s"])
    starts, ends = (picture.seconds(run, known[name]) for name in ("start_ns", "end_ns"))
    means = known["mib_s"].to_numpy(dtype=np.float64)
    axes.hlines(
        means, starts, ends, color=palette.ORANGE, linewidth=2.6, zorder=3, label="mean of a part"
    )
    top = float(rates.max())
    if work.before_mib_s is not None:
        axes.axhline(work.before_mib_s, color=palette.INK, linestyle=":", label="usual rate")
        fastest = max(work.before_mib_s, work.sending_mib_s or 0.0)
        top = min(top, MOST_TIMES * fastest) or top
    resumed = work.rates.loc[work.rates["part"] == "paused", "end_ns"]
    if work.recovery_ms is not None and len(resumed):
        at = picture.second(run, int(resumed.iloc[0])) + work.recovery_ms / 1e3
        axes.axvline(at, color=palette.GREEN, linewidth=1.8, label="as fast as before")
    axes.axvline(0, color=palette.INK, linewidth=1)
    axes.set_ylim(0, max(top * 1.1, 1.0))
    axes.set_xlim(seconds[0], seconds[-1])


def _title(work: Workload) -> str:
    if work.before_mib_s is None or work.sending_mib_s is None:
        return "The effect on the guest's workload is unknown"
    before, sending = work.before_mib_s, work.sending_mib_s
    text = f"{before:,.0f} MiB/s written before, {sending:,.0f} until the pause"
    if work.recovery_ms is None:
        return text
    return f"{text}; back to normal {picture.duration(work.recovery_ms)} after RESUME"


def _alt(work: Workload) -> str:
    known = work.rates.dropna(subset=["mib_s"])
    parts = [f"{row.part} {row.mib_s:,.1f} MiB/s" for row in known.itertuples()]
    said = f"By part: {'; '.join(parts)}." if parts else ""
    aim = f"As fast as before is {RECOVERED:.0%} of the usual rate."
    return " ".join(filter(None, ["The rate of writing over time.", said, *work.notes, aim]))
