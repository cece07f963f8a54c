"""Draw what a client of the guest saw: round trips of echo requests, and lost requests."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from migrationlab.analysis.timeline import Timeline
from migrationlab.plots import palette
from migrationlab.plots.picture import (
    WIDTH_INCHES,
    Picture,
    describe,
    head,
    legend,
    no_data,
    second,
    style,
    time_axis,
)
from migrationlab.runs.run import Run

Numbers = npt.NDArray[np.float64]


def latency(run: Run) -> Picture:
    """Draw the round trip of each echo request over time; requests without an answer are ticks."""
    line = run.timeline()
    table = line.latency
    at = (table["sent_ns"].to_numpy(dtype=np.int64) - run.called_ns) / 1e9
    trips = table["round_trip_ms"].to_numpy(dtype=np.float64)
    title = _title(run, trips, at)
    with style():
        figure = Figure(figsize=(WIDTH_INCHES, 4.4))
        axes = figure.subplots()
        _draw(axes, at, trips)
        if line.stop_ns is not None:
            end = line.returned_ns if line.resume_ns is None else line.resume_ns
            axes.axvspan(
                second(run, line.stop_ns), second(run, end), color=palette.VERMILION, alpha=0.2,
                linewidth=0, label="guest is paused",
            )  # fmt: skip
        axes.axvline(0, color=palette.INK, linewidth=1)
        time_axis(axes, run, "time since the call, at which the request was sent")
        axes.set_ylabel("round trip (ms)")
        if len(at):
            legend(axes)
        else:
            no_data(axes, "not measured", keep_x=True)
        head(figure, title, describe(run))
    return Picture(figure, title, _alt(title, at, trips, line))


def _draw(axes: Axes, at: Numbers, trips: Numbers) -> None:
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
        axes.plot(
            at[~heard], np.full(int((~heard).sum()), 0.985), "|", color=palette.INK,
            markersize=12, mew=1.8,
            transform=axes.get_xaxis_transform(), label="no answer",
        )  # fmt: skip


def _title(run: Run, trips: Numbers, at: Numbers) -> str:
    if not len(trips):
        return "What a client saw is unknown: no echo requests were sent"
    during = at >= 0
    lost, sent = int(np.isnan(trips[during]).sum()), int(during.sum())
    heard = trips[during & ~np.isnan(trips)]
    lost_said = f"{lost} of {sent} requests had no answer" if lost else "all requests were answered"
    if not len(heard):
        return f"A client received no answer: {lost_said}"
    return f"A client waited up to {heard.max():.0f} ms for an answer; {lost_said}"


def _alt(title: str, at: Numbers, trips: Numbers, line: Timeline) -> str:
    if not len(at):
        return f"{title}. An empty plot."
    usual = pd.Series(trips[at < 0]).dropna()
    text = f"{title}. Points over time, on a logarithmic scale of round trips."
    if len(usual):
        text += f" Before the call the median was {usual.median():.2f} ms."
    if line.stop_ns is not None:
        text += " A band shows where the guest was paused; ticks above show lost requests."
    return text
