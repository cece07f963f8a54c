"""Measure what clients on the source's side, the destination's side and outside see.

A guest with a service migrates to and fro. Each block has one migration of each side, in a random
order, so that what changes over time changes all sides alike.

    python -m bench.client_sides [N] [SERVICE] [FILE]      (PYTHONPATH=tests)
"""

from __future__ import annotations

import dataclasses
import json
import random
import sys
from pathlib import Path
from typing import Any, get_args

import click

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
#: Few enough for a machine that is busy, and many enough to see a gap to 10 ms.
REQUESTS_S = 100
SUMMED = ("downtime_event_ms", "downtime_network_ms", "downtime_service_ms", "service_max_ms")
COMPARED = ("service_after_resume_ms", "pings_after_resume_ms")


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


def main(n: int, service: Any, file: Path | None) -> None:
    """Print a line for each migration, then the differences from outside, paired by block."""
    random_order = random.Random(15)
    blocks: dict[Mode, list[dict[ClientSide, dict[str, Any]]]] = {mode: [] for mode in Mode}
    with Lab() as lab:
        guest = lab.boot(service=service, requests_s=REQUESTS_S)
        for number in range(n):
            for mode in Mode:
                found = {
                    side: migrated(guest, side, mode) for side in random_order.sample(SIDES, 3)
                }
                blocks[mode].append(found)
                lines = [
                    json.dumps({"block": number, "service": service} | row)
                    for row in found.values()
                ]
                click.echo("\n".join(lines))
                if file is not None:
                    with file.open("a", encoding="utf-8") as out:
                        out.write("\n".join(lines) + "\n")
    for mode, of_mode in blocks.items():
        for name in COMPARED:
            for side in SIDES[1:]:
                apart = [block[side][name] - block["outside"][name] for block in of_mode]
                click.echo(f"{mode}, {name}: {side} less outside: {estimate(apart)} (n = {n})")


if __name__ == "__main__":
    arguments = sys.argv[1:]
    main(
        int(arguments[0]) if arguments else 5,
        arguments[1] if len(arguments) > 1 else "nginx",
        Path(arguments[2]) if len(arguments) > 2 else None,
    )
