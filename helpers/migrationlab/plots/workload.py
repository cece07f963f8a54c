"""Draw what a migration did to the guest's workload: how fast it wrote memory, over time."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from migrationlab.analysis.workload import CURVE_MS, RECOVERED, Workload
from migrationlab.plots import palette
from migrationlab.plots.picture import (
    WIDTH_INCHES,
    Picture,
    describe,
    duration,
    head,
    legend,
    no_data,
    second,
    style,
    time_axis,
)
from migrationlab.runs.run import Run

#: Bursts above so many times the usual rate are cut off.
MOST_TIMES = 2.5


def workload(run: Run) -> Picture:
    """Draw how fast the guest wrote before, during and after its migration."""
    work = run.workload()
    with style():
        figure = Figure(figsize=(WIDTH_INCHES, 4.6))
        axes = figure.subplots()
        time_axis(axes, run)
        axes.set_ylabel("written (MiB/s)")
        axes.yaxis.set_major_formatter("{x:,g}")
        if len(work.curve):
            _draw_parts(axes, run, work)
            _draw_rates(axes, run, work)
            legend(axes)
        else:
            no_data(axes, "not known")
        title = _title(work)
        head(figure, title, describe(run))
    return Picture(figure, title, _alt(work))


def _draw_parts(axes: Axes, run: Run, work: Workload) -> None:
    """Shade iterations over memory alternately, the pause, and post-copy."""
    iterations = 0
    labelled = set()
    for row in work.rates.itertuples():
        if str(row.part).startswith("iteration "):
            iterations += 1
            colour = palette.SKY if iterations % 2 else palette.GREY
            label, hatch, alpha = "iterations over memory", "", 0.25
        elif row.part == "paused":
            label, colour, hatch, alpha = "guest is paused", palette.VERMILION, "xx", 0.35
        elif row.part == "post-copy":
            label, colour, hatch, alpha = "memory still arriving", palette.GREEN, "//", 0.25
        else:
            continue
        start, end = second(run, row.start_ns), second(run, row.end_ns)
        shown = "_" if label in labelled else label
        axes.axvspan(
            start, end, facecolor=colour, alpha=alpha, linewidth=0, label=shown, hatch=hatch,
            edgecolor=palette.INK,
        )  # fmt: skip
        labelled.add(label)


def _draw_rates(axes: Axes, run: Run, work: Workload) -> None:
    seconds = (work.curve["time_ns"].to_numpy(dtype=np.int64) - run.called_ns) / 1e9
    rates = work.curve["mib_s"].to_numpy(dtype=np.float64)
    axes.plot(
        seconds, rates, "-", color=palette.BLUE, linewidth=1, alpha=0.7, label=f"in {CURVE_MS} ms"
    )
    known = work.rates.dropna(subset=["mib_s"])
    starts, ends = (
        (known[name].to_numpy(dtype=np.int64) - run.called_ns) / 1e9
        for name in ("start_ns", "end_ns")
    )
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
        at = second(run, int(resumed.iloc[0])) + work.recovery_ms / 1e3
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
    return f"{text}; back to normal {duration(work.recovery_ms)} after RESUME"


def _alt(work: Workload) -> str:
    known = work.rates.dropna(subset=["mib_s"])
    parts = [f"{row.part} {row.mib_s:,.1f} MiB/s" for row in known.itertuples()]
    said = f"By part: {'; '.join(parts)}." if parts else ""
    aim = f"As fast as before is {RECOVERED:.0%} of the usual rate."
    return " ".join(filter(None, ["The rate of writing over time.", said, *work.notes, aim]))
