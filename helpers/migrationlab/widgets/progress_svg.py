"""The course of a migration under way, as two curves and in words: memory left, and throughput.

Pure: what ``Migration.progress()`` told in, HTML with an SVG out; no Matplotlib, which would take
a tenth of a second of processor time for each redraw. Imports neither libvirt nor IPython nor
ipywidgets.
"""

from __future__ import annotations

import html
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

MIB = 2**20
#: More points than this are thinned out: the curves are some 500 pixels wide.
MOST_POINTS = 200
#: Okabe and Ito's blue and green, darkened to be read on white, as thin lines and as text.
BLUE, GREEN, INK, FAINT = "#0072B2", "#00694D", "#222222", "#DDDDDD"
WIDTH, HEIGHT = 600, 240
_X, _RIGHT = 62, 588


class ProgressLike(Protocol):
    """What is used of ``migrationlab.Progress``."""

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


@dataclass(frozen=True, slots=True)
class Point:
    """How far a migration was at one moment."""

    seconds: float
    left_mib: float
    rate_mib_s: float | None
    postcopy: bool


class _Curve(NamedTuple):
    box: tuple[int, int]
    colour: str
    name: str


_LEFT = _Curve((28, 106), BLUE, "memory left to send")
_RATE = _Curve((146, 212), GREEN, "throughput")


def point(progress: ProgressLike) -> Point | None:
    """Give the point of the curves that a progress makes; None before the first sample."""
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
    """Say how far a migration is."""
    seconds = f"{progress.elapsed_ms / 1000:.1f} s"
    now = point(progress)
    if now is None:
        return f"{progress.state}, {seconds}"
    how = "post-copy" if now.postcopy else f"pass {progress.iteration or 0}"
    return f"{how}, {now.left_mib:.0f} MiB to go, {_rate(now)}, {seconds}"


def draw_curves(points: Sequence[Point]) -> str:
    """Draw the memory left to send and, below it, the throughput; nothing without points."""
    if not points:
        return ""
    last = points[-1]
    thinned = _thinned(points)
    span = max(last.seconds, 1.0)
    left = [(one.seconds, one.left_mib) for one in thinned]
    rate = [(one.seconds, one.rate_mib_s) for one in thinned if one.rate_mib_s is not None]
    switched = next((one.seconds for one in points if one.postcopy), None)
    title = "Memory left to send, and throughput, over time"
    said = f"After {last.seconds:.1f} s {last.left_mib:.0f} MiB are left to send, {_rate(last)}."
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        f'aria-label="{html.escape(f"{title}. {said}")}" font-family="sans-serif" font-size="13" '
        f'style="width:100%;max-width:{WIDTH}px;height:auto">'
    )
    parts = [
        head,
        f'<rect width="{WIDTH}" height="{HEIGHT}" rx="8" fill="white"/>',
        *_plot(left, span, _LEFT, f"{last.left_mib:.0f} MiB"),
        *_plot(rate, span, _RATE, _rate(last)),
        _text(_X, HEIGHT - 10, "0 s", anchor="middle"),
        _text(_RIGHT, HEIGHT - 10, f"{span:.1f} s since the call", anchor="end"),
    ]
    if switched is not None:
        x, top = _across(switched, span), _LEFT.box[0]
        beside, anchor = (x - 5, "end") if x > WIDTH / 2 else (x + 5, "start")
        parts.append(
            f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{top}" y2="{_RATE.box[1]}" '
            f'stroke="{INK}" stroke-dasharray="2 3"/>'
        )
        parts.append(_text(beside, top + 14, "post-copy", anchor=anchor))
    return "".join([*parts, "</svg>"])


def _thinned(points: Sequence[Point]) -> Sequence[Point]:
    step = -(-len(points) // MOST_POINTS)
    # Counted from the end, so that the last one is always there.
    return points[::-1][::step][::-1]


def _rate(now: Point) -> str:
    return "rate not known yet" if now.rate_mib_s is None else f"{now.rate_mib_s:.0f} MiB/s"


def _plot(
    values: Sequence[tuple[float, float]], span: float, curve: _Curve, last: str
) -> Iterator[str]:
    top, bottom = curve.box
    highest = _round_up(max((value for _, value in values), default=1))
    places = [
        (_across(seconds, span), bottom - value / highest * (bottom - top))
        for seconds, value in values
    ]
    for at in curve.box:
        yield f'<line x1="{_X}" x2="{_RIGHT}" y1="{at}" y2="{at}" stroke="{FAINT}"/>'
    yield _text(_X, top - 9, f"{curve.name}: {last}", fill=curve.colour, weight="bold")
    yield _text(_X - 8, top + 5, f"{highest:g}", anchor="end")
    yield _text(_X - 8, bottom + 4, "0", anchor="end")
    line = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
    yield f'<polyline points="{line}" fill="none" stroke="{curve.colour}" stroke-width="2.5"/>'
    for x, y in places[-1:]:
        yield f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4.5" fill="{curve.colour}"/>'


def _across(seconds: float, span: float) -> float:
    return _X + seconds / span * (_RIGHT - _X)


def _round_up(value: float) -> float:
    """Give the end of an axis: a short number, at least 1, little above the value."""
    if value <= 1:
        return 1
    power = 10.0 ** math.floor(math.log10(value))
    return next(step * power for step in (1, 1.5, 2, 3, 4, 5, 6, 8, 10) if step * power >= value)


def _text(
    x: float, y: float, text: str, *, fill: str = INK, anchor: str = "start", weight: str = "normal"
) -> str:
    return (
        f'<text x="{x:.1f}" y="{y}" fill="{fill}" text-anchor="{anchor}" '
        f'font-weight="{weight}">{html.escape(text)}</text>'
    )
