"""Run threads beside the notebook's kernel, so that callbacks of widgets return at once.

``BackgroundRenderer`` draws one job at a time. Of the waiting jobs it does only the newest, because
the others are out of date. ``Worker`` acts: it does one job at a time, and refuses a second job
while one runs. A thread ends when it has no job, or with a job's error.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

Job = Callable[[], object]


class _Background:
    """Begins threads of one name, one at a time, until it is closed."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._lock = threading.Lock()
        self._idle = threading.Event()
        self._idle.set()
        self._closed = False

    def wait(self, timeout_s: float | None = None) -> bool:
        """Wait until no job is left; return False after the time limit."""
        return self._idle.wait(timeout_s)

    def close(self) -> None:
        """Begin no more jobs; finish the running job."""
        with self._lock:
            self._closed = True

    def _begin(self, work: Job) -> None:
        threading.Thread(target=work, name=self._name, daemon=True).start()


class BackgroundRenderer(_Background):
    """Does the newest of the requested jobs."""

    _next: Job | None = None

    def ask(self, job: Job) -> None:
        """Request a job, in place of a waiting one; return at once."""
        with self._lock:
            if self._closed:
                return
            self._next = job
            if not self._idle.is_set():
                return
            self._idle.clear()
        self._begin(self._work)

    def close(self) -> None:
        """Begin no more jobs, not even a waiting one; finish the running job."""
        super().close()
        with self._lock:
            self._next = None

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
                # This thread ends with the error; another one does the jobs requested meanwhile.
                self._begin(self._work)
                raise


class Worker(_Background):
    """Does one job, and refuses another one while it runs."""

    @property
    def running(self) -> bool:
        """Return whether a job runs."""
        return not self._idle.is_set()

    def begin(self, job: Job) -> bool:
        """Begin a job and return at once: True if the job was begun."""
        with self._lock:
            if self.running or self._closed:
                return False
            self._idle.clear()
        self._begin(lambda: self._work(job))
        return True

    def _work(self, job: Job) -> None:
        try:
            job()
        finally:
            self._idle.set()
