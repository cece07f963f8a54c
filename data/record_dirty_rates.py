"""Measure how guests write before a migration, by libvirt, and during it: is it the same?

``python data/record_dirty_rates.py [NAME …]`` records the named guests of :data:`GUESTS`, or else
the missing ones, in ``data/dirty_rates.jsonl``: a line for each repeat, with the dirty curve before
(``before``), the one of the migration's iterations (``during``), and the rate that QEMU reports
while it migrates (``reported_mib_s``). The machine's load is in the line, too.
"""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path
from typing import Any

import migrationlab as mig
from migrationlab.lab.guest import Guest

FILE = Path(__file__).parent / "dirty_rates.jsonl"
REPEATS = 3
SECONDS = (1, 2, 4)
#: At 500 Mbit/s the first iteration takes about two seconds: libvirt measures that long, too.
WIRE_MBIT_S = 500
COMMON = {"memory_mib": 384, "working_set_mib": 128, "dirty_mib_s": 40}
SERVED = {**COMMON, "working_set_mib": 16, "dirty_mib_s": 5}
GUESTS: dict[str, dict[str, Any]] = {
    "sequential": {**COMMON},
    "random": {**COMMON, "pattern": "random"},
    "hot-cold": {**COMMON, "pattern": "hot-cold"},
    "redis": {**SERVED, "service": "redis"},
    "nginx": {**SERVED, "service": "nginx"},
    # Its clients change rows, and it needs more memory.
    "postgresql": {**SERVED, "service": "postgresql", "memory_mib": 512, "requests_s": 100},
}


def measured(guest: Guest) -> mig.DirtyCurve:
    """Measure the guest as it will migrate: with the clients of its service, if it has one."""
    clients = guest.service_load()
    try:
        return mig.measure_dirty_rate(guest.name, host=guest.host, seconds=SECONDS)
    finally:
        if clients is not None:
            clients.stop()


def record(name: str, asked: dict[str, Any]) -> None:
    """Boot a guest, and measure and migrate it some times."""
    with mig.Lab() as lab:
        lab.wire.set(rate_mbit_s=WIRE_MBIT_S)
        guest = lab.boot(**asked)
        for _ in range(REPEATS):
            before = measured(guest)
            run = mig.migrate(guest, to=guest.other_host, plan=mig.Plan(deadline_s=12))
            during = mig.DirtyCurve.from_run(run)
            rates = run.job["dirty_rate_pages_s"].dropna()
            rates = rates[rates > 0]
            line = {
                "guest": name, "created": run.created, "outcome": str(run.outcome),
                "load_1min": round(os.getloadavg()[0], 2),
                "before": json.loads(before.to_json()), "during": json.loads(during.to_json()),
                "reported_mib_s": round(float(rates.median()) / 256, 2) if len(rates) else None,
                "asked": asked,
            }  # fmt: skip
            with FILE.open("a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")
            print(f"{name}: before {before!r}, during {during!r}")


def main() -> None:
    """Record what the command line names, or all that is missing."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(GUESTS)}")
    names = parser.parse_args().names
    if unknown := set(names) - GUESTS.keys():
        raise SystemExit(f"there is no guest {', '.join(sorted(unknown))}")
    lines = FILE.read_text(encoding="utf-8").splitlines() if FILE.exists() else []
    known = {json.loads(line)["guest"] for line in lines}
    for name in names or [name for name in GUESTS if name not in known]:
        record(name, GUESTS[name])


if __name__ == "__main__":
    main()
