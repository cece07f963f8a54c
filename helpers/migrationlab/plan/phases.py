"""Read the phases of a workload: shares of its rate over time, as one text.

``"1:2,0:3"`` is the full rate for 2 s, then nothing for 3 s, again and again. A last share without
a time stays: ``"1:5,0"`` is a batch job that ends after 5 s.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from migrationlab.errors import GuestError

_SHARE = r"(?:0(?:\.\d{1,6})?|1(?:\.0{1,6})?)"
_TIMED = rf"{_SHARE}:\d{{1,6}}(?:\.\d{{1,3}})?"
#: The texts that are phases, except for the limits of :func:`read_phases`.
PHASES = rf"{_TIMED}(?:,{_TIMED})*(?:,{_SHARE})?"
#: As in workload.c.
MOST_PHASES = 16


@dataclass(frozen=True, slots=True)
class Phase:
    """A part of the time.

    Attributes:
        share: The share of the workload's rate, 0 to 1.
        lasts_ms: How long it lasts; None: it stays.
    """

    share: float
    lasts_ms: int | None


def read_phases(text: str) -> tuple[Phase, ...]:
    """Return the phases of a text.

    Raises:
        GuestError: The text is not phases, has too many, or one that lasts no time.
    """
    if not re.fullmatch(PHASES, text):
        raise GuestError(
            f"phases must be SHARE:SECONDS,… with shares from 0 to 1 (got {text!r})",
            hint='Give phases="1:2,0:3" for 2 s at the full rate and 3 s of nothing, repeated.',
        )
    found = []
    for part in text.split(","):
        share, _, seconds = part.partition(":")
        found.append(Phase(float(share), round(float(seconds) * 1000) if seconds else None))
    if len(found) > MOST_PHASES:
        raise GuestError(
            f"phases must be at most {MOST_PHASES} (got {len(found)})",
            hint="Give fewer: phases are repeated.",
        )
    if any(phase.lasts_ms == 0 for phase in found):
        raise GuestError(
            f"phases must last at least 0.001 s each (got {text!r})",
            hint="Give each phase a time, or leave it out.",
        )
    return tuple(found)
