"""Define a cause of errors: its wordings in libvirt and QEMU, its reporter, and its fix.

Owns the record, and the schema of the files in ``causes/`` that hold the records.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields
from enum import StrEnum
from typing import Any

#: What the system says behind a message (glibc's strerror), in small letters.
_REASON = re.compile(
    "permission denied|operation not permitted|no such file or directory|connection refused"
    "|no route to host|connection timed out|network is unreachable|connection reset by peer"
    "|broken pipe|input/output error|no space left on device|device or resource busy"
    "|cannot allocate memory|invalid argument|address already in use|no such device"
    "|cannot assign requested address|too many open files|read-only file system"
)


class NoticedBy(StrEnum):
    """The program that reports the problem. The cause itself may be elsewhere."""

    CLIENT = "client"
    SOURCE_DAEMON = "source daemon"
    DESTINATION_DAEMON = "destination daemon"
    QEMU = "QEMU"
    MANAGEMENT_LAYER = "management layer"


class Kind(StrEnum):
    """How much a cause says. A text with several messages is explained by the first kind it has."""

    #: What went wrong, and so what to change.
    CAUSE = "cause"
    #: A class of causes: what was refused, while the message has not the reason.
    GENERAL = "general"
    #: One of several causes that give the same message.
    CANDIDATES = "candidates"
    #: What followed from something that was said elsewhere, and earlier.
    AFTER_EFFECT = "after-effect"
    #: Only the side or the phase that failed.
    SIDE = "side"


class Log(StrEnum):
    """A log that may say more, and its place."""

    SOURCE_DAEMON = "the source libvirtd's log"
    DESTINATION_DAEMON = "the destination libvirtd's log"
    SOURCE_QEMU = "the source QEMU's own log"
    DESTINATION_QEMU = "the destination QEMU's own log"

    @property
    def place(self) -> str:
        """Return the place of this log on a host with default settings."""
        daemon = "journalctl -u libvirtd -u virtqemud -u virtproxyd, or its log_outputs"
        return "/var/log/libvirt/qemu/GUEST.log" if "QEMU" in self else daemon


@dataclass(frozen=True, slots=True, kw_only=True)
class Cause:
    """One cause of errors.

    Attributes:
        id: Its name, which never changes.
        wordings: Its messages in libvirt and QEMU, see :mod:`migrationlab.explain.matching`.
        cause: The cause in words.
        fix: The fix.
        seen: Where the wordings are: file and function of libvirt, or of QEMU where it says so.
        noticed_by: Its reporter; None for the program that opened a connection to a libvirtd.
        logs: The logs that say more.
        codes: libvirt's codes that this cause can have; empty if any code will do. They
            separate this cause from other errors with the same wording.
        sufficient_codes: libvirt's codes that name this cause without any wording. The text may
            be in another language.
        unless: Words that exclude this cause: on its line or the four behind.
        unless_within: Words that exclude this cause within its own wording.
        common: Those of its wordings that other software has as well: they count only near a word
            of a hypervisor, or with a code of libvirt.
        reasons: The system's reasons (as of strerror) that can stand behind its wording. With
            another reason there it is not this cause; without any it is.
        kind: How much it says.
        candidates: The causes that give this message, each with what tells it from the others.
        noise: Those of its wordings that every log has: they explain a text that has nothing else.
        versions: The releases of libvirt or QEMU that have this message or this bug.
        at_opening: The id of the cause that applies instead if a failure to open a connection gave
            the message. The name, port or URI in the message is then a libvirtd's.
    """

    id: str
    wordings: tuple[str, ...]
    cause: str
    fix: str
    seen: str
    noticed_by: NoticedBy | None = None
    logs: tuple[Log, ...] = ()
    codes: tuple[int, ...] = ()
    sufficient_codes: tuple[int, ...] = ()
    unless: tuple[str, ...] = ()
    unless_within: tuple[str, ...] = ()
    common: tuple[str, ...] = ()
    reasons: tuple[str, ...] = ()
    kind: Kind = Kind.CAUSE
    candidates: tuple[str, ...] = ()
    noise: tuple[str, ...] = ()
    versions: str = ""
    at_opening: str = ""

    def __post_init__(self) -> None:
        """Raise ValueError unless it has candidates if and only if its kind says so."""
        if (self.kind is Kind.CANDIDATES) != (len(self.candidates) > 1):
            raise ValueError(f"candidates must be two or more with kind candidates ({self.id})")

    def allows(self, text: str, wording: str, behind: str, code: int | None) -> bool:
        """Return whether neither libvirt's code nor a word of the text excludes this cause.

        Args:
            text: The line of its wording, and the four behind it.
            wording: The text that its wording found.
            behind: The rest of the message.
            code: libvirt's code; None if it is not known.
        """
        if code is not None and self.codes and code not in self.codes:
            return False
        if self.reasons and (reason := _REASON.search(behind)) and reason[0] not in self.reasons:
            return False
        if any(word in wording for word in self.unless_within):
            return False
        return not any(word in text for word in self.unless)

    @classmethod
    def from_table(cls, table: Mapping[str, object]) -> Cause:
        """Return the cause in a table of a TOML file; ValueError where it breaks the schema."""
        if unknown := table.keys() - _KINDS.keys():
            raise ValueError(f"unknown keys: {', '.join(sorted(unknown))}")
        if missing := _REQUIRED - table.keys():
            raise ValueError(f"missing keys: {', '.join(sorted(missing))}")
        return cls(**{key: _read(key, value) for key, value in table.items()})


#: The type of each key of a table: one value of this type, or a list of them.
_KINDS: dict[str, type | list[type]] = {
    "id": str,
    "noticed_by": NoticedBy,
    "wordings": [str],
    "cause": str,
    "fix": str,
    "seen": str,
    "logs": [Log],
    "codes": [int],
    "sufficient_codes": [int],
    "unless": [str],
    "unless_within": [str],
    "common": [str],
    "reasons": [str],
    "kind": Kind,
    "candidates": [str],
    "noise": [str],
    "versions": str,
    "at_opening": str,
}
_REQUIRED = {field.name for field in fields(Cause) if field.default is MISSING}


def _read(key: str, value: object) -> Any:
    kind = _KINDS[key]
    if not isinstance(kind, list):
        return _read_one(key, kind, value)
    if not isinstance(value, list) or not value:
        raise ValueError(f"{key} must be a list that is not empty (got {value!r})")
    return tuple(_read_one(key, kind[0], each) for each in value)


def _read_one(key: str, kind: type, value: object) -> Any:
    if issubclass(kind, StrEnum):
        if value not in list(kind):
            raise ValueError(f"{key} must be one of {', '.join(kind)} (got {value!r})")
        return kind(str(value))
    if type(value) is not kind or value == "":
        raise ValueError(f"{key} must be {kind.__name__} and not empty (got {value!r})")
    return " ".join(value.split()) if isinstance(value, str) else value  # the file wraps long texts
