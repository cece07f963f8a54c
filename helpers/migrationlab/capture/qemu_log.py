"""What QEMU's own log tells of a downtime, where QEMU was told to write it and it can be read.

A guest of the lab is started with the trace event ``vmstate_downtime_checkpoint`` on (QEMU 8.2 and
newer, ``migration/trace-events``), which QEMU's log backend writes as it happens, to the
microsecond of the host's clock (``scripts/tracetool/backend/log.py``; the stamp by ``-msg
timestamp=on``, which libvirt always gives)::

    98@1795400622.075695:vmstate_downtime_checkpoint src-vm-stopped

libvirt lets QEMU write beside its daemon's own log, in ``qemu/NAME.log`` (``logDir`` in
src/qemu/qemu_conf.c). No libvirt, no lab.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

from migrationlab.capture.events import Row

CHECKPOINT = re.compile(r"^\d+@(\d+)\.(\d{6}):vmstate_downtime_checkpoint ([\w-]+)$")
#: What the rows are called among the events, their origin being "log".
NAME = "downtime"


def path(daemon_log: Path | None, name: str) -> Path | None:
    """Return where the QEMU of a domain writes its log.

    Args:
        daemon_log: The log of the host's libvirtd, or None where it can't be read.
        name: The domain's name on that host.
    """
    return None if daemon_log is None else daemon_log.parent / "qemu" / f"{name}.log"


def checkpoints(log: Path | None, start: int, side: str) -> list[Row]:
    """Return the steps of a downtime that QEMU wrote down since its log had a given length.

    Args:
        log: The log, or None where it can't be read: then there are none.
        start: The length then. A log that is shorter by now was begun anew.
        side: "source" or "destination".

    Returns:
        Rows of events called :data:`NAME`, whose detail names the ``checkpoint``.
    """
    rows: list[Row] = []
    for line in _lines(log, start):
        found = CHECKPOINT.match(line)
        if found is None:
            continue
        stamp = int(found[1]) * 1_000_000_000 + int(found[2]) * 1000
        detail = json.dumps({"checkpoint": found[3]})
        rows.append((stamp, stamp, side, "log", NAME, detail))
    return rows


def _lines(log: Path | None, start: int) -> list[str]:
    if log is None:
        return []
    try:
        with log.open("rb") as file:
            file.seek(start if start <= log.stat().st_size else 0)
            return file.read().decode(errors="replace").splitlines()
    except OSError:
        return []
