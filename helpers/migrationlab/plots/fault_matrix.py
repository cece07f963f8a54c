"""Draw a fault matrix: where the guest runs after each fault in each phase, and who saw to it.

Each fault is a row, each phase a column. A word in a cell says where the guest runs in the end, and
two words that the runs of the cell differ. If the two modes differ, the cell has a half for each.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from migrationlab.errors import UsageError
from migrationlab.plots import palette, picture

#: For each way to recover: the mark beside the word, the colour of the cell, and the legend.
WAYS = {
    "libvirt": ("", "#BFE3D6", "libvirt alone, during the fault"),
    "the end of the fault": (" †", "#CDE8F7", "† libvirt, once the fault was over"),
    "recover": (" ‡", "#F6DDA8", "‡ recover"),
    "lost": ("", "#F0B9A0", "memory lost"),
    "nothing": (" ?", palette.GREY, "? not recovered"),
}
MODES = ("normal", "peer2peer")
ROW_INCHES = 0.4
SHORT = {"destination": "dest."}
UNSURE = "unsure"


def fault_matrix(rows: pd.DataFrame) -> picture.Picture:
    """Draw the rows of :func:`migrationlab.load_fault_matrix`.

    Raises:
        UsageError: There are no rows.
    """
    if rows.empty:
        raise UsageError(
            "rows must hold at least one run (got none)",
            hint="Record some: migrationlab faults -o DIR",
        )
    made = rows.assign(fault=_faults(rows), way=[_way(each) for each in rows["recovered_by"]])
    faults, phases = list(dict.fromkeys(made["fault"])), _phases(made)
    lost = int((made["verdict"] == "lost").sum())
    well = int(made["ends_well"].sum())
    title = (
        f"{len(made)} faults in mid-migration: {well - lost} guests run, {lost} lost their memory"
    )
    if well < len(made):
        title += f", {len(made) - well} unresolved"
    subtitle = (
        "Where the guest runs in the end, the most frequent place first; "
        "halves of a cell: normal above, peer2peer below"
    )
    height = 2.4 + ROW_INCHES * len(faults)
    with picture.drawing(height, title, subtitle, _alt(made)) as drawn:
        axes = drawn.figure.subplots()
        for place, fault in enumerate(faults):
            for column, phase in enumerate(phases):
                here = made[(made["fault"] == fault) & (made["phase"] == phase)]
                _draw_cell(axes, column, place, here)
        _label(axes, faults, phases)
        _legend(axes, made)
    return drawn


def _faults(rows: pd.DataFrame) -> list[str]:
    return [
        f"{kind}, {side}" if side else kind
        for kind, side in zip(rows["kind"], rows["side"], strict=True)
    ]


def _phases(rows: pd.DataFrame) -> list[str]:
    """Return the phases in the order of a migration."""
    order = (
        "begin", "prepare", "perform", "switchover", "finish", "confirm",
        "postcopy-before", "postcopy-during", "postcopy-paused",
    )  # fmt: skip
    found = set(rows["phase"])
    return [name for name in order if name in found] + sorted(found - set(order))


def _way(recovered_by: str) -> str:
    return "recover" if recovered_by.startswith("recover") else recovered_by


def _draw_cell(axes: Axes, column: int, place: int, rows: pd.DataFrame) -> None:
    """Draw one cell: whole if both modes ended alike, else in halves."""
    ends = {mode: _ends(rows[rows["mode"] == mode]) for mode in MODES}
    present = [found for found in ends.values() if found]
    if not present:
        axes.text(column, place, "–", ha="center", va="center", color=palette.GREY)
        return
    alike = present.count(present[0]) == len(MODES)
    halves = present[:1] if alike else [ends[mode] for mode in MODES]
    height = 0.92 / len(halves)
    for index, found in enumerate(halves):
        top = place - 0.46 + index * height
        colour = WAYS[found[1]][1] if found else "white"
        axes.add_patch(Rectangle((column - 0.47, top), 0.94, height, color=colour, linewidth=0))
        words = f"{found[0]}{WAYS[found[1]][0]}" if found else "–"
        size = 8 if not alike or "/" in words else 11
        axes.text(column, top + height / 2, words, ha="center", va="center", fontsize=size)


def _ends(rows: pd.DataFrame) -> tuple[str, str] | None:
    """Return where some runs ended, and the most frequent way there; None for no runs."""
    if rows.empty:
        return None
    places = _places(rows)
    if _first(places) == UNSURE:
        return UNSURE, "nothing"
    ways = [way for way, place in zip(rows["way"], places, strict=True) if place == _first(places)]
    return "/".join(place for place, _ in Counter(places).most_common()), _first(ways)


def _places(rows: pd.DataFrame) -> list[str]:
    return [
        "lost" if verdict == "lost" else SHORT.get(where, where) or UNSURE
        for where, verdict in zip(rows["found_at"], rows["verdict"], strict=True)
    ]


def _first(values: Iterable[str]) -> str:
    """Return the most frequent value; of several, the one that came first."""
    return Counter(values).most_common(1)[0][0]


def _label(axes: Axes, faults: Sequence[str], phases: Sequence[str]) -> None:
    picture.rows(axes, faults)
    axes.set_xlim(-0.5, len(phases) - 0.5)
    axes.set_xticks(
        range(len(phases)), [name.replace("postcopy-", "post-copy:\n") for name in phases]
    )
    axes.xaxis.tick_top()
    axes.tick_params(axis="x", length=0, labelsize=10.5)
    axes.grid(visible=False)
    for spine in axes.spines.values():
        spine.set_visible(False)


def _legend(axes: Axes, rows: pd.DataFrame) -> None:
    handles = [
        Rectangle((0, 0), 1, 1, color=colour, label=label)
        for way, (_, colour, label) in WAYS.items()
        if way in set(rows["way"])
    ]
    picture.legend(axes, handles, loc="upper center", bbox_to_anchor=(0.4, -0.01), columns=3)


def _alt(rows: pd.DataFrame) -> str:
    parts = []
    for fault, mine in rows.groupby("fault", sort=False):
        ends = [
            f"{phase}: {' or '.join(place for place, _ in Counter(_places(here)).most_common())}"
            for phase, here in mine.groupby("phase", sort=False)
        ]
        parts.append(f"{fault}: {', '.join(ends)}")
    return f"A table of faults by phase. {'. '.join(parts)}."
