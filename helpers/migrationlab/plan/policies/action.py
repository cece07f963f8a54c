"""Name what can be done to a migration while it runs."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class ActionKind(StrEnum):
    """The kinds of action on a migration; also the names of the events that record them."""

    SET_MAX_DOWNTIME = "set_max_downtime"
    SET_BANDWIDTH = "set_bandwidth"
    SET_POSTCOPY_BANDWIDTH = "set_postcopy_bandwidth"
    SET_COMPRESSION_CACHE = "set_compression_cache"
    START_POSTCOPY = "start_postcopy"
    PAUSE_POSTCOPY = "pause_postcopy"
    SUSPEND = "suspend"
    CANCEL = "cancel"
    DEADLINE = "deadline"


@dataclass(frozen=True, slots=True)
class Action:
    """An action on a migration.

    Attributes:
        by: Its origin: "user", or the name of the plan's field.
        value: The new limit or size, in the unit of the kind; None if it has none, and for a
            bandwidth without a limit.
        why: What made a named policy act; empty for the others.
    """

    kind: ActionKind
    by: str = "user"
    value: int | None = None
    why: str = ""
