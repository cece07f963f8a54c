"""Handle Ctrl-C so that it is never lost.

Python raises KeyboardInterrupt wherever the main thread is, and drops one that is raised in a
``__del__``, for instance of the libvirt binding's objects. So an event is set as well.
"""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def interrupts() -> Iterator[threading.Event]:
    """Yield an event that Ctrl-C sets; Ctrl-C also raises KeyboardInterrupt as usual."""
    stop = threading.Event()

    def on_interrupt(*_: object) -> None:
        stop.set()
        raise KeyboardInterrupt

    def on_unraisable(dropped: sys.UnraisableHookArgs) -> None:
        if not isinstance(dropped.exc_value, KeyboardInterrupt):
            sys.__unraisablehook__(dropped)

    sys.unraisablehook = on_unraisable
    try:
        with _handled(on_interrupt):
            yield stop
    finally:
        sys.unraisablehook = sys.__unraisablehook__


@contextmanager
def held(stop: threading.Event) -> Iterator[None]:
    """Limit Ctrl-C to setting the event, for work that must not be interrupted."""
    with _handled(lambda *_: stop.set()):
        yield


@contextmanager
def _handled(handler: Callable[..., object]) -> Iterator[None]:
    before = signal.signal(signal.SIGINT, handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
