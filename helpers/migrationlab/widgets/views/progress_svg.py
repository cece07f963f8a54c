"""Draw the progress of a migration as two curves, memory left and throughput, and say it in words.

The curves are SVG: Matplotlib would take a tenth of a second of processor time for each redraw.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from migrationlab.forecast.running import RunningForecast
from migrationlab.widgets.views.template import fill

MIB = 2**20
#: More points than this are thinned out: the curves are some 500 pixels wide.
MAX_POINTS = 200
#: Okabe and Ito's blue and green, darkened: they are read on white, as thin lines and as text.
BLUE, GREEN = "#0072B2", "#00694D"
WIDTH, HEIGHT = 600, 240
_LEFT, _RIGHT = 62, 588
#: The upper and the lower end of each curve.
_MEMORY, _THROUGHPUT = (28, 106), (146, 212)


class ProgressLike(Protocol):
    """The used part of ``migrationlab.Progress``."""

    @property
    def state(self) -> str: ...  # noqa: D102 - as Progress has it, here and below
    @property
    def elapsed_ms(self) -> int: ...  # noqa: D102
    @property
    def iteration(self) -> int | None: ...  # noqa: D102
    @property
    def memory_remaining_bytes(self) -> int | None: ...  # noqa: D102
    @property
    def throughput_bytes_per_s(self) -> int | None: ...  # noqa: D102
    @property
    def forecast(self) -> RunningForecast | None: ...  # noqa: D102


@dataclass(frozen=True, slots=True)
class Point:
    """The progress of a migration at one moment."""

    seconds: float
    left_mib: float
    rate_mib_s: float | None
    postcopy: bool

    @property
    def rate(self) -> str:
        """Return the throughput in words."""
        return "rate unknown" if self.rate_mib_s is None else f"{self.rate_mib_s:.0f} MiB/s"


def point(progress: ProgressLike) -> Point | None:
    """Return the point of the curves for a progress; None before the first sample."""
    left, rate = progress.memory_remaining_bytes, progress.throughput_bytes_per_s
    if left is None:
        return None
    return Point(
        seconds=progress.elapsed_ms / 1000,
        left_mib=left / MIB,
        rate_mib_s=None if rate is None else rate / MIB,
        postcopy=progress.state == "post-copy",
    )


def words(progress: ProgressLike) -> str:
    """Return the progress of a migration, in words."""
    seconds = f"{progress.elapsed_ms / 1000:.1f} s"
    now = point(progress)
    if now is None:
        return f"{progress.state}, {seconds}"
    phase = "post-copy" if now.postcopy else f"iteration {progress.iteration or 0}"
    told = progress.forecast
    ahead = "" if told is None or told.ends is None else f", {told}"
    return f"{phase}, {now.left_mib:.0f} MiB to go, {now.rate}, {seconds}{ahead}"


def draw_curves(points: Sequence[Point]) -> str:
    """Return an SVG of the memory left to send and, below it, the throughput; "" without points."""
    if not points:
        return ""
    last = points[-1]
    step = -(-len(points) // MAX_POINTS)
    shown = points[::-1][::step][::-1]  # counted from the end, which keeps the last one
    span = max(last.seconds, 1.0)
    memory = [(one.seconds, one.left_mib) for one in shown]
    rates = [(one.seconds, one.rate_mib_s) for one in shown if one.rate_mib_s is not None]
    switched = next((one.seconds for one in points if one.postcopy), None)
    return fill(
        "progress.svg",
        width=WIDTH,
        height=HEIGHT,
        left=_LEFT,
        right=_RIGHT,
        top=_MEMORY[0],
        bottom=_THROUGHPUT[1],
        label="Memory left to send, and throughput, over time. "
        f"After {last.seconds:.1f} s {last.left_mib:.0f} MiB are left to send, {last.rate}.",
        span=span,
        curves=[
            _curve(memory, span, _MEMORY, BLUE, f"memory left to send: {last.left_mib:.0f} MiB"),
            _curve(rates, span, _THROUGHPUT, GREEN, f"throughput: {last.rate}"),
        ],
        switch_x=None if switched is None else _x(switched, span),
    )


def _curve(
    values: Sequence[tuple[float, float]],
    span: float,
    box: tuple[int, int],
    colour: str,
    title: str,
) -> dict[str, object]:
    """Return the template's values for a curve."""
    top, bottom = box
    highest = _round_up(max((value for _, value in values), default=1))
    places = [
        f"{_x(seconds, span):.1f},{bottom - value / highest * (bottom - top):.1f}"
        for seconds, value in values
    ]
    return {
        "top": top,
        "bottom": bottom,
        "colour": colour,
        "title": title,
        "highest": f"{highest:g}",
        "points": " ".join(places),
        "end": places[-1].split(",") if places else None,
    }


def _x(seconds: float, span: float) -> float:
    return _LEFT + seconds / span * (_RIGHT - _LEFT)


def _round_up(value: float) -> float:
    """Return the end of an axis: a short number, at least 1, a little above the value."""
    if value <= 1:
        return 1
    power = 10.0 ** math.floor(math.log10(value))
    return next(step * power for step in (1, 1.5, 2, 3, 4, 5, 6, 8, 10) if step * power >= value)
