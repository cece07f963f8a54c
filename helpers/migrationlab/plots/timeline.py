"""Draw the timeline of one run: actions, phases, iterations, the guest; and the switchover."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from migrationlab.analysis.timeline import Timeline
from migrationlab.plots import palette, picture
from migrationlab.runs.record import MOVED
from migrationlab.runs.run import Outcome, Run

PHASE_COLOURS = {
    "Begin": palette.PURPLE,
    "Prepare": palette.ORANGE,
    "Perform": palette.SKY,
    "Finish": palette.YELLOW,
    "Confirm": palette.GREY,
}
DOWNTIMES = {
    "requested": ("requested (limit)", palette.PALE),
    "reported": ("reported (libvirt)", palette.SKY),
    "event": ("event (QEMU)", palette.VERMILION),
    "network": ("network (beats)", palette.PURPLE),
}
#: Actions during a migration, in words, with the unit of the value that was set.
DONE = {
    "set_max_downtime": ("maximum downtime", "ms"),
    "set_bandwidth": ("bandwidth", "MiB/s"),
    "set_postcopy_bandwidth": ("post-copy bandwidth", "MiB/s"),
    "set_compression_cache": ("compression cache", "bytes"),
    "start_postcopy": ("switch to post-copy", ""),
    "pause_postcopy": ("pause of post-copy", ""),
    "suspend": ("guest suspended", ""),
    "cancel": ("cancel", ""),
    "deadline": ("deadline", ""),
}
MAX_LABELLED_ACTIONS = 8
MAX_NUMBERED_ITERATIONS = 12
MIN_SHOWN_NS = 10_000_000
#: The number of letters that fit across the lanes.
LETTERS_ACROSS = 95


def timeline(run: Run) -> picture.Picture:
    """Draw a run's phases, its iterations over memory, and where the guest ran.

    Actions during the migration are numbered on a lane above, and named in the legend. If the guest
    was paused, a second plot below shows the four downtimes, and the beats received around them.
    """
    line = run.timeline()
    stopped = line.stop_ns is not None and line.resume_ns is not None
    height = 6.4 if stopped else 3.7
    if steered := min(len(line.steering), MAX_LABELLED_ACTIONS):
        height += 0.9 + 0.1 * steered
    title = _title(run, line)
    with picture.drawing(height, title, picture.describe(run), _alt(run, line)) as drawn:
        ratios = [1.0, 1.0] if stopped else [1.0]
        axes = drawn.figure.subplots(len(ratios), 1, height_ratios=ratios, squeeze=False)[:, 0]
        _draw_migration(axes[0], run, line)
        if stopped:
            _draw_stop(axes[1], run, line)
    return drawn


def _draw_migration(axes: Axes, run: Run, line: Timeline) -> None:
    """Draw lanes over the whole call: actions, phases, iterations, and the guest."""
    handles: list[Artist] = []
    begun = line.phases["start_ns"].min()  # missing if no phase was recorded
    if pd.notna(begun) and begun - line.called_ns > MIN_SHOWN_NS:
        before = picture.duration((begun - line.called_ns) / 1e6)
        _bar(axes, 2, run, (line.called_ns, begun), palette.PALE, edge=palette.PALE)
        handles.append(Patch(facecolor=palette.PALE, label=f"before Begin {before}"))
    for row in line.phases.dropna(subset=["start_ns"]).itertuples():
        colour = PHASE_COLOURS[row.phase]
        _bar(axes, 2, run, (row.start_ns, row.end_ns), colour, words=row.phase, edge=colour)
        state = "" if row.state == "complete" else f", {row.state}"
        label = f"{row.phase} {picture.duration(row.duration_ms)}{state}"
        handles.append(Patch(facecolor=colour, label=label))
    numbered = len(line.iterations) <= MAX_NUMBERED_ITERATIONS
    for index, row in enumerate(line.iterations.itertuples()):
        shade = "#7E97AD" if index % 2 else "#B9C8D6"
        edge = "white" if numbered else "none"
        _bar(axes, 1, run, (row.start_ns, row.end_ns), shade, edge=edge)
        # A number wants about a fortieth of the width.
        if numbered and (row.end_ns - row.start_ns) * 40 > line.returned_ns - line.called_ns:
            middle = picture.second(run, (row.start_ns + row.end_ns) / 2)
            _name(axes, middle, 1, str(row[1]))
    handles += _draw_guest(axes, run, line)
    handles += _draw_actions(axes, run, line)
    lanes = ["guest", "iterations", "phases", *(["actions"] if len(line.steering) else [])]
    axes.set_yticks(range(len(lanes)), lanes)
    axes.set_ylim(-0.6, len(lanes) - 0.4)
    room = 1.02 if len(line.steering) else 1.0  # for a number at the very end
    axes.set_xlim(0, max(picture.second(run, line.returned_ns) * room, 1e-3))
    axes.grid(visible=False, axis="y")
    axes.tick_params(axis="y", length=0)
    picture.time_axis(axes, run)
    picture.legend(
        axes, handles, columns=3 if len(line.steering) else 4, loc="lower left",
        bbox_to_anchor=(-0.01, 1.0), fontsize=10.5, handlelength=1.2, columnspacing=1.4,
    )  # fmt: skip


def _draw_actions(axes: Axes, run: Run, line: Timeline) -> list[Artist]:
    """Number the actions on the migration on their own lane; return the meanings of the numbers."""
    handles: list[Artist] = []
    for number, action in enumerate(line.steering.itertuples(), start=1):
        at = picture.second(run, action.time_ns)
        colour = palette.VERMILION if action.refused else palette.INK
        axes.axvline(at, color=colour, linewidth=0.9, linestyle=":", zorder=3)
        circle = {"boxstyle": "circle", "facecolor": "white", "edgecolor": colour}
        _name(axes, at, 3, str(number), color=colour, bbox=circle)
        if number <= MAX_LABELLED_ACTIONS:
            label = f"{number} {_action(action)}"
            handles.append(Line2D([], [], color=colour, linestyle=":", label=label))
    left = len(line.steering) - MAX_LABELLED_ACTIONS
    if left > 0:
        handles.append(Line2D([], [], linestyle="", label=f"and {left} more"))
    return handles


def _action(action: Any) -> str:
    """Return an action in a few words: its name, its value, and whether it was refused."""
    what, unit = DONE[action.name]
    known = not pd.isna(action.value)
    value = f" {action.value:,} {unit}" if known else (" without limit" if unit else "")
    return f"{what}{value}{' (refused)' if action.refused else ''}"


def _draw_guest(axes: Axes, run: Run, line: Timeline) -> list[Patch]:
    source, destination = run.source["name"], run.destination["name"]
    stop, resume = line.stop_ns, line.resume_ns
    # A definition can be moved while its guest runs, and is mostly moved while it does not.
    if run.plan.offline and (run.domain_states or {}).get("source") != "running":
        return []
    at_source = Patch(facecolor=palette.BLUE, label=f"guest runs at {source}")
    until = line.returned_ns if stop is None else stop
    _bar(
        axes, 0, run, (line.called_ns, until), palette.BLUE, words=f"runs at {source}", ink="white"
    )
    if stop is None:
        return [at_source]
    still = Patch(facecolor=palette.VERMILION, label="guest is paused")
    until = line.returned_ns if resume is None else resume
    _bar(axes, 0, run, (stop, until), palette.VERMILION, words="paused")
    if resume is None:
        return [at_source, still]
    if run.outcome not in (*MOVED, Outcome.INTERRUPTED):
        _bar(axes, 0, run, (resume, line.returned_ns), palette.BLUE)
        return [at_source, still]
    there = Patch(facecolor=palette.GREEN, label=f"guest runs at {destination}")
    handles = [at_source, still, there]
    name = f"runs at {destination}" if line.postcopy_ns is None else ""
    _bar(axes, 0, run, (resume, line.returned_ns), palette.GREEN, words=name)
    if line.postcopy_ns is not None:
        start = picture.second(run, resume)
        end = picture.second(run, line.completed_ns or line.returned_ns)
        axes.barh(0, end - start, left=start, height=0.72, color="none", edgecolor="white",
                  hatch="////", linewidth=0)  # fmt: skip
        label = "memory still arriving"
        handles.append(Patch(facecolor=palette.GREEN, edgecolor="white", hatch="////", label=label))
    return handles


def _draw_stop(axes: Axes, run: Run, line: Timeline) -> None:
    """Draw the four downtimes as bars from STOP on, and the beats received around them."""
    stop, resume = line.stop_ns, line.resume_ns
    assert stop is not None
    assert resume is not None
    lengths = {kind: getattr(line, f"downtime_{kind}_ms") for kind in DOWNTIMES}
    silent_from = 0.0 if line.silent_from_ns is None else (line.silent_from_ns - stop) / 1e6
    longest = (resume - stop) / 1e6
    for row, kind in enumerate(reversed(DOWNTIMES)):
        start = silent_from if kind == "network" else 0.0
        length, colour = lengths[kind], DOWNTIMES[kind][1]
        if length is None:
            axes.text(0, row, " not measured", va="center", color=palette.INK, fontsize=11)
            continue
        axes.barh(
            row, length, left=start, height=0.62, color=colour, edgecolor=palette.INK, linewidth=0.8
        )
        # A bar too short for its number has the number beside it.
        if length * 8 > max(known for known in lengths.values() if known is not None):
            axes.text(start + length / 2, row, f"{length:.0f} ms", ha="center", va="center")
        else:
            axes.text(start + length, row, f" {length:.0f} ms", va="center")
        longest = max(longest, start + length)
    margin = max(longest * 0.12, 20.0)
    axes.set_xlim(-margin, longest + margin)
    beats = (run.beats["arrival_ns"].to_numpy(dtype=np.float64) - stop) / 1e6
    beats = beats[(beats > -margin) & (beats < longest + margin)]
    if len(beats):
        axes.vlines(beats, -1.3, -0.7, color=palette.INK, linewidth=0.5)
    beat_rows = ["beats received"] if len(beats) else []
    labels = [*beat_rows, *(DOWNTIMES[kind][0] for kind in reversed(DOWNTIMES))]
    axes.set_yticks(range(-len(beat_rows), len(DOWNTIMES)), labels)
    axes.set_ylim(-len(beat_rows) - 0.6, len(DOWNTIMES) - 0.4)
    axes.tick_params(axis="y", length=0)
    axes.grid(visible=False, axis="y")
    axes.axvline(0, color=palette.INK, linewidth=1)
    axes.axvline((resume - stop) / 1e6, color=palette.INK, linewidth=1, linestyle="--")
    axes.set_xlabel("time since STOP (ms); dashed: RESUME")


def _bar(
    axes: Axes, lane: int, run: Run, span_ns: tuple[int, int], colour: str, *, words: str = "",
    edge: str = "white", ink: str = palette.INK,
) -> None:  # fmt: skip
    """Draw a bar, and write its name into it if there is room, so that no colour is needed."""
    start, end = (picture.second(run, at) for at in span_ns)
    axes.barh(
        lane, end - start, left=start, height=0.72, color=colour, edgecolor=edge, linewidth=0.8
    )
    letters = LETTERS_ACROSS * (end - start) / max(picture.second(run, run.returned_ns), 1e-9)
    if words and letters > len(words):
        _name(axes, (start + end) / 2, lane, words, color=ink)


def _name(axes: Axes, at: float, lane: int, words: str, **look: Any) -> None:
    axes.text(at, lane, words, ha="center", va="center", fontsize=11, **look)


def _title(run: Run, line: Timeline) -> str:
    took = picture.duration(line.call_ms)
    if run.outcome is Outcome.GUEST_LOST:
        return f"libvirt completed the migration in {took}, but the guest does not answer"
    if run.outcome is Outcome.UNRESOLVED:
        return f"libvirt's call had not returned after {took}: look at both hosts"
    if run.outcome is not Outcome.COMPLETED and run.plan.offline:
        return (
            f"{picture.OUTCOMES[run.outcome]} after {took}: the domain's definition was not moved"
        )
    if run.outcome is not Outcome.COMPLETED:
        there = run.found_at
        known = f"runs on at {there}" if there else "was not found afterwards"
        still = "never stopped" if line.stop_ns is None and there else known
        return f"{picture.OUTCOMES[run.outcome]} after {took}: the guest {still}"
    still_ms = line.downtime_event_ms
    if run.plan.offline:
        return f"The domain's definition was moved in {took}"
    if still_ms is None:
        return f"The migration took {took}; the downtime is unknown"
    return f"The guest was paused for {still_ms:.0f} ms of a {took} migration"


def _alt(run: Run, line: Timeline) -> str:
    phases = ", ".join(
        f"{row.phase} {picture.duration(row.duration_ms)}"
        for row in line.phases.dropna(subset=["start_ns"]).itertuples()
    )
    lengths = {kind: getattr(line, f"downtime_{kind}_ms") for kind in DOWNTIMES}
    downs = ", ".join(f"{kind} {ms:.0f} ms" for kind, ms in lengths.items() if ms is not None)
    actions = "; ".join(
        f"{_action(action)}, by {action.by or 'the user'}" for action in line.steering.itertuples()
    )
    return (
        f"Bars over time of a {run.plan.mode} migration. Phases: {phases}. "
        f"{len(line.iterations)} iterations over memory. Downtimes: {downs}."
        f"{f' Actions: {actions}.' if actions else ''}"
    )
