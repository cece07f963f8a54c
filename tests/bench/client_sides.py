"""Measure what clients on the source's side, the destination's side and outside see.

A guest with a service migrates to and fro. Each block has one migration of each side, in a random
order, so that what changes over time changes all sides alike.

    python -m bench.client_sides FILE N [SERVICE]      (PYTHONPATH=tests)
"""

from __future__ import annotations

import dataclasses
import json
import random
import sys
from pathlib import Path
from typing import Any, get_args

import click
import pandas as pd

from bench.speed import completed
from migrationlab.analysis.beats import silence_around
from migrationlab.experiment.statistics import estimate
from migrationlab.lab.guest import Guest
from migrationlab.lab.lab import Lab
from migrationlab.migrate.start import migrate
from migrationlab.plan.guest_spec import ClientSide
from migrationlab.plan.plan import Plan
from migrationlab.plan.uris import Mode
from migrationlab.runs.run import Run

SIDES: tuple[ClientSide, ...] = get_args(ClientSide)
#: Few enough for a machine that is busy, and many enough to see a gap to 20 ms.
REQUESTS_S = 50
SUMMED = ("downtime_event_ms", "downtime_network_ms", "downtime_service_ms", "service_max_ms")
COMPARED = "service_after_resume_ms"
SHOWN = ("downtime_event_ms", "downtime_service_ms", "pings_after_resume_ms", COMPARED)


def figures(run: Run) -> dict[str, Any]:
    """Return what the clients of a run and its pings saw.

    An answer's time after RESUME is until the first one that came after it.
    """
    line, view, summary = run.timeline(), run.service(), run.summary()
    answered = run.echoes.dropna(subset=["arrival_ns"]).astype({"arrival_ns": "int64"})
    pings = silence_around(answered, line.stop_ns, line.resume_ns)
    assert line.resume_ns is not None
    assert view.gap_until_ns is not None
    assert pings.end_ns is not None
    assert run.service_check is not None
    return {
        **{name: summary[name] for name in SUMMED},
        "service_after_resume_ms": (view.gap_until_ns - line.resume_ns) / 1e6,
        "pings_after_resume_ms": (pings.end_ns - line.resume_ns) / 1e6,
        "failed": view.failed,
        "retried": view.retried,
        "connections_kept": run.service_check["connections_kept"],
        "intact": run.service_check["intact"],
    }


def migrated(guest: Guest, side: ClientSide, mode: Mode) -> dict[str, Any]:
    """Migrate a guest with its clients on a side, and return what they saw."""
    guest.spec = dataclasses.replace(guest.spec, client_side=side)
    run = completed(migrate(guest, to=guest.other_host, plan=Plan(mode=mode)))
    return {"side": side, "mode": str(mode), "source": run.source["name"], **figures(run)}


def table(rows: list[dict[str, Any]]) -> list[str]:
    """Return the table of recorded migrations, as lines of Markdown: medians, and their ranges.

    The last column is the median of the differences from outside, paired by block, with its 95 %
    interval.
    """
    head = ["mode", "clients at", "n", "*event*, ms", "*service*, ms"]
    head += [
        "first ping after RESUME, ms",
        "first answer after RESUME, ms",
        "later than outside, ms",
    ]
    lines = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    frame = pd.DataFrame(rows).set_index(["mode", "side", "block"]).sort_index()
    for mode in Mode:
        for side in SIDES:
            here = frame.loc[(str(mode), side)]
            later = "–"
            if side != SIDES[0]:
                apart = here[COMPARED] - frame.loc[(str(mode), SIDES[0])][COMPARED]
                found = estimate(apart.tolist())
                later = f"{found.median:.0f} (n too small)"
                if found.low is not None:
                    later = f"{found.median:.0f} ({found.low:.0f} to {found.high:.0f})"
            figures = " | ".join(_ranged(here[name]) for name in SHOWN)
            lines.append(f"| {mode} | {side} | {len(here)} | {figures} | {later} |")
    return lines


def _ranged(values: pd.Series) -> str:
    return f"{values.median():.0f} ({values.min():.0f} to {values.max():.0f})"


def read(file: Path) -> list[dict[str, Any]]:
    """Return the rows of a file; none if it does not exist."""
    lines = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
    return [json.loads(line) for line in lines]


def main(n: int, service: Any, file: Path) -> None:
    """Add n blocks to the file, a line for each migration; print the table of all its lines."""
    first = max((row["block"] for row in read(file)), default=-1) + 1
    random_order = random.Random(first)
    with Lab() as lab:
        guest = lab.boot(service=service, requests_s=REQUESTS_S)
        for block in range(first, first + n):
            for mode in Mode:
                for side in random_order.sample(SIDES, len(SIDES)):
                    row = {"block": block, "service": service, **migrated(guest, side, mode)}
                    click.echo(json.dumps(row), err=True)
                    with file.open("a", encoding="utf-8") as out:
                        out.write(json.dumps(row) + "\n")
    click.echo("\n".join(table(read(file))))


if __name__ == "__main__":
    main(int(sys.argv[2]), sys.argv[3] if len(sys.argv) > 3 else "nginx", Path(sys.argv[1]))
