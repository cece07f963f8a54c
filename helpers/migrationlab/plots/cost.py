"""What migrations cost: processor time by who used it, and bytes on the wire by their purpose."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from migrationlab.analysis.cost import Cost
from migrationlab.experiment.grouping import settings_of
from migrationlab.plots.picture import (
    BLUE,
    GREEN,
    GREY,
    INK,
    MIB,
    ORANGE,
    OUTCOMES,
    PURPLE,
    SKY,
    VERMILION,
    WIDTH_INCHES,
    YELLOW,
    Picture,
    head,
    style,
)
from migrationlab.runs.run import Outcome, Run, Runs

PALE = "#DDDDDD"
#: What a bar of processor time is made of, from left to right.
USERS = {
    "vCPU": ("QEMU: the guest's vCPUs", GREY),
    "usual": ("QEMU: else, as usual", PALE),
    "unusual": ("QEMU: else, more than usual", ORANGE),
    "migration": ("QEMU: migration threads", BLUE),
    "multifd": ("QEMU: multifd threads", SKY),
    "whole": ("QEMU as a whole", PURPLE),
    "libvirtd": ("libvirtd", VERMILION),
}
PURPOSES = {
    "memory": ("memory", BLUE),
    "storage": ("disks", GREEN),
    "control": ("control", VERMILION),
    "other": ("other", PURPLE),
    "headers": ("headers, and what was resent", YELLOW),
}
SIDES = ("source", "destination")
MOST_GROUPS = 8
ROW_INCHES = 0.5
#: So many letters of a name stand in a line.
NAME_LETTERS = 34

Parts = Mapping[str, float]


@dataclass(frozen=True, slots=True)
class _Counted:
    """A run, what it cost, and the name of its setting."""

    run: Run
    cost: Cost
    setting: str


@dataclass(frozen=True, slots=True)
class _Row:
    """A bar: its name, what it is made of (means), and the sum of each run."""

    name: str
    parts: Parts
    sums: tuple[float, ...]


def cost(runs: Iterable[Run]) -> Picture:
    """Draw what runs cost, by setting: means, since only they add up, and each run's sum a point.

    Runs of an experiment are put together by their setting, warm-ups left out; others by what they
    were made with, and their outcome. Of more settings than can be drawn those of a mode share a
    bar, and the figure says so.
    """
    known = [run for run in Runs(runs) if not (run.experiment or {}).get("warm_up")]
    # What only runs that did not complete differ in does not set the others apart.
    ends = [(run, run.outcome is Outcome.COMPLETED) for run in known]
    settings: dict[str, str] = {}
    for completed in (True, False):
        settings |= settings_of(run for run, done in ends if done is completed)
    counted = [_Counted(run, run.cost(), settings[run.run_id]) for run in known]
    groups, pooled = _groups(counted)
    cpu, wire = _cpu_rows(groups), _wire_rows(groups)
    with style():
        heights = [max(len(rows), 2) * ROW_INCHES for rows in (cpu, wire)]
        figure = Figure(figsize=(WIDTH_INCHES, sum(heights) + 3.4))
        above, below = figure.subplots(2, 1, height_ratios=[height + 0.4 for height in heights])
        _draw(above, cpu, USERS, "processor time from the call to its return (s)")
        _draw(below, wire, PURPOSES, "on the wire, both ways (MiB)")
        # What did not complete sent what it could until it was stopped: no measure of anything.
        whole = [each for each in counted if each.run.outcome is Outcome.COMPLETED]
        title = _title(whole)
        head(figure, title, _subtitle(len(counted), len(whole), pooled=pooled))
    return Picture(figure, title, _alt(cpu, wire))


def _groups(counted: Sequence[_Counted]) -> tuple[dict[str, list[Cost]], int]:
    """Give the costs by what has a bar; and how many settings share one, 1 where none do."""
    by_setting: dict[str, list[Cost]] = {}
    by_mode: dict[str, list[Cost]] = {}
    for each in counted:
        outcome = OUTCOMES[each.run.outcome].lower()
        setting = each.setting
        if each.run.experiment is None:
            setting = f"{setting}, {outcome}"
        by_setting.setdefault(setting, []).append(each.cost)
        by_mode.setdefault(f"{each.run.plan.mode}, {outcome}", []).append(each.cost)
    if len(by_setting) <= MOST_GROUPS:
        return by_setting, 1
    return by_mode, len({each.setting for each in counted})


def _cpu_rows(groups: Mapping[str, Sequence[Cost]]) -> list[_Row]:
    rows = []
    for name, costs in groups.items():
        for side in SIDES:
            parts = [used for each in costs if (used := _used(each.processors, side))]
            if parts:
                label = side if len(groups) == 1 else f"{name}, {side}"
                rows.append(_row(label, parts))
    return rows


def _used(processors: pd.DataFrame, side: str) -> Parts:
    """Give what was used at a side, by the names of ``USERS``."""
    at_side = processors[processors["side"] == side]
    table = at_side.set_index(["process", "group"])
    used: dict[str, float] = {}
    for process, group in table.index:
        cpu_s = float(table.loc[(process, group), "cpu_s"])
        usual_s = float(table.loc[(process, group), "usual_cpu_s"])
        if process == "libvirtd":
            used["libvirtd"] = cpu_s
        elif group == "other":
            used["usual"] = min(cpu_s, 0.0 if np.isnan(usual_s) else usual_s)
            used["unusual"] = cpu_s - used["usual"]
        elif group != "all":
            used[group] = cpu_s
    if ("qemu", "all") in table.index and ("qemu", "vCPU") not in table.index:
        # Of a real host's QEMU no more is known.
        used["whole"] = float(table.loc[("qemu", "all"), "cpu_s"])
    return used


def _wire_rows(groups: Mapping[str, Sequence[Cost]]) -> list[_Row]:
    rows = []
    for name, costs in groups.items():
        parts = [_carried(each.traffic) for each in costs if len(each.traffic)]
        if parts:
            rows.append(_row("wire" if len(groups) == 1 else name, parts))
    return rows


def _carried(traffic: pd.DataFrame) -> Parts:
    told = traffic[traffic["purpose"] != "unaccounted"].set_index("purpose")
    carried = {str(purpose): float(each) / MIB for purpose, each in told["payload_bytes"].items()}
    extra = told["header_bytes"].sum() + told["resent_bytes"].sum()
    return {**carried, "headers": float(extra) / MIB}


def _row(name: str, parts: Sequence[Parts]) -> _Row:
    # What a run did not have took nothing of it.
    means = {
        part: sum(each.get(part, 0.0) for each in parts) / len(parts)
        for part in dict.fromkeys(part for each in parts for part in each)
    }
    return _Row(name, means, tuple(sum(each.values()) for each in parts))


def _draw(
    axes: Axes, rows: Sequence[_Row], parts: Mapping[str, tuple[str, str]], label: str
) -> None:
    axes.set_xlabel(label)
    axes.grid(visible=False, axis="y")
    axes.tick_params(axis="y", length=0)
    if not rows:
        axes.set_xticks([])
        axes.set_yticks([])
        axes.text(0.5, 0.5, "not recorded", transform=axes.transAxes, ha="center", va="center")
        return
    for place, row in enumerate(rows):
        left = 0.0
        for part in parts:
            if width := row.parts.get(part, 0.0):
                axes.barh(
                    place, width, left=left, color=parts[part][1], height=0.66, edgecolor="white",
                    linewidth=0.8,
                )  # fmt: skip
                left += width
        if len(row.sums) > 1:
            # Spread by order, not by chance: the same runs give the same figure.
            places = place + np.linspace(-0.2, 0.2, len(row.sums))
            axes.plot(row.sums, places, "o", color=INK, markersize=5, markeredgecolor="white")
        digits = f"{left:,.0f}" if left >= 100 else f"{left:.3g}"
        said = f"  mean {digits}" if len(row.sums) > 1 else f"  {digits}"
        axes.text(max(left, *row.sums), place, said, va="center", fontsize=11)
    axes.margins(x=0.34)  # room for the numbers
    axes.set_yticks(range(len(rows)), [_two_lines(row.name) for row in rows])
    axes.set_ylim(len(rows) - 0.45, -0.55)
    shown = [part for part in parts if any(row.parts.get(part) for row in rows)]
    handles = [Patch(color=parts[part][1], label=parts[part][0]) for part in shown]
    axes.legend(
        handles=handles, loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=3, handlelength=1.2
    )


def _two_lines(name: str) -> str:
    """Fit a name beside its bar; what is left out of the middle stands in the alternative text."""
    if len(name) > 2 * NAME_LETTERS:
        parts = name.split(", ")
        setting, tail = ", ".join(parts[:-2]), ", ".join(parts[-2:])
        room = max(2 * NAME_LETTERS - len(tail) - 8, NAME_LETTERS // 2)
        name = f"{textwrap.shorten(setting, room, placeholder=' …')}, {tail}"
    return textwrap.fill(name, NAME_LETTERS)


def _subtitle(runs: int, completed: int, *, pooled: int) -> str:
    if runs < 2:
        return "one run" if runs else "no run"
    bars = f"means of all {runs}"
    if pooled > 1:
        bars += f", of {pooled} settings put together"
    return f"medians of {completed} completed runs; bars: {bars}, each point a run"


def _title(counted: Sequence[_Counted]) -> str:
    cpu = _span(counted, lambda cost: cost.cpu_s_per_gib, 1)
    wire = _span(counted, lambda cost: cost.cable_bytes_per_memory_byte, 2)
    parts = []
    if cpu:
        parts.append(f"{cpu} CPU s per GiB sent")
    if wire:
        parts.append(f"{wire} bytes on the wire per byte of memory")
    if not parts:
        return "What it cost is not known"
    settings = len({each.setting for each in counted})
    return ", ".join(parts) + (f" ({settings} settings)" if settings > 1 else "")


def _span(counted: Sequence[_Counted], metric: Callable[[Cost], float | None], digits: int) -> str:
    """Say the median, or from which to which those of the settings go; nothing where unknown."""
    values: dict[str, list[float]] = {}
    for each in counted:
        if (value := metric(each.cost)) is not None:
            values.setdefault(each.setting, []).append(value)
    if not values:
        return ""
    medians = [float(np.median(found)) for found in values.values()]
    low, high = (f"{end:.{digits}f}" for end in (min(medians), max(medians)))
    return low if low == high else f"{low} to {high}"


def _alt(cpu: Sequence[_Row], wire: Sequence[_Row]) -> str:
    texts = ["Two sets of stacked bars."]
    kinds = ((cpu, USERS, "Processor time", "s"), (wire, PURPOSES, "Bytes", "MiB"))
    for rows, parts, what, unit in kinds:
        for row in rows:
            said = ", ".join(
                f"{parts[part][0]} {row.parts[part]:.2f} {unit}"
                for part in parts
                if part in row.parts
            )
            texts.append(f"{what}, {row.name}: {said}.")
        if not rows:
            texts.append(f"{what}: not recorded.")
    return " ".join(texts)
