"""Read learners' answers: numbers, plans, runs, dictionaries.

A reader returns the value, or raises :class:`NotAccepted` with the feedback for the learner, which
``Lesson.check`` returns. So a check never shows a traceback.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence

from migrationlab.course.feedback import Feedback, unfinished, wrong
from migrationlab.plan.plan import Plan
from migrationlab.runs.run import Run

#: migrationlab writes large numbers as 1,836. None begins with 0, so 0,345 is a decimal.
_GROUPED = re.compile(r"[+-]?[1-9]\d{0,2}(,\d{3})+(\.\d*)?")

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
    """Return the number in an answer, which may be a text; None if there is none.

    Commas between groups of three digits are left out, as in migrationlab's tables; any other
    comma is a decimal point.
    """
    text = str(answer).strip()
    text = text.replace(",", "" if _GROUPED.fullmatch(text) else ".")
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


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


def need_plan(answer: object, name: str) -> Plan:
    """Return the plan in an answer; the plan has a name in the lesson."""
    how = f"{name} = mig.Plan(…)"
    need(answer, f"Put a plan in the place of the three dots: {how}.")
    if not isinstance(answer, Plan):
        raise NotAccepted(wrong(f"This is a {type(answer).__name__}, not a plan.", f"Write {how}."))
    return answer


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
