"""Format words in messages: a text in quotes, a list, and the nearest known word."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence


def quote(text: str) -> str:
    """Return ``text`` in quotes, on one line, fit for any terminal."""
    return ascii(text if len(text) <= 120 else text[:117] + "...")


def nearest(word: str, known: Iterable[str]) -> str | None:
    """Return the known word that is most like ``word``, or None if none is like it."""
    matches = difflib.get_close_matches(word[:40].lower(), list(known), n=1, cutoff=0.5)
    return matches[0] if matches else None


def in_words(names: Sequence[str], last: str = "or") -> str:
    """Return names as a list in a sentence, with ``last`` before the last one."""
    before = ", ".join(names[:-1])
    return f"{before} {last} {names[-1]}" if before else "".join(names)
