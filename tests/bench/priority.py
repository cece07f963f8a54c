"""Measure what priority is worth: how much longer a normal process of the guest is silent.

A guest's beats come from a thread with real-time priority, a service from a normal one. Here the
guest sends both kinds of beats, so that each migration gives a pair of silences.

    python -m bench.priority [N]      (PYTHONPATH=tests)
"""

from __future__ import annotations

import json
import sys

import click
import numpy as np
from scipy import stats  # type: ignore[import-untyped]

from bench.speed import completed
from migrationlab.analysis.beats import silence_around
from migrationlab.experiment.statistics import estimate
from migrationlab.lab.guest import Guest
from migrationlab.lab.lab import Lab
from migrationlab.migrate.start import migrate
from migrationlab.plan.plan import Plan
from migrationlab.plan.uris import Mode

#: How long before the call the beats begin that are read, in seconds.
BEFORE_S = 1.0


def pair(guest: Guest, plan: Plan) -> tuple[float, float]:
    """Migrate a guest; return the silences of its beats with real-time and normal priority, ms."""
    normal = guest.beat_normally()
    place = normal.place(BEFORE_S)
    run = completed(migrate(guest, to=guest.other_host, plan=plan))
    line = run.timeline()
    silence = silence_around(normal.read(place), line.stop_ns, line.resume_ns).duration_ms
    assert line.network_basis == "beats"
    assert line.downtime_network_ms is not None
    assert silence is not None
    return line.downtime_network_ms, silence


def main(n: int) -> None:
    """Print each pair, then the differences' median with its interval."""
    pairs = []
    with Lab() as lab:
        guest = lab.boot()
        for number in range(n):
            mode = list(Mode)[number % 2]
            pairs.append(pair(guest, Plan(mode=mode)))
            click.echo(json.dumps({"mode": str(mode), "pair_ms": pairs[-1]}))
    longer = [normal - first for first, normal in pairs]
    about = estimate(longer)
    p_value = float(stats.wilcoxon(longer).pvalue) if np.any(longer) else 1.0
    click.echo(f"longer by, ms: {about}")
    click.echo(f"n = {n}, Wilcoxon's signed-rank test p = {p_value:.2g}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 20)
