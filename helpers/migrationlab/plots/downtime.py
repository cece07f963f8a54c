"""Draw the downtimes of many runs, by kind and mode: each value a point, with medians.

The bar of a point is its measurement error. Runs of several settings have a median for each
setting, because a median over different settings means nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from migrationlab.experiment.grouping import settings_of
from migrationlab.plots import palette, picture
from migrationlab.runs.run import Run, Runs

MODE_MARKS = {"normal": (palette.BLUE, "o"), "peer2peer": (palette.VERMILION, "s")}
KINDS = {
    "requested": "requested\n(the limit)",
    "reported": "reported\n(libvirt)",
    "event": "event\n(QEMU's STOP to RESUME)",
    "network": "network\n(gap in the beats)",
}

#: What a title says of a kind of downtime; the first kind that is known is taken.
CLAIMS = {
    "event": "The guest was paused for",
    "reported": "The reported downtime was",
    "network": "The network downtime was",
}


def downtime(runs: Iterable[Run]) -> picture.Picture:
    """Draw every completed run's downtimes by kind and mode, with their medians.

    The bar of a point is its measurement error, if that is known.
    """
    known = Runs(runs)
    table = known.downtimes()
    # A fact in which only runs without a downtime differ does not separate the others.
    measured = frozenset(table["run_id"])
    settings = settings_of(run for run in known if run.run_id in measured)
    table["setting"] = [settings[name] for name in table["run_id"]]
    table = table.sort_values("setting", kind="stable")
    modes = [mode for mode in MODE_MARKS if (table["mode"] == mode).any()]
    title = _title(table, modes)
    bars = "; its bar is the measurement error" if table["low_ms"].notna().any() else ""
    subtitle = f"each point is a completed run{bars}"
    with picture.drawing(5.2, title, subtitle, _alt(title, table, modes)) as drawn:
        axes = drawn.figure.subplots()
        for index, mode in enumerate(modes):
            offset = (index - (len(modes) - 1) / 2) * 0.4
            _draw_mode(axes, table[table["mode"] == mode], mode, offset)
        axes.set_xticks(range(len(KINDS)), list(KINDS.values()))
        axes.set_xlim(-0.5, len(KINDS) - 0.5)
        # Room for the medians' numbers above the points.
        axes.set_ylim(0, table[["downtime_ms", "high_ms"]].max().max() * 1.12 if len(table) else 1)
        axes.grid(visible=False, axis="x")
        axes.set_ylabel("downtime (ms)")
        if modes:
            if not _alone(table):
                several = any(_settings(table, mode) > 1 for mode in modes)
                label = "median of a setting" if several else "median"
                axes.plot([], color=palette.INK, linewidth=2.2, label=label)
            picture.legend(axes)
    return drawn


def _draw_mode(axes: Axes, table: pd.DataFrame, mode: str, offset: float) -> None:
    colour, marker = MODE_MARKS[mode]
    label = f"{mode} (n = {table['run_id'].nunique()})"
    for index, kind in enumerate(KINDS):
        mine = table[table["kind"] == kind]
        values = mine["downtime_ms"].to_numpy(dtype=np.float64)
        if not len(values):
            continue
        centre = index + offset
        places = centre + picture.spread(len(values), 0.1)
        bounds = mine[["low_ms", "high_ms"]].to_numpy(dtype=np.float64)
        axes.vlines(places, bounds[:, 0], bounds[:, 1], color=palette.INK, linewidth=1.3, zorder=3)
        axes.plot(
            places, values, marker, color=colour, alpha=0.75, markersize=7, mew=0, label=label
        )
        label = "_"  # one entry a mode
        medians = mine.groupby("setting")["downtime_ms"].median().astype("float64")
        for setting, median in medians.items():
            own = places[(mine["setting"] == setting).to_numpy()]
            if len(values) > 1:
                axes.hlines(median, own[0] - 0.06, own[-1] + 0.06, color=palette.INK, linewidth=2.2)
        axes.annotate(
            picture.between(medians),
            (centre, np.nanmax([values.max(), *bounds[:, 1]])),
            xytext=(0, 9), textcoords="offset points", ha="center", color=colour,
            fontweight="bold",
        )  # fmt: skip


def _alone(table: pd.DataFrame) -> bool:
    return len(set(table["run_id"])) == 1


def _settings(table: pd.DataFrame, mode: str) -> int:
    return int(table.loc[table["mode"] == mode, "setting"].nunique())


def _medians(table: pd.DataFrame, mode: str, kind: str) -> pd.Series:
    """Return the median of each setting."""
    mine = table[(table["mode"] == mode) & (table["kind"] == kind)]
    return mine.groupby("setting")["downtime_ms"].median().astype("float64")


def _title(table: pd.DataFrame, modes: Sequence[str]) -> str:
    # One kind for all modes: two kinds are not compared.
    for kind, claim in CLAIMS.items():
        found = [(mode, _medians(table, mode, kind)) for mode in modes]
        if found and all(len(medians) for _, medians in found):
            parts = (f"{picture.between(medians)} ms in {mode}" for mode, medians in found)
            return f"{claim} {' and '.join(parts)} mode ({_of_what(table, modes)})"
    if modes:
        return "No kind of downtime was measured in every mode"
    return "No run completed, so there is no downtime to compare"


def _of_what(table: pd.DataFrame, modes: Sequence[str]) -> str:
    if _alone(table):
        return "one run"
    most = max(_settings(table, mode) for mode in modes)
    return "median" if most == 1 else f"medians of {table['setting'].nunique()} settings"


def _alt(title: str, table: pd.DataFrame, modes: Sequence[str]) -> str:
    text = f"{title}. Points by kind of downtime and by mode."
    for mode in modes:
        medians = (
            f"{kind} {picture.between(found)} ms"
            for kind in KINDS
            if len(found := _medians(table, mode, kind))
        )
        count = _settings(table, mode)
        each = f" of each of {count} settings" if count > 1 else ""
        what = "Numbers" if _alone(table) else "Medians"
        text += f" {what}{each} in {mode}: {', '.join(medians)}."
    return text
