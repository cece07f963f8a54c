"""Drawing beside the kernel: one job at a time, and of those that wait only the newest.

A figure takes some tenths of a second, and a slider asks for many. So a widget hands each to its
painter and goes on; what was asked for before, and not begun, nobody wants to see any more. The
thread ends when there is nothing to do, or with a job's error; then another one goes on. Knows
nothing of widgets.
"""

from __future__ import annotations

import threading
from collections.abc import Callable


class BackgroundRenderer:
    """Does jobs in a thread of its own.

    Args:
        name: What the thread is called.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._lock = threading.Lock()
        self._idle = threading.Event()
        self._idle.set()
        self._next: Callable[[], None] | None = None
        self._closed = False

    def ask(self, job: Callable[[], None]) -> None:
        """Have a job done, in place of any that waits; returns at once."""
        with self._lock:
            if self._closed:
                return
            self._next = job
            if not self._idle.is_set():
                return
            self._idle.clear()
        self._begin()

    def wait(self, timeout_s: float | None = None) -> bool:
        """Wait until there is nothing to do; tell whether that came."""
        return self._idle.wait(timeout_s)

    def close(self) -> None:
        """Begin nothing more; what is being done is finished."""
        with self._lock:
            self._closed = True
            self._next = None

    def _begin(self) -> None:
        threading.Thread(target=self._work, name=self._name, daemon=True).start()

    def _work(self) -> None:
        while True:
            with self._lock:
                job, self._next = self._next, None
                if job is None:
                    self._idle.set()
                    return
            try:
                job()
            except BaseException:
                # This thread ends with the error; what was asked for meanwhile is still wanted.
                self._begin()
                raise
