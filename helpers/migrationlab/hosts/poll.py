"""Waits until there is something to read, whatever the descriptor's number.

select(2) takes no descriptor from 1024 on, which a notebook that has run for long reaches; poll(2)
takes any, and counts in milliseconds. Imports nothing of the kit.
"""

from __future__ import annotations

import select
import time
from typing import Protocol


class Readable(Protocol):
    """Something with a descriptor: a file, a socket, a pipe."""

    def fileno(self) -> int:
        """Return the descriptor."""


def readable(source: Readable, timeout_s: float) -> bool:
    """Wait until there is something to read, or an end or error to be read, there.

    Args:
        source: Where.
        timeout_s: How long, to the microsecond; what comes in the last of its milliseconds is told
            when that is over.

    Returns:
        Whether there is.
    """
    end = time.monotonic() + timeout_s
    waiting = select.poll()
    waiting.register(source, select.POLLIN)
    # Rounded down: poll() would wait for the next whole millisecond.
    if waiting.poll(max(int(timeout_s * 1000), 0)):
        return True
    rest_s = end - time.monotonic()
    if rest_s <= 0:
        return False
    time.sleep(rest_s)
    return bool(waiting.poll(0))
