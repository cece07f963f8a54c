"""Read the records of a migration in the logs of a host: libvirtd's and QEMU's.

Only the daemons know when a phase begins. With the log filters of a lab host they write it, to the
millisecond (``qemuDomainObjSetJobPhase`` in src/qemu/qemu_domainjob.c)::

    2026-11-22 18:36:15.123+0000: 42: debug : qemuDomainObjSetJobPhase:564 :
        Setting 'migration out' phase to 'begin3'

Only the source's daemon knows the true reason of some failures: in peer2peer it closes its
connection to the destination (qemuMigrationSrcPerformPeer2Peer in src/qemu/qemu_migration.c), and
if ssh has ended before, the error of that close replaces the reason. The log has both, written by
the same thread, the reason first.

The source's daemon also writes to which ports of the destination QEMU sends memory and disks:
``qemuMigrationSrcPerformNative`` in src/qemu/qemu_migration.c, and the cookie from the destination
(``qemuMigrationCookieNBDXMLFormat`` in qemu_migration_cookie.c).

A guest of the lab is started with the trace event ``vmstate_downtime_checkpoint`` on (QEMU 8.2 and
newer, ``migration/trace-events``). QEMU's log backend writes it as it happens, to the microsecond
of the host's clock (``scripts/tracetool/backend/log.py``; the stamp by ``-msg timestamp=on``, which
libvirt always gives)::

    98@1795400622.075695:vmstate_downtime_checkpoint src-vm-stopped

A log is read from its earlier length on. If it is shorter now, it was truncated or replaced
(logrotate(8) does both), and is read from its beginning. A log that does not exist or
cannot be read has no lines.
"""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from pathlib import Path

from migrationlab.capture.events import Row
from migrationlab.capture.tcp_connections import Ports

_STAMP = r"^(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3})\+0000: "
_PHASE = re.compile(_STAMP + r".*Setting 'migration (in|out)' phase to '(\w+)'", re.MULTILINE)
#: virLogFormatString in libvirt's src/util/virlog.c.
_ERROR = re.compile(_STAMP + r"(\d+): error : \w+:\d+ : (.+)")
_CHECKPOINT = re.compile(r"^\d+@(\d+)\.(\d{6}):vmstate_downtime_checkpoint ([\w-]+)$", re.MULTILINE)
#: The destination's answer to a source that gives up (qemuMigrationDstFinish in
#: src/qemu/qemu_migration.c): it follows the reason in the source's log.
ABORTED = "migration successfully aborted"
_MEMORY_PORT = re.compile(r"qemuMigrationSrcPerformNative:\d+ : .*\buri=tcp:(?://)?\S+:(\d+)")
_STORAGE_PORT = re.compile(r"<nbd port='(\d+)'")
RESOLUTION_NS = 1_000_000


class Log:
    """A log, read from its length at construction on; without a path it is empty."""

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self.start = self.size()

    def size(self) -> int:
        """Return the log's length now; 0 if there is none that can be read."""
        try:
            return self.path.stat().st_size if self.path is not None else 0
        except OSError:
            return 0

    def shrank(self) -> bool:
        """Return whether the log is shorter than it was: it was truncated or replaced."""
        return self.size() < self.start

    def read(self) -> str:
        """Return the new part; for a log that shrank, all of it."""
        if self.path is None:
            return ""
        try:
            with self.path.open("rb") as file:
                file.seek(0 if self.shrank() else self.start)
                return file.read().decode(errors="replace")
        except OSError:
            return ""


def qemu_log(daemon_log: Path | None, name: str) -> Path | None:
    """Return the path of the log of a domain's QEMU, None without a daemon's log.

    libvirt puts it beside the daemon's own: ``qemu/NAME.log`` (``logDir`` in src/qemu/qemu_conf.c).
    """
    return None if daemon_log is None else daemon_log.parent / "qemu" / f"{name}.log"


def phases(log: Log, side: str) -> list[Row]:
    """Return the phases in a daemon's log: events named "phase"."""
    rows: list[Row] = []
    for each in _PHASE.finditer(log.read()):
        stamp, detail = _time_ns(each[1]), json.dumps({"job": each[2], "phase": each[3]})
        if not rows or detail != rows[-1][-1]:  # a daemon sets the same phase twice in a row
            rows.append((stamp, stamp, side, "log", "phase", detail))
    return rows


def checkpoints(log: Log, side: str) -> list[Row]:
    """Return the steps in QEMU's log: events named "downtime" whose detail has ``checkpoint``."""
    rows = []
    for each in _CHECKPOINT.finditer(log.read()):
        stamp, detail = int(each[1] + each[2]) * 1000, json.dumps({"checkpoint": each[3]})
        rows.append((stamp, stamp, side, "log", "downtime", detail))
    return rows


def hidden_reason(log: Log, since_ns: int, reported: str) -> str | None:
    """Return the earlier error of a daemon's thread that its reported error hides, if any.

    Errors before ``since_ns`` (CLOCK_REALTIME) do not count.
    """
    latest: dict[str, str] = {}
    reason = None
    for line in log.read().splitlines():
        found = _ERROR.match(line)
        if found is None or _time_ns(found[1]) < since_ns - RESOLUTION_NS:
            continue
        thread, text = found[2], found[3].strip()
        if text == reported:
            reason = latest.get(thread)
        elif text != ABORTED or thread not in latest:
            latest[thread] = text
    return reason


def ports(log: Log) -> Ports:
    """Return the ports of the destination's QEMU, from the log of the source's daemon."""
    text = log.read()
    return Ports(
        memory=frozenset(map(int, _MEMORY_PORT.findall(text))),
        storage=frozenset(map(int, _STORAGE_PORT.findall(text))),
    )


def _time_ns(stamp: str) -> int:
    moment = datetime.strptime(stamp, "%Y-%m-%d %H:%M:%S.%f").replace(tzinfo=UTC)
    return round(moment.timestamp() * 1000) * 1_000_000
