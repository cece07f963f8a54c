"""The live curves: from what a migration tells to a drawing and words, without one."""

from __future__ import annotations

import math
import re
import xml.etree.ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from migrationlab.forecast.result import Interval
from migrationlab.forecast.running import RunningForecast
from migrationlab.migrate.migration import Progress
from migrationlab.widgets.views.progress_svg import (
    MAX_POINTS,
    WIDTH,
    Point,
    draw_curves,
    point,
    words,
)

MIB = 2**20
SVG = "{http://www.w3.org/2000/svg}"
AMOUNTS = st.floats(min_value=0, max_value=2**44)
POINTS = st.builds(Point, AMOUNTS, AMOUNTS, st.none() | AMOUNTS, st.booleans())


def places(svg: str) -> list[list[tuple[float, float]]]:
    """Return the points of each drawn line."""
    lines = ET.fromstring(svg).findall(f"{SVG}polyline")
    return [
        [(float(x), float(y)) for x, y in re.findall(r"([\d.]+),([\d.]+)", line.get("points", ""))]
        for line in lines
    ]


def test_point_has_the_numbers_of_the_progress() -> None:
    """Bytes become MiB; before the first sample there is no point; an unknown rate is not 0."""
    assert point(Progress("starting", 20)) is None
    told = Progress("post-copy", 2500, iteration=2, memory_remaining_bytes=3 * MIB)
    assert point(told) == Point(2.5, 3.0, None, postcopy=True)
    assert words(told) == "post-copy, 3 MiB to go, rate unknown, 2.5 s"
    assert words(Progress("starting", 20)) == "starting, 0.0 s"


def test_forecast_is_in_the_words_once_it_is_known() -> None:
    """Whether it ends is said only if the iterations show it."""
    known = {"iteration": 3, "memory_remaining_bytes": 3 * MIB}
    left = Interval(1.0, 2.0, 3.0)
    for ends, said in ((None, ""), (False, ", does not end like this"), (True, ", about 2 s left")):
        told = RunningForecast(ends=ends, left_s=left, downtime_ms=left, reason="", changes=())
        progress = Progress("running", 2500, forecast=told, **known)
        assert words(progress) == f"iteration 3, 3 MiB to go, rate unknown, 2.5 s{said}"


def test_last_values_are_in_text_and_image_name() -> None:
    """Readers who cannot see the curves get the newest values with their units."""
    svg = draw_curves([Point(0.5, 200, 90, postcopy=False), Point(1.5, 60, 80, postcopy=False)])
    root = ET.fromstring(svg)
    assert root.get("role") == "img"
    label = root.get("aria-label") or ""
    assert "After 1.5 s 60 MiB are left to send, 80 MiB/s" in label
    shown = [text.text for text in root.findall(f"{SVG}text")]
    assert "memory left to send: 60 MiB" in shown
    assert "throughput: 80 MiB/s" in shown
    assert "post-copy" not in shown


def test_curves_have_the_usual_directions() -> None:
    """Later points are further right, and larger values are higher."""
    left, rate = places(
        draw_curves([Point(1, 200, 10, postcopy=False), Point(4, 50, 90, postcopy=False)])
    )
    assert left[0][0] < left[1][0]
    assert left[0][1] < left[1][1]  # SVG counts downwards
    assert rate[0][1] > rate[1][1]


def test_switch_to_postcopy_is_marked() -> None:
    """A named line marks the first moment of post-copy."""
    svg = draw_curves([Point(s, 100 - s, 50, postcopy=s >= 6) for s in range(1, 11)])
    assert ">post-copy</text>" in svg
    (mark,) = [
        line for line in ET.fromstring(svg).findall(f"{SVG}line") if line.get("stroke-dasharray")
    ]
    left, _ = places(svg)
    assert float(mark.get("x1", "nan")) == pytest.approx(left[5][0])


def test_number_of_drawn_points_is_limited() -> None:
    """A long migration has a limited number of drawn points, with the newest one."""
    points = [Point(n / 10, n % 97, n % 13, postcopy=False) for n in range(5000)]
    left, rate = places(draw_curves(points))
    assert len(left) == len(rate) <= MAX_POINTS
    (newest, _) = places(draw_curves(points[-1:]))
    assert left[-1][0] == newest[-1][0] == max(x for x, _ in left)


@given(points=st.lists(POINTS, max_size=30))
def test_any_progress_is_drawn_within_the_image(points: list[Point]) -> None:
    """No progress of a migration raises an error or draws outside the image."""
    svg = draw_curves(sorted(points, key=lambda one: one.seconds))
    if not points:
        assert svg == ""
        return
    for line in places(svg):
        assert all(math.isfinite(x + y) and 0 <= x <= WIDTH for x, y in line)
