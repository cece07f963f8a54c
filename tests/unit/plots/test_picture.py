"""The style of all figures, and of a learner's own figures."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import matplotlib as mpl
import pytest
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from migrationlab import plots
from migrationlab.plots.picture import STYLE, WIDTH_INCHES, head, style, time_axis
from migrationlab.runs.run import Run


def grey(colour: str) -> float:
    """Return the lightness of a colour in greyscale, weighted by ITU-R BT.601."""
    red, green, blue = to_rgb(colour)
    return 0.299 * red + 0.587 * green + 0.114 * blue


def test_style_holds_only_inside_its_context() -> None:
    """The style holds inside the context, and the settings outside stay as they were."""
    before = dict(mpl.rcParams)
    with plots.style():
        assert mpl.rcParams["font.size"] >= 12
        assert next(iter(mpl.rcParams["figure.figsize"])) == WIDTH_INCHES
    assert dict(mpl.rcParams) == before


def test_style_file_equals_the_style() -> None:
    """The style file alone gives the same settings as style()."""
    alone = mpl.rc_params_from_file(STYLE, use_default_template=False)
    with plots.style():
        assert {name: mpl.rcParams[name] for name in alone} == dict(alone)


def test_name_in_a_figure_is_no_formula() -> None:
    """A name with dollar signs is drawn as it is, and is no error of mathtext."""
    with style():
        figure = Figure()
        label = figure.text(0, 0, r"$\nonsense{$")
        figure.canvas.draw()
    assert not label.get_parse_math()


def test_lines_differ_without_colours() -> None:
    """No two neighbours of the cycle have the same dash; no colour is too light for paper."""
    with style():
        each = list(mpl.rcParams["axes.prop_cycle"])
    for one, other in itertools.pairwise(each):
        assert one["linestyle"] != other["linestyle"]
        assert one["color"] != other["color"]
    assert all(grey(one["color"]) < 0.75 for one in each)


@pytest.mark.parametrize("length", [10, 70, 90, 120])
def test_title_stays_within_the_figure(length: int) -> None:
    """The end of a title of any length is inside the figure."""
    with style():
        figure = Figure(figsize=(WIDTH_INCHES, 4))
        figure.subplots()
        title = ("The guest was paused for 330 ms of a 2.70 s migration, more or less; " * 3)[
            :length
        ]
        head(figure, title, "beneath")
        figure.canvas.draw()
        (shown, _) = figure.texts
        box = shown.get_window_extent()
    assert box.x1 <= figure.bbox.x1


@pytest.mark.parametrize(("call_ms", "unit"), [(18, "(ms)"), (2500, "(s)")])
def test_time_axis_has_a_readable_unit(
    recording: type, call_ms: int, unit: str, make_run: Callable[..., Run]
) -> None:
    """A run of a few milliseconds has an axis in milliseconds."""
    run = make_run()
    short = recording().build(returned_ns=run.called_ns + call_ms * 1_000_000)
    figure = Figure()
    axes = figure.subplots()
    axes.set_xlim(0, call_ms / 1000)
    time_axis(axes, short)
    figure.canvas.draw()
    assert axes.get_xlabel().endswith(unit)
    last = axes.get_xticklabels()[-1].get_text()
    assert 0.2 < float(last) / (call_ms if unit == "(ms)" else call_ms / 1000) < 2
