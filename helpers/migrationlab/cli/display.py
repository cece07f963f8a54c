"""Steps on standard error: live on a terminal, one line a step elsewhere."""

from __future__ import annotations

import sys
import time
from collections import deque
from dataclasses import replace
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn

from migrationlab.cli.terminal import message, printable
from migrationlab.steps import Step

#: Number of finished steps that stay on the screen. More would hide the running ones.
SHOWN = 12


class StepDisplay:
    """Show steps; a listener and a context manager."""

    def __init__(self) -> None:
        self._console = Console(stderr=True, highlight=False, emoji=False)
        self._tasks: dict[str, TaskID] = {}
        self._started: dict[str, float] = {}
        self._finished: deque[TaskID] = deque()
        self._progress = Progress(
            SpinnerColumn(finished_text="✓"),
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=24),
            TextColumn("{task.fields[detail]}", style="dim", markup=False),
            TimeElapsedColumn(),
            console=self._console,
            disable=not sys.stderr.isatty(),
        )

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._progress.stop()

    def __call__(self, step: Step) -> None:
        """Show a step."""
        step = replace(step, what=printable(step.what), detail=message(step.detail))
        if self._progress.disable:
            self._line(step)
            return
        if step.state == "started":
            self._tasks[step.what] = self._progress.add_task(step.what, total=None, detail="")
        task = self._tasks.get(step.what)
        if task is None:
            return
        detail = step.detail[:60]
        if step.state == "done":
            self._progress.update(task, total=1, completed=1, detail=detail)
            self._finished.append(task)
            if len(self._finished) > SHOWN:
                self._progress.remove_task(self._finished.popleft())
        elif step.state == "failed":
            self._progress.update(task, detail=f"failed: {detail}")
            self._progress.stop_task(task)
        elif step.fraction is None:
            self._progress.update(task, detail=detail)
        else:
            self._progress.update(task, total=1, completed=step.fraction, detail=detail)

    def _line(self, step: Step) -> None:
        now = time.monotonic()
        if step.state == "started":
            self._started[step.what] = now
            self._console.print(f"{step.what} …", soft_wrap=True, markup=False)
        elif step.state in ("done", "failed"):
            seconds = now - self._started.get(step.what, now)
            detail = f" ({step.detail})" if step.detail else ""
            text = f"{step.what}: {step.state} in {seconds:.1f} s{detail}"
            self._console.print(text, soft_wrap=True, markup=False)
