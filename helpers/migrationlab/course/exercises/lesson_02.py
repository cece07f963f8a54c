"""The checks of lesson 02: what separates the two hosts, and the rate that a wire needs."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping

from migrationlab.course.feedback import (
    Feedback,
    is_unfinished,
    number_of,
    right,
    unfinished,
    wrong,
)
from migrationlab.course.host_commands import KINDS

#: Those that a host is started with (``lab/payload/rack_init.py``, start_host).
OWN = frozenset({"ipc", "mnt", "net", "pid", "uts"})
SIZE_GIB, SECONDS = 1, 20
_BITS = SIZE_GIB * 2**30 * 8


def check_separate(answer: object) -> Feedback:
    """Check which kinds of namespace each host has for itself.

    Args:
        answer: Their names, in any collection.
    """
    if is_unfinished(answer):
        return unfinished("Put the names into the braces, as own = {'net', …}.")
    if isinstance(answer, str):
        answer = answer.replace(",", " ").split()
    if isinstance(answer, Mapping) or not isinstance(answer, Iterable):
        return wrong("That is no collection of names.", "Write own = {'net', …}.")
    names = (name for name in answer if not is_unfinished(name))
    given = {str(name).strip().lower().partition(":")[0] for name in names}
    if not given:
        return unfinished("Put the names into the braces, as own = {'net', …}.")
    if unknown := sorted(given - set(KINDS)):
        return wrong(
            f"{', '.join(unknown)}: there is no such kind.", f"The kinds are {', '.join(KINDS)}."
        )
    if given == set(KINDS) - OWN:
        return wrong(
            "Those are the ones that both hosts share.", "Wanted are the rows with two numbers."
        )
    if shared := sorted(given - OWN):
        return wrong(
            f"{', '.join(shared)}: in the table both hosts have the same number.",
            "The same number is the same namespace, so it separates nothing.",
        )
    if missing := OWN - given:
        return wrong(
            f"These are right, but {len(missing)} more differ.",
            "Look at each row of the table: are the two numbers equal?",
        )
    return right("Five namespaces of its own make a host; all else is shared.")


def check_rate(answer: object, share: object = None) -> Feedback:
    """Check the rate of a wire that lets 1 GiB through in 20 s.

    Args:
        answer: The rate, in Mbit/s.
        share: The share of a wire's rate that arrives as payload, as measured.
    """
    if is_unfinished(answer):
        return unfinished("Put a number in the place of the three dots: a rate in Mbit/s.")
    number, part = number_of(answer), number_of(share)
    if number is None or number <= 0:
        return wrong(f"{answer!r} is no rate.", "Write a number of Mbit/s, or an expression.")
    if part is None or not 0 < part < 1.1:
        return wrong("The check got no share.", "Run the cell that makes share, then this one.")
    payload = _BITS / SECONDS / 1e6
    wanted = payload / part
    if _near(number, wanted):
        return right("Payload over share, in bits, and with GiB of 2**30 bytes.")
    # The first that fits is told: how far each typical mistake leads.
    mebi = 1024 * 8 / SECONDS
    for value, said, hint in (
        (mebi / part, "That counts a Mbit as 2**20 bits.",
         "1 Mbit is 10**6 bits, 1 GiB 2**30 bytes."),
        (mebi, "That counts a Mbit as 2**20 bits, and leaves the headers out.",
         "1 Mbit is 10**6 bits, 1 GiB 2**30 bytes; then divide by the share."),
        (wanted * 1e6, "That is in bits a second.", "Divide by 10**6."),
        (payload, "That is the payload's rate; the wire carries headers besides.",
         "Divide by the share that arrives."),
        (payload * part, "That wire would be too slow: the share is taken the wrong way round.",
         "The wire's rate is more than the payload's: divide by the share."),
        (wanted / 8, "That is a rate in megabytes.", "A byte has 8 bits: the wire is in Mbit/s."),
        (payload / 8, "That is a rate in megabytes, and without the headers.",
         "A byte has 8 bits; then divide by the share."),
        (payload / 1.073741824, "That counts 1 GiB as 10**9 bytes.", "1 GiB is 2**30 bytes."),
        (wanted / 1.073741824, "That counts 1 GiB as 10**9 bytes.", "1 GiB is 2**30 bytes."),
        (wanted * SECONDS, "That is for one second.", f"There are {SECONDS} s for it."),
        (payload * SECONDS, "That is for one second.", f"There are {SECONDS} s for it."),
    ):  # fmt: skip
        if _near(number, value, 0.002):
            return wrong(said, hint)
    side = "too fast" if number > wanted else "too slow"
    return wrong(
        f"That wire would be {side}.",
        "Bits to send, divided by the seconds, divided by the share, divided by 10**6.",
    )


def _near(one: float, other: float, off: float = 0.01) -> bool:
    return math.isclose(one, other, rel_tol=off)


CHECKS: dict[str, Callable[..., Feedback]] = {"separate": check_separate, "rate": check_rate}
