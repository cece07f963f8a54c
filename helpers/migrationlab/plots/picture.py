"""Provide the common parts of all figures: style, title, and display in a notebook.

A notebook calls ``_repr_html_``, so IPython is not needed.
"""

from __future__ import annotations

import base64
import functools
import html
import io
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.lines import Line2D
from matplotlib.textpath import TextPath
from PIL import Image

from migrationlab.analysis.timeline import Timeline
from migrationlab.errors import StoreError
from migrationlab.plots import palette
from migrationlab.runs import store
from migrationlab.runs.run import Outcome, Run

Numbers = npt.NDArray[np.float64]

#: The settings of all figures; sizes and colours of single parts are in the modules.
STYLE = Path(__file__).with_name("migrationlab.mplstyle")
WIDTH_INCHES = 10.0
TITLE_POINTS = 16.0
#: A page shows a figure at most 960 CSS pixels wide.
PAGE_DPI = 110
PAGE_COLOURS = 128
#: A title with this number of letters always fits.
SHORT_TITLE_LETTERS = 50
_BOLD = FontProperties(weight="bold")
KINDS = ("png", "svg", "pdf")
MIB = 1024 * 1024
SHORT_RUN_NS = 500_000_000
#: The look of an interval, in plots and legends.
INTERVAL: dict[str, Any] = {"color": palette.INK, "linewidth": 5, "alpha": 0.45}

ACCELERATORS = {"tcg": "emulated (TCG)", "kvm": "KVM"}
OUTCOMES = {
    Outcome.COMPLETED: "Completed",
    Outcome.CANCELLED: "Cancelled",
    Outcome.TIMED_OUT: "Stopped at its deadline",
    Outcome.DIVERGED: "Given up without progress",
    Outcome.INTERRUPTED: "Interrupted in post-copy",
    Outcome.FAILED: "Failed",
    Outcome.GUEST_LOST: "Guest lost",
    Outcome.UNRESOLVED: "Not over",
}


# Matplotlib's settings belong to the process: without a lock, the last of two drawing threads would
# leave its settings behind.
_STYLING = threading.RLock()


@contextmanager
def style() -> Iterator[None]:
    """Use migrationlab's style for figures, inside the context only.

    For your own figures in the same style::

        with mig.plots.style():
            figure, axes = plt.subplots()
            axes.plot(runs.frame()["call_ms"])
    """
    with _STYLING, mpl.rc_context(_style()):
        yield


@functools.cache
def _style() -> mpl.RcParams:
    return mpl.rc_params_from_file(STYLE, use_default_template=False)


@dataclass(frozen=True, eq=False, repr=False)
class Picture:
    """A figure with its message and its description; a notebook shows both.

    ``figure`` is a Matplotlib figure, which you can change or save yourself. ``title`` is its
    message in one sentence; ``alt`` describes it for readers who cannot see it.
    """

    figure: Figure
    title: str
    alt: str

    def __repr__(self) -> str:
        return f"Picture({self.title!r})"

    def _repr_html_(self) -> str:
        return (
            f'<figure style="margin:0"><img src="{self.data_uri()}" '
            f'alt="{html.escape(f"{self.title}. {self.alt}")}" '
            f'style="max-width:100%;width:{WIDTH_INCHES * 80:.0f}px"></figure>'
        )

    def render(self, kind: str) -> bytes:
        """Return the figure as ``png``, ``svg`` or ``pdf``, the same bytes each time."""
        buffer = io.BytesIO()
        dates = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}
        with style():
            if kind == "png":
                # savefig() gives the same bytes, but lays out and draws the figure twice.
                dpi = self.figure.get_dpi()
                self.figure.set_dpi(mpl.rcParams["savefig.dpi"])
                FigureCanvasAgg(self.figure).print_png(buffer)  # type: ignore[no-untyped-call]
                self.figure.set_dpi(dpi)
            else:
                self.figure.savefig(buffer, format=kind, metadata=dates[kind])
        return buffer.getvalue()

    def data_uri(self) -> str:
        """Return the figure for a page: a data URI of a PNG with few colours, a fifth as large."""
        dpi = self.figure.get_dpi()
        try:
            self.figure.set_dpi(PAGE_DPI)
            with style():
                canvas = FigureCanvasAgg(self.figure)
                canvas.draw()  # type: ignore[no-untyped-call]
            pixels = np.asarray(canvas.buffer_rgba())[:, :, :3]  # type: ignore[no-untyped-call]
        finally:
            self.figure.set_dpi(dpi)
        image = Image.fromarray(pixels).quantize(
            PAGE_COLOURS, method=Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE
        )
        # The corner is background, which quantisation makes almost white.
        colours, corner = image.getpalette() or [], image.tobytes()[0]
        colours[3 * corner : 3 * corner + 3] = [255, 255, 255]
        image.putpalette(colours)
        buffer = io.BytesIO()
        image.save(buffer, "png")
        return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"

    def save(self, path: str | Path) -> Path:
        """Write the figure to a file whose name ends in .png, .svg or .pdf."""
        kind = Path(path).suffix.lstrip(".")
        if kind not in KINDS:
            raise StoreError(
                f"path must end in {', '.join('.' + known for known in KINDS)} "
                f"(got {Path(path).name})",
                hint=f"Write {Path(path).with_suffix('.png').name}.",
            )
        return store.write_file(path, self.render(kind))


@contextmanager
def drawing(height_inches: float, title: str, subtitle: str, alt: str) -> Iterator[Picture]:
    """Draw a figure in migrationlab's style; its title is added at the end."""
    with style():
        drawn = Picture(Figure(figsize=(WIDTH_INCHES, height_inches)), title, alt)
        yield drawn
        head(drawn.figure, title, subtitle)


def head(figure: Figure, title: str, subtitle: str) -> None:
    """Write the title above a figure, and below the title, smaller, the source of the data."""
    height = float(figure.get_figheight())
    engine = figure.get_layout_engine()
    assert engine is not None
    engine.set(rect=(0, 0, 1, 1 - 0.76 / height))  # type: ignore[call-arg]
    size = TITLE_POINTS
    if len(title) > SHORT_TITLE_LETTERS:
        # A long title gets a smaller font, so that it fits; hinting adds some percent.
        inches = TextPath((0, 0), title, size=size, prop=_BOLD).get_extents().width / 72
        size *= min(1, 0.94 * float(figure.get_figwidth()) / inches)
    figure.text(0.01, 1 - 0.1 / height, title, va="top", fontsize=size, fontweight="bold")
    figure.text(0.01, 1 - 0.46 / height, subtitle, va="top", fontsize=12, color="#555555")


def describe(run: Run) -> str:
    """Return one line that names the run of a figure."""
    way = f"{run.source['name']} → {run.destination['name']}"
    parts = [str(run.plan.mode), way]
    if "memory_mib" in run.guest:
        parts.append(f"{run.guest['memory_mib']} MiB guest")
    if run.guest.get("dirty_mib_s") is not None:
        parts.append(f"writing {_rate(run.guest['dirty_mib_s'])}")
    return ", ".join([*parts, ACCELERATORS.get(run.accelerator, run.accelerator)])


def _rate(mib_s: float | str) -> str:
    return "as fast as it can" if isinstance(mib_s, str) else f"{mib_s:.0f} MiB/s"


def legend(
    axes: Axes, handles: Sequence[Artist] | None = None, *, columns: int = 3, **options: Any
) -> None:
    """Put the legend above the axes, where it hides no data."""
    if handles is not None:
        options["handles"] = handles
    axes.legend(**{"loc": "lower right", "bbox_to_anchor": (1.0, 1.0), "ncols": columns} | options)


def rows(axes: Axes, labels: Sequence[str]) -> None:
    """Name the rows of a horizontal plot, from the top."""
    axes.set_yticks(range(len(labels)), list(labels))
    axes.set_ylim(len(labels) - 0.45, -0.55)
    axes.tick_params(axis="y", length=0)
    axes.grid(visible=False, axis="y")


def no_data(axes: Axes, words: str, *, keep_x: bool = False) -> None:
    """Write into empty axes why they are empty."""
    axes.text(0.5, 0.5, words, transform=axes.transAxes, ha="center", va="center")
    axes.set_yticks([])
    if not keep_x:
        axes.set_xticks([])


def draw_estimate(
    axes: Axes, place: float, median: float | None, low: float | None, high: float | None
) -> None:
    """Draw a median as an upright line, and its interval as a thick one."""
    if low is not None and high is not None and not pd.isna(low):
        axes.plot([low, high], [place, place], "-", solid_capstyle="butt", **INTERVAL)
    if median is not None and not pd.isna(median):
        axes.vlines(median, place - 0.34, place + 0.34, color=palette.INK, linewidth=2.4)


def estimate_handles(*, interval: bool = True) -> list[Artist]:
    """Return the legend's entries for :func:`draw_estimate`."""
    handles: list[Artist] = [Line2D([], [], color=palette.INK, linewidth=2.4, label="median")]
    if interval:
        handles.append(Line2D([], [], label="its 95 % interval", **INTERVAL))
    return handles


def spread(count: int, half: float) -> Numbers:
    """Return offsets for points of a row: by order, not by chance, so a figure stays the same."""
    return np.linspace(-half, half, count) if count > 1 else np.zeros(count)


def point(colour: str, marker: str, label: str, edge: str | None = None) -> Artist:
    """Return a legend's entry for points; ``edge`` is the colour of their edges."""
    return Line2D(
        [], [], color=colour, marker=marker, linestyle="", label=label, markeredgecolor=edge
    )


def shade_pause(axes: Axes, run: Run, line: Timeline, label: str = "guest is paused") -> None:
    """Shade the time in which the guest was paused."""
    if line.stop_ns is not None:
        end = second(run, line.returned_ns if line.resume_ns is None else line.resume_ns)
        start = second(run, line.stop_ns)
        axes.axvspan(start, end, color=palette.VERMILION, alpha=0.25, linewidth=0, label=label)


def time_axis(axes: Axes, run: Run, label: str = "time since the call") -> None:
    """Label the time axis of a run, which is in seconds; a short run is labelled in ms."""
    short = run.returned_ns - run.called_ns < SHORT_RUN_NS
    if short:
        axes.xaxis.set_major_formatter(lambda seconds, _place: f"{seconds * 1000:g}")
    axes.set_xlabel(f"{label} ({'ms' if short else 's'})")


def around_the_call(axes: Axes, run: Run, time: str, drawn: str) -> None:
    """Mark the call and the pause, and label both axes: ``drawn`` names what is over the time."""
    shade_pause(axes, run, run.timeline())
    axes.axvline(0, color=palette.INK, linewidth=1)
    time_axis(axes, run, time)
    axes.set_ylabel(drawn)


def between(values: Iterable[float], digits: int = 0) -> str:
    """Return the range of values in words, or one number if both ends read the same."""
    ends = list(values)
    low, high = (f"{end:.{digits}f}" for end in (min(ends), max(ends)))
    return low if low == high else f"{low} to {high}"


def duration(ms: float) -> str:
    """Return a duration in seconds or milliseconds."""
    return f"{ms / 1000:.2f} s" if ms >= 1000 else f"{ms:.0f} ms"


def seconds(run: Run, times_ns: pd.Series[int]) -> Numbers:
    """Return moments as seconds since the run's call."""
    found: Numbers = (times_ns.to_numpy(dtype=np.int64) - run.called_ns) / 1e9
    return found


def second(run: Run, time_ns: float) -> float:
    """Return a moment as seconds since the run's call."""
    return (time_ns - run.called_ns) / 1e9
