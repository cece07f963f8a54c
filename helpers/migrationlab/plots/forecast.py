"""Draw a forecast: what is left to send by time, and when it ends, with the interval."""

from __future__ import annotations

from matplotlib.axes import Axes

from migrationlab.forecast.result import Forecast
from migrationlab.plots import palette, picture

#: A migration that does not end is drawn with so many iterations.
ENDLESS = 12
MIB = 1024 * 1024


def forecast(told: Forecast, *, page_bytes: int = 4096) -> picture.Picture:
    """Draw the most likely course of a migration, and the interval of its end.

    Args:
        told: The forecast.
        page_bytes: The size of a page.
    """
    total, downtime = told.total_s, told.downtime_ms
    if total.median is None:
        title = "It does not end: each iteration leaves as much as the one before"
        said = f"The probability that it ends is {told.ends:.0%}."
    else:
        title = f"It takes {total.median:.1f} s, and pauses the guest for {downtime.median:.0f} ms"
        said = f"It ends after {total} s, with a downtime of {downtime.text(0)} ms."
    subtitle = (
        f"forecast by the rule {told.stop_rule}; it ends with a probability of {told.ends:.0%}"
    )
    with picture.drawing(4.4, title, subtitle, f"What is left to send by time. {said}") as drawn:
        _draw(drawn.figure.subplots(), told, page_bytes)
    return drawn


def _draw(axes: Axes, told: Forecast, page_bytes: int) -> None:
    path = told.path
    iterations = path.iterations if path.ends else path.iterations[:ENDLESS]
    # The times of the course count from the first byte.
    start_s = 0.0 if told.total_s.median is None else told.total_s.median - path.sending_s
    size = page_bytes / MIB
    before = None
    for one in iterations:
        times = [start_s + one.start_s, start_s + one.end_s]
        left = [one.pending_pages * size, one.left_pages * size]
        axes.fill_between(times, left, color=palette.BLUE, alpha=0.18, linewidth=0)
        axes.plot(times, left, "-", color=palette.BLUE, linewidth=2.2)
        if before is not None:
            axes.vlines(times[0], before, left[0], palette.INK, ":", linewidth=1)
        before = left[1]
    axes.plot([], "-", color=palette.BLUE, linewidth=2.2, label="guest runs")
    if told.total_s.median is not None and path.downtime_s is not None:
        paused_s = told.total_s.median - path.downtime_s
        axes.axvspan(paused_s, told.total_s.median, color=palette.VERMILION, alpha=0.35,
                     label="guest is paused")  # fmt: skip
    low, high = told.total_s.low, told.total_s.high
    if low is not None and high is not None:
        axes.plot([low, high], [0, 0], label="its end, 90 %", clip_on=False, **picture.INTERVAL)
    axes.set_xlim(0, None)
    axes.set_ylim(0, None)
    axes.set_xlabel("time since the call (s)" if start_s else "time since the first byte (s)")
    axes.set_ylabel("left to send (MiB)")
    axes.legend(loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=3, columnspacing=1.0)
