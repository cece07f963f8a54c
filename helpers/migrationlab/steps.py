"""Report progress: one stream of steps for everything that takes a while.

The lab, the image build, a migration and the demo report :class:`Step` objects to a listener. The
command line, the widgets and a log each draw the same stream in their own way.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

StepState = Literal["started", "progress", "done", "failed"]


@dataclass(frozen=True, slots=True)
class Step:
    """One moment of one piece of work.

    Attributes:
        what: The piece of work: the same text from its start to its end.
        state: ``started``, ``progress``, ``done`` or ``failed``.
        detail: A short remark on this moment.
        fraction: The share of the work that is done, 0 to 1; None if not known.
    """

    what: str
    state: StepState
    detail: str = ""
    fraction: float | None = None


Listener = Callable[[Step], None]


def ignore(step: Step) -> None:
    """Default listener: discard all steps."""


@contextmanager
def step(listener: Listener, what: str) -> Iterator[None]:
    """Report ``what`` as started, then as done, or as failed if the body raises."""
    listener(Step(what, "started"))
    try:
        yield
    except BaseException as error:
        listener(Step(what, "failed", str(error)))
        raise
    listener(Step(what, "done"))
