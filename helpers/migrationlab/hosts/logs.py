"""Read the last useful lines of the logs of a host.

These are the warnings and errors in libvirtd's log, and QEMU's own lines in its log, without the
command that started it. Files are read by their paths, so this works for dead daemons too.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from migrationlab.explain.explanation import Log

LINES = 8
#: How much of a log's end is read.
END_BYTES = 256 * 1024

#: virLogFormatString in libvirt's src/util/virlog.c.
_COMPLAINT = re.compile(r"^[\d-]+ [\d:.]+\+\d{4}: \d+: (warning|error) : ")
#: Lines that both logs have for every guest.
_USUAL = re.compile(r" is tainted: | starting up libvirt version: ")
_DAEMONS = frozenset({Log.SOURCE_DAEMON, Log.DESTINATION_DAEMON})
_QEMUS = frozenset({Log.SOURCE_QEMU, Log.DESTINATION_QEMU})


@dataclass(frozen=True, slots=True)
class LogTail:
    """The end of one log.

    Attributes:
        what: "libvirtd", or a modular daemon's name, or "QEMU of" a guest.
        lines: Its last useful lines.
        problem: Why it could not be read; empty if it was read.
    """

    host: str
    what: str
    path: str
    lines: tuple[str, ...]
    problem: str = ""

    def __str__(self) -> str:
        found = self.lines or (self.problem or "no warnings or errors",)
        return "\n".join([f"{self.host}, {self.what} ({self.path})", *(f"  {x}" for x in found)])


def log_tails(
    host: str, log: Path, wanted: Iterable[Log] = tuple(Log), *, lines: int = LINES
) -> tuple[LogTail, ...]:
    """Return the ends of a host's logs: libvirtd's, and that of the QEMU that wrote last.

    Args:
        host: The host's name.
        log: Its libvirtd's log; QEMU's logs are in the folder ``qemu`` beside it, as libvirt puts
            them (``/var/log/libvirt/qemu``).
        wanted: The logs that an explanation names. Logs of the source and of the destination
            count alike.
        lines: The maximum number of lines of each.
    """
    kinds = frozenset(wanted)
    tails = []
    if kinds & _DAEMONS and log.exists():
        # With modular daemons, virtproxyd serves other machines, and has its own log.
        beside = log.with_name("virtproxyd.log")
        logs = (log, beside) if beside.exists() else (log,)
        tails += [_tail(host, each.stem, each, lines, complaints=True) for each in logs]
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
    useful = _COMPLAINT.match if complaints else _is_of_qemu
    found = tuple(line for line in text.splitlines() if useful(line) and not _USUAL.search(line))
    return LogTail(host, what, str(path), found[-lines:])


def _end(path: Path) -> str:
    with path.open("rb") as file:
        start = max(file.seek(0, 2) - END_BYTES, 0)
        file.seek(start)
        text = file.read().decode(errors="replace")
    # The first line may have lost its beginning.
    return text.partition("\n")[2] if start else text


def _is_of_qemu(line: str) -> bool:
    """Return whether a line is QEMU's, not part of the command that libvirt logs first."""
    return bool(line.strip()) and not line.endswith("\\") and not line.startswith("-")
