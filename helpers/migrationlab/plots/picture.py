"""What all figures share: their look, their head, and the thing that a notebook shows.

The colours are Okabe and Ito's, which stay apart for colour-blind eyes. Imports no pyplot and no
IPython: a notebook finds ``_repr_html_`` by itself.
"""

from __future__ import annotations

import base64
import functools
import html
import io
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.textpath import TextPath
from PIL import Image

from migrationlab.errors import StoreError
from migrationlab.runs import store
from migrationlab.runs.run import Outcome, Run

BLUE, ORANGE, SKY, GREEN = "#0072B2", "#E69F00", "#56B4E9", "#009E73"
VERMILION, PURPLE, YELLOW, GREY, INK = "#D55E00", "#CC79A7", "#F0E442", "#999999", "#222222"

#: All that is set once for all figures; sizes and colours of single parts are named here.
STYLE = Path(__file__).with_name("migrationlab.mplstyle")
WIDTH_INCHES = 10.0
TITLE_POINTS = 16.0
#: A page shows a figure at most 960 CSS pixels wide.
PAGE_DPI = 110
PAGE_COLOURS = 128
#: So few letters fit whatever they are.
SHORT_TITLE_LETTERS = 50
_BOLD = FontProperties(weight="bold")
KINDS = ("png", "svg", "pdf")
MIB = 1024 * 1024
SHORT_RUN_NS = 500_000_000

ACCELERATORS = {"tcg": "emulated (TCG)", "kvm": "KVM"}
OUTCOMES = {
    Outcome.COMPLETED: "Completed",
    Outcome.CANCELLED: "Cancelled",
    Outcome.TIMED_OUT: "Stopped at its deadline",
    Outcome.DIVERGED: "Given up as it got nowhere",
    Outcome.INTERRUPTED: "Interrupted in post-copy",
    Outcome.FAILED: "Failed",
}


# Matplotlib's settings are the process's own: of two threads that draw, the one that ends last
# would leave its look behind for good.
_STYLING = threading.RLock()


@contextmanager
def style() -> Iterator[None]:
    """Give all figures one look, while the context lasts and for them alone.

    For figures of your own, so that they look as the kit's do::

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
    """A figure with its message and its description; a notebook shows it with both.

    Attributes:
        figure: Matplotlib's figure, to be changed or saved by its own means.
        title: What the figure says, in one sentence.
        alt: What is to be seen in it, for who cannot see it.
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
        """Give the figure as ``png``, ``svg`` or ``pdf``, the same bytes each time."""
        buffer = io.BytesIO()
        dates = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}
        with style():
            self.figure.savefig(buffer, format=kind, metadata=dates.get(kind))
        return buffer.getvalue()

    def data_uri(self) -> str:
        """Return the figure for a page: a data URI of a PNG with few colours, a fifth as large."""
        # As savefig does it, but drawn once: savefig draws once more to lay out the figure.
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
        # The corner is background, which the palette has as nearly white.
        palette, corner = image.getpalette() or [], image.tobytes()[0]
        palette[3 * corner : 3 * corner + 3] = [255, 255, 255]
        image.putpalette(palette)
        buffer = io.BytesIO()
        image.save(buffer, "png")
        return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"

    def save(self, path: str | Path) -> Path:
        """Write the figure to a file whose name ends in .png, .svg or .pdf.

        Raises:
            StoreError: The name ends otherwise, or the disk refused.
        """
        kind = Path(path).suffix.lstrip(".")
        if kind not in KINDS:
            raise StoreError(
                f"a figure cannot be saved as {Path(path).name}",
                hint=f"Let the name end in {', '.join('.' + known for known in KINDS)}.",
            )
        return store.write_file(path, self.render(kind))


def head(figure: Figure, title: str, subtitle: str) -> None:
    """Write the message over a figure, and below it, smaller, what it is drawn from."""
    height = float(figure.get_figheight())
    engine = figure.get_layout_engine()
    assert engine is not None
    engine.set(rect=(0, 0, 1, 1 - 0.76 / height))  # type: ignore[call-arg]
    size = TITLE_POINTS
    if len(title) > SHORT_TITLE_LETTERS:
        # A long title is written smaller rather than beyond the edge; hinting adds some percent.
        inches = TextPath((0, 0), title, size=size, prop=_BOLD).get_extents().width / 72
        size *= min(1, 0.94 * float(figure.get_figwidth()) / inches)
    figure.text(0.01, 1 - 0.1 / height, title, va="top", fontsize=size, fontweight="bold")
    figure.text(0.01, 1 - 0.46 / height, subtitle, va="top", fontsize=12, color="#555555")


def describe(run: Run) -> str:
    """Say in one line what a figure of this run is drawn from."""
    way = f"{run.source['name']} → {run.destination['name']}"
    parts = [str(run.plan.mode), way]
    if "memory_mib" in run.guest:
        parts.append(f"{run.guest['memory_mib']} MiB guest")
    if run.guest.get("dirty_mib_s") is not None:
        parts.append(f"writing {_rate(run.guest['dirty_mib_s'])}")
    return ", ".join([*parts, ACCELERATORS.get(run.accelerator, run.accelerator)])


def _rate(mib_s: float | str) -> str:
    return "as fast as it can" if isinstance(mib_s, str) else f"{mib_s:.0f} MiB/s"


def legend(axes: Axes) -> None:
    """Put the legend above the axes, where it hides no data."""
    axes.legend(loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=3)


def time_axis(axes: Axes, run: Run, label: str = "time since the call") -> None:
    """Name the axis of a run's time, which is drawn in seconds; a short run reads in ms."""
    short = run.returned_ns - run.called_ns < SHORT_RUN_NS
    if short:
        axes.xaxis.set_major_formatter(lambda seconds, _place: f"{seconds * 1000:g}")
    axes.set_xlabel(f"{label} ({'ms' if short else 's'})")


def duration(ms: float) -> str:
    """Write a duration in the unit that suits it."""
    return f"{ms / 1000:.2f} s" if ms >= 1000 else f"{ms:.0f} ms"


def second(run: Run, time_ns: float) -> float:
    """Give a moment as seconds since the run's call."""
    return (time_ns - run.called_ns) / 1e9
