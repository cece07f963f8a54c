"""Search the table of causes for the cause of a text.

A wording is a message in the source of libvirt or QEMU, with a placeholder for each
``%s``: ``{}`` for anything within a line, ``{n}`` for a number, ``{word}`` for a text without
blanks, ``{quoted}`` for a text in quotation marks. A ``^`` at its start means: only at the start
of a line. Upper or lower case, the kind of quotation marks and the number of blanks do not
matter. Parts that change between versions are left out, so that one wording serves many.

A text can hold several messages, one about the other. The first cause that fits wins, so the
order of the table matters: first the causes whose wordings name a reason, then those that only
report that something ended, then those that libvirt's code alone names.

Hundreds of wordings are cheap because of an index: a text that lacks a wording's rarest word is
not searched for that wording. The wordings were read in the sources of libvirt 9.0.0, 10.0.0 and
11.3.0 and of QEMU 7.2, 10.0 and 10.2, and in the messages that the faults of the lab gave.
"""

from __future__ import annotations

import re
import tomllib
from collections import Counter
from collections.abc import Iterable
from functools import cache
from pathlib import Path

from migrationlab.explain.cause import Cause

FOLDER = Path(__file__).with_name("causes")
#: The files of the table, in the order in which a text is matched: the most specific first.
TOPICS = (
    "rights",
    "trust",
    "addresses",
    "plans",
    "parameters",
    "postcopy",
    "guests",
    "disks",
    "places",
    "running",
    "general",
)

_PLACES = {
    "{}": r"[^\n]{0,300}?",
    "{n}": r"\d+",
    "{word}": r"[^\s']+?",
    "{quoted}": r"'[^'\n]{0,300}?'",
}
_PLACEHOLDER = re.compile(r"(\{\w*\})")
_WORD = re.compile(r"[a-z0-9_]+")


class Table:
    """All causes, the most specific first; ValueError if they contradict each other."""

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
        self.by_code = {code: cause for cause in self.causes for code in cause.sufficient_codes}
        self._wordings = [(each, cause) for cause in self.causes for each in cause.wordings]
        self._by_word = rarest_words([wording for wording, _ in self._wordings])

    def find(self, plain: str, code: int | None) -> Cause | None:
        """Return the first cause that has a wording in a text made plain, and allows the code."""
        words = set(_WORD.findall(plain))
        for number in sorted({each for word in words for each in self._by_word.get(word, ())}):
            wording, cause = self._wordings[number]
            if compiled(wording).search(plain) and cause.allows(plain, code):
                return cause
        return None


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


def whole_words(wording: str) -> list[str]:
    """Return the whole words of a wording, which every text with this wording has."""
    words = re.findall(r"(?:[a-z0-9_]|\{\w*\})+", wording.lower().removeprefix("^"))
    return [word for word in words if "{" not in word]


@cache
def compiled(wording: str) -> re.Pattern[str]:
    """Return the expression that finds a wording in a plain text."""
    anchored = wording.startswith("^")
    pieces = _PLACEHOLDER.split(wording.lower().removeprefix("^"))
    expression = "".join(
        _PLACES[piece] if number % 2 else re.escape(piece) for number, piece in enumerate(pieces)
    )
    before = "^" if anchored else r"(?<!\w)" if pieces[0][:1].isalnum() else ""
    after = r"(?!\w)" if pieces[-1][-1:].isalnum() else ""
    return re.compile(before + expression + after, re.MULTILINE)


def rarest_words(wordings: list[str]) -> dict[str, list[int]]:
    """Return the index: for the rarest word of each wording, the numbers of these wordings."""
    words = [whole_words(wording) for wording in wordings]
    uses = Counter(word for each in words for word in set(each))
    index: dict[str, list[int]] = {}
    for number, each in enumerate(words):
        rarest = min(each, key=lambda word: (uses[word], -len(word)))
        index.setdefault(rarest, []).append(number)
    return index
