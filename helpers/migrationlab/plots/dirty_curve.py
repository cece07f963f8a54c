"""Draw a dirty curve: how many different pages a guest writes within a time."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes

from migrationlab.errors import UsageError
from migrationlab.forecast.curve import MIB, DirtyCurve
from migrationlab.plots import palette, picture

#: The line has so many points.
POINTS = 200
#: And goes so far beyond the last measured time.
BEYOND = 1.25


def dirty_curve(curve: DirtyCurve, *, link_mib_s: float | None = None) -> picture.Picture:
    """Draw a dirty curve, its measured points, and what a link sends in the same time.

    Where the line of the link is below the curve, an iteration of that length leaves more than it
    sent.

    Args:
        curve: The curve.
        link_mib_s: The memory that the link carries in a second; None draws no link.

    Raises:
        UsageError: The link carries nothing.
    """
    if link_mib_s is not None and not 0 < link_mib_s < float("inf"):
        raise UsageError(
            f"link_mib_s must be more than 0 (got {link_mib_s})",
            hint="Give the memory that the link carries in a second, such as link_mib_s=57.",
        )
    last_s, most = curve.period_ms[-1] / 1000, curve.working_set_mib()
    title = f"Within {last_s:.3g} s the guest writes {most:.0f} MiB of different pages"
    subtitle = (
        f"{len(curve.period_ms)} measured points; a page counts once, however often it is written"
    )
    with picture.drawing(4.2, title, subtitle, f"{title}. {subtitle}.") as drawn:
        _draw(drawn.figure.subplots(), curve, link_mib_s)
    return drawn


def _draw(axes: Axes, curve: DirtyCurve, link_mib_s: float | None) -> None:
    written, size = curve.written(), curve.page_bytes / MIB
    seconds = np.linspace(0, BEYOND * curve.period_ms[-1] / 1000, POINTS)
    pages = np.array([written(time) for time in seconds])
    axes.plot(seconds, pages * size, "-", color=palette.BLUE, linewidth=2.2, label="written")
    axes.plot(
        written.seconds[1:], np.array(written.pages[1:]) * size, "o", color=palette.BLUE,
        markersize=6, label="measured",
    )  # fmt: skip
    top = float(pages.max() * size) or 1.0
    if link_mib_s is not None:
        axes.plot(
            seconds, seconds * link_mib_s, "--", color=palette.VERMILION, linewidth=1.8,
            label=f"sent at {link_mib_s:.0f} MiB/s",
        )  # fmt: skip
        top = max(top, min(link_mib_s * float(seconds[-1]), 2 * top))
    axes.set_xlim(0, seconds[-1])
    axes.set_ylim(0, 1.05 * top)
    axes.set_xlabel("time (s)")
    axes.set_ylabel("different pages (MiB)")
    axes.legend(loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=3, columnspacing=1.0)
