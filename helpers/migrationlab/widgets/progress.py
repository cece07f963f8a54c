"""Steps as they happen, on the page of a notebook: what they are, how far, how long they took.

A list of plain HTML that is redrawn in place, and so stays readable in a saved notebook. Steps
may come from any thread.
"""

from __future__ import annotations

import html
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from IPython.display import display

from migrationlab.steps import Step

_MARKS = {"started": "…", "progress": "…", "done": "✓", "failed": "✗"}


@dataclass(frozen=True, slots=True)
class _Line:
    step: Step
    begun_s: float
    seconds: float


class StepList:
    """A list of steps; call it with each :class:`~migrationlab.steps.Step`.

    Args:
        clock: Gives the time in seconds.
    """

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._lines: dict[str, _Line] = {}
        self._redraw: Callable[[StepList], object] | None = None

    def show(self) -> None:
        """Show the list here, and redraw it from now on whenever a step comes."""
        handle = display(self, display_id=True)  # type: ignore[no-untyped-call]
        self._redraw = None if handle is None else handle.update

    def __call__(self, step: Step) -> None:
        """Take a step."""
        now = self._clock()
        with self._lock:
            known = self._lines.get(step.what)
            again = known is None or step.state == "started"
            begun = now if again or known is None else known.begun_s
            self._lines[step.what] = _Line(step, begun, now - begun)
        if self._redraw is not None:
            self._redraw(self)

    def __repr__(self) -> str:
        with self._lock:
            steps = [line.step for line in self._lines.values()]
        return f"StepList({', '.join(f'{step.what}: {step.state}' for step in steps)})"

    def _repr_html_(self) -> str:
        with self._lock:
            lines = list(self._lines.values())
        items = "".join(f"<li>{_item(line)}</li>" for line in lines)
        return (
            '<ul role="status" style="list-style:none;margin:0;padding:0;line-height:1.6">'
            f"{items}</ul>"
        )


def show_steps() -> StepList:
    """Show a list of steps in this cell, and return it: ``mig.Lab(on_step=show_steps())``."""
    steps = StepList()
    steps.show()
    return steps


def _item(line: _Line) -> str:
    step = line.step
    text = f"{_MARKS[step.state]} {html.escape(step.what)}"
    if step.detail:
        text += f": {html.escape(step.detail)}"
    if step.state in ("done", "failed"):
        return f"{text} ({line.seconds:.1f} s)"
    if step.fraction is None:
        return text
    label = html.escape(step.what)
    return f'{text} <progress max="1" value="{step.fraction:.3f}" aria-label="{label}"></progress>'
