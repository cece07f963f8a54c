"""Gather the content of a report about runs: numbers, one section per run, and environment."""

from __future__ import annotations

import multiprocessing
import os
import shlex
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from migrationlab import plots
from migrationlab.analysis.timeline import Timeline
from migrationlab.errors import StoreError
from migrationlab.experiment import statistics
from migrationlab.experiment.grouping import group
from migrationlab.experiment.warnings import WarningKind, find
from migrationlab.plots.picture import Picture
from migrationlab.report.figures import Figure, embed
from migrationlab.report.reproduce import repeat
from migrationlab.runs.numbers import UNKNOWN, interval, moment, number
from migrationlab.runs.run import Outcome, Run, Runs
from migrationlab.runs.schema import DOWNTIMES

#: With more runs than this, only typical runs are drawn, to keep the page small.
MOST_DRAWN = 12
#: Facts that differ in every run.
_CHANGING = frozenset(
    {"load_1min", "cpu_busy_percent", "measured_mbit_s", "number", "name", "uuid"}
)
#: The facts about a host on a page.
_HOST = {
    "libvirt_version": "libvirt",
    "qemu_version": "QEMU",
    "image": "image",
    "kernel": "kernel",
    "cpu_model": "CPU",
    "cpus": "CPUs",
    "memory_mib": "memory MiB",
}


def page(runs: Runs) -> dict[str, object]:
    """Gather the report of some runs."""
    groups = group(runs)
    # Facts in which only runs without a downtime differ do not separate the others.
    measured = group(run for run in runs if run.outcome is Outcome.COMPLETED)
    downtime = plots.downtime(runs)
    return about_all(runs, closely(runs, groups.of), of=len(runs)) | {
        "message": downtime.title,
        "downtime": embed(downtime),
        "medians": medians(runs, measured.of),
        # The page lists unreadable runs with their reasons.
        "concerns": [
            each for each in find(runs, runs.frame()) if each.kind is not WarningKind.UNREADABLE
        ],
        "differing": groups.differing,
        "repeat": repeat(runs),
        "experiment": None,
        "results": [],
        "arena": None,
    }


def about_all(runs: Runs, chosen: Chosen, *, of: int) -> dict[str, object]:
    """Gather the part about runs that every report has.

    Args:
        runs: All runs.
        chosen: The runs to show in detail.
        of: The number of runs that count, from which these were chosen.
    """
    planned = any(run.experiment for run in runs)
    sections, unreadable = [], dict(runs.unreadable)
    for run, made in zip(chosen.runs, _sections(chosen.runs), strict=True):
        if isinstance(made, str):  # its summary was whole, its frames are not
            unreadable[run.run_id] = made
        else:
            sections.append(made)
    return {
        "rows": [
            {"id": run.run_id, "cells": ({"setting": place(run)} if planned else {}) | cells(run)}
            for run in runs
        ],
        "words": 4 if planned else 3,
        "remarks": remarks(runs),
        "unreadable": unreadable,
        "sections": sections,
        "which": _which(chosen, len(runs), of),
        "first": moment(runs[0].created),
        "last": moment(runs[-1].created),
        "facts": facts(runs),
        "made": {
            "modes": {str(run.plan.mode) for run in runs},
            "tunnelled": any(run.plan.tunnelled for run in runs),
            "lab": any(run.wire is not None for run in runs),
            "real": any(run.wire is None for run in runs),
        },
        "unknown": UNKNOWN,
    }


def _sections(runs: tuple[Run, ...]) -> list[dict[str, object] | str]:
    """Return each run's section, or the error; make the sections side by side on all CPUs."""
    count = min(os.cpu_count() or 1, len(runs))
    # A fork copies only the thread that forks: a lock of another thread would stay locked.
    if sys.platform != "linux" or count < 2 or threading.active_count() > 1:
        return [_section(run) for run in runs]
    # Forked processes have the runs, which cannot be pickled.
    with multiprocessing.get_context("fork").Pool(count, _FORKED.extend, (runs,)) as pool:
        return pool.map(_forked_section, range(len(runs)), chunksize=1)


#: The runs of a process that was forked to make their sections.
_FORKED: list[Run] = []


def _forked_section(index: int) -> dict[str, object] | str:
    return _section(_FORKED[index])


def _section(run: Run) -> dict[str, object] | str:
    try:
        return section(run)
    except StoreError as error:
        return str(error)


def _which(chosen: Chosen, total: int, counted: int) -> str:
    """Return a sentence on which runs are shown in detail; empty if all are."""
    if len(chosen.runs) == total:
        return ""
    if len(chosen.runs) == counted:
        return f"These are the {counted} runs that count, of {total}."
    kinds = f"Of each of the {chosen.kinds} settings and outcomes"
    if chosen.kinds == 1:
        kinds = "Of all"
    elif chosen.kinds > len(chosen.runs):
        kinds = f"Of {len(chosen.runs)} of the {chosen.kinds} settings and outcomes, each time"
    return (
        f"{kinds} the run whose time is next to the group's median: {len(chosen.runs)} of "
        f"{total} runs. The table above has all runs."
    )


def cells(run: Run) -> dict[str, str]:
    """Return a run's row in the table of all runs."""
    summary = run.summary()
    return {
        "mode": summary["mode"],
        "outcome": summary["outcome"].replace("_", " "),
        "from → to": f"{summary['source']} → {summary['destination']}",
        "total (ms)": number(summary["total_ms"]),
        "call (ms)": number(summary["call_ms"]),
        **{f"downtime {kind} (ms)": number(summary[f"downtime_{kind}_ms"]) for kind in DOWNTIMES},
        "post-copy (ms)": number(summary["postcopy_ms"]),
        "jitter (ms)": number(summary["network_jitter_ms"], digits=1),
        "sent (MiB)": number(summary["transferred_bytes"], of="transferred_bytes"),
        "rate (MiB/s)": number(summary["throughput_bytes_per_s"], of="throughput_bytes_per_s"),
        "iterations": number(summary["iterations"]),
        "memory intact": {True: "yes", False: "NO", None: UNKNOWN}[summary["guest_intact"]],
    }


def place(run: Run) -> str:
    """Return a run's cell in its experiment, and whether the run counts."""
    facts = run.experiment or {}
    marks = [
        word for key, word in (("warm_up", "warm-up"), ("stopped", "stopped")) if facts.get(key)
    ]
    return " ".join([str(facts.get("cell", UNKNOWN)), *(f"({mark})" for mark in marks)])


def section(run: Run) -> dict[str, object]:
    """Gather the section of a run that is shown in detail."""
    line = run.timeline()
    problems = run.plan.problems()
    phases = line.phases.astype(object).where(line.phases.notna(), None)
    return {
        "id": run.run_id,
        "cells": cells(run),
        "error": run.error,
        "remarks": [*run.warnings, *line.notes],
        "phases": [
            {**row, "duration": number(row["duration_ms"], digits=1)}
            for row in phases.to_dict(orient="records")
        ],
        "before_begin": number(_before(line), digits=1),
        "downtimes": [
            {
                "kind": row["kind"],
                "downtime": number(row["downtime_ms"], digits=1),
                "between": _between(row["low_ms"], row["high_ms"]),
                "method": row["method"] if not row["reason"] else row["reason"],
            }
            for row in line.downtimes.to_dict(orient="records")
        ],
        # A lesson can try an impossible plan on purpose: virsh has no command for it.
        "problems": problems,
        "virsh": "" if problems else shlex.join(run.plan.virsh(str(run.guest["name"]))),
        "figures": _figures(run, line),
    }


def _between(low: float, high: float) -> str:
    # For one run a tenth of a millisecond matters; medians of many have three digits.
    return UNKNOWN if pd.isna(low) else f"{number(low, digits=1)} to {number(high, digits=1)}"


def _figures(run: Run, line: Timeline) -> list[Figure]:
    """Draw the recorded data: a migration that was refused at once has no progress."""
    draws: list[tuple[Callable[[Run], Picture], bool]] = [
        (plots.timeline, True),
        (plots.progress, len(run.job) > 0),
        (plots.downtime_parts, len(line.parts) > 0),
        (plots.latency, len(line.latency) > 0),
        (plots.workload, len(run.beats) > 0),
    ]
    return [embed(draw(run)) for draw, recorded in draws if recorded]


def _before(line: Timeline) -> float | None:
    """Return the time from the call to the first phase in ms."""
    first = line.phases["start_ns"].min()
    return None if pd.isna(first) else (int(first) - line.called_ns) / 1e6


@dataclass(frozen=True, slots=True)
class Chosen:
    """Runs to show in detail.

    Attributes:
        runs: The runs.
        kinds: The number of combinations of setting and outcome.
    """

    runs: tuple[Run, ...]
    kinds: int


def closely(runs: Runs, group_of: Mapping[str, str]) -> Chosen:
    """Choose the runs to show in detail: all of few runs, or a typical run per group of many.

    Args:
        runs: The runs.
        group_of: The name of the group for each run's id.

    Returns:
        At most ``MOST_DRAWN``, oldest first.
    """
    groups: dict[tuple[str, Outcome], list[Run]] = {}
    for run in runs:
        groups.setdefault((group_of[run.run_id], run.outcome), []).append(run)
    if len(runs) <= MOST_DRAWN:
        return Chosen(tuple(runs), len(groups))
    chosen = [_typical(members) for members in groups.values()]
    return Chosen(tuple(Runs(chosen[:MOST_DRAWN])), len(groups))


def _typical(runs: Sequence[Run]) -> Run:
    """Return the run whose time is closest to the median."""
    took = pd.Series([(run.returned_ns - run.called_ns) / 1e6 for run in runs])
    return runs[int((took - took.median()).abs().idxmin())]


def remarks(runs: Runs) -> list[tuple[str, str, list[str]]]:
    """Return errors and warnings of runs: the text, its hint, and the runs; each text once."""
    found: dict[tuple[str, str], list[str]] = {}
    for run in runs:
        if run.error is not None:
            said = f"{str(run.outcome).replace('_', ' ')}: {run.error.text}"
            if run.error.code is not None:
                said += f" (libvirt's code {run.error.code})"
            found.setdefault((said, run.error.hint), []).append(run.run_id)
        for warning in run.warnings:
            found.setdefault((warning, ""), []).append(run.run_id)
    return [(text, hint, names) for (text, hint), names in found.items()]


# --- their environment --------------------------------------------------------------------------


def facts(runs: Runs) -> dict[str, list[str]]:
    """Return the known facts of the runs' hosts, guests, wires and machines, with all values."""
    gathered: dict[str, dict[str, None]] = {}  # a dict keeps the order of the values
    for run in runs:
        for name, value in _facts(run):
            gathered.setdefault(name, {})[UNKNOWN if value is None else str(value)] = None
    return {name: list(values) for name, values in gathered.items()}


def _facts(run: Run) -> Iterator[tuple[str, object]]:
    for host in sorted((run.source, run.destination), key=lambda host: str(host["name"])):
        about = {label: host[key] for key, label in _HOST.items() if host.get(key) is not None}
        yield f"host {host['name']}", ", ".join(f"{label} {it}" for label, it in about.items())
    yield "accelerator", run.accelerator
    for title, known in (("guest", run.guest), ("wire", run.wire or {}), ("", run.environment)):
        for name, value in known.items():
            if name not in _CHANGING:
                yield f"{title} {name}".strip(), value
    yield "migrationlab", run.migrationlab_version


def medians(runs: Runs, group_of: Mapping[str, str]) -> list[dict[str, str | int]]:
    """Return the downtimes of completed runs: a row per kind and group of runs."""
    table = runs.downtimes()
    table["group"] = [group_of[name] for name in table["run_id"]]
    rows: list[dict[str, str | int]] = []
    for (name, kind), values in table.groupby(["group", "kind"], sort=False)["downtime_ms"]:
        about = statistics.estimate([float(value) for value in values])
        rows.append(
            {
                "group": str(name),
                "kind": str(kind),
                "n": about.n,
                "median": number(about.median, digits=1),
                "interval": interval(about.low, about.high),
                "min": number(about.min, digits=1),
                "max": number(about.max, digits=1),
                "outliers": sum(about.outliers),
            }
        )
    return sorted(rows, key=lambda row: (DOWNTIMES.index(str(row["kind"])), str(row["group"])))
