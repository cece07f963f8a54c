"""What a libvirtd's own log tells of a migration, where this process may read it.

Only the daemons know when a phase begins. With the log filters of a lab host they say so,
to the millisecond (``qemuDomainObjSetJobPhase`` in src/qemu/qemu_domainjob.c)::

    2026-11-22 18:36:15.123+0000: 42: debug : qemuDomainObjSetJobPhase:564 :
        Setting 'migration out' phase to 'begin3'

And only the source's daemon knows the reason of a failure that its own hanging up has hidden: in
peer2peer it closes its connection to the destination (qemuMigrationSrcPerformPeer2Peer in
src/qemu/qemu_migration.c), and where ssh has ended before, an error of that takes the reason's
place. The log has both, written by the same thread, the reason first.
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
#: virLogFormatString in libvirt's src/util/virlog.c.
ERROR = re.compile(r"^(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3})\+0000: (\d+): error : \w+:\d+ : (.+)")
RESOLUTION_NS = 1_000_000


def size(path: Path | None) -> int:
    """Return how long a log is by now; 0 where there is none that can be read."""
    try:
        return path.stat().st_size if path is not None else 0
    except OSError:
        return 0


def shrank(path: Path | None, start: int) -> bool:
    """Return whether a log is shorter than it was: it was cut, or another is in its place.

    Args:
        path: The log, or None where it can't be read.
        start: How long it was.
    """
    return path is not None and size(path) < start


def hidden_reason(path: Path | None, start: int, since_ns: int, told: str) -> str | None:
    """Return the error that a daemon's thread met before the one that it told of.

    Args:
        path: The log, or None where it can't be read.
        start: Where in it to begin.
        since_ns: The moment since which an error counts, CLOCK_REALTIME.
        told: The error that was told.

    Returns:
        The error's text; None where the thread met no other.
    """
    latest: dict[str, str] = {}
    reason = None
    for line in _lines(path, start):
        found = ERROR.match(line)
        if found is None or _stamp(found[1]) < since_ns - RESOLUTION_NS:
            continue
        thread, text = found[2], found[3].strip()
        if text == told:
            reason = latest.get(thread)
        else:
            latest[thread] = text
    return reason


def phases(path: Path | None, start: int, side: str) -> list[Row]:
    """Return the phases that a daemon went through since its log had a given length.

    Args:
        path: The log, or None where it can't be read: then there are none.
        start: The length then.
        side: "source" or "destination".

    Returns:
        Rows of events called "phase"; the same phase twice running is one.
    """
    rows: list[Row] = []
    for line in _lines(path, start):
        found = PHASE.match(line)
        if found is None:
            continue
        stamp = _stamp(found[1])
        detail = json.dumps({"job": found[2], "phase": found[3]})
        if not rows or rows[-1][5] != detail:
            rows.append((stamp, stamp, side, "log", "phase", detail))
    return rows


def _lines(path: Path | None, start: int) -> list[str]:
    """Return the lines of a log from a length on; none where it can't be read.

    All lines of one that is shorter by now are newer: of a log that is cut, or that is moved away
    (logrotate(8) does both), what comes after stands from its beginning on.
    """
    if path is None:
        return []
    try:
        with path.open("rb") as file:
            file.seek(0 if shrank(path, start) else start)
            return file.read().decode(errors="replace").splitlines()
    except OSError:
        return []


def _stamp(text: str) -> int:
    moment = datetime.strptime(text, "%Y-%m-%d %H:%M:%S.%f").replace(tzinfo=UTC)
    return round(moment.timestamp() * 1000) * 1_000_000
