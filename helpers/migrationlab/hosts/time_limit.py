"""Call functions that may never return: a libvirt call waits for a daemon that is frozen."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

T = TypeVar("T")


def start_call(work: Callable[[], T], name: str) -> Future[T]:
    """Call a function in a thread that does not keep the process alive; return its future."""
    answer: Future[T] = Future()

    def call() -> None:
        try:
            answer.set_result(work())
        except BaseException as error:  # noqa: BLE001 - raised to whoever waits
            answer.set_exception(error)

    threading.Thread(target=call, name=name, daemon=True).start()
    return answer


def within(timeout_s: float, work: Callable[[], T], name: str = "migration-question") -> T:
    """Return the result of a function that is called in another thread.

    Raises:
        TimeoutError: It has not returned within ``timeout_s``. It goes on, and its result is
            dropped.
    """
    return start_call(work, name).result(timeout_s)
