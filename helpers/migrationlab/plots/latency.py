"""Draw a client's view of the guest: round trips of echo requests, and lost requests."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from migrationlab.analysis.timeline import Timeline
from migrationlab.plots import palette, picture
from migrationlab.runs.run import Run


def latency(run: Run) -> picture.Picture:
    """Draw the round trip of each echo request over time; requests without an answer are ticks."""
    line = run.timeline()
    table = line.latency
    at = picture.seconds(run, table["sent_ns"])
    trips = table["round_trip_ms"].to_numpy(dtype=np.float64)
    title = _title(run, trips, at)
    with picture.drawing(4.4, title, picture.describe(run), _alt(title, at, trips, line)) as drawn:
        axes = drawn.figure.subplots()
        _draw(axes, at, trips)
        picture.around_the_call(
            axes, run, "time since the call, at which the request was sent", "round trip (ms)"
        )
        if len(at):
            picture.legend(axes)
        else:
            picture.no_data(axes, "not measured", keep_x=True)
    return drawn


def _draw(axes: Axes, at: picture.Numbers, trips: picture.Numbers) -> None:
    heard = ~np.isnan(trips)
    if heard.any():
        # Only a logarithmic scale shows both a millisecond and the whole downtime.
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter("{x:g}")
        axes.plot(
            at[heard], trips[heard], ".", color=palette.BLUE, markersize=9, alpha=0.7, mew=0,
            label="answered",
        )  # fmt: skip
    if (~heard).any():
        top = np.full(int((~heard).sum()), 0.985)
        axes.plot(
            at[~heard], top, "|", color=palette.INK, markersize=12, mew=1.8, label="no answer",
            transform=axes.get_xaxis_transform(),
        )  # fmt: skip


def _title(run: Run, trips: picture.Numbers, at: picture.Numbers) -> str:
    if not len(trips):
        return "What a client saw is unknown: no echo requests were sent"
    during = at >= 0
    lost, sent = int(np.isnan(trips[during]).sum()), int(during.sum())
    heard = trips[during & ~np.isnan(trips)]
    lost_said = f"{lost} of {sent} requests had no answer" if lost else "all requests were answered"
    if not len(heard):
        return f"A client received no answer: {lost_said}"
    return f"The slowest answer took {heard.max():.0f} ms; {lost_said}"


def _alt(title: str, at: picture.Numbers, trips: picture.Numbers, line: Timeline) -> str:
    if not len(at):
        return f"{title}. An empty plot."
    usual = pd.Series(trips[at < 0]).dropna()
    text = f"{title}. Points over time, on a logarithmic scale of round trips."
    if len(usual):
        text += f" Before the call the median was {usual.median():.2f} ms."
    if line.stop_ns is not None:
        text += " A band shows where the guest was paused; ticks above show lost requests."
    return text
