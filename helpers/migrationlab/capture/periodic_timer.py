"""Call a function periodically, on its own thread and on an absolute schedule."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable


class PeriodicTimer:
    """Calls from :meth:`start` to :meth:`stop`, or until the function returns False.

    After a call that takes longer than the interval, the missed calls are skipped. Later calls keep
    the schedule.

    Args:
        interval_s: The time from one call to the next, and from the start to the first.
        work: The function. If it returns False, it is not called again.
        warnings: The list for a warning if an error ends it early.
    """

    def __init__(
        self, name: str, interval_s: float, work: Callable[[], object], warnings: list[str]
    ) -> None:
        self._interval_s = interval_s
        self._work = work
        self._warnings = warnings
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Start to call."""
        self._thread.start()

    def stop(self, timeout_s: float | None = None) -> bool:
        """Stop, and wait for the call under way; return whether it is over."""
        self._stop.set()
        if self._thread.ident is not None:
            self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _run(self) -> None:
        due = time.monotonic() + self._interval_s
        try:
            while not self._stop.wait(max(due - time.monotonic(), 0)):
                if self._work() is False:
                    return
                due = next_due(due, time.monotonic(), self._interval_s)
        except Exception as error:  # noqa: BLE001 (reported in warnings)
            self._warnings.append(f"{self._thread.name} ended early: {error!r}")


def next_due(due: float, now: float, interval: float) -> float:
    """Return when the next call is due, on the same schedule and not before now."""
    return due + (math.floor(max(now - due, 0) / interval) + 1) * interval
