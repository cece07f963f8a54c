"""The checks of lesson 02: what separates the two hosts, and the rate that a wire needs."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping

from migrationlab.course.answers import (
    is_unfinished,
    need,
    need_number,
    number_of,
    refuse_mistakes,
)
from migrationlab.course.feedback import Feedback, right, unfinished, wrong
from migrationlab.course.host_commands import KINDS

#: The namespaces that a host is started with (``lab/payload/rack_init.py``, start_host).
OWN = frozenset({"ipc", "mnt", "net", "pid", "uts"})
SIZE_GIB, SECONDS = 1, 20
_BITS = SIZE_GIB * 2**30 * 8


def check_separate(answer: object) -> Feedback:
    """Check which kinds of namespace each host has for itself.

    Args:
        answer: Their names, in any collection.
    """
    how = "Put the names into the braces, as own = {'net', …}."
    need(answer, how)
    if isinstance(answer, str):
        answer = answer.replace(",", " ").split()
    if isinstance(answer, Mapping) or not isinstance(answer, Iterable):
        return wrong("This is not a collection of names.", "Write own = {'net', …}.")
    names = (name for name in answer if not is_unfinished(name))
    given = {str(name).strip().lower().partition(":")[0] for name in names}
    if not given:
        return unfinished(how)
    if unknown := sorted(given - set(KINDS)):
        return wrong(
            f"{', '.join(unknown)}: there is no such kind.", f"The kinds are {', '.join(KINDS)}."
        )
    if given == set(KINDS) - OWN:
        return wrong("These are the ones that both hosts share.", "Take the rows with two numbers.")
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
    return right("A host has five namespaces of its own and shares all else.")


def check_rate(answer: object, share: object = None) -> Feedback:
    """Check the rate of a wire that carries 1 GiB in 20 s.

    Args:
        answer: The rate, in Mbit/s.
        share: The measured share of a wire's rate that is payload.
    """
    need(answer, "Put a number in the place of the three dots: a rate in Mbit/s.")
    how = "Write a number of Mbit/s, or an expression."
    number = need_number(answer, "a rate", how, positive=True)
    part = number_of(share)
    if part is None or not 0 < part < 1.1:
        return wrong("The check got no share.", "Run the cell that makes share, then this one.")
    payload = _BITS / SECONDS / 1e6
    wanted = payload / part
    if math.isclose(number, wanted, rel_tol=0.01):
        return right("Payload over share, in bits, and with GiB of 2**30 bytes.")
    mebi = 1024 * 8 / SECONDS
    refuse_mistakes(
        number,
        (
            (mebi / part, "This counts a Mbit as 2**20 bits.",
             "1 Mbit is 10**6 bits, 1 GiB 2**30 bytes."),
            (mebi, "This counts a Mbit as 2**20 bits, and omits the headers.",
             "1 Mbit is 10**6 bits, 1 GiB 2**30 bytes; then divide by the share."),
            (wanted * 1e6, "This is in bits a second.", "Divide by 10**6."),
            (payload, "This is the payload's rate; the wire carries headers too.",
             "Divide by the share that arrives."),
            (payload * part, "That wire is too slow: the share is used the wrong way round.",
             "The wire's rate is more than the payload's: divide by the share."),
            (wanted / 8, "This is a rate in megabytes.",
             "A byte has 8 bits: the wire is in Mbit/s."),
            (payload / 8, "This is a rate in megabytes, and without the headers.",
             "A byte has 8 bits; then divide by the share."),
            (payload / 1.073741824, "This counts 1 GiB as 10**9 bytes.", "1 GiB is 2**30 bytes."),
            (wanted / 1.073741824, "This counts 1 GiB as 10**9 bytes.", "1 GiB is 2**30 bytes."),
            (wanted * SECONDS, "This is for one second.", f"There are {SECONDS} s for it."),
            (payload * SECONDS, "This is for one second.", f"There are {SECONDS} s for it."),
        ),
        rel_tol=0.002,
    )  # fmt: skip
    return wrong(
        f"That wire is {'too fast' if number > wanted else 'too slow'}.",
        "Bits to send, divided by the seconds, divided by the share, divided by 10**6.",
    )


CHECKS: dict[str, Callable[..., Feedback]] = {"separate": check_separate, "rate": check_rate}
