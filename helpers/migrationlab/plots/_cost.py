"""What migrations cost: processor time by who used it, and bytes on the wire by their purpose."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from migrationlab.capture.cost import Cost
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
from migrationlab.runs import Outcome, Run, Runs

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
ROW_INCHES = 0.42

Parts = Mapping[str, float]


@dataclass(frozen=True, slots=True)
class _Row:
    """A bar: its name, what it is made of (means), and the sum of each run."""

    name: str
    parts: Parts
    sums: tuple[float, ...]


def cost(runs: Iterable[Run]) -> Picture:
    """Draw what runs cost, by setting: means, since only they add up, and each run's sum a point.

    Runs of an experiment are put together by their setting, warm-ups left out; others by their
    mode and outcome.
    """
    counted = [(run, run.cost()) for run in Runs(runs) if not (run.experiment or {}).get("warm_up")]
    groups = _groups(counted)
    cpu, wire = _cpu_rows(groups), _wire_rows(groups)
    with style():
        heights = [max(len(rows), 2) * ROW_INCHES for rows in (cpu, wire)]
        figure = Figure(figsize=(WIDTH_INCHES, sum(heights) + 2.6))
        above, below = figure.subplots(2, 1, height_ratios=[height + 0.4 for height in heights])
        _draw(above, cpu, USERS, "processor time from the call to its return (s)")
        _draw(below, wire, PURPOSES, "on the wire, both ways (MiB)")
        # What did not complete sent what it could until it was stopped: no measure of anything.
        completed = [took for run, took in counted if run.outcome is Outcome.COMPLETED]
        title = _title(completed)
        head(figure, title, _subtitle(len(counted), len(completed)))
    return Picture(figure, title, _alt(cpu, wire))


def _groups(counted: Sequence[tuple[Run, Cost]]) -> dict[str, list[Cost]]:
    by_setting: dict[str, list[Cost]] = {}
    by_mode: dict[str, list[Cost]] = {}
    for run, took in counted:
        mode = f"{run.plan.mode}, {OUTCOMES[run.outcome].lower()}"
        setting = (run.experiment or {}).get("cell", mode)
        by_setting.setdefault(str(setting), []).append(took)
        by_mode.setdefault(mode, []).append(took)
    return by_setting if len(by_setting) <= MOST_GROUPS else by_mode


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
                axes.barh(place, width, left=left, color=parts[part][1], height=0.66)
                left += width
        if len(row.sums) > 1:
            # Spread by order, not by chance: the same runs give the same figure.
            places = place + np.linspace(-0.2, 0.2, len(row.sums))
            axes.plot(row.sums, places, "o", color=INK, markersize=5, markeredgecolor="white")
        said = f"  mean {left:.3g}" if len(row.sums) > 1 else f"  {left:.3g}"
        axes.text(max(left, *row.sums), place, said, va="center", fontsize=11)
    axes.margins(x=0.16)  # room for the numbers
    axes.set_yticks(range(len(rows)), [row.name for row in rows])
    axes.set_ylim(len(rows) - 0.45, -0.55)
    shown = [part for part in parts if any(row.parts.get(part) for row in rows)]
    handles = [Patch(color=parts[part][1], label=parts[part][0]) for part in shown]
    axes.legend(handles=handles, loc="center left", bbox_to_anchor=(1.0, 0.5), handlelength=1.2)


def _subtitle(runs: int, completed: int) -> str:
    if runs < 2:
        return "one run" if runs else "no run"
    return f"medians of {completed} completed runs; bars: means of all {runs}, each point a run"


def _title(costs: Sequence[Cost]) -> str:
    cpu = [each.cpu_s_per_gib for each in costs if each.cpu_s_per_gib is not None]
    wire = [
        each.cable_bytes_per_memory_byte
        for each in costs
        if each.cable_bytes_per_memory_byte is not None
    ]
    parts = []
    if cpu:
        parts.append(f"{np.median(cpu):.1f} CPU s per GiB sent")
    if wire:
        parts.append(f"{np.median(wire):.2f} bytes on the wire per byte of memory")
    return ", ".join(parts) or "What it cost is not known"


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
