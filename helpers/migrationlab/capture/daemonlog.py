"""The phases of a migration, read from a libvirtd's own log where this process may read it.

Only the daemons know when a phase begins. With the log filters of a lab host they say so,
to the millisecond (``qemuDomainObjSetJobPhase`` in src/qemu/qemu_domainjob.c)::

    2026-11-22 18:36:15.123+0000: 42: debug : qemuDomainObjSetJobPhase:564 :
        Setting 'migration out' phase to 'begin3'
"""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from pathlib import Path

from migrationlab.capture.events import Row

PHASE = re.compile(
    r"^(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3})\+0000: .*"
    r"Setting 'migration (in|out)' phase to '(\w+)'"
)


def size(path: Path | None) -> int:
    """Return how long a log is by now; 0 where there is none."""
    return path.stat().st_size if path is not None and path.exists() else 0


def phases(path: Path | None, start: int, side: str) -> list[Row]:
    """Return the phases that a daemon went through since its log had a given length.

    Args:
        path: The log, or None where it can't be read: then there are none.
        start: The length then.
        side: "source" or "destination".

    Returns:
        Rows of events called "phase"; the same phase twice running is one.
    """
    if path is None or not path.exists():
        return []
    with path.open("rb") as file:
        file.seek(start)
        lines = file.read().decode(errors="replace").splitlines()
    rows: list[Row] = []
    for line in lines:
        found = PHASE.match(line)
        if found is None:
            continue
        moment = datetime.strptime(found[1], "%Y-%m-%d %H:%M:%S.%f").replace(tzinfo=UTC)
        stamp = round(moment.timestamp() * 1000) * 1_000_000
        detail = json.dumps({"job": found[2], "phase": found[3]})
        if not rows or rows[-1][5] != detail:
            rows.append((stamp, stamp, side, "log", "phase", detail))
    return rows
