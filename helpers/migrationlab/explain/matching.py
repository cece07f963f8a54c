"""Search the table of causes for the causes of a text.

A wording is a message in the source of libvirt or QEMU, with a placeholder for each
``%s``: ``{}`` for anything within a line, ``{n}`` for a number, ``{word}`` for a text without
blanks, ``{quoted}`` for one in quotation marks. A ``^`` at its start means: only where a message
begins; a ``$`` at its end: only where it ends. Upper or lower case, the kind of quotation marks,
the number of blanks and a line broken at a blank do not matter. Parts that change between versions
are left out, so that one wording serves many.

Hundreds of wordings are cheap in long texts: only a text that has all words of a wording is
searched for its longest literal part, and only the surroundings of that part are compared with the
wording. Where a long text has the words of very many wordings, it must have them in a row, too. A
placeholder takes as little as it can and gives nothing back, so no text is slow. Of a wording that
stands in a text very often, the first and the last places count.

The wordings were read in the sources of libvirt 9.0.0, 10.0.0 and 11.3.0 and of QEMU 7.2, 10.0 and
10.2, and in the messages that the faults of the lab gave. Those of management layers are from the
sources that each entry names.
"""

from __future__ import annotations

import re
import tomllib
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

from migrationlab.explain.cause import Cause
from migrationlab.explain.unwrap import BREAK, Plain

FOLDER = Path(__file__).with_name("causes")
#: The files of the table. Where two causes say equally much about one line, the first one counts.
TOPICS = (
    "layers",
    "clouds",
    "proxmox",
    "releases",
    "rights",
    "ssh",
    "trust",
    "addresses",
    "connections",
    "plans",
    "parameters",
    "postcopy",
    "states",
    "streams",
    "guests",
    "machines",
    "disks",
    "files",
    "networks",
    "places",
    "running",
    "features",
    "endings",
    "general",
)
#: How many places of one wording are compared from either end of a text.
PLACES = 12
#: What a placeholder takes at most, in characters.
LONGEST = 300

_PLACES = {
    "{}": rf"[^\n\v]{{0,{LONGEST}}}?",
    "{n}": r"\d{1,20}",
    "{word}": rf"[^\s']{{1,{LONGEST}}}?",
    "{quoted}": rf"'[^'\n\v]{{0,{LONGEST}}}?'",
}
_PLACEHOLDER = re.compile(r"(\{\w*\})")
#: The end of a message: the end of its line, of its quotation, or of its part of a wrapper.
_END = r"(?=[')\]}. ]*(?:[\n\v]|$|:|'))"
_WORD = re.compile(r"[a-z0-9_]+")
#: Words are collected in pieces of this length, and a word is no longer than the overlap.
_PIECE, _OVERLAP = 1 << 20, 100
#: A long text that has the words of more wordings than this is no usual log, and so many words in a
#: row are looked for in it.
CROWD, PHRASE = 100, 3


@dataclass(frozen=True)
class Wording:
    """One wording of a cause, and what is needed to find it."""

    text: str
    cause: Cause
    number: int

    @cached_property
    def pattern(self) -> re.Pattern[str]:
        """Return the expression that finds it."""
        return compiled(self.text)

    @cached_property
    def words(self) -> frozenset[str]:
        """Return its whole words."""
        return frozenset(whole_words(self.text))

    @cached_property
    def phrases(self) -> frozenset[tuple[str, ...]]:
        """Return its whole words that stand in a row, by PHRASE or, in shorter rows, all."""
        rows = [_WORD.findall(part) for part in _PLACEHOLDER.split(_bare(self.text))[::2]]
        found = (phrase for row in rows for phrase in _phrases(row, min(PHRASE, len(row))))
        return frozenset(phrase for phrase in found if self.words.issuperset(phrase))

    @cached_property
    def literal(self) -> str:
        """Return its longest part without a placeholder."""
        return max(_PLACEHOLDER.split(_bare(self.text))[::2], key=len)

    @cached_property
    def reach(self) -> int:
        """Return how far it can extend on either side of its literal part."""
        return len(self.text) + LONGEST * len(_PLACEHOLDER.findall(self.text))


@dataclass(frozen=True, slots=True)
class Match:
    """A wording at a place of a text."""

    wording: Wording
    start: int
    end: int


class Table:
    """All causes; ValueError if they contradict each other."""

    def __init__(self, causes: Iterable[Cause]) -> None:
        self.causes = tuple(causes)
        keys = Counter((cause.id, cause.noticed_by) for cause in self.causes)
        if twice := [name for (name, _), count in keys.items() if count > 1]:
            raise ValueError(f"id must be unique (got twice: {', '.join(twice)})")
        #: The causes by id; the first one if two have the same id.
        self.by_id = {cause.id: cause for cause in reversed(self.causes)}
        for cause in self.causes:
            if cause.at_opening and cause.at_opening not in self.by_id:
                raise ValueError(f"at_opening must be the id of a cause (got {cause.at_opening!r})")
            for name, some in (("noise", cause.noise), ("common", cause.common)):
                if odd := set(some) - set(cause.wordings):
                    raise ValueError(f"{name} must be wordings of {cause.id} (got {odd.pop()!r})")
        self.by_code = {code: cause for cause in self.causes for code in cause.sufficient_codes}
        pairs = [(each, cause) for cause in self.causes for each in cause.wordings]
        self.wordings = [Wording(text, cause, at) for at, (text, cause) in enumerate(pairs)]
        self._by_word = rarest_words([wording.text for wording in self.wordings])
        self._words = {word for wording in self.wordings for word in wording.words}

    def matches(self, plain: Plain, *, joined: bool = False) -> Iterator[Match]:
        """Yield each place of a wording in a plain text, in the order of the table.

        Args:
            plain: The text.
            joined: Whether a placeholder may extend over the end of a line.
        """
        text = plain.flat if joined else plain.text
        for wording in self._candidates(plain):
            for start, end in _places(wording, text, plain.flat):
                yield Match(wording, start, end)

    def _candidates(self, plain: Plain) -> list[Wording]:
        """Return the wordings that a text can have."""
        text = plain.text
        if len(text) > _PIECE:  # lines that are alike have no other words
            text = "\n".join(dict.fromkeys(text.split("\n")))
        words = {word for each in _words_of(text) for word in self._words.intersection(each)}
        numbers = sorted({each for word in words for each in self._by_word.get(word, ())})
        found = [self.wordings[each] for each in numbers if self.wordings[each].words <= words]
        if len(found) <= CROWD:
            return found
        if len(text) <= _PIECE:  # lines that are alike: drop each wording that none of them has
            flat = text.replace("\n", " ").replace(BREAK, " ")
            return [wording for wording in found if wording.literal in flat]
        sought = {phrase for wording in found for phrase in wording.phrases}
        lengths = {len(phrase) for phrase in sought}
        said = {
            phrase
            for row in _words_of(text)
            for length in lengths
            for phrase in sought.intersection(_phrases(row, length))
        }
        return [wording for wording in found if wording.phrases <= said]


def _phrases(row: list[str], length: int) -> Iterator[tuple[str, ...]]:
    """Return each sequence of so many words of a row."""
    return zip(*(row[at:] for at in range(length)), strict=False)


def _words_of(text: str) -> Iterator[list[str]]:
    """Yield the words of a text, piece by piece."""
    for begin in range(0, len(text), _PIECE):
        yield _WORD.findall(text, max(0, begin - _OVERLAP), begin + _PIECE)


def _places(wording: Wording, text: str, flat: str) -> Iterator[tuple[int, int]]:
    """Yield start and end of a wording in a text: of its first and of its last places."""
    at, seen = 0, -1
    for _ in range(PLACES):
        at = flat.find(wording.literal, at)
        if at < 0:
            return
        if found := _place(wording, text, at):
            yield found
            seen = found[0]
            at = max(at, found[1] - 1)
        at += 1
    end = len(flat)
    for _ in range(PLACES):
        at_last = flat.rfind(wording.literal, at, end)
        if at_last < 0:
            return
        if (found := _place(wording, text, at_last)) and found[0] > seen:
            yield found
        end = at_last


def _place(wording: Wording, text: str, at: int) -> tuple[int, int] | None:
    """Return start and end of the wording whose literal part is at a position."""
    begin = max(0, at - wording.reach)
    found = wording.pattern.search(text, begin, at + len(wording.literal) + wording.reach)
    return found.span() if found else None


@cache
def table() -> Table:
    """Return the table, loaded from its files at the first call."""
    return Table(cause for topic in TOPICS for cause in load(FOLDER / f"{topic}.toml"))


def load(path: Path) -> tuple[Cause, ...]:
    """Return the causes of one file.

    Raises:
        ValueError: The file is not TOML, or breaks the schema of :class:`Cause`.
    """
    content = tomllib.loads(path.read_text("utf-8"))
    if content.keys() != {"causes"}:
        raise ValueError(f"{path.name} must hold [[causes]] only (got {', '.join(content)})")
    found = []
    for number, entry in enumerate(content["causes"], 1):
        try:
            found.append(Cause.from_table(entry))
        except ValueError as error:
            raise ValueError(f"{path.name}, cause {number} ({entry.get('id')}): {error}") from error
    return tuple(found)


def _bare(wording: str) -> str:
    """Return a wording in small letters without the signs for its begin and end."""
    return wording.lower().removeprefix("^").removesuffix("$")


def whole_words(wording: str) -> list[str]:
    """Return the whole words of a wording, which every text with this wording has."""
    words = re.findall(r"(?:[a-z0-9_]|\{\w*\})+", _bare(wording))
    return [word for word in words if "{" not in word]


@cache
def compiled(wording: str) -> re.Pattern[str]:
    """Return the expression that finds a wording in a plain text.

    Each placeholder is one atomic group with the literal part behind it: what it took stays taken.
    """
    first, *rest = _PLACEHOLDER.split(_bare(wording))
    before = r"(?<!\w)" if first[:1].isalnum() else ""
    expression = before + _literal(first)
    pairs = list(zip(rest[::2], rest[1::2], strict=True))
    for number, (place, literal) in enumerate(pairs, 1):
        last = number == len(pairs)
        after = r"(?!\w)" if last and literal[-1:].isalnum() else ""
        expression += f"(?>{_PLACES[place]}{_literal(literal)}{after})"
    if not pairs and first[-1:].isalnum():
        expression += r"(?!\w)"
    if wording.endswith("$"):
        expression += _END
    return re.compile(expression)


def _literal(part: str) -> str:
    return re.escape(part).replace(r"\ ", r"[ \n\v]")


def rarest_words(wordings: list[str]) -> dict[str, list[int]]:
    """Return the index: for the rarest word of each wording, the numbers of these wordings."""
    words = [whole_words(wording) for wording in wordings]
    uses = Counter(word for each in words for word in set(each))
    index: dict[str, list[int]] = {}
    for number, each in enumerate(words):
        rarest = min(each, key=lambda word: (uses[word], -len(word)))
        index.setdefault(rarest, []).append(number)
    return index
