"""Print how guests write during a migration, against before it, from ``data/dirty_rates.jsonl``.

    PYTHONPATH=helpers:tests python tests/bench/dirty_rates.py

The time compared is that of the longest iteration: the different pages that the migration found
written in it, and those that libvirt's measurement before says for the same time. The interval of
95 % is Student's, of the mean logarithm of the ratios.
"""

from __future__ import annotations

import json
import math
import sys
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from migrationlab import DirtyCurve
from paths import DATA

FILE = DATA / "dirty_rates.jsonl"
HEAD = (
    "| guest | n | time compared | MiB before / during | during / before (95 %) | "
    "QEMU's rate / before | shortest iteration's / before |"
)
MIB_PAGES = 256


def compared(line: dict[str, Any]) -> dict[str, Any]:
    """Return what a repeat says."""
    before = DirtyCurve.from_json(json.dumps(line["before"]))
    during = DirtyCurve.from_json(json.dumps(line["during"]))
    seconds = during.period_ms[-1] / 1000
    told, seen = before.written()(seconds), during.written()(seconds)
    reported = line["reported_mib_s"]
    return {
        "guest": line["guest"], "seconds": seconds, "before": told / MIB_PAGES,
        "during": seen / MIB_PAGES, "ratio": seen / told,
        # Rates over different times are different numbers: libvirt's is that of one second.
        "shortest": during.rate_mib_s() / before.rate_mib_s(1.0),
        "reported": None if reported is None else reported / before.rate_mib_s(),
    }  # fmt: skip


def interval(ratios: pd.Series) -> tuple[float, float, float]:
    """Return the geometric mean of some ratios, and its interval of 95 %."""
    logs = np.log(ratios.to_numpy(dtype=float))
    half = float(stats.t.ppf(0.975, len(logs) - 1)) * logs.std(ddof=1) / math.sqrt(len(logs))
    low, middle, high = np.exp([logs.mean() - half, logs.mean(), logs.mean() + half]).tolist()
    return low, middle, high


def row(guest: str, held: pd.DataFrame) -> str:
    """Return a row of the table."""
    low, middle, high = interval(held["ratio"])
    median = held[["seconds", "before", "during", "reported", "shortest"]].astype(float).median()
    return (
        f"| {guest} | {len(held)} | {median['seconds']:.1f} s | {median['before']:.0f} / "
        f"{median['during']:.0f} | {middle:.2f} ({low:.2f} to {high:.2f}) | "
        f"{median['reported']:.2f} | {median['shortest']:.2f} |"
    )


def main() -> None:
    """Print the table."""
    lines = FILE.read_text(encoding="utf-8").splitlines()
    held = pd.DataFrame([compared(json.loads(line)) for line in lines])
    rows = [row(str(guest), part) for guest, part in held.groupby("guest", sort=False)]
    sys.stdout.write(
        "\n".join([HEAD, "|---|---|---|---|---|---|---|", *rows, row("all", held), ""])
    )


if __name__ == "__main__":
    main()
