"""Check the exercise of lesson 00: a number read from a table."""

from __future__ import annotations

from collections.abc import Callable

import pandas as pd

from migrationlab.course.answers import need, need_number
from migrationlab.course.feedback import Feedback, Texts

_COLUMN = "downtime_reported_ms"
_HINT = f"Look down the column {_COLUMN}, and take its largest number."
say = Texts(__file__, hint=_HINT)


def check_longest(answer: object, table: object = None) -> Feedback:
    """Check the longest downtime that libvirt reported in a table of runs."""
    need(answer, "Put a number in the place of the three dots, as longest_ms = 250.")
    if not isinstance(table, pd.DataFrame) or _COLUMN not in table:
        return say.wrong("no-table")
    number = need_number(answer, "a number", "Write only the milliseconds, as 250.")
    reported = table[_COLUMN].astype("float64")
    if abs(number - reported.max()) < 1:
        return say.right("longest")
    if abs(number * 1000 - reported.max()) < 1:
        return say.wrong("seconds")
    if abs(number - reported.min()) < 1:
        return say.wrong("shortest")
    for column, what in (
        ("downtime_requested_ms", "the limit that was requested, not what was measured"),
        ("downtime_event_ms", "the downtime by QEMU's events; use libvirt's report"),
        ("downtime_network_ms", "how long the guest was not heard; use libvirt's report"),
        ("call_ms", "how long the whole migration took"),
    ):
        if column in table and (abs(table[column].astype("float64") - number) < 1).any():
            return say.wrong("other-column", what=what)
    if (abs(reported - number) < 1).any():
        return say.wrong("another")
    return say.wrong("none")


CHECKS: dict[str, Callable[..., Feedback]] = {"longest": check_longest}
