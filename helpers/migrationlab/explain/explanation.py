"""Explain an error message of libvirt or QEMU: its cause, its reporter, and the fix.

Theory of operation:

1. The text is made plain, however it is wrapped (:mod:`migrationlab.explain.unwrap`).
2. Each wording of the table is looked for in all of its lines
   (:mod:`migrationlab.explain.matching`), and what was found is ranked
   (:mod:`migrationlab.explain.ranking`): the culprit, then what followed from it.
3. A short text that names no reason so is read once more as one line: a terminal may have wrapped
   its message.
4. If no wording says a reason, libvirt's own translations turn the text back into English, where
   they are installed (:mod:`migrationlab.explain.catalogues`).
5. If nothing fits, libvirt's code may name the cause. Otherwise it is unknown, and the explanation
   names the logs that say more.
"""

from __future__ import annotations

import html
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass, replace

from migrationlab.errors import UsageError
from migrationlab.explain import catalogues
from migrationlab.explain.cause import Cause, Kind, Log, NoticedBy
from migrationlab.explain.convergence import JobAnswer, explain_job
from migrationlab.explain.matching import table
from migrationlab.explain.ranking import WARNING_RANK, Finding, is_unproven, ranked
from migrationlab.explain.unwrap import Plain, numbers_beside, unwrap
from migrationlab.explain.virtio_features import refused

__all__ = ["Also", "Cause", "Explanation", "Kind", "Log", "NoticedBy", "causes", "explain"]

UNKNOWN = Cause(
    id="unknown",
    wordings=(),
    cause="the table of causes does not have this message",
    fix="read the logs of both libvirtds and of the destination's QEMU: look for the first error "
    "at the time of the failure",
    seen="",
    logs=(Log.SOURCE_DAEMON, Log.DESTINATION_DAEMON, Log.DESTINATION_QEMU),
)
#: What to do with a text in another language that no catalogue turned into English.
IN_ENGLISH = (
    "run the command again with LC_ALL=C before it (LC_ALL=C virsh migrate …), and explain its "
    "English message; or install libvirt's translations (apt install libvirt-l10n), with which "
    "this command reads many messages"
)
#: What to do first with a line of a log that need not belong to the migration.
UNPROVEN = "first check that this line belongs to the failed migration: the log does not show that"
#: The longest text, in characters.
LONGEST_TEXT = 16 * 1024 * 1024
#: A text that is not longer is read as one line, too.
LONGEST_MESSAGE = 8_000
#: The cause that a QEMU ended for a reason that the table does not know.
DIED = "destination-qemu-died"
#: The cause whose two numbers say which features are missing.
FEATURES = "virtio-features-differ"
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

_QEMU_SAYS = ("unable to execute qemu command", "job 'migration ", "/etc/pki/qemu/")
#: QEMU's own words for a connection that it opens; libvirt has others.
_QEMU_CONNECTS = ("failed to connect to '", "address resolution failed for ", "rdma_getaddrinfo ")
_CLIENT_OPENS = ("failed to connect to the hypervisor", "virconnectopen")


#: What ``known`` is in JSON, for each kind of cause.
_KNOWN: dict[Kind, bool | str] = {
    Kind.CAUSE: True,
    Kind.GENERAL: True,
    Kind.CANDIDATES: "partly",
    Kind.AFTER_EFFECT: "partly",
    Kind.SIDE: "partly",
}


@dataclass(frozen=True, slots=True)
class Also:
    """Another finding of a text, behind the one that is explained.

    Attributes:
        id: The cause's name.
        kind: How much it says.
        cause: The cause in words.
        line: The number of its line, from 1.
        quote: Its line.
    """

    id: str
    kind: Kind
    cause: str
    line: int
    quote: str

    def to_dict(self) -> dict[str, object]:
        """Return plain values for JSON."""
        return {
            "id": self.id,
            "kind": self.kind.value,
            "cause": self.cause,
            "line": self.line,
            "quote": self.quote,
        }


@dataclass(frozen=True, slots=True, repr=False)
class Explanation:
    """The meaning of a message.

    Attributes:
        known: Whether the table has the message.
        id: The cause's name, such as "port-closed"; "unknown" where the table does not have it.
        cause: The cause in words.
        noticed_by: Its reporter; None if that is not known.
        fix: The fix.
        text: The message, unchanged.
        logs: The logs that say more.
        kind: How much the message says: the cause, several possible ones, what followed from it, or
            only the phase; None where it is unknown.
        versions: The releases that have this message or this bug; empty if it does not depend on
            them.
        line: The number of the line that the explanation rests on, from 1; None if it rests on
            libvirt's code, or on nothing.
        quote: This line.
        others: What else the text has, at most three.
        candidates: The causes that give this message, each with what tells it from the others;
            empty unless ``kind`` is "candidates".
    """

    known: bool
    id: str
    cause: str
    noticed_by: NoticedBy | None
    fix: str
    text: str
    logs: tuple[Log, ...] = ()
    kind: Kind | None = None
    versions: str = ""
    line: int | None = None
    quote: str = ""
    others: tuple[Also, ...] = ()
    candidates: tuple[str, ...] = ()

    @property
    def log(self) -> str:
        """Return the names and places of the logs that say more; empty if there are none."""
        return "; ".join(f"{log} ({log.place})" for log in self.logs)

    def to_dict(self) -> dict[str, object]:
        """Return plain values for JSON; the keys are those of ``explain --format json``.

        ``known`` is true for a cause, "partly" where only the side, the phase, an after-effect or
        several possible causes are known, and false for what is unknown.
        """
        return {
            "known": _KNOWN[self.kind] if self.kind else self.known,
            "id": self.id,
            "kind": self.kind and self.kind.value,
            "cause": self.cause,
            "candidates": list(self.candidates),
            "noticed_by": self.noticed_by and self.noticed_by.value,
            "mend": self.fix,
            "versions": self.versions,
            "log": self.log,
            "line": self.line,
            "quote": self.quote,
            "others": [other.to_dict() for other in self.others],
            "text": self.text,
        }

    def _rows(self) -> list[tuple[str, str]]:
        whole = len(self.text.split()) == len(self.quote.split())  # the text is the line itself
        rests_on = "" if self.line is None or whole else f"line {self.line}: {self.quote}"
        also = [
            (
                "also",
                f"line {each.line}: {each.id}"
                + (f": {each.quote}" if each.line != self.line else ""),
            )
            for each in self.others
        ]
        rows = [
            ("line", rests_on),
            ("noticed by", self.noticed_by or ""),
            (_CAUSE_ROWS.get(self.kind, "cause"), self.cause),
            *(("possible", each) for each in self.candidates),
            ("fix", self.fix),
            ("versions", self.versions),
            ("more in", self.log),
            *also,
        ]
        return [(name, value) for name, value in rows if value]

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


#: What a message that has not the reason says instead.
_CAUSE_ROWS: dict[Kind | None, str] = {
    Kind.AFTER_EFFECT: "follows",
    Kind.SIDE: "says only",
    Kind.CANDIDATES: "says only",
}


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
        text: The message, or a text that contains it: virsh's output, a log, a traceback. Or the
            progress of a migration, as ``virsh domjobinfo`` prints it: see :func:`explain_job`.
        code: libvirt's ``VIR_ERR_*`` number, where it is known.
        domain: libvirt's ``VIR_FROM_*`` number, where it is known.
        opened_by: Who opens the connection to the destination's libvirtd: the client in normal
            mode, the source daemon in peer2peer. By default the text decides, or else it is the
            source daemon.
        opening: Whether the message came from opening a connection, and not from a migration.

    Raises:
        UsageError: The text is longer than 16 MiB.
    """
    if len(text) > LONGEST_TEXT:
        raise UsageError(
            f"text must be at most {LONGEST_TEXT} characters (got {len(text)})",
            hint="Give the part of the log around the failure: tail -n 100000 LOG.",
        )
    if code is None and (job := explain_job(text)) is not None:
        return _of_job(job)
    plain = unwrap(text)
    findings = _findings(plain, code)
    if findings:
        found = _explanation(plain, findings, opened_by, opening=opening)
        more = _says_little(findings) and catalogues.looks_localised(plain)
        return replace(found, fix=f"{found.fix}; {IN_ENGLISH}") if more else found
    if len(text) <= LONGEST_MESSAGE:
        written = numbers_beside(plain.flat)
        code, domain = code or written[0], domain or written[1]
    by_code = table().by_code.get(code or 0)  # 0 is no error
    if by_code is None:
        return _unknown(plain, domain)
    return _answer(by_code, text, _noticed_by(by_code, plain.text, "", opened_by))


def _of_job(job: JobAnswer) -> Explanation:
    """Return the answer to a report of progress: it always says something."""
    return Explanation(
        known=True,
        id=job.id,
        cause=job.cause,
        noticed_by=None,
        fix=job.fix,
        text=job.text,
        kind=Kind.CAUSE if job.known else Kind.SIDE,
    )


def causes() -> tuple[Cause, ...]:
    """Return all causes; of two for the same line, the more specific is first."""
    return table().causes


def _findings(plain: Plain, code: int | None) -> list[Finding]:
    """Return what a text has, the culprit first: by lines, as one line, or in English."""
    found = ranked(plain, table(), code)
    if not _says_little(found):
        return found
    tries = [found]
    if len(plain.text) <= LONGEST_MESSAGE:
        tries.append(ranked(plain, table(), code, joined=True))
    english = catalogues.in_english(plain)
    if english is not None:
        tries.append(ranked(english, table(), code))
    return max(tries, key=lambda each: each[0].rank if each else -1)


def _says_little(found: Sequence[Finding]) -> bool:
    little = (Kind.AFTER_EFFECT, Kind.SIDE)
    return not found or found[0].cause.kind in little or found[0].rank < WARNING_RANK


def _explanation(
    plain: Plain, findings: Sequence[Finding], opened_by: NoticedBy | None, *, opening: bool
) -> Explanation:
    best, *others = findings
    cause = best.cause
    if opening and cause.at_opening:
        cause = table().by_id[cause.at_opening]
    by = _noticed_by(cause, plain.before(best.start), best.head.function.lower(), opened_by)
    found = _answer(cause, plain.raw, by)
    if is_unproven(plain, findings):
        found = replace(found, kind=Kind.SIDE, fix=f"{UNPROVEN}; {found.fix}")
    if cause.id == FEATURES and (lacking := refused(plain.text[best.start :][:4_000])):
        found = replace(found, cause=f"{found.cause}; here the destination lacks {lacking}")
    start, number = best.start, best.number
    if cause.id == DIED:
        start, number = plain.last_words() or (start, number)
    return replace(
        found,
        line=number,
        quote=plain.quoted(start, number),
        others=tuple(_also(plain, each) for each in others),
    )


def _answer(cause: Cause, text: str, by: NoticedBy | None) -> Explanation:
    return Explanation(
        known=True,
        id=cause.id,
        cause=cause.cause,
        noticed_by=by,
        fix=cause.fix,
        text=text,
        logs=cause.logs,
        kind=cause.kind,
        versions=cause.versions,
        candidates=cause.candidates,
    )


def _also(plain: Plain, finding: Finding) -> Also:
    cause = finding.cause
    quote = plain.quoted(finding.start, finding.number)
    return Also(cause.id, cause.kind, cause.cause, finding.number, quote)


def _unknown(plain: Plain, domain: int | None) -> Explanation:
    origin = f"; it comes from {ORIGINS[domain]}" if domain in ORIGINS else ""
    localised = catalogues.looks_localised(plain)
    return Explanation(
        known=False,
        id=UNKNOWN.id,
        cause=f"{UNKNOWN.cause}{origin}",
        noticed_by=None,
        fix=f"{IN_ENGLISH}; {UNKNOWN.fix}" if localised else UNKNOWN.fix,
        text=plain.raw,
        logs=UNKNOWN.logs,
    )


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
