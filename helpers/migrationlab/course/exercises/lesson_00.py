"""The check of lesson 00: a number read off a table."""

from __future__ import annotations

from collections.abc import Callable

import pandas as pd

from migrationlab.course.feedback import (
    Feedback,
    is_unfinished,
    number_of,
    right,
    unfinished,
    wrong,
)

_COLUMN = "downtime_reported_ms"
_HINT = f"Look down the column {_COLUMN}, and take its largest number."


def check_longest(answer: object, table: object = None) -> Feedback:
    """Check the longest downtime that libvirt reported in a table of runs.

    Args:
        answer: The learner's number, in ms.
        table: The runs' table.
    """
    if is_unfinished(answer):
        return unfinished("Put a number in the place of the three dots, as longest_ms = 250.")
    if not isinstance(table, pd.DataFrame) or _COLUMN not in table:
        return wrong(
            "The check got no table of runs.", "Run the cell that makes table, then this one."
        )
    if (number := number_of(answer)) is None:
        return wrong(f"{answer!r} is no number.", "Write the milliseconds alone, as 250.")
    reported = table[_COLUMN].astype("float64")
    if abs(number - reported.max()) < 1:
        return right("That is the longest of the six, and you have seen how a check answers.")
    if abs(number * 1000 - reported.max()) < 1:
        return wrong("That is in seconds.", "The answer is wanted in milliseconds.")
    if abs(number - reported.min()) < 1:
        return wrong("That is the shortest.", _HINT)
    for column, said in (
        ("downtime_requested_ms", "the limit that was asked for, not what came of it"),
        ("downtime_event_ms", "what QEMU's events say; libvirt's own report is wanted"),
        ("downtime_network_ms", "how long nobody heard the guest; libvirt's report is wanted"),
        ("call_ms", "how long the whole migration took"),
    ):
        if column in table and (abs(table[column].astype("float64") - number) < 1).any():
            return wrong(f"That is {said}.", _HINT)
    if (abs(reported - number) < 1).any():
        return wrong("That is one of the six, but another is longer.", _HINT)
    return wrong("That is none of the six.", _HINT)


CHECKS: dict[str, Callable[..., Feedback]] = {"longest": check_longest}
