"""Draw forecasts against what happened: total times, downtimes, and how often migrations ended.

The first two have a point a run, with the interval of its forecast, on logarithmic axes; on the
diagonal a forecast is right. The third is the reliability diagram of the probabilities.
"""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import NullLocator

from migrationlab.errors import UsageError
from migrationlab.forecast.scores import Scores, reliability, score
from migrationlab.plots import palette, picture

#: What the parts of the figure show: a column of the frame, its words, and the unit.
PARTS = (("total_s", "total time", "s"), ("downtime_ms", "downtime", "ms"))
COLOURS = {
    "plain": palette.BLUE, "auto-converge": palette.ORANGE, "post-copy": palette.GREEN,
    "compression": palette.PURPLE, "multifd": palette.SKY,
}  # fmt: skip
#: The numbers on a logarithmic axis.
TICKS = (0.1, 0.3, 1, 3, 10, 30, 100, 300, 1000, 3000, 10_000, 30_000)
BARS = {"color": palette.GREY, "linewidth": 1.0, "alpha": 0.5, "zorder": 1}


def calibration(held: pd.DataFrame) -> picture.Picture:
    """Draw forecasts against what happened.

    Args:
        held: A row a run, of :func:`migrationlab.experiment.forecasts.held_forecasts` or
            :func:`migrationlab.forecast.run_inputs.compare`.

    Raises:
        UsageError: There are no runs.
    """
    if held.empty:
        raise UsageError(
            "held must have runs (got none)", hint="Compare the forecasts with some runs first."
        )
    found = score(held)
    title = f"{found.ends_right} of {found.runs} migrations ended, or did not, as forecast"
    subtitle = f"{found.runs} runs; Brier score {found.brier:.3f}; bars hold 90 % by the forecast"
    with picture.drawing(4.6, title, subtitle, _alt(found)) as drawn:
        *axes, last = drawn.figure.subplots(1, 3)
        for one, (name, words, unit) in zip(axes, PARTS, strict=True):
            _draw_errors(one, held, name, f"{words} ({unit})")
        _draw_reliability(last, held)
        kinds = [kind for kind in COLOURS if kind in set(held["kind"])]
        handles = [picture.point(COLOURS[kind], "o", kind) for kind in kinds]
        drawn.figure.legend(handles=handles, loc="outside lower center", ncols=len(kinds))
    return drawn


def _draw_errors(axes: Axes, held: pd.DataFrame, name: str, label: str) -> None:
    known = held[held["ended"].astype(bool)].dropna(subset=[name, f"{name}_median"])
    values = known[[name, f"{name}_median"]].to_numpy(dtype=float)
    if not len(values):
        picture.no_data(axes, "no run ended as forecast")
        return
    least, most = values.min() * 0.8, values.max() * 1.25
    axes.plot([least, most], [least, most], "--", color=palette.INK, linewidth=1)
    for kind, part in known.groupby("kind"):
        told, measured = part[f"{name}_median"].astype(float), part[name].astype(float)
        low = part[f"{name}_low"].astype(float)
        high = part[f"{name}_high"].astype(float).fillna(most)
        axes.vlines(measured, low, high, **BARS)  # type: ignore[arg-type]
        axes.plot(
            measured, told, "o", markersize=5, alpha=0.7, color=COLOURS.get(str(kind), palette.INK),
        )  # fmt: skip
    axes.set(xscale="log", yscale="log", xlim=(least, most), ylim=(least, most))
    shown = [tick for tick in TICKS if least <= tick <= most]
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_ticks(shown, [f"{tick:g}" for tick in shown])
        axis.set_minor_locator(NullLocator())
    axes.set_xlabel(f"measured {label}")
    axes.set_ylabel(f"forecast {label}")


def _draw_reliability(axes: Axes, held: pd.DataFrame) -> None:
    bins = reliability(held)
    axes.plot([0, 1], [0, 1], "--", color=palette.INK, linewidth=1)
    axes.plot(
        bins["forecast"], bins["ended"], "o-", color=palette.VERMILION, markersize=7, linewidth=1
    )
    for forecast, ended, runs in bins[["forecast", "ended", "runs"]].to_numpy():
        above = -14 if ended > 0.5 else 8
        axes.annotate(
            f"n = {runs:.0f}", (forecast, ended), (0, above), textcoords="offset points",
            ha="left" if forecast < 0.5 else "right", fontsize="small",
        )  # fmt: skip
    axes.set(xlim=(-0.05, 1.05), ylim=(-0.08, 1.08))
    axes.set_xlabel("forecast probability")
    axes.set_ylabel("share that ended")


def _alt(found: Scores) -> str:
    parts = ["Forecasts against measurements, a point a run."]
    if found.time_percent is not None:
        parts.append(
            f"Total times are off by {found.time_percent[0]:.1f} % (median), "
            f"{found.time_covered:.0%} lie in their interval."
        )
    if found.downtime_ms is not None:
        parts.append(
            f"Downtimes are off by {found.downtime_ms[0]:.0f} ms (median), "
            f"{found.downtime_covered:.0%} lie in their interval."
        )
    parts.append("Right, how often migrations ended by the forecast probability.")
    return " ".join(parts)
