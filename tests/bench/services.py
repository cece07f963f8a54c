"""Measure how soon a service in a guest answers, and how many requests a second it then answers.

Clients ask for more than a guest under TCG can answer. The clients are Python on the same machine,
and take 0.05 to 0.1 ms of its processors for a request.

    python -m bench.services FILE N      (PYTHONPATH=tests)
"""

from __future__ import annotations

import dataclasses
import json
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import pandas as pd

from bench.client_sides import read
from bench.table import Row, sampled
from migrationlab.errors import LabError
from migrationlab.lab.lab import Lab
from migrationlab.plan.guest_spec import ServiceName

#: How long the clients ask. The first part of it is not counted.
ASKED_S = 2.5
WARM_UP_S = 0.5
CONNECTIONS = 8


@dataclass(frozen=True, slots=True)
class Case:
    """A service: the memory of its guest, the targets under TCG, and the rate that is asked for."""

    memory_mib: int
    boot_s: float
    requests_s: float
    asked_s: float


CASES: Mapping[ServiceName, Case] = {
    "redis": Case(256, 5, 5_000, 6_000),
    "nginx": Case(256, 5, 1_200, 2_400),
    "postgresql": Case(512, 8, 100, 400),
}


def answered_s(requests: pd.DataFrame) -> float:
    """Return the answers a second, counted from the warm-up's end until the clients stopped."""
    first, last = int(requests["due_ns"].min()), int(requests["due_ns"].max())
    begin = first + round(WARM_UP_S * 1e9)
    came = requests["answered_ns"].dropna().astype("int64")
    return float(came.between(begin, last).sum() / ((last - begin) / 1e9))


def measured(lab: Lab, name: ServiceName) -> dict[str, Any]:
    """Boot a guest with a service; return when it beat and answered, and its rate."""
    case = CASES[name]
    begun_ns = time.time_ns()
    guest = lab.boot(
        service=name, connections=CONNECTIONS, memory_mib=case.memory_mib, dirty_mib_s=0,
        accelerator="tcg",
    )  # fmt: skip
    boot_s = (time.time_ns() - begun_ns) / 1e9
    beats = guest.beat_source.read(0)["arrival_ns"]
    beat_s = (int(beats[beats > begun_ns].iloc[0]) - begun_ns) / 1e9
    try:
        guest.spec = dataclasses.replace(guest.spec, requests_s=case.asked_s)
        load = guest.service_load()
        assert load is not None
        time.sleep(ASKED_S)
        record = load.stop()
    finally:
        guest.destroy()
    if not record.check["intact"]:
        raise LabError(f"{name} has lost writes: {record.check}")
    failed = int(record.requests["error"].ne("").sum())
    rate = round(answered_s(record.requests), 1)
    times = {"beat_s": round(beat_s, 3), "boot_s": round(boot_s, 3)}
    return {"service": name, **times, "answered_s": rate, "failed": failed}


def rows(found: list[dict[str, Any]]) -> Iterator[Row]:
    """Yield the rows of the table, three for each service."""
    for name, case in CASES.items():
        here = [each for each in found if each["service"] == name]
        beats, boots, rates = (
            [each[key] for each in here] for key in ("beat_s", "boot_s", "answered_s")
        )
        yield sampled(f"guest with {name}: first beat", "s", beats)
        yield sampled(f"guest with {name}: first answer", "s", boots, f"≤ {case.boot_s:g} s")
        what = f"{name}: answers a second over {CONNECTIONS} connections"
        yield sampled(what, "", rates, f"≥ {case.requests_s:g}", digits=0)


def main(file: Path, n: int) -> None:
    """Add n rounds to the file, a line for each guest; print the table of all its lines."""
    with Lab() as lab:
        for name in list(CASES) * n:
            found = json.dumps(measured(lab, name))
            click.echo(found, err=True)
            with file.open("a", encoding="utf-8") as out:
                out.write(found + "\n")
    for row in rows(read(file)):
        click.echo(f"| {' | '.join(row.cells())} |")


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
