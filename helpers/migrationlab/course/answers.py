"""Read learners' answers: numbers, words, runs, dictionaries.

A reader returns the value, or raises :class:`NotAccepted` with the feedback for the learner, which
``Lesson.check`` returns. So a check never shows a traceback.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction
from types import MappingProxyType

import numpy as np
import pandas as pd

from migrationlab.course.feedback import Feedback, unfinished, wrong
from migrationlab.runs.run import Run

#: migrationlab writes large numbers as 1,836. None begins with 0, so 0,345 is a decimal.
_GROUPED = re.compile(r"[+-]?[1-9]\d{0,2}(,\d{3})+(\.\d*)?")

#: Other words for the two hosts and their programs.
_SYNONYMS = {
    "src": "source", "origin": "source", "sender": "source",
    "target": "destination", "dest": "destination", "dst": "destination",
    "receiver": "destination", "daemon": "libvirtd", "libvirt": "libvirtd",
    "virtqemud": "libvirtd",
}  # fmt: skip
_FILLERS = frozenset({"the", "of", "at", "on", "in", "by", "and", "a", "host", "machine", "side"})

#: A wrong number, and the feedback about it.
Mistake = tuple[float | None, Feedback]


class NotAccepted(Exception):  # noqa: N818 - not an error: a learner's answer is not right yet
    """The refusal of an answer, with the feedback for the learner."""

    def __init__(self, feedback: Feedback) -> None:
        super().__init__(feedback)
        self.feedback = feedback


def is_unfinished(answer: object) -> bool:
    """Return whether an answer is still unchanged: ``...``, None or empty."""
    return answer is ... or answer is None or (isinstance(answer, str) and not answer.strip())


def number_of(answer: object) -> float | None:
    """Return the number in an answer; None if there is none.

    The answer may be a text, or an array or a column of one value. Commas between groups of three
    digits are left out, as in migrationlab's tables; any other comma is a decimal point.
    """
    if isinstance(answer, (np.ndarray, pd.Series)) and answer.size == 1:
        answer = answer.item()
    text = str(answer).strip()
    text = text.replace(",", "" if _GROUPED.fullmatch(text) else ".")
    try:
        number = float(answer) if isinstance(answer, Fraction) else float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def words_of(answer: object, synonyms: Mapping[str, str] = MappingProxyType({})) -> tuple[str, ...]:
    """Return the words of an answer that matter, in the course's own words.

    Args:
        answer: The answer: a text, or a collection of texts.
        synonyms: Other words that the answer may have, as the names of an exercise's hosts.
    """
    texts = [answer] if isinstance(answer, str) or not isinstance(answer, Iterable) else answer
    text = " ".join(str(each) for each in texts).lower().replace("’", "'")
    words = (word.removesuffix("'s") for word in re.findall(r"[\w'-]+", text.replace("_", " ")))
    known = {**_SYNONYMS, **synonyms}
    return tuple(known.get(word, word) for word in words if word not in _FILLERS)


def one_of(
    choices: Sequence[str], answer: object, synonyms: Mapping[str, str] = MappingProxyType({})
) -> str | None:
    """Return the only one of some choices that an answer names; None for none, and for two."""
    found = set(words_of(answer, synonyms)) & {*choices}
    return found.pop() if len(found) == 1 else None


def yes_or_no(answer: object) -> bool | None:
    """Return the truth in an answer: True or False, 0 or 1, or a word; None if there is none."""
    text = str(answer).strip().lower()
    return True if text in {"true", "yes", "1"} else False if text in {"false", "no", "0"} else None


def need(answer: object, how: str) -> None:
    """Accept any finished answer; ``how`` is the advice for an unfinished one."""
    if is_unfinished(answer):
        raise NotAccepted(unfinished(how))


def need_number(answer: object, what: str, how: str, *, positive: bool = False) -> float:
    """Return the number in an answer; ``what`` names the quantity, for example "a rate"."""
    number = number_of(answer)
    if number is None or (positive and number <= 0):
        raise NotAccepted(wrong(f"{answer!r} is not {what}.", how))
    return number


def need_run(run: object, call: str = "lesson.check(…, run)") -> Run:
    """Return the run that a check needs besides the answer; ``call`` shows how to pass the run."""
    if not isinstance(run, Run):
        raise NotAccepted(wrong("The check got no run.", f"Give the run too: {call}."))
    return run


def need_places(answer: object, names: Sequence[str], of_each: str = "") -> Mapping[str, object]:
    """Return an answer with several places, all filled in.

    Args:
        answer: The answer; it must be a dictionary.
        names: Its keys.
        of_each: The words before a name, if the value is not the thing itself: "a place for ".
    """
    given = dict.fromkeys(names, ...) if is_unfinished(answer) else answer
    if isinstance(given, pd.Series):
        given = given.to_dict()
    if not isinstance(given, Mapping):
        how = f"Keep the braces, and fill in {of_each}{', '.join(names)}."
        raise NotAccepted(wrong(f"This is a {type(answer).__name__}, not a dictionary.", how))
    if missing := [name for name in names if is_unfinished(given.get(name))]:
        raise NotAccepted(unfinished(f"Fill in {of_each}{', '.join(missing)}."))
    return given


def refuse_mistakes(
    number: float, mistakes: Iterable[Mistake], *, rel_tol: float, abs_tol: float = 0
) -> None:
    """Refuse a number that is a typical mistake; report the first mistake that fits.

    Args:
        number: The learner's number.
        mistakes: The mistakes; a mistake without a number is impossible with this run.
        rel_tol: The largest difference from the mistake, relative to the mistake.
        abs_tol: The absolute difference that always counts as near.
    """
    for value, feedback in mistakes:
        if value is not None and math.isclose(number, value, rel_tol=rel_tol, abs_tol=abs_tol):
            raise NotAccepted(feedback)
