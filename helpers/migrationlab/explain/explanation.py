"""What an error message of libvirt or QEMU means, who noticed it, and what to do.

Theory of operation. The text is made plain: letters small, quotation marks alike, the dates and
names that logs put before a line taken off, lines that a log marks as chatter left out. Then the
table of causes (``_causes``) is gone through, most specific first, and the first cause fits whose
wording the text has and that libvirt's code does not speak against. Where no wording fits, a code
that says enough by itself still does: the text may be in another language. Else the answer is
that it is unknown, and which logs know more.

Text in, record out: reads no file and asks no host. Imports nothing of the kit but the table, so
that ``errors`` can carry an explanation.
"""

from __future__ import annotations

import html
import re
import textwrap
from dataclasses import dataclass

from migrationlab.explain.cause import compiled, rarest_words, words_of
from migrationlab.explain.causes import TABLE, Cause, Log, NoticedBy

__all__ = ["Cause", "Explanation", "Log", "NoticedBy", "causes", "explain"]

UNKNOWN = "unknown"
#: The end of a long text is read: in a log the last lines tell.
LONGEST_TEXT = 8_000
#: How wide an explanation is as text.
WIDTH = 96

#: libvirt's VIR_FROM_* numbers that a migration meets (virterror.h), and who that is.
ORIGINS = {
    6: "libvirt's domain calls",
    7: "libvirt's connection between two programs",
    10: "libvirt's QEMU driver",
    13: "libvirt's remote driver",
    18: "libvirt's storage driver",
    19: "libvirt's network driver",
    20: "libvirt's reader of domain XML",
    24: "libvirt's security driver",
    31: "libvirt's CPU driver",
    42: "libvirt's lock manager",
    44: "libvirt's capabilities",
    45: "libvirt's reader of URIs",
    50: "libvirt's ssh connection (libssh2)",
    66: "libvirt's ssh connection (libssh)",
}

_SMALL = str.maketrans('‘’‚‛`´“”„‟"', "'" * 11)
_COLOURS = re.compile(r"\x1b\[[0-9;]*m")
_BLANKS = re.compile(r"\s{2,}|[^\S ]")
#: A line of libvirt's log (virLogFormatString in virlog.c), and its level.
_LOG_LINE = re.compile(
    r"^\s*\d{4}-\d\d-\d\d[ t]\d\d:\d\d:\d\d\.\d+[+-]\d{4}: "
    r"(?:\d+: (?P<level>\w+) : (?:(?P<function>\w+):\d+ : )?)?"
)
#: What stands before the message itself: syslog's date, a program's name, Python's exception.
_BEFORE = re.compile(
    r"^(?:\w{3} {1,2}\d{1,2} [\d:]{8} \S+ \S+: |error: |fatal: |virsh: |migrationlab: |hint: "
    r"|(?:\w+\.)*libvirterror: |(?:\w+\.)*hosterror: |(?:/\S*/)?qemu-(?:system-\w+|kvm): "
    r"|libvirt: [\w -]+ error : |\d{4}-\d\d-\d\dt[\d:.]+z "
    r"|\d{4}-\d\d-\d\d [\d:.]+\+0000: )+"
)
_WARNINGS = re.compile(r"^warning: [^\n]*\n?", re.MULTILINE)
_CHATTER = ("debug", "info")
_QEMU_SAYS = ("unable to execute qemu command", "job 'migration ", "/etc/pki/qemu/")
_CLIENT_OPENS = ("failed to connect to the hypervisor", "virconnectopen")

#: All wordings in the table's order, and where to find them: made once, so that a call is quick.
_WORDINGS = tuple((wording, cause) for cause in TABLE for wording in cause.wordings)
_BY_WORD = rarest_words(tuple(wording for wording, _ in _WORDINGS))
_BY_CODE = {code: cause for cause in TABLE for code in cause.alone}


@dataclass(frozen=True, slots=True, repr=False)
class Explanation:
    """What a message means.

    Attributes:
        known: Whether the table has it.
        id: The cause's name, such as "port-closed"; "unknown" where it is not known.
        cause: What is wrong.
        noticed_by: Whose message it is; None where that is not known.
        mend: What to do.
        text: The message, as it was given.
        logs: Which logs know more.
    """

    known: bool
    id: str
    cause: str
    noticed_by: NoticedBy | None
    mend: str
    text: str
    logs: tuple[Log, ...] = ()

    @property
    def log(self) -> str:
        """Return which log knows more and where it is; empty where none does."""
        return "; ".join(f"{log} ({log.place})" for log in self.logs)

    def to_dict(self) -> dict[str, object]:
        """Return plain values, ready for JSON."""
        return {
            "known": self.known,
            "id": self.id,
            "cause": self.cause,
            "noticed_by": self.noticed_by and self.noticed_by.value,
            "mend": self.mend,
            "log": self.log,
            "text": self.text,
        }

    def _rows(self) -> list[tuple[str, str]]:
        rows = [
            ("noticed by", self.noticed_by.value if self.noticed_by else ""),
            ("cause", self.cause),
            ("mend", self.mend),
            ("more in", self.log),
        ]
        return [(name, value) for name, value in rows if value]

    def __repr__(self) -> str:
        if not self.known:
            return "Explanation('unknown')"
        by = self.noticed_by.value if self.noticed_by else None
        return f"Explanation({self.id!r}, noticed_by={by!r})"

    def __str__(self) -> str:
        lines = [
            textwrap.fill(
                value,
                WIDTH,
                initial_indent=f"{name:<12}",
                subsequent_indent=" " * 12,
                break_long_words=False,
                break_on_hyphens=False,
            )
            for name, value in self._rows()
        ]
        return "\n".join([self.id, *lines])

    def _repr_html_(self) -> str:
        left = "style='text-align:left;white-space:normal'"  # JupyterLab's own is the right
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
    """Return what a message of libvirt or QEMU means.

    Args:
        text: The message, or whatever holds it: virsh's output, a log, a traceback.
        code: libvirt's ``VIR_ERR_*`` number, where it is known.
        domain: libvirt's ``VIR_FROM_*`` number, likewise.
        opened_by: Who opens the connection that a message is about, where the caller knows:
            the client in normal mode, the source daemon in peer2peer. By default it is read
            from the text, and else the source daemon.
        opening: Whether the message came from opening a connection, and not from a migration.

    Returns:
        The explanation; what the table does not have is ``known=False``.
    """
    plain, functions = _plain(text)
    # A QEMU that warns goes on: its warnings count only where nothing else does.
    errors = _WARNINGS.sub("", plain)
    found = _by_wording(errors, code)
    if found is None and errors != plain:
        found = _by_wording(plain, code)
    if found is None and "\n" in plain:  # a terminal may have broken a message in two
        found = _by_wording(plain.replace("\n", " "), code)
    if found is None and code is not None:
        found = _BY_CODE.get(code)
    if found is None:
        return _unknown(text, domain)
    if opening and found.at_opening:
        found = next(cause for cause in TABLE if cause.id == found.at_opening)
    return Explanation(
        known=True,
        id=found.id,
        cause=found.cause,
        noticed_by=_noticed_by(found, plain, functions, opened_by),
        mend=found.mend,
        text=text,
        logs=found.logs,
    )


def causes() -> tuple[Cause, ...]:
    """Return the whole table, most specific first."""
    return TABLE


def _plain(text: str) -> tuple[str, str]:
    """Return the text made plain, and the names of libvirt's functions that its log lines have."""
    text = _COLOURS.sub("", text[-LONGEST_TEXT:]).lower().translate(_SMALL)
    lines, functions = [], []
    for line in text.splitlines():
        log = _LOG_LINE.match(line)
        if log is not None:
            if log["level"] in _CHATTER:
                continue
            functions.append(log["function"] or "")
            line = line[log.end() :]  # noqa: PLW2901 - the same line, without its date
        line = _BLANKS.sub(" ", line).strip()  # noqa: PLW2901 - likewise
        lines.append(line[before.end() :] if (before := _BEFORE.match(line)) else line)
    return "\n".join(lines), " ".join(functions)


def _by_wording(plain: str, code: int | None) -> Cause | None:
    numbers = {number for word in words_of(plain) for number in _BY_WORD.get(word, ())}
    for number in sorted(numbers):
        wording, cause = _WORDINGS[number]
        if compiled(wording).search(plain) and cause.allows(plain, code):
            return cause
    return None


def _noticed_by(cause: Cause, plain: str, functions: str, opened_by: NoticedBy | None) -> NoticedBy:
    if cause.by is NoticedBy.QEMU:
        return cause.by
    # A daemon's log says which side it was.
    if "qemumigrationdst" in functions:
        return NoticedBy.DESTINATION_DAEMON
    if "qemumigrationsrc" in functions:
        return NoticedBy.SOURCE_DAEMON
    if cause.by is not None:
        return cause.by
    if any(words in plain for words in _QEMU_SAYS):
        return NoticedBy.QEMU
    if opened_by is not None:
        return opened_by
    client = any(words in plain for words in _CLIENT_OPENS)
    return NoticedBy.CLIENT if client else NoticedBy.SOURCE_DAEMON


def _unknown(text: str, domain: int | None) -> Explanation:
    origin = ORIGINS.get(domain) if domain is not None else None
    cause = "the table of causes does not have this message"
    return Explanation(
        known=False,
        id=UNKNOWN,
        cause=f"{cause}; it comes from {origin}" if origin else cause,
        noticed_by=None,
        mend="the logs of both libvirtds, and of the destination's QEMU, say more: look for the "
        "first error at the moment it failed",
        text=text,
        logs=(Log.SOURCE_DAEMON, Log.DESTINATION_DAEMON, Log.DESTINATION_QEMU),
    )
