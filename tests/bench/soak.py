"""Migrate a guest many times, by random plans and with small faults; ``make soak`` runs it.

After each migration the guest compares every page that it wrote. A guest that no longer answers is
lost: what both hosts say of it is kept, and the next one is booted. The process that migrates is
weighed meanwhile: memory, threads and open files. The result says what was damaged, what was lost,
and how much the process grew. One seed gives one order of plans and faults.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import json
import os
import random
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click
import psutil

from migrationlab.errors import MigrationLabError
from migrationlab.lab.guest import Guest
from migrationlab.lab.lab import Lab
from migrationlab.migrate.recovery_steps import recover
from migrationlab.migrate.start import migrate
from migrationlab.plan.plan import Plan
from migrationlab.plan.validation import Situation
from migrationlab.runs.run import Outcome, Run

GUEST = {"memory_mib": 128, "working_set_mib": 16, "dirty_mib_s": 20}
#: No migration of this guest takes as long without a fault.
DEADLINE_S = 60
#: The values of each setting that a random plan chooses from.
CHOICES: dict[str, tuple[Any, ...]] = {
    "mode": ("normal", "peer2peer"),
    "parallel": (False, True),
    "compression": (None, ("xbzrle",), ("zstd",)),
    "auto_converge": (False, True),
    "max_downtime_ms": (None, 50, 500),
    "bandwidth_mib_s": (None, 60),
    "postcopy": (False, False, True),
    "persistent": (False, True),
}
#: Faults after which the guest must still run, on either host.
FAULTS = (
    {"kind": "flap-wire", "phase": "perform", "period_s": 0.3},
    {"kind": "throttle-wire", "phase": "perform", "rate_mbit_s": 200.0},
    {"kind": "freeze-libvirtd", "phase": "perform"},
)
#: One migration of this many meets a fault.
FAULT_EVERY = 10
WEIGH_EVERY = 10
#: How long a guest may take to run again after a fault on a busy machine.
SETTLE_S = 60.0


@dataclass
class Result:
    """What a soak found."""

    seed: int
    outcomes: Counter[str] = field(default_factory=Counter)
    with_fault: int = 0
    damaged: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    unexpected: list[str] = field(default_factory=list)
    weights: list[dict[str, float]] = field(default_factory=list)
    seconds: float = 0.0

    def lines(self) -> Iterator[str]:
        """Yield the result as text."""
        total = sum(self.outcomes.values())
        ends = ", ".join(f"{count} {name}" for name, count in sorted(self.outcomes.items()))
        yield f"{total} migrations in {self.seconds:.0f} s ({self.with_fault} with a fault): {ends}"
        yield f"memory damaged: {len(self.damaged)} {' '.join(self.damaged)}".rstrip()
        yield f"guests lost: {len(self.lost)} {' '.join(self.lost)}".rstrip()
        yield f"not completed without a fault: {len(self.unexpected)}"
        yield from (f"  {text}" for text in self.unexpected)
        if self.weights:
            first, last = self.weights[0], self.weights[-1]
            grown = "; ".join(f"{name} {first[name]:.1f} to {last[name]:.1f}" for name in first)
            yield f"the process grew: {grown}"

    def write(self, path: Path) -> None:
        """Write it as JSON."""
        path.write_text(json.dumps(vars(self), indent=1) + "\n", encoding="utf-8")


def random_plan(chosen: random.Random, situation: Situation) -> Plan:
    """Return a plan of random settings that is valid for these hosts and this guest."""
    while True:
        settings = {name: chosen.choice(values) for name, values in CHOICES.items()}
        if settings["postcopy"]:
            settings["postcopy_after_iteration"] = chosen.choice((1, 2))
        plan = Plan(deadline_s=DEADLINE_S, **settings)
        if not plan.problems(situation=situation):
            return plan


def soak(lab: Lab, guest: Guest, count: int, seed: int, *, faults: bool) -> Iterator[Result]:
    """Migrate ``count`` times; yield the result so far after each migration."""
    chosen, result, began = random.Random(seed), Result(seed), time.monotonic()
    for number in range(1, count + 1):
        here, there = guest.host, guest.other_host
        plan = random_plan(
            chosen, Situation(source=here.side, destination=there.side, domain=guest.facts())
        )
        fault = chosen.choice(FAULTS) if faults and number % FAULT_EVERY == 0 else None
        broken = lab.fault(**fault) if fault else contextlib.nullcontext()
        what = f"{number} ({plan!r}{f', {fault}' if fault else ''})"
        try:
            with broken:
                run = migrate(guest, to=there, plan=plan)
        except MigrationLabError as error:
            result.outcomes["refused"] += 1
            result.unexpected.append(f"{what}: {error}")
        else:
            _judge(result, run, what, fault is not None)
            del run
        if (silent := judge_guest(result, guest, what)) is not None:
            verdict = recover(guest.spec.name, source=here, destination=there)
            result.lost.append(f"{what}: {silent}\n{verdict}")
            guest.clear()
            guest = lab.boot(**GUEST)
        if number % WEIGH_EVERY == 0:
            result.weights.append(weigh())
        result.seconds = time.monotonic() - began
        yield result


def judge_guest(result: Result, guest: Guest, what: str) -> str | None:
    """Let a guest compare its pages as soon as it runs; return why it does not, None if it does."""
    end = time.monotonic() + SETTLE_S
    while True:
        try:
            if not guest.paused:
                if not guest.check().intact:
                    result.damaged.append(what)
                return None
            silent = "it is paused"
        except MigrationLabError as error:
            silent = str(error)
        if time.monotonic() > end:
            return silent
        time.sleep(1)


def _judge(result: Result, run: Run, what: str, had_fault: bool) -> None:
    result.outcomes[str(run.outcome)] += 1
    result.with_fault += had_fault
    if run.outcome is not Outcome.COMPLETED and not had_fault:
        result.unexpected.append(f"{what}: {run.outcome}, {run.error and run.error.text}")


def weigh() -> dict[str, float]:
    """Return what this process uses, without what it could give back."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    me = psutil.Process()
    return {
        "MiB": me.memory_info().rss / 2**20,
        "MiB of files": me.memory_info().shared / 2**20,
        "MiB in the heap": heap_mib(),
        "modules": float(len(sys.modules)),
        "threads": float(me.num_threads()),
        "files": float(me.num_fds()),
        "processes": float(len(me.children(recursive=True))),
        "load": os.getloadavg()[0],
    }


class _Mallinfo2(ctypes.Structure):
    """glibc's struct mallinfo2, in the order of malloc.h."""

    _fields_ = [
        (name, ctypes.c_size_t)
        for name in (
            *("arena", "ordblks", "smblks", "hblks", "hblkhd"),
            *("usmblks", "fsmblks", "uordblks", "fordblks", "keepcost"),
        )
    ]


def heap_mib() -> float:
    """Return what this process asked of malloc and has not given back, in MiB.

    Where the process grows and this does not, nothing is kept: the rest is holes between blocks.
    """
    ask = ctypes.CDLL(None).mallinfo2
    ask.restype = _Mallinfo2
    info = ask()
    return float(info.uordblks + info.hblkhd) / 2**20


@click.command()
@click.option("--migrations", default=1000, show_default=True, type=click.IntRange(1))
@click.option("--seed", default=1, show_default=True)
@click.option("--faults/--no-faults", default=True, help="Whether one in ten meets a small fault.")
@click.option("--output", "-o", type=click.Path(path_type=Path), help="Write the result as JSON.")
def main(migrations: int, seed: int, faults: bool, output: Path | None) -> None:
    """Migrate a guest many times and say what was damaged, lost, or left behind."""
    result, ended = Result(seed), ""
    try:
        with Lab() as lab:
            guest = lab.boot(**GUEST)
            for result in soak(lab, guest, migrations, seed, faults=faults):
                done = sum(result.outcomes.values())
                click.echo(f"\r{done} of {migrations}", nl=False, err=True)
                if output and done % WEIGH_EVERY == 0:
                    result.write(output)
    except (KeyboardInterrupt, MigrationLabError) as error:
        ended = repr(error)
    click.echo("", err=True)
    click.echo("\n".join(result.lines()))
    if output:
        result.write(output)
    if ended:
        click.echo(f"it ended early: {ended}")
    if ended or result.damaged or result.lost or result.unexpected:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
