"""Explain an error message of libvirt or QEMU: its cause, its reporter, and the fix.

Theory of operation:

1. The text is made plain: small letters, straight quotation marks, single blanks. The dates and
   program names that logs put before a message are removed, and so are lines of a log that
   report no error.
2. The table of causes is searched, the most specific first (:mod:`migrationlab.explain.matching`).
   A cause fits if a wording is in the text and libvirt's code allows it. The first one wins.
3. If no wording fits, libvirt's code may name the cause: the text may be in another language.
4. Otherwise the cause is unknown. The explanation then names the logs that say more.
"""

from __future__ import annotations

import html
import re
import textwrap
from dataclasses import dataclass

from migrationlab.explain.cause import Cause, Log, NoticedBy
from migrationlab.explain.matching import table

__all__ = ["Cause", "Explanation", "Log", "NoticedBy", "causes", "explain"]

UNKNOWN = Cause(
    id="unknown",
    wordings=(),
    cause="the table of causes does not have this message",
    fix="read the logs of both libvirtds and of the destination's QEMU: look for the first error "
    "at the time of the failure",
    seen="",
    logs=(Log.SOURCE_DAEMON, Log.DESTINATION_DAEMON, Log.DESTINATION_QEMU),
)
#: A longer text is read from its end: the last lines of a log report the error.
LONGEST_TEXT = 8_000
#: The width of an explanation as text, in columns.
WIDTH = 96

#: libvirt's VIR_FROM_* numbers that a migration can meet (virterror.h), and their meaning.
ORIGINS = {
    6: "libvirt's domain API",
    7: "libvirt's RPC layer",
    10: "libvirt's QEMU driver",
    13: "libvirt's remote driver",
    18: "libvirt's storage driver",
    19: "libvirt's network driver",
    20: "libvirt's domain XML parser",
    24: "libvirt's security driver",
    31: "libvirt's CPU driver",
    42: "libvirt's lock manager",
    44: "libvirt's capabilities",
    45: "libvirt's URI parser",
    50: "libvirt's ssh connection (libssh2)",
    66: "libvirt's ssh connection (libssh)",
}

_STRAIGHT_QUOTES = str.maketrans('‘’‚‛`´“”„‟"', "'" * 11)
_COLOURS = re.compile(r"\x1b\[[0-9;]*m")
_BLANKS = re.compile(r"\s{2,}|[^\S ]")
#: The start of a line of libvirt's log (virLogFormatString in virlog.c), with its level.
_LOG_LINE = re.compile(
    r"^\s*\d{4}-\d\d-\d\d[ t]\d\d:\d\d:\d\d\.\d+[+-]\d{4}: "
    r"(?:\d+: (?P<level>\w+) : (?:(?P<function>\w+):\d+ : )?)?"
)
#: The possible prefixes of a message: syslog's date, the name of a program, Python's exception.
_PREFIXES = re.compile(
    r"^(?:\w{3} {1,2}\d{1,2} [\d:]{8} \S+ \S+: |error: |fatal: |virsh: |migrationlab: |hint: "
    r"|(?:\w+\.)*libvirterror: |(?:\w+\.)*hosterror: |(?:/\S*/)?qemu-(?:system-\w+|kvm): "
    r"|libvirt: [\w -]+ error : |\d{4}-\d\d-\d\dt[\d:.]+z "
    r"|\d{4}-\d\d-\d\d [\d:.]+\+0000: )+"
)
_WARNINGS = re.compile(r"^warning: [^\n]*\n?", re.MULTILINE)
_QEMU_SAYS = ("unable to execute qemu command", "job 'migration ", "/etc/pki/qemu/")
#: QEMU's own words for a connection that it opens; libvirt has others.
_QEMU_CONNECTS = ("failed to connect to '", "address resolution failed for ", "rdma_getaddrinfo ")
_CLIENT_OPENS = ("failed to connect to the hypervisor", "virconnectopen")


@dataclass(frozen=True, slots=True, repr=False)
class Explanation:
    """The meaning of a message.

    Attributes:
        known: Whether the table has the cause.
        id: The cause's name, such as "port-closed"; "unknown" where the table does not have it.
        cause: The cause in words.
        noticed_by: Its reporter; None if that is not known.
        fix: The fix.
        text: The message, unchanged.
        logs: The logs that say more.
    """

    known: bool
    id: str
    cause: str
    noticed_by: NoticedBy | None
    fix: str
    text: str
    logs: tuple[Log, ...] = ()

    @property
    def log(self) -> str:
        """Return the names and places of the logs that say more; empty if there are none."""
        return "; ".join(f"{log} ({log.place})" for log in self.logs)

    def to_dict(self) -> dict[str, object]:
        """Return plain values for JSON; the keys are those of ``explain --format json``."""
        return {
            "known": self.known,
            "id": self.id,
            "cause": self.cause,
            "noticed_by": self.noticed_by and self.noticed_by.value,
            "mend": self.fix,
            "log": self.log,
            "text": self.text,
        }

    def _rows(self) -> list[tuple[str, str]]:
        names = ("noticed by", "cause", "fix", "more in")
        values = (self.noticed_by, self.cause, self.fix, self.log)
        return [(name, value) for name, value in zip(names, values, strict=True) if value]

    def __repr__(self) -> str:
        by = f", noticed_by={self.noticed_by and self.noticed_by.value!r}" if self.known else ""
        return f"Explanation({self.id!r}{by})"

    def __str__(self) -> str:
        wrapper = textwrap.TextWrapper(
            WIDTH, subsequent_indent=" " * 12, break_long_words=False, break_on_hyphens=False
        )
        lines = [wrapper.fill(f"{name:<12}{value}") for name, value in self._rows()]
        return "\n".join([self.id, *lines])

    def _repr_html_(self) -> str:
        left = "style='text-align:left;white-space:normal'"  # JupyterLab aligns to the right
        rows = "".join(
            f"<tr><th scope='row' {left}>{name}</th><td {left}>{html.escape(value)}</td></tr>"
            for name, value in self._rows()
        )
        return f"<table><caption>{html.escape(self.id)}</caption><tbody>{rows}</tbody></table>"


def explain(
    text: str,
    *,
    code: int | None = None,
    domain: int | None = None,
    opened_by: NoticedBy | None = None,
    opening: bool = False,
) -> Explanation:
    """Return the meaning of a message of libvirt or QEMU; ``known=False`` if it is unknown.

    Args:
        text: The message, or a text that contains it: virsh's output, a log, a traceback.
        code: libvirt's ``VIR_ERR_*`` number, where it is known.
        domain: libvirt's ``VIR_FROM_*`` number, where it is known.
        opened_by: Who opens the connection to the destination's libvirtd: the client in normal
            mode, the source daemon in peer2peer. By default the text decides, or else it is the
            source daemon.
        opening: Whether the message came from opening a connection, and not from a migration.
    """
    known_causes = table()
    plain, functions = _plain(text)
    # QEMU goes on after a warning, so warnings count only where no error is found. A terminal may
    # have wrapped a message, so the last try takes all lines as one.
    tries = dict.fromkeys((_WARNINGS.sub("", plain), plain, plain.replace("\n", " ")))
    found = next(filter(None, (known_causes.find(each, code) for each in tries)), None)
    if found is None:
        found = known_causes.by_code.get(code or 0, UNKNOWN)  # 0 is no error
    if opening and found.at_opening:
        found = known_causes.by_id[found.at_opening]
    known = found is not UNKNOWN
    origin = f"; it comes from {ORIGINS[domain]}" if not known and domain in ORIGINS else ""
    return Explanation(
        known=known,
        id=found.id,
        cause=f"{found.cause}{origin}",
        noticed_by=_noticed_by(found, plain, functions, opened_by) if known else None,
        fix=found.fix,
        text=text,
        logs=found.logs,
    )


def causes() -> tuple[Cause, ...]:
    """Return all causes, the most specific first."""
    return table().causes


def _plain(text: str) -> tuple[str, str]:
    """Return the plain text, and the names of libvirt's functions in its log lines."""
    text = _COLOURS.sub("", text[-LONGEST_TEXT:]).lower().translate(_STRAIGHT_QUOTES)
    lines, functions = [], []
    for line in text.splitlines():
        message = line
        if log := _LOG_LINE.match(line):
            if log["level"] in ("debug", "info"):
                continue
            functions.append(log["function"] or "")
            message = line[log.end() :]
        message = _BLANKS.sub(" ", message).strip()
        lines.append(_PREFIXES.sub("", message))
    return "\n".join(lines), " ".join(functions)


def _noticed_by(cause: Cause, plain: str, functions: str, opened_by: NoticedBy | None) -> NoticedBy:
    if cause.noticed_by is NoticedBy.QEMU or any(words in plain for words in _QEMU_CONNECTS):
        return NoticedBy.QEMU
    # The functions in a daemon's log show on which side the daemon was.
    if "qemumigrationdst" in functions:
        return NoticedBy.DESTINATION_DAEMON
    if "qemumigrationsrc" in functions:
        return NoticedBy.SOURCE_DAEMON
    if cause.noticed_by is not None:
        return cause.noticed_by
    if any(words in plain for words in _QEMU_SAYS):
        return NoticedBy.QEMU
    if opened_by is not None:
        return opened_by
    client = any(words in plain for words in _CLIENT_OPENS)
    return NoticedBy.CLIENT if client else NoticedBy.SOURCE_DAEMON
