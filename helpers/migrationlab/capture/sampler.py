"""Does something again and again, on a thread of its own and on an absolute schedule."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable


class PeriodicTimer:
    """Ticks from :meth:`start` to :meth:`stop`, or until the work is not worth going on.

    What takes longer than the interval leaves out the ticks that it has missed: those after it
    come when they would have come anyway.

    Args:
        name: The thread's name.
        interval_s: The time from one tick to the next; the first comes that long after the start.
        work: What to do; where it returns False there is no further tick.

    Attributes:
        failure: What ended it early, None where nothing did.
    """

    def __init__(self, name: str, interval_s: float, work: Callable[[], bool]) -> None:
        self.name = name
        self._interval_s = interval_s
        self._work = work
        self.failure: Exception | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Begin to tick."""
        self._thread.start()

    def stop(self, timeout_s: float | None = None) -> None:
        """Tick no more, and wait for the tick under way; once more does no harm.

        Args:
            timeout_s: How long to wait for it; None for as long as it takes.
        """
        self._stop.set()
        if self._thread.ident is not None:
            self._thread.join(timeout_s)

    def _run(self) -> None:
        due = time.monotonic() + self._interval_s
        try:
            while not self._stop.wait(max(due - time.monotonic(), 0)):
                if not self._work():
                    return
                due = next_tick(due, time.monotonic(), self._interval_s)
        except Exception as error:  # noqa: BLE001 (who stops it tells of it)
            self.failure = error


def next_tick(due: float, now: float, interval: float) -> float:
    """Return when the tick after one is due, on the same schedule and not before now.

    Args:
        due: When that one was due.
        now: The time now.
        interval: The time from one tick to the next.
    """
    return due + (math.floor(max(now - due, 0) / interval) + 1) * interval
