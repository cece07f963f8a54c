"""Check the exercises of lesson 11: the order of a rolling upgrade, and the way of a guest back."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

from migrationlab.course.answers import is_unfinished, need
from migrationlab.course.feedback import Feedback, Texts

#: The steps of the exercise, by their letters.
STEPS = {
    "A": "upgrade node1",
    "B": "upgrade node2",
    "C": "migrate the guests from node1 to node2",
    "D": "shut the guests down on node2, and start them on node1",
    "E": "migrate the guests from node2 to node1",
}
ORDER = ("C", "A", "D", "B")
HOW = 'Write the letters in their order, as "CA…"; leave out a step that nobody needs.'
say = Texts(__file__, count=len(ORDER))


def check_order(answer: object) -> Feedback:
    """Check the order of the steps of a rolling upgrade from QEMU 10.0 to 11.1."""
    need(answer, HOW)
    given = _letters(answer)
    if not given or not {*given} <= STEPS.keys():
        return say.wrong("order-letters", letters=", ".join(STEPS))
    if given == ORDER:
        return say.right("order")
    if "A" not in given or "B" not in given:
        return say.wrong("order-not-upgraded")
    if given[0] in "AB":
        return say.wrong("order-guests-die")
    if "E" in given:
        return say.wrong("order-refused")
    if "D" not in given or given.index("D") < given.index("A"):
        return say.wrong("order-still-old")
    return say.wrong("order-other")


def _letters(answer: object) -> tuple[str, ...]:
    words = answer if not isinstance(answer, str) and isinstance(answer, Iterable) else [answer]
    text = " ".join(str(word) for word in words if not is_unfinished(word)).upper()
    if re.search(r"[^A-Z\s,;>→.-]", text):
        return ()
    return tuple(re.findall(r"[A-Z]", text))


CHECKS: dict[str, Callable[..., Feedback]] = {"order": check_order}
