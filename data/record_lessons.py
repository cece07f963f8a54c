"""Record the runs of ``lessons.toml``, which lessons show without a lab.

``python data/record_lessons.py [NAME …]`` records the named runs, or else the missing ones. Delete
a folder of ``data/lessons`` to record it again. Each table of the file has a new lab.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import shutil
import tomllib
from pathlib import Path
from typing import Any

import migrationlab as mig

DATA = Path(__file__).parent
DESIGN = DATA / "lessons.toml"
KNOWN = {"guest", "wire", "plan", "broken", "validate", "steer", "fault"}


def record(name: str, asked: dict[str, Any]) -> None:
    """Record the run of one table.

    Args:
        name: The folder.
        asked: The table.
    """
    if unknown := asked.keys() - KNOWN:
        raise SystemExit(
            f"{DESIGN.name}: {name} has {', '.join(sorted(unknown))}, which is unknown"
        )
    folder = DATA / "lessons" / name
    shutil.rmtree(folder, ignore_errors=True)
    with mig.Lab() as lab, contextlib.ExitStack() as stack:
        lab.wire.set(**{"rate_mbit_s": 1000} | asked.get("wire", {}))
        guest = lab.boot(**asked.get("guest", {}))
        plan, to = mig.Plan(**asked.get("plan", {})), None
        if "broken" in asked:
            case = stack.enter_context(lab.broken(asked["broken"]))
            guest = case.guest or guest
            plan, to = dataclasses.replace(case.plan, **asked.get("plan", {})), case.to
        if "fault" in asked:
            stack.enter_context(lab.fault(**asked["fault"], guest=guest))
        migration = mig.start(
            guest, to=to or guest.other_host, plan=plan, validate=asked.get("validate", True)
        )
        if steer := asked.get("steer"):
            with contextlib.suppress(TimeoutError):
                migration.wait(steer["after_s"])
            migration.set_max_downtime(steer["max_downtime_ms"])
        run = migration.wait()
        mig.save_run(run, folder)
        print(f"{name}: {run!r}")


def main() -> None:
    """Record what the command line names, or all that is missing."""
    tables = tomllib.loads(DESIGN.read_text(encoding="utf-8"))
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help="a table of lessons.toml")
    names = parser.parse_args().names
    if unknown := set(names) - tables.keys():
        raise SystemExit(f"{DESIGN.name} has no {', '.join(sorted(unknown))}")
    missing = [name for name in tables if not (DATA / "lessons" / name).is_dir()]
    for name in names or missing:
        record(name, tables[name])


if __name__ == "__main__":
    main()
