"""One HTML file that says what was measured, on what, how, and how to measure it again.

The file needs nothing beside it: figures are in it, with their descriptions; it loads nothing
from anywhere. The text and its look are in the template ``report.html``; here the numbers are
gathered and worded. The same runs give the same file.

Imports no libvirt and measures nothing.
"""

from __future__ import annotations

import base64
import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import jinja2
import pandas as pd

from migrationlab import plots, store
from migrationlab.capture.timeline import Timeline
from migrationlab.errors import StoreError
from migrationlab.runs import DOWNTIMES, Run, Runs

UNKNOWN = "–"
MIB = 1024 * 1024

# What differs from run to run by itself, and so makes no difference between environments.
_EVER_CHANGING = frozenset({"load_1min"})


@dataclass(frozen=True, slots=True)
class _Figure:
    data: str
    title: str
    alt: str


def write(runs: Iterable[Run], path: str | Path) -> Path:
    """Write the report of some runs.

    Args:
        runs: What it is about, at least one.
        path: The HTML file; one that is there is replaced.

    Returns:
        The file.

    Raises:
        StoreError: There are no runs, or the disk refused.
    """
    return store.write_file(path, render(runs).encode())


def render(runs: Iterable[Run]) -> str:
    """Give the report of some runs as the text of an HTML file.

    Raises:
        StoreError: There are no runs.
    """
    known = Runs(runs)
    if not known:
        raise StoreError(
            "there are no runs to report on", hint="Record some: migrationlab demo does."
        )
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    template = resources.files("migrationlab").joinpath("report.html").read_text(encoding="utf-8")
    downtime = plots.downtime(known)
    facts = _facts(known)
    return environment.from_string(template).render(
        message=downtime.title,
        runs=[_run(run) for run in known],
        first=known[0].created,
        last=known[-1].created,
        facts=facts,
        differing=[name for name, values in facts.items() if len(values) > 1],
        medians=_medians(known.downtimes()),
        downtime=_figure(downtime),
        unknown=UNKNOWN,
    )


def _run(run: Run) -> dict[str, object]:
    """Gather what the report says of one run."""
    summary = run.summary()
    line = run.timeline()
    problems = run.plan.problems()
    phases = line.phases.astype(object).where(line.phases.notna(), None)
    return {
        "id": run.run_id,
        "created": run.created,
        "cells": {
            "mode": summary["mode"],
            "outcome": summary["outcome"].replace("_", " "),
            "from → to": f"{summary['source']} → {summary['destination']}",
            "total (ms)": _number(summary["total_ms"]),
            "call (ms)": _number(summary["call_ms"]),
            **{
                f"downtime {kind} (ms)": _number(summary[f"downtime_{kind}_ms"])
                for kind in DOWNTIMES
            },
            "post-copy (ms)": _number(summary["postcopy_ms"]),
            "jitter (ms)": _number(summary["network_jitter_ms"], digits=1),
            "sent (MiB)": _number(summary["transferred_bytes"], unit=MIB),
            "rate (MiB/s)": _number(summary["throughput_bytes_per_s"], unit=MIB),
            "passes": _number(summary["iterations"]),
            "memory intact": {True: "yes", False: "NO", None: UNKNOWN}[summary["guest_intact"]],
        },
        "error": run.error,
        "remarks": [*run.warnings, *line.notes],
        "phases": [
            {**row, "duration": _number(row["duration_ms"], digits=1)}
            for row in phases.to_dict(orient="records")
        ],
        "before_begin": _number(_before(line), digits=1),
        # A lesson may have tried what cannot work on purpose: there is no such line for virsh.
        "problems": problems,
        "virsh": "" if problems else shlex.join(run.plan.virsh(str(run.guest["name"]))),
        # Refused before it began, a migration has no progress to draw.
        "figures": [
            _figure(draw(run))
            for draw in (plots.timeline, plots.progress)[: 1 + bool(len(run.job))]
        ],
    }


def _before(line: Timeline) -> float | None:
    """Tell how long it took from the call to the first phase."""
    first = line.phases["start_ns"].min()
    return None if pd.isna(first) else (int(first) - line.called_ns) / 1e6


def _facts(runs: Runs) -> dict[str, list[str]]:
    """Give what the runs were made on: each fact with its different values."""
    gathered: dict[str, dict[str, None]] = {}  # a dict keeps the order of the values
    for run in runs:
        for name, value in _facts_of(run).items():
            gathered.setdefault(name, {})[UNKNOWN if value is None else str(value)] = None
    return {name: list(values) for name, values in gathered.items()}


def _facts_of(run: Run) -> dict[str, object]:
    hosts: list[Mapping[str, object]] = sorted(
        (run.source, run.destination), key=lambda host: str(host["name"])
    )
    facts: dict[str, object] = {
        f"host {host['name']}": ", ".join(
            f"{label} {host[key]}"
            for label, key in (
                ("libvirt", "libvirt_version"),
                ("QEMU", "qemu_version"),
                ("image", "image"),
            )
            if host.get(key) is not None
        )
        for host in hosts
    }
    facts["accelerator"] = run.accelerator
    for title, group in (("guest", run.guest), ("wire", run.wire or {}), ("", run.environment)):
        for key, value in group.items():
            if key not in _EVER_CHANGING and key not in {"name", "uuid"}:
                facts[f"{title} {key}".strip()] = value
    facts["migrationlab"] = run.kit_version
    return facts


def _medians(table: pd.DataFrame) -> list[dict[str, str | int]]:
    rows: list[dict[str, str | int]] = []
    for (mode, kind), values in table.groupby(["mode", "kind"])["downtime_ms"]:
        rows.append(
            {
                "mode": mode,
                "kind": kind,
                "n": len(values),
                "median": _number(values.median(), digits=1),
                "least": _number(values.min(), digits=1),
                "greatest": _number(values.max(), digits=1),
            }
        )
    return sorted(rows, key=lambda row: (DOWNTIMES.index(str(row["kind"])), str(row["mode"])))


def _figure(picture: plots.Picture) -> _Figure:
    data = base64.b64encode(picture.render("png")).decode()
    return _Figure(f"data:image/png;base64,{data}", picture.title, picture.alt)


def _number(value: float | None, *, unit: int = 1, digits: int = 0) -> str:
    return UNKNOWN if value is None else f"{value / unit:,.{digits}f}"
