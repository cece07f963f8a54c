"""What one entry of the table of causes is, and how its wordings find a text.

A wording is a message as it stands in the source of libvirt or QEMU, where each ``%s`` is a
placeholder: ``{}`` for anything within a line, ``{n}`` for a number, ``{word}`` for what has no
blank in it, ``{quoted}`` for what stands in quotation marks. A ``^`` at its start: only at the
start of a line. Letters' case, the kind of quotation marks and the number of blanks do not
matter, and parts that change between versions are left out, so that one wording serves many.

Imports nothing of the kit.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cache

_PLACES = {
    "{}": r"[^\n]{0,300}?",
    "{n}": r"\d+",
    "{word}": r"[^\s']+?",
    "{quoted}": r"'[^'\n]{0,300}?'",
}
_PLACEHOLDER = re.compile(r"(\{\w*\})")
_WORD = re.compile(r"[a-z0-9_]+")


class NoticedBy(StrEnum):
    """Whose message it is; the cause itself may be elsewhere."""

    CLIENT = "client"
    SOURCE_DAEMON = "source daemon"
    DESTINATION_DAEMON = "destination daemon"
    QEMU = "QEMU"


class Log(StrEnum):
    """A log that may know more, and where it is."""

    SOURCE_DAEMON = "the source libvirtd's log"
    DESTINATION_DAEMON = "the destination libvirtd's log"
    SOURCE_QEMU = "the source QEMU's own log"
    DESTINATION_QEMU = "the destination QEMU's own log"

    @property
    def place(self) -> str:
        """Return where that log is on a host that was not set up otherwise."""
        if self in (Log.SOURCE_QEMU, Log.DESTINATION_QEMU):
            return "/var/log/libvirt/qemu/GUEST.log"
        return "journalctl -u libvirtd -u virtqemud, or its log_outputs"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cause:
    """One thing that can be wrong, and how it is told.

    Attributes:
        id: Its name; stable.
        by: Who notices it; None where it is whoever opened the connection to a libvirtd.
        wordings: How libvirt and QEMU say it.
        cause: What is wrong.
        mend: What to do.
        seen: Where it is said: file and function in libvirt, or in QEMU if that is named.
        logs: Which logs know more.
        codes: The only libvirt codes that it comes with, where wording alone would not do.
        alone: The libvirt codes that say so much by themselves, whatever the text: it may be
            in another language.
        never: Words that show that the text is about something else.
        at_opening: The cause that it is instead, where the message came from opening a
            connection: then the name, port or URI in it is a libvirtd's.
    """

    id: str
    by: NoticedBy | None
    wordings: tuple[str, ...]
    cause: str
    mend: str
    seen: str
    logs: tuple[Log, ...] = ()
    codes: frozenset[int] = frozenset()
    alone: frozenset[int] = frozenset()
    never: tuple[str, ...] = ()
    at_opening: str = ""

    def allows(self, text: str, code: int | None) -> bool:
        """Return whether the code that a text came with, and the text, don't speak against it."""
        if code is not None and self.codes and code not in self.codes:
            return False
        return not any(word in text for word in self.never)


def whole_words(wording: str) -> tuple[str, ...]:
    """Return the words that any text has that a wording finds."""
    found: list[str] = []
    pieces = _PLACEHOLDER.split(wording.lower().removeprefix("^"))
    for number, piece in enumerate(pieces):
        if number % 2:
            continue
        for match in _WORD.finditer(piece):
            # A word that touches a placeholder may go on in the text.
            at_start = match.start() == 0 and number > 0
            at_end = match.end() == len(piece) and number < len(pieces) - 1
            if not at_start and not at_end:
                found.append(match[0])
    return tuple(found)


@cache
def compiled(wording: str) -> re.Pattern[str]:
    """Return a wording as an expression for text that was made plain; made at its first use."""
    anchored = wording.startswith("^")
    pieces = _PLACEHOLDER.split(wording.lower().removeprefix("^"))
    expression = "".join(
        _PLACES[piece] if number % 2 else re.escape(piece) for number, piece in enumerate(pieces)
    )
    before = "^" if anchored else r"(?<!\w)" if pieces[0][:1].isalnum() else ""
    after = r"(?!\w)" if pieces[-1][-1:].isalnum() else ""
    return re.compile(before + expression + after, re.MULTILINE)


def words_of(text: str) -> frozenset[str]:
    """Return the words of a plain text."""
    return frozenset(_WORD.findall(text))


def rarest_words(wordings: tuple[str, ...]) -> Mapping[str, tuple[int, ...]]:
    """Return, for a word of each wording that few others have, the numbers of these wordings.

    A text that lacks the word needs no look at the wording, which makes hundreds of them
    cheap.
    """
    uses: dict[str, int] = {}
    words = [whole_words(wording) for wording in wordings]
    for each in words:
        for word in set(each):
            uses[word] = uses.get(word, 0) + 1
    index: dict[str, list[int]] = {}
    for number, each in enumerate(words):
        rarest = min(each, key=lambda word: (uses[word], -len(word)))
        index.setdefault(rarest, []).append(number)
    return {word: tuple(numbers) for word, numbers in index.items()}
