"""Draw the progress of one run: memory left to send, and the rates of sending and writing."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from migrationlab.analysis.timeline import Timeline
from migrationlab.plots import palette
from migrationlab.plots.picture import (
    MIB,
    OUTCOMES,
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
from migrationlab.runs.run import Outcome, Run

BIN_MS = 50.0
MOST_TIMES = 4.0
PAGE_BYTES = 4096  # what the workload of a lab's guest counts in its writes

Numbers = npt.NDArray[np.float64]


def progress(run: Run) -> Picture:
    """Draw the memory left to send and, below it, how fast it was sent and written, over time."""
    line = run.timeline()
    samples = run.job.dropna(subset=["memory_remaining_bytes", "data_processed_bytes"])
    seconds = _seconds(run, samples["time_ns"])
    left = samples["memory_remaining_bytes"].to_numpy(dtype=np.float64) / MIB
    sent_at, sent = _rates(
        seconds, samples["data_processed_bytes"].to_numpy(dtype=np.float64) / MIB
    )
    wrote_at, wrote = _write_rates(run)
    with style():
        figure = Figure(figsize=(WIDTH_INCHES, 5.8))
        above, below = figure.subplots(2, 1, sharex=True)
        above.plot(seconds, left, ".-", color=palette.BLUE, label="left to send")
        above.fill_between(seconds, left, color=palette.BLUE, alpha=0.15, linewidth=0)
        above.set_ylabel("memory (MiB)")
        below.plot(sent_at, sent, ".-", color=palette.GREEN, label="sent over the wire")
        _draw_writing(below, wrote_at, wrote, sent)
        below.set_ylabel("rate (MiB/s)")
        time_axis(below, run)
        below.set_xlim(0, second(run, line.returned_ns))
        for axes, label in ((above, "guest is paused"), (below, "_")):
            axes.set_ylim(bottom=0)
            axes.yaxis.set_major_formatter("{x:,g}")
            _mark_stop(axes, run, line, label)
            if axes.get_lines()[0].get_xdata().size:
                legend(axes)
            else:
                no_data(axes, "not sampled", keep_x=True)
        title = _title(run, line)
        head(figure, title, describe(run))
    return Picture(figure, title, _alt(title, left, sent, wrote))


def _rates(seconds: Numbers, amounts: Numbers) -> tuple[Numbers, Numbers]:
    """Return the rate between each two samples, at the middle of the time between them."""
    passed = np.diff(seconds)
    usable = passed > 0
    middles = (seconds[1:] + seconds[:-1]) / 2
    return middles[usable], np.diff(amounts)[usable] / passed[usable]


def _write_rates(run: Run) -> tuple[Numbers, Numbers]:
    """Return how fast the guest wrote, from the count of writes that its beats carry."""
    beats = run.beats
    within = beats[beats["arrival_ns"].between(run.called_ns, run.returned_ns)]
    heard = _seconds(run, within["arrival_ns"])
    if not len(heard):
        return heard, heard
    # Nothing is written in a silence, and the straight line between its ends shows that.
    edges = np.arange(heard[0], heard[-1], BIN_MS / 1000)
    written = within["writes"].to_numpy(dtype=np.float64) * PAGE_BYTES / MIB
    return _rates(edges, np.interp(edges, heard, written))


def _draw_writing(axes: Axes, at: Numbers, wrote: Numbers, sent: Numbers) -> None:
    if not len(wrote):
        return
    label = "written by the guest"
    typical = float(np.median(wrote))
    # A guest that writes the same pages again and again would flatten the line of the wire.
    if len(sent) and typical > MOST_TIMES * sent.max():
        axes.plot(
            [], "--", color=palette.ORANGE, label=f"{label}: {typical:,.0f} MiB/s, off the scale"
        )
    else:
        axes.step(at, wrote, "--", where="mid", color=palette.ORANGE, label=label)


def _mark_stop(axes: Axes, run: Run, line: Timeline, label: str) -> None:
    if line.stop_ns is None:
        return
    end = line.returned_ns if line.resume_ns is None else line.resume_ns
    axes.axvspan(
        second(run, line.stop_ns), second(run, end), color=palette.VERMILION, alpha=0.25,
        linewidth=0,
        label=label,
    )  # fmt: skip


def _title(run: Run, line: Timeline) -> str:
    count = len(line.iterations)
    iterations = f"{count} iteration{'' if count == 1 else 's'}"
    rate, sent = line.throughput_bytes_per_s, line.transferred_bytes
    if run.outcome is Outcome.COMPLETED and rate is not None and sent is not None:
        return f"{sent / MIB:.0f} MiB were sent at {rate / MIB:.0f} MiB/s, in {iterations}"
    size = _late_iteration_mib(run)
    if run.outcome not in (Outcome.COMPLETED, Outcome.INTERRUPTED) and size is not None:
        return f"After {iterations} about {size:.0f} MiB were still left to send each time"
    how_far = f"in {iterations}" if count else "before any memory was sent"
    return f"{OUTCOMES[run.outcome]} after {duration(line.call_ms)}, {how_far}"


def _late_iteration_mib(run: Run) -> float | None:
    """Return how much the last iterations had to send: if it does not fall, it never ends."""
    samples = run.job.dropna(subset=["iteration", "memory_remaining_bytes"])
    later = samples[samples["iteration"] > 1].groupby("iteration")["memory_remaining_bytes"]
    # The last iteration may have been cut before its first sample.
    starts = later.max().iloc[-6:-1]
    return float(starts.median()) / MIB if len(starts) else None


def _alt(title: str, left: Numbers, *rates: Numbers) -> str:
    if not len(left):
        return f"{title}. No job statistics were sampled."
    text = f"{title}. Two plots over time. Memory left to send: from {left.max():.0f} MiB"
    text += f" to {left[-1]:.0f} MiB at the last sample."
    for name, rate in zip(("sent over the wire", "written by the guest"), rates, strict=True):
        if len(rate):
            text += f" Rate {name}: up to {rate.max():.0f} MiB/s."
    return text


def _seconds(run: Run, times_ns: pd.Series[int]) -> Numbers:
    seconds: Numbers = (times_ns.to_numpy(dtype=np.int64) - run.called_ns) / 1e9
    return seconds
