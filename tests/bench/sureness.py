"""Measure how accurate migrationlab's figures are, and what recording them costs.

Each function yields rows of the table. What is compared is measured in alternation, in one run.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pandas as pd

from bench.speed import completed
from bench.table import Row, Tell, compared, sampled
from migrationlab import plots
from migrationlab.lab.guest import Guest
from migrationlab.lab.lab import Lab
from migrationlab.migrate.start import migrate
from migrationlab.plan.plan import Plan
from migrationlab.plan.uris import Mode
from migrationlab.runs.run import Run
from migrationlab.runs.schema import FRAMES, conform

SAMPLES = 100_000


def captures(lab: Lab, guest: Guest, n: int, tell: Tell) -> Iterator[dict[str, Any]]:
    """Migrate in turns with the whole capture and with libvirt's own figures only.

    Each pair goes there and back, and the pairs' order takes turns too; a mode's first pair only
    warms up.
    """
    for number in range(n + 1):
        for mode in Mode:
            tell(f"with and without capture, {mode}, {number} of {n}")
            for capture in (True, False) if number % 2 else (False, True):
                asked_ns = time.time_ns()
                run = completed(
                    migrate(guest, to=lab.other(guest.host), plan=Plan(mode=mode), capture=capture)
                )
                if number:
                    moved_ms = (run.returned_ns - asked_ns) / 1e6
                    yield {"mode": str(mode), "capture": capture, "moved_ms": moved_ms, "run": run}


def cost_of_capture(measured: list[dict[str, Any]], mode: Mode) -> Iterator[Row]:
    """Compare migrations of one mode with capture and without."""
    of_mode = [each for each in measured if each["mode"] == mode]
    with_it = [each for each in of_mode if each["capture"]]
    without = [each for each in of_mode if not each["capture"]]
    for what, figure in (
        ("wall time", lambda each: each["moved_ms"]),
        ("reported downtime", lambda each: each["run"].summary()["downtime_reported_ms"]),
    ):
        ours, theirs = (pd.Series(map(figure, side), dtype=float) for side in (with_it, without))
        name = f"{mode}: whole capture on against off, {what}"
        yield compared(name, "%", ours, theirs, _percent_more, target="± 2")


def _percent_more(ours: Any, theirs: Any) -> Any:
    return (ours / theirs - 1) * 100


def agreement(runs: list[Run]) -> Iterator[Row]:
    """Hold the kit's figures of runs against others of the same thing."""
    summaries = pd.DataFrame([run.summary() for run in runs])
    apart_ms = summaries["downtime_event_ms"] - summaries["downtime_reported_ms"]
    yield sampled("event downtime less libvirt's reported one", "ms", apart_ms, "± 5", digits=1)
    apart = []
    for run in runs:
        table = run.cost().traffic.set_index("purpose")["total_bytes"]
        accounted = int(table.drop("unaccounted").sum())
        apart.append((accounted / (accounted + int(table["unaccounted"])) - 1) * 100)
    what = "bytes by purpose, summed, against the wire's own counters"
    yield sampled(what, "%", apart, "± 0.5", digits=4)


def drawing(run: Run, tell: Tell) -> Iterator[Row]:
    """Draw each figure from a run in which each frame that is sampled has 100,000 rows."""
    long = lengthened(run)
    for draw in (
        plots.timeline, plots.progress, plots.workload, plots.latency, plots.downtime_parts,
        plots.cost, plots.downtime,
    ):  # fmt: skip
        tell(f"drawing {draw.__name__}")
        took_s = []
        for _ in range(3):
            # A run keeps what was worked out of it: each time another, as a reader would.
            fresh = dataclasses.replace(long)
            begun = time.perf_counter()
            _draw(draw, fresh).render("png")
            took_s.append(time.perf_counter() - begun)
        yield sampled(f"figure from {SAMPLES:,} samples: {draw.__name__}", "s", took_s, "≤ 1 s")


def _draw(draw: Callable[..., plots.Picture], run: Run) -> plots.Picture:
    return draw([run]) if draw in (plots.cost, plots.downtime) else draw(run)


def lengthened(run: Run) -> Run:
    """Return a run whose sampled frames have 100,000 rows, by repeating each row in its place."""
    frames = {}
    for name in FRAMES:
        given = getattr(run, name)
        if name in ("events", "connections") or not len(given):
            continue
        rows = np.linspace(0, len(given) - 1, SAMPLES).round().astype(int)
        longer = given.iloc[rows].reset_index(drop=True)
        if name in ("beats", "echoes"):
            longer["sequence"] = np.arange(SAMPLES)
        if name == "beats":
            # Evenly apart between those that were heard, so that no two arrive at once.
            places = np.linspace(0, len(given) - 1, SAMPLES)
            known = given["arrival_ns"].to_numpy()
            offsets = np.interp(places, np.arange(len(given)), known - known[0])
            longer["arrival_ns"] = known[0] + offsets.astype(np.int64)
        frames[name] = conform(name, longer)
    return dataclasses.replace(run, **frames)
