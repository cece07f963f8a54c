"""Show steps on the page of a notebook while they happen: name, progress and duration.

The list is plain HTML that is redrawn in place, so a saved notebook stays readable. Steps may come
from any thread.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from IPython.display import display

from migrationlab.steps import Step
from migrationlab.widgets.views.template import fill


@dataclass(frozen=True, slots=True)
class _Line:
    step: Step
    begun_s: float
    seconds: float


class StepList:
    """A list of steps; call it with each :class:`~migrationlab.steps.Step`."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock, self._drawing = threading.Lock(), threading.Lock()
        self._lines: dict[str, _Line] = {}
        self._redraw: Callable[[StepList], object] | None = None

    def show(self) -> None:
        """Show the list in this cell, and redraw the list for each later step."""
        handle = display(self, display_id=True)  # type: ignore[no-untyped-call]
        self._redraw = None if handle is None else handle.update

    def __call__(self, step: Step) -> None:
        """Add a step to the list, or update the list's entry for it."""
        # Steps come from several threads. One drawing at a time, so that the newest is the last.
        with self._drawing:
            if self._add(step) and self._redraw is not None:
                self._redraw(self)

    def _add(self, step: Step) -> bool:
        """Return whether the step is news: progress of what is over comes too late."""
        now = self._clock()
        with self._lock:
            known = self._lines.get(step.what)
            over = known is not None and known.step.state in {"done", "failed"}
            if over and step.state == "progress":
                return False
            begun = now if known is None or step.state == "started" else known.begun_s
            self._lines[step.what] = _Line(step, begun, now - begun)
            return True

    def __repr__(self) -> str:
        with self._lock:
            steps = [line.step for line in self._lines.values()]
        return f"StepList({', '.join(f'{step.what}: {step.state}' for step in steps)})"

    def _repr_html_(self) -> str:
        with self._lock:
            steps = [(line.step, line.seconds) for line in self._lines.values()]
        return fill("steps.html", steps=steps)


def show_steps() -> StepList:
    """Show a list of steps in this cell, and return it: ``mig.Lab(on_step=show_steps())``."""
    steps = StepList()
    steps.show()
    return steps
