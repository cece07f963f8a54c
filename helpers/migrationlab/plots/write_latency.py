"""Draw how long the guest's own writes to memory took, over time."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes

from migrationlab.analysis.write_latency import WriteLatency
from migrationlab.plots import palette, picture
from migrationlab.runs.run import Run


def write_latency(run: Run) -> picture.Picture:
    """Draw the median, the 99th percentile and the longest of the guest's writes to memory.

    Each point is of the writes between two reports of the guest, 20 ms apart. Durations are by the
    guest's clock, which stops while the guest is paused.
    """
    found = run.write_latency()
    title = _title(found)
    with picture.drawing(4.6, title, picture.describe(run), _alt(title, found)) as drawn:
        axes = drawn.figure.subplots()
        picture.around_the_call(axes, run, "time since the call", "time of a write, 4 KiB (µs)")
        if len(found.curve):
            _draw(axes, run, found)
            picture.legend(axes)
        else:
            picture.no_data(axes, "not measured", keep_x=True)
    return drawn


def _draw(axes: Axes, run: Run, found: WriteLatency) -> None:
    at = picture.seconds(run, found.curve["time_ns"])
    # Only a logarithmic scale shows both a usual write and one that waits for a page.
    axes.set_yscale("log")
    axes.yaxis.set_major_formatter("{x:g}")
    lines = {
        "p50_us": (palette.BLUE, "median"),
        "p99_us": (palette.ORANGE, "99th percentile"),
        "max_us": (palette.INK, "longest"),
    }
    for name, (colour, label) in lines.items():
        values = found.curve[name].to_numpy(dtype=np.float64)
        axes.plot(at, values, ".", color=colour, markersize=5, mew=0, alpha=0.8, label=label)
    axes.set_xlim(at[0], at[-1])


def _title(found: WriteLatency) -> str:
    if not len(found.parts):
        return "How long the guest's writes took is unknown: it did not time them"
    numbers = {
        "before the call": found.before_p99_us,
        "while memory was sent": found.sending_p99_us,
        "after RESUME": found.after_p99_us,
    }
    said = [f"{value:.3g} µs {when}" for when, value in numbers.items() if value is not None]
    if not said:
        return "How long 99 % of the guest's writes took is unknown: too few were timed"
    return f"99 % of the guest's writes took at most {', '.join(said)}"


def _alt(title: str, found: WriteLatency) -> str:
    said = [
        f"{row.part}: median {row.p50_us:.3g} µs, p99 {row.p99_us:.3g} µs, "
        f"longest {row.max_us:.3g} µs"
        for row in found.parts.itertuples()
    ]
    text = f"{title}. Points over time, on a logarithmic scale."
    return " ".join([text, "; ".join(said).replace("nan", "unknown")]).strip()
