"""Check the exercises of lesson 02: the separation of the two hosts, and the rate of a wire."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping

from migrationlab.course.answers import is_unfinished, need, need_number, number_of, refuse_mistakes
from migrationlab.course.feedback import Feedback, Texts, unfinished
from migrationlab.course.host_commands import KINDS

#: The namespaces of a new host (``lab/payload/rack_init.py``, start_host).
OWN = frozenset({"ipc", "mnt", "net", "pid", "uts"})
SIZE_GIB, SECONDS = 1, 20
_BITS = SIZE_GIB * 2**30 * 8
#: The names in the headings of namespaces(7), where they differ.
_NAMES = {"mount": "mnt", "network": "net"}
say = Texts(__file__, kinds=", ".join(KINDS), seconds=SECONDS)


def check_separate(answer: object) -> Feedback:
    """Check which kinds of namespace are private to each host."""
    how = "Put the names into the braces, as own = {'net', …}."
    need(answer, how)
    if isinstance(answer, str):
        answer = answer.replace(",", " ").split()
    if isinstance(answer, Mapping) or not isinstance(answer, Iterable):
        return say.wrong("separate-kind")
    names = (name for name in answer if not is_unfinished(name))
    words = (str(name).strip().lower().partition(":")[0] for name in names)
    given = {_NAMES.get(word, word) for word in words}
    if not given:
        return unfinished(how)
    if unknown := sorted(given - set(KINDS)):
        return say.wrong("separate-unknown", names=", ".join(unknown))
    if given == set(KINDS) - OWN:
        return say.wrong("separate-shared-only")
    if shared := sorted(given - OWN):
        return say.wrong("separate-shared", names=", ".join(shared))
    if missing := OWN - given:
        return say.wrong("separate-missing", number=len(missing))
    return say.right("separate")


def check_rate(answer: object, share: object = None) -> Feedback:
    """Check the rate in Mbit/s of a wire that carries 1 GiB in 20 s; ``share`` is its payload."""
    need(answer, "Put a number in the place of the three dots: a rate in Mbit/s.")
    how = "Write a number of Mbit/s, or an expression."
    number = need_number(answer, "a rate", how, positive=True)
    part = number_of(share)
    if part is None or not 0 < part < 1.1:
        return say.wrong("no-share")
    payload = _BITS / SECONDS / 1e6
    wanted = payload / part
    if math.isclose(number, wanted, rel_tol=0.01):
        return say.right("rate")
    mebi = 1024 * 8 / SECONDS
    refuse_mistakes(
        number,
        (
            (mebi / part, say.wrong("rate-mebi")),
            (mebi, say.wrong("rate-mebi-headers")),
            (wanted * 1e6, say.wrong("rate-bits")),
            (payload, say.wrong("rate-payload")),
            (payload * part, say.wrong("rate-inverted")),
            (wanted / 8, say.wrong("rate-bytes")),
            (payload / 8, say.wrong("rate-bytes-headers")),
            (payload / 1.073741824, say.wrong("rate-giga")),
            (wanted / 1.073741824, say.wrong("rate-giga")),
            (wanted * SECONDS, say.wrong("rate-second")),
            (payload * SECONDS, say.wrong("rate-second")),
        ),
        rel_tol=0.002,
    )
    return say.wrong("rate", how="too fast" if number > wanted else "too slow")


CHECKS: dict[str, Callable[..., Feedback]] = {"separate": check_separate, "rate": check_rate}
