"""Draw what slower probes would have missed of one run's downtime."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
from matplotlib.axes import Axes

from migrationlab.analysis.beats import in_order
from migrationlab.analysis.probes import INTERVALS_MS, lost_questions, probe_reports, questions
from migrationlab.plots import palette, picture
from migrationlab.runs.run import Run

#: How much of the time around the pause is drawn, on either side.
AROUND_NS = 1_100_000_000


def probes(run: Run, intervals_ms: Sequence[int] = INTERVALS_MS) -> picture.Picture:
    """Draw the questions of slower probes around the pause of a run, and what they report.

    The questions are simulated from the guest's beats: see
    :func:`migrationlab.analysis.probes.probe_reports`.
    """
    line = run.timeline()
    beats = run.beats
    start, end = line.silent_from_ns, line.silent_until_ns
    known = start is not None and end is not None and line.network_basis == "beats"
    found = probe_reports(
        beats if known else beats.iloc[:0],
        (start or 0) - AROUND_NS,
        (end or 0) + AROUND_NS,
        intervals_ms,
    )
    title = _title(found, line.downtime_network_ms)
    with picture.drawing(
        2.2 + 0.6 * len(intervals_ms), title, picture.describe(run), _alt(title, found)
    ) as drawn:
        axes = drawn.figure.subplots()
        if start is not None and end is not None and len(found):
            _draw(axes, beats, found, (start, end))
        else:
            picture.no_data(axes, "no silence of the guest's beats was recorded")
    return drawn


def _draw(axes: Axes, beats: pd.DataFrame, found: pd.DataFrame, silence: tuple[int, int]) -> None:
    start, end = silence
    arrivals, _ = in_order(beats)
    axes.axvspan(
        0, (end - start) / 1e6, color=palette.VERMILION, alpha=0.2, linewidth=0, label="silence"
    )
    for row, each in enumerate(found.itertuples()):
        window = (start - AROUND_NS, end + AROUND_NS, int(each.interval_ms))
        lost = lost_questions(arrivals, *window)
        for times, colour, marker, label in (
            (questions(*window), palette.BLUE, "|", "question"),
            (lost, palette.VERMILION, "x", "lost"),
        ):
            axes.plot(
                (times - start) / 1e6, [row] * len(times), marker, color=colour, markersize=11,
                mew=1.8, linestyle="", label=label if row == len(found) - 1 else "_",
            )  # fmt: skip
    names = [f"every {row.interval_ms:,} ms\nreports {_reports(row)}" for row in found.itertuples()]
    picture.rows(axes, names)
    axes.set_xlabel("time since the last beat before the pause (ms)")
    picture.legend(axes)


def _reports(row: object) -> str:
    least, most = int(row.least_ms), int(row.most_ms)  # type: ignore[attr-defined]
    return f"{least:,} ms" if least == most else f"{least:,} to {most:,} ms"


def _title(found: pd.DataFrame, silence_ms: float | None) -> str:
    if not len(found) or silence_ms is None:
        return "What slower probes would report is unknown: no beats show a silence"
    slowest = next(found.itertuples())
    return (
        f"Of {silence_ms:.0f} ms without a packet, a probe every {slowest.interval_ms:,} ms "
        f"reports {_reports(slowest)}"
    )


def _alt(title: str, found: pd.DataFrame) -> str:
    rows = "; ".join(
        f"every {row.interval_ms:,} ms it reports {_reports(row)}, and notices nothing with "
        f"{row.unnoticed_percent:.0f} % of its possible starts"
        for row in found.itertuples()
    )
    return f"{title}. A row of questions for each probe, the lost ones crossed. {rows}".strip()
