"""Draw the progress of one run: memory left to send, and the rates of sending and writing."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes

from migrationlab.analysis.timeline import Timeline
from migrationlab.plots import palette, picture
from migrationlab.plots.picture import MIB, Numbers
from migrationlab.runs.run import Outcome, Run

BIN_MS = 50.0
MOST_TIMES = 4.0
PAGE_BYTES = 4096  # the unit in which a lab's workload counts its writes


def progress(run: Run) -> picture.Picture:
    """Draw the memory left to send and, below, the rates of sending and writing, over time."""
    line = run.timeline()
    samples = run.job.dropna(subset=["memory_remaining_bytes", "data_processed_bytes"])
    seconds = picture.seconds(run, samples["time_ns"])
    left, processed = (
        samples[name].to_numpy(dtype=np.float64) / MIB
        for name in ("memory_remaining_bytes", "data_processed_bytes")
    )
    sent_at, sent = _rates(seconds, processed)
    wrote_at, wrote = _write_rates(run)
    title = _title(run, line)
    alt = _alt(title, left, sent, wrote)
    with picture.drawing(5.8, title, picture.describe(run), alt) as drawn:
        above, below = drawn.figure.subplots(2, 1, sharex=True)
        above.plot(seconds, left, ".-", color=palette.BLUE, label="left to send")
        above.fill_between(seconds, left, color=palette.BLUE, alpha=0.15, linewidth=0)
        above.set_ylabel("memory (MiB)")
        below.plot(sent_at, sent, ".-", color=palette.GREEN, label="sent over the wire")
        _draw_writing(below, wrote_at, wrote, sent)
        below.set_ylabel("rate (MiB/s)")
        picture.time_axis(below, run)
        below.set_xlim(0, picture.second(run, line.returned_ns))
        for axes, label in ((above, "guest is paused"), (below, "_")):
            axes.set_ylim(bottom=0)
            axes.yaxis.set_major_formatter("{x:,g}")
            picture.shade_pause(axes, run, line, label)
            if axes.get_lines()[0].get_xdata().size:
                picture.legend(axes)
            else:
                picture.no_data(axes, "not sampled", keep_x=True)
    return drawn


def _rates(seconds: Numbers, amounts: Numbers) -> tuple[Numbers, Numbers]:
    """Return the rate between each two samples, at the middle of the time between them."""
    passed = np.diff(seconds)
    usable = passed > 0
    middles = (seconds[1:] + seconds[:-1]) / 2
    return middles[usable], np.diff(amounts)[usable] / passed[usable]


def _write_rates(run: Run) -> tuple[Numbers, Numbers]:
    """Return the guest's write rates, from the count of writes in its beats."""
    beats = run.beats
    within = beats[beats["arrival_ns"].between(run.called_ns, run.returned_ns)]
    heard = picture.seconds(run, within["arrival_ns"])
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
    return f"{picture.OUTCOMES[run.outcome]} after {picture.duration(line.call_ms)}, {how_far}"


def _late_iteration_mib(run: Run) -> float | None:
    """Return the memory of the last iterations: if it does not fall, the migration never ends."""
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
