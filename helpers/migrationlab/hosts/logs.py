"""The ends of the logs that know more than an error message: libvirtd's, and QEMU's own.

Owns which lines of them tell: of a libvirtd's log its warnings and errors, of a QEMU's what it
said itself and not the command that started it. Reads files by their paths, so it serves a lab
whose daemons are dead too. Imports nothing of the kit but ``explain``'s names of logs.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from migrationlab.explain.explanation import Log

LINES = 8
#: How much of a log's end is looked at.
END_BYTES = 256 * 1024

#: virLogFormatString in libvirt's src/util/virlog.c.
_COMPLAINT = re.compile(r"^[\d-]+ [\d:.]+\+\d{4}: \d+: (warning|error) : ")
#: What both logs say of every guest, also where nothing is wrong.
_USUAL = re.compile(r" is tainted: | starting up libvirt version: ")
_DAEMONS = frozenset({Log.SOURCE_DAEMON, Log.DESTINATION_DAEMON})
_QEMUS = frozenset({Log.SOURCE_QEMU, Log.DESTINATION_QEMU})


@dataclass(frozen=True, slots=True)
class LogTail:
    """The end of one log.

    Attributes:
        host: Whose it is.
        what: "libvirtd", or "QEMU of" a guest.
        path: The file.
        lines: Its last lines that tell; none where it has none.
        problem: Why it could not be read; empty where it was.
    """

    host: str
    what: str
    path: str
    lines: tuple[str, ...]
    problem: str = ""

    def __str__(self) -> str:
        found = self.lines or (self.problem or "nothing that tells",)
        return "\n".join([f"{self.host}, {self.what} ({self.path})", *(f"  {x}" for x in found)])


def log_tails(
    host: str, log: Path, wanted: Iterable[Log] = tuple(Log), *, lines: int = LINES
) -> tuple[LogTail, ...]:
    """Return the ends of a host's logs.

    Args:
        host: What the host is called.
        log: Its libvirtd's log; QEMU's own are in the folder ``qemu`` beside it, as libvirt
            puts them (``/var/log/libvirt/qemu``).
        wanted: Which logs an explanation points to. Which host was the source is not asked:
            both sides' are alike.
        lines: How many lines at most of each.

    Returns:
        libvirtd's, and that of the QEMU that wrote last; a log that is not there is left out.
    """
    kinds = frozenset(wanted)
    tails = []
    if kinds & _DAEMONS and log.exists():
        tails.append(_tail(host, "libvirtd", log, lines, complaints=True))
    if kinds & _QEMUS:
        files = sorted(log.parent.glob("qemu/*.log"), key=lambda file: file.stat().st_mtime)
        if files:
            what = f"QEMU of {files[-1].stem}"
            tails.append(_tail(host, what, files[-1], lines, complaints=False))
    return tuple(tails)


def _tail(host: str, what: str, path: Path, lines: int, *, complaints: bool) -> LogTail:
    try:
        text = _end(path)
    except OSError as error:
        return LogTail(host, what, str(path), (), f"cannot be read: {error.strerror}")
    tells = _COMPLAINT.match if complaints else _is_qemus_own
    found = tuple(line for line in text.splitlines() if tells(line) and not _USUAL.search(line))
    return LogTail(host, what, str(path), found[-lines:])


def _end(path: Path) -> str:
    with path.open("rb") as file:
        start = max(file.seek(0, 2) - END_BYTES, 0)
        file.seek(start)
        text = file.read().decode(errors="replace")
    # The first line may have lost its beginning.
    return text.partition("\n")[2] if start else text


def _is_qemus_own(line: str) -> bool:
    """Return whether a line is not of the command that libvirt wrote down before QEMU's words."""
    return bool(line.strip()) and not line.endswith("\\") and not line.startswith("-")
