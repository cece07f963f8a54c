"""Measure whether clients of a service and the probes change what they measure.

A guest with a web server migrates in pairs, there with clients and probes and back without, or the
other way round. A pair is of one mode; the modes take turns.

    python -m bench.clients [N] [FILE]      (PYTHONPATH=tests)
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import click

from bench.speed import completed
from bench.table import Row, Tell, paired
from migrationlab.lab.guest import Guest
from migrationlab.lab.lab import Lab
from migrationlab.migrate.start import migrate
from migrationlab.plan.plan import Plan
from migrationlab.plan.uris import Mode

Pair = tuple[float, float]


def pairs(guest: Guest, n: int, tell: Tell) -> Iterator[Pair]:
    """Yield the reported downtimes, with clients and probes and without; the first warm up."""
    for number in range(-len(Mode), n):
        mode = list(Mode)[number % len(Mode)]
        tell(f"with and without clients and probes, {mode}, {number + 1} of {n}")
        found: dict[bool, float] = {}
        for capture in (True, False) if number // len(Mode) % 2 else (False, True):
            plan = Plan(mode=mode)
            run = completed(migrate(guest, to=guest.other_host, plan=plan, capture=capture))
            found[capture] = run.summary()["downtime_reported_ms"]
        if number >= 0:
            yield found[True], found[False]


def cost_of_clients(lab: Lab, n: int, tell: Tell) -> Iterator[Row]:
    """Compare n pairs of migrations of a guest with a web server; no other guest may run."""
    guest = lab.boot(service="nginx")
    try:
        yield row(list(pairs(guest, n, tell)))
    finally:
        guest.destroy()


def row(found: list[Pair]) -> Row:
    """Return the row of the table."""
    what = "clients and probes on against off, in pairs, reported downtime"
    return paired(what, found, target="± 2")


def main(n: int, file: Path | None) -> None:
    """Print each pair, then the row."""
    found = []
    with Lab() as lab:
        for each in pairs(lab.boot(service="nginx"), n, lambda text: click.echo(text, err=True)):
            found.append(each)
            line = json.dumps({"with_ms": each[0], "without_ms": each[1]})
            click.echo(line)
            if file is not None:
                with file.open("a", encoding="utf-8") as out:
                    out.write(line + "\n")
    click.echo(" | ".join(row(found).cells()))


if __name__ == "__main__":
    main(
        int(sys.argv[1]) if len(sys.argv) > 1 else 20,
        Path(sys.argv[2]) if len(sys.argv) > 2 else None,
    )
