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
    """Wait until a read does not block (data, the end or an error); return whether it is so.

    The wait is exact to the microsecond. Data of its last millisecond is reported at the end of
    the wait.
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
    """Call a function until its result is true or the time is over; return the last result.

    The function is called at least once. Its exceptions go to the caller.
    """
    end = time.monotonic() + timeout_s
    while not (found := check()) and time.monotonic() <= end:
        time.sleep(interval_s)
    return found
