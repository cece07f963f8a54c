"""Wait for input on a descriptor, or for a condition that has no event.

select(2) refuses descriptors from 1024 on, which a long-running notebook reaches. poll(2) takes any
descriptor, but counts in milliseconds.
"""

from __future__ import annotations

import select
import time
from collections.abc import Callable
from typing import Protocol, TypeVar

T = TypeVar("T")


class Readable(Protocol):
    """Something with a descriptor: a file, a socket, a pipe."""

    def fileno(self) -> int:
        """Return the descriptor."""


def readable(source: Readable, timeout_s: float) -> bool:
    """Return whether a read does not block (data, the end or an error), waiting for that.

    The wait is exact to the microsecond. What arrives in its last millisecond is reported when the
    wait is over.
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


def wait_until(check: Callable[[], T], timeout_s: float, interval_s: float = 0.01) -> T:
    """Call a function until it returns something true or the time is over; return its last answer.

    The first try is always made. What the function raises goes to the caller.
    """
    end = time.monotonic() + timeout_s
    while not (found := check()) and time.monotonic() <= end:
        time.sleep(interval_s)
    return found
