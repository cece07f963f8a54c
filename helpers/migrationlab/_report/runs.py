"""What a report says of runs, one by one and of all: their numbers, and what they were made on."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from migrationlab import plots
from migrationlab._experiment import statistics
from migrationlab._experiment.concerns import find
from migrationlab._report.words import MIB, UNKNOWN, Figure, embed, interval, moment, number
from migrationlab.capture.timeline import Timeline
from migrationlab.errors import StoreError
from migrationlab.plan import Plan
from migrationlab.plots.picture import Picture
from migrationlab.runs import Outcome, Run, Runs
from migrationlab.summary import DOWNTIMES

#: More runs than this are not all drawn, or the page gets too heavy to send.
MOST_DRAWN = 12
#: What differs from run to run by itself, and so makes no difference between environments.
_EVER_CHANGING = frozenset({"load_1min", "cpu_busy_percent", "measured_mbit_s", "number"})
_PLAN = "plan "
#: Of the plan, what says where to and not how.
_PLACES = frozenset({"migration_uri", "connection_uri"})


@dataclass(frozen=True, slots=True)
class Groups:
    """Runs that were made alike, by what tells them from the others.

    Attributes:
        of: For each run's name the name of its group.
        differing: What tells the groups apart, besides the mode.
    """

    of: Mapping[str, str]
    differing: tuple[str, ...]


def page(runs: Runs) -> dict[str, object]:
    """Gather the report of some runs."""
    groups = group(runs)
    # What only runs without a downtime differ in does not set the others apart.
    measured = group(run for run in runs if run.outcome is Outcome.COMPLETED)
    downtime = plots.downtime(runs)
    return about_all(runs, closely(runs, groups.of)) | {
        "message": downtime.title,
        "downtime": embed(downtime),
        "medians": medians(runs, measured.of),
        "concerns": find(runs, runs.frame()),
        "differing": groups.differing,
        "repeats": max(len(runs) // 2, 1),
        "experiment": None,
        "results": [],
    }


def about_all(runs: Runs, chosen: Iterable[Run]) -> dict[str, object]:
    """Gather what every report says of its runs, whatever they were made for.

    Args:
        runs: All of them.
        chosen: Those to look at closely.
    """
    planned = any(run.experiment for run in runs)
    sections, unreadable = [], dict(runs.unreadable)
    for run in chosen:
        try:
            sections.append(section(run))
        except StoreError as error:  # its summary was whole, what was recorded is not
            unreadable[run.run_id] = str(error)
    return {
        "rows": [
            {"id": run.run_id, "cells": ({"setting": place(run)} if planned else {}) | cells(run)}
            for run in runs
        ],
        "words": 4 if planned else 3,
        "remarks": remarks(runs),
        "unreadable": unreadable,
        "sections": sections,
        "first": moment(runs[0].created),
        "last": moment(runs[-1].created),
        "facts": facts(runs),
        "unknown": UNKNOWN,
    }


def cells(run: Run) -> dict[str, str]:
    """Give a run's row in the table of all runs."""
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
        "sent (MiB)": number(summary["transferred_bytes"], unit=MIB),
        "rate (MiB/s)": number(summary["throughput_bytes_per_s"], unit=MIB),
        "passes": number(summary["iterations"]),
        "memory intact": {True: "yes", False: "NO", None: UNKNOWN}[summary["guest_intact"]],
    }


def place(run: Run) -> str:
    """Say which setting of its experiment a run measured, and whether it counts."""
    facts = run.experiment or {}
    marks = [
        word for key, word in (("warm_up", "warm-up"), ("stopped", "stopped")) if facts.get(key)
    ]
    return " ".join([str(facts.get("cell", UNKNOWN)), *(f"({mark})" for mark in marks)])


def section(run: Run) -> dict[str, object]:
    """Gather what the report says of one run that it looks at closely."""
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
        # A lesson may have tried what cannot work on purpose: there is no such line for virsh.
        "problems": problems,
        "virsh": "" if problems else shlex.join(run.plan.virsh(str(run.guest["name"]))),
        "figures": _figures(run, line),
    }


def _between(low: float, high: float) -> str:
    # Of one run the tenth of a millisecond tells; of many, medians have three digits.
    return UNKNOWN if pd.isna(low) else f"{number(low, digits=1)} to {number(high, digits=1)}"


def _figures(run: Run, line: Timeline) -> list[Figure]:
    """Draw what was recorded: refused before it began, say, a migration has no progress."""
    draws: list[tuple[Callable[[Run], Picture], bool]] = [
        (plots.timeline, True),
        (plots.progress, len(run.job) > 0),
        (plots.downtime_parts, len(line.parts) > 0),
        (plots.latency, len(line.latency) > 0),
        (plots.workload, len(run.beats) > 0),
    ]
    return [embed(draw(run)) for draw, recorded in draws if recorded]


def _before(line: Timeline) -> float | None:
    """Tell how long it took from the call to the first phase."""
    first = line.phases["start_ns"].min()
    return None if pd.isna(first) else (int(first) - line.called_ns) / 1e6


def closely(runs: Runs, group_of: Mapping[str, str]) -> list[Run]:
    """Choose the runs to look at closely: all, or of many the typical one of each group.

    Args:
        runs: The runs.
        group_of: For each run's name that of its group.

    Returns:
        At most ``MOST_DRAWN``, in the order of their making.
    """
    if len(runs) <= MOST_DRAWN:
        return list(runs)
    groups: dict[tuple[str, Outcome], list[Run]] = {}
    for run in runs:
        groups.setdefault((group_of[run.run_id], run.outcome), []).append(run)
    chosen = [_typical(members) for members in groups.values()]
    return list(Runs(chosen[:MOST_DRAWN]))


def _typical(runs: Sequence[Run]) -> Run:
    """Return the run whose time is next to the median of theirs."""
    took = pd.Series([(run.returned_ns - run.called_ns) / 1e6 for run in runs])
    return runs[int((took - took.median()).abs().idxmin())]


def remarks(runs: Runs) -> list[tuple[str, str, list[str]]]:
    """Give what is to be said of single runs: the text, its hint, and which runs; each once."""
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


# --- what they were made on ---------------------------------------------------------------------


def facts(runs: Runs) -> dict[str, list[str]]:
    """Give what the runs were made on: each fact with its different values."""
    gathered: dict[str, dict[str, None]] = {}  # a dict keeps the order of the values
    for run in runs:
        for name, value in facts_of(run).items():
            gathered.setdefault(name, {})[UNKNOWN if value is None else str(value)] = None
    return {name: list(values) for name, values in gathered.items()}


def facts_of(run: Run) -> dict[str, object]:
    """Give what one run was made on, by the words of a report."""
    hosts: list[Mapping[str, object]] = sorted(
        (run.source, run.destination), key=lambda host: str(host["name"])
    )
    found: dict[str, object] = {
        f"host {host['name']}": ", ".join(f"{label} {value}" for label, value in _of_host(host))
        for host in hosts
    }
    found["accelerator"] = run.accelerator
    for title, group in (("guest", run.guest), ("wire", run.wire or {}), ("", run.environment)):
        for key, value in group.items():
            if key not in _EVER_CHANGING and key not in {"name", "uuid"}:
                found[f"{title} {key}".strip()] = value
    found["migrationlab"] = run.kit_version
    return found


def _of_host(host: Mapping[str, object]) -> Iterator[tuple[str, object]]:
    labels = {
        "libvirt_version": "libvirt",
        "qemu_version": "QEMU",
        "image": "image",
        "kernel": "kernel",
        "cpu_model": "CPU",
        "cpus": "CPUs",
        "memory_mib": "memory MiB",
    }
    for key, label in labels.items():
        if host.get(key) is not None:
            yield label, host[key]


def group(runs: Iterable[Run]) -> Groups:
    """Put runs together that were made alike, so that no others are pooled."""
    about = {run.run_id: (run, facts_of(run) | _of_plan(run.plan)) for run in runs}
    names = dict.fromkeys(name for _, found in about.values() for name in found)
    differing = tuple(
        name for name in names if len({_value(found, name) for _, found in about.values()}) > 1
    )
    return Groups(
        {
            key: ", ".join(
                [str(run.plan.mode), *(f"{name} {_value(found, name)}" for name in differing)]
            )
            for key, (run, found) in about.items()
        },
        differing,
    )


def _value(found: Mapping[str, object], name: str) -> str:
    value = found.get(name)
    if value is None:
        return "by default" if name.startswith(_PLAN) else UNKNOWN
    return str(value)


def _of_plan(plan: Plan) -> dict[str, object]:
    return {
        f"{_PLAN}{name}": value
        for name, value in plan.changed().items()
        if name not in _PLACES and name != "mode"
    }


def medians(runs: Runs, group_of: Mapping[str, str]) -> list[dict[str, str | int]]:
    """Give the downtimes of completed runs: a row for each kind and group of runs."""
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
                "least": number(about.least, digits=1),
                "greatest": number(about.greatest, digits=1),
                "outliers": sum(about.outliers),
            }
        )
    return sorted(rows, key=lambda row: (DOWNTIMES.index(str(row["kind"])), str(row["group"])))
