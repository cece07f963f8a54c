"""Draw the cost of migrations: CPU time by user, and bytes on the wire by purpose."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.patches import Patch

from migrationlab.analysis.cost import Cost
from migrationlab.experiment.grouping import settings_of
from migrationlab.plots import palette, picture
from migrationlab.runs.numbers import near
from migrationlab.runs.run import Outcome, Run, Runs

#: The parts of a bar of CPU time, from left to right.
USERS = {
    "vCPU": ("QEMU: the guest's vCPUs", palette.GREY),
    "usual": ("QEMU: else, as usual", palette.PALE),
    "unusual": ("QEMU: else, more than usual", palette.ORANGE),
    "migration": ("QEMU: migration threads", palette.BLUE),
    "multifd": ("QEMU: multifd threads", palette.SKY),
    "whole": ("QEMU as a whole", palette.PURPLE),
    "libvirtd": ("libvirtd", palette.VERMILION),
}
PURPOSES = {
    "memory": ("memory", palette.BLUE),
    "storage": ("disks", palette.GREEN),
    "control": ("control", palette.VERMILION),
    "other": ("other", palette.PURPLE),
    "headers": ("headers and resent bytes", palette.YELLOW),
}
SIDES = ("source", "destination")
MOST_GROUPS = 8
ROW_INCHES = 0.5
#: How many letters of a name fit in a line.
NAME_LETTERS = 34

Parts = Mapping[str, float]


@dataclass(frozen=True, slots=True)
class _Counted:
    """A run, its cost, and the name of its setting."""

    run: Run
    cost: Cost
    setting: str


@dataclass(frozen=True, slots=True)
class _Row:
    """A bar: its name, the means of its parts, and the sum of each run."""

    name: str
    parts: Parts
    sums: tuple[float, ...]


def cost(runs: Iterable[Run]) -> picture.Picture:
    """Draw the cost of runs by setting: means, because only means add up; a run's sum is a point.

    Runs of an experiment are grouped by their setting, without warm-ups; other runs by their
    environment, settings and outcome. If there are too many settings, those of a mode share a bar,
    and the figure says so.
    """
    known = [run for run in Runs(runs) if not (run.experiment or {}).get("warm_up")]
    # A fact in which only runs that did not complete differ does not separate the others.
    ends = [(run, run.outcome is Outcome.COMPLETED) for run in known]
    settings: dict[str, str] = {}
    for completed in (True, False):
        settings |= settings_of(run for run, done in ends if done is completed)
    counted = [_Counted(run, run.cost(), settings[run.run_id]) for run in known]
    groups, pooled = _groups(counted)
    cpu, wire = _cpu_rows(groups), _wire_rows(groups)
    # The cost of an incomplete migration depends on the time of its stop.
    whole = [each for each in counted if each.run.outcome is Outcome.COMPLETED]
    subtitle = _subtitle(len(counted), len(whole), pooled=pooled)
    heights = [max(len(bars), 2) * ROW_INCHES + 0.4 for bars in (cpu, wire)]
    with picture.drawing(sum(heights) + 2.6, _title(whole), subtitle, _alt(cpu, wire)) as drawn:
        above, below = drawn.figure.subplots(2, 1, height_ratios=heights)
        _draw(above, cpu, USERS, "CPU time from the call to its return (s)")
        _draw(below, wire, PURPOSES, "on the wire, both ways (MiB)")
    return drawn


def _groups(counted: Sequence[_Counted]) -> tuple[dict[str, list[Cost]], int]:
    """Return the costs by bar, and the number of settings that share a bar (1 for none)."""
    by_setting: dict[str, list[Cost]] = {}
    by_mode: dict[str, list[Cost]] = {}
    for each in counted:
        outcome = picture.OUTCOMES[each.run.outcome].lower()
        setting = each.setting
        if each.run.experiment is None:
            setting = f"{setting}, {outcome}"
        by_setting.setdefault(setting, []).append(each.cost)
        by_mode.setdefault(f"{each.run.plan.mode}, {outcome}", []).append(each.cost)
    if len(by_setting) <= MOST_GROUPS:
        return by_setting, 1
    return by_mode, len({each.setting for each in counted})


def _cpu_rows(groups: Mapping[str, Sequence[Cost]]) -> list[_Row]:
    bars = []
    for name, costs in groups.items():
        for side in SIDES:
            parts = [used for each in costs if (used := _used(each.processors, side))]
            if parts:
                label = side if len(groups) == 1 else f"{name}, {side}"
                bars.append(_row(label, parts))
    return bars


def _used(processors: pd.DataFrame, side: str) -> Parts:
    """Return the CPU time at one side, by the names of ``USERS``."""
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
        # Of a real host's QEMU only the sum is known.
        used["whole"] = float(table.loc[("qemu", "all"), "cpu_s"])
    return used


def _wire_rows(groups: Mapping[str, Sequence[Cost]]) -> list[_Row]:
    bars = []
    for name, costs in groups.items():
        parts = [_carried(each.traffic) for each in costs if len(each.traffic)]
        if parts:
            bars.append(_row("wire" if len(groups) == 1 else name, parts))
    return bars


def _carried(traffic: pd.DataFrame) -> Parts:
    known = traffic[traffic["purpose"] != "unaccounted"].set_index("purpose")
    carried = {
        str(purpose): float(each) / picture.MIB for purpose, each in known["payload_bytes"].items()
    }
    extra = known["header_bytes"].sum() + known["resent_bytes"].sum()
    return {**carried, "headers": float(extra) / picture.MIB}


def _row(name: str, parts: Sequence[Parts]) -> _Row:
    # A part that a run does not have counts as 0.
    means = {
        part: sum(each.get(part, 0.0) for each in parts) / len(parts)
        for part in dict.fromkeys(part for each in parts for part in each)
    }
    return _Row(name, means, tuple(sum(each.values()) for each in parts))


def _draw(
    axes: Axes, bars: Sequence[_Row], parts: Mapping[str, tuple[str, str]], label: str
) -> None:
    axes.set_xlabel(label)
    if not bars:
        picture.no_data(axes, "not recorded")
        return
    for place, row in enumerate(bars):
        left = 0.0
        for part in parts:
            if width := row.parts.get(part, 0.0):
                axes.barh(
                    place, width, left=left, color=parts[part][1], height=0.66, edgecolor="white",
                    linewidth=0.8,
                )  # fmt: skip
                left += width
        if len(row.sums) > 1:
            places = place + picture.spread(len(row.sums), 0.2)
            axes.plot(
                row.sums, places, "o", color=palette.INK, markersize=5, markeredgecolor="white"
            )
        said = f"  mean {near(left)}" if len(row.sums) > 1 else f"  {near(left)}"
        axes.text(max(left, *row.sums), place, said, va="center", fontsize=11)
    axes.margins(x=0.34)  # room for the numbers
    picture.rows(axes, [_two_lines(row.name) for row in bars])
    shown = [part for part in parts if any(row.parts.get(part) for row in bars)]
    handles = [Patch(color=parts[part][1], label=parts[part][0]) for part in shown]
    picture.legend(axes, handles, handlelength=1.2)


def _two_lines(name: str) -> str:
    """Shorten a name to fit beside its bar; the alternative text has the whole name."""
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
        bars += f", of {pooled} settings pooled"
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
        return "The cost is unknown"
    settings = len({each.setting for each in counted})
    return ", ".join(parts) + (f" ({settings} settings)" if settings > 1 else "")


def _span(counted: Sequence[_Counted], metric: Callable[[Cost], float | None], digits: int) -> str:
    """Return the median, or the range of the settings' medians; empty if unknown."""
    values: dict[str, list[float]] = {}
    for each in counted:
        if (value := metric(each.cost)) is not None:
            values.setdefault(each.setting, []).append(value)
    medians = [float(np.median(found)) for found in values.values()]
    return picture.between(medians, digits) if medians else ""


def _alt(cpu: Sequence[_Row], wire: Sequence[_Row]) -> str:
    texts = ["Two sets of stacked bars."]
    kinds = ((cpu, USERS, "CPU time", "s"), (wire, PURPOSES, "Bytes", "MiB"))
    for bars, parts, what, unit in kinds:
        for row in bars:
            said = ", ".join(
                f"{parts[part][0]} {row.parts[part]:.2f} {unit}"
                for part in parts
                if part in row.parts
            )
            texts.append(f"{what}, {row.name}: {said}.")
        if not bars:
            texts.append(f"{what}: not recorded.")
    return " ".join(texts)
