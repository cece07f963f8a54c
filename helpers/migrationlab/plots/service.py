"""Draw what the clients of the guest's service noticed: the latency of each request, over time."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes

from migrationlab.analysis.service import ServiceView
from migrationlab.plots import palette, picture
from migrationlab.runs.run import Run


def service(run: Run) -> picture.Picture:
    """Draw the latency of each request to the guest's service; failed requests are ticks.

    A latency counts from the moment at which the request was due by the clients' schedule.
    """
    view = run.service()
    title = _title(view)
    with picture.drawing(4.6, title, _subtitle(run), _alt(title, view)) as drawn:
        axes = drawn.figure.subplots()
        picture.around_the_call(
            axes, run, "time since the call, at which the request was due", "latency (ms)"
        )
        if len(view.latency):
            _draw(axes, run, view)
            picture.legend(axes)
        else:
            picture.no_data(axes, "no service was asked", keep_x=True)
    return drawn


def _draw(axes: Axes, run: Run, view: ServiceView) -> None:
    at = picture.seconds(run, view.latency["due_ns"])
    took = view.latency["latency_ms"].to_numpy(dtype=np.float64)
    answered = ~np.isnan(took)
    # Only a logarithmic scale shows both a millisecond and the whole downtime.
    axes.set_yscale("log")
    axes.yaxis.set_major_formatter("{x:g}")
    axes.plot(
        at[answered], took[answered], ".", color=palette.BLUE, markersize=4, alpha=0.5, mew=0,
        label="a request",
    )  # fmt: skip
    if (~answered).any():
        top = np.full(int((~answered).sum()), 0.985)
        axes.plot(
            at[~answered], top, "|", color=palette.INK, markersize=12, label="failed",
            transform=axes.get_xaxis_transform(),
        )  # fmt: skip
    usual = float(view.parts.set_index("part").loc["before", "p99_ms"])
    if np.isfinite(usual):
        axes.axhline(usual, color=palette.INK, linestyle=":", label="p99 before the call")
    resume_ns = run.timeline().resume_ns
    if view.recovery_ms is not None and resume_ns is not None:
        normal = picture.second(run, resume_ns) + view.recovery_ms / 1e3
        axes.axvline(normal, color=palette.GREEN, linewidth=1.8, label="normal again")
    axes.set_xlim(at[0], at[-1])


def _subtitle(run: Run) -> str:
    check = run.service_check
    if check is None:
        return picture.describe(run)
    side = run.guest.get("client_side", "outside")
    said = f"{check['service']}, {check['requests_s']:,.0f} requests/s"
    said += "" if side == "outside" else f" from the {side}"
    return f"{said} · {picture.describe(run)}"


def _title(view: ServiceView) -> str:
    if not len(view.latency):
        return "What clients noticed is unknown: the guest has no service"
    during = view.parts.set_index("part").loc["during"]
    failed = f"{view.failed} requests failed" if view.failed else "no request failed"
    if view.downtime_service_ms is None:
        return f"The longest time without an answer is unknown; {failed}"
    parts = [f"Clients waited {picture.duration(view.downtime_service_ms)} for an answer"]
    if np.isfinite(during["p99_ms"]):
        parts.append(f"p99 was {picture.duration(float(during['p99_ms']))}")
    return "; ".join([*parts, failed])


def _alt(title: str, view: ServiceView) -> str:
    said = [
        f"{row.part} the call: median {row.p50_ms:.3g} ms, p99 {row.p99_ms:.3g} ms, "
        f"longest {row.max_ms:.3g} ms"
        for row in view.parts.itertuples()
    ]
    text = f"{title}. Points over time, on a logarithmic scale of latency."
    if view.recovery_ms is not None:
        said.append(f"normal again {picture.duration(view.recovery_ms)} after RESUME")
    return " ".join([text, "; ".join(said).replace("nan", "unknown"), *view.notes]).strip()
