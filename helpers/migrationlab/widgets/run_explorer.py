"""Explore runs: choose up to three of many, and see them side by side.

Theory of operation. A callback reads the choice, shows "drawing…", and passes the work to the
background renderer. Figures go into the trait of an HTML widget. Each figure is drawn once and then
cached.

Runs are chosen by check boxes: JupyterLab takes a list box's arrow keys for itself, to move from
cell to cell, so a list box would not work by keyboard.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator, Mapping
from enum import StrEnum

import ipywidgets as widgets

from migrationlab import plots
from migrationlab.errors import MigrationLabError, UsageError
from migrationlab.plots.picture import OUTCOMES
from migrationlab.runs.run import Run, Runs
from migrationlab.widgets import fields
from migrationlab.widgets.base import LiveWidget
from migrationlab.widgets.views import messages, run_tables

#: More runs do not fit side by side.
MAX_RUNS = 3
CACHED_FIGURES = 48
ALL = "all"


class View(StrEnum):
    """The view of the chosen runs."""

    TIMELINE = "timeline"
    DOWNTIMES = "downtimes"
    PARTS = "parts of the downtime"
    LATENCY = "latency"
    PROGRESS = "progress"


_FIGURES = {
    View.TIMELINE: plots.timeline,
    View.PARTS: plots.downtime_parts,
    View.LATENCY: plots.latency,
    View.PROGRESS: plots.progress,
}


class RunExplorer(LiveWidget):
    """Shows runs: a list to tick one to three runs in, and tables and figures of these."""

    def __init__(self, runs: Iterable[Run]) -> None:
        super().__init__()
        self._runs = dict(enumerate(Runs(runs), 1))
        self._ticking = False
        self._wanted: tuple[dict[int, Run], View] | None = None
        self._figure = functools.lru_cache(CACHED_FIGURES)(_figure)
        modes = sorted({str(run.plan.mode) for run in self._runs.values()})
        outcomes = {run.outcome for run in self._runs.values()}
        self.mode = fields.dropdown("Mode", [ALL, *modes], label="5em", width="18em")
        self.outcome = fields.dropdown(
            "Outcome",
            [
                (ALL, ALL),
                *((words, str(one)) for one, words in OUTCOMES.items() if one in outcomes),
            ],
            label="5em",
            width="18em",
        )
        as_wide = widgets.Layout(width="98%", min_height="1.8em")
        self.boxes = {
            number: widgets.Checkbox(
                description=run_tables.label(number, run), indent=False, layout=as_wide
            )
            for number, run in self._runs.items()
        }
        self.list = widgets.VBox(
            layout=widgets.Layout(width="98%", max_height="15em", overflow="auto")
        )
        self.view = fields.radio("Show", fields.named(View), label="5em", width="100%")
        self.message = widgets.HTML()
        self.results = widgets.HTML()
        how = f"Tick up to {MAX_RUNS} runs: they are shown beside each other."
        self._lay_out(
            widgets.HBox([self.mode, self.outcome]),
            widgets.HTML(messages.note(how)),
            self.list,
            self.view,
            self.message,
            self.results,
        )
        self._filter()
        fields.on_change(self._filter, self.mode, self.outcome)
        fields.on_change(self._refresh, *self.boxes.values(), self.view)

    def __repr__(self) -> str:
        return f"RunExplorer({len(self._runs)} runs)"

    def _static_html(self) -> str:
        readable, errors = _sort_out(self._chosen(), Run.summary)
        return "".join([*errors, run_tables.numbers(readable) if readable else ""])

    @property
    def chosen(self) -> Runs:
        """Return the chosen runs."""
        return Runs(self._chosen().values())

    def choose(self, *numbers: int) -> None:
        """Tick the runs with these numbers, and no others.

        Raises:
            UsageError: There is no run with such a number.
        """
        if unknown := [number for number in numbers if number not in self._runs]:
            raise UsageError(
                f"run must be from 1 to {len(self._runs)} (got {unknown[0]})",
                hint=f"Choose from 1 to {len(self._runs)}.",
            )
        with self._lock:
            self._tick(numbers)
            self._refresh()

    def close(self) -> None:
        """Stop drawing, and take the explorer off the page."""
        self.list.children = tuple(self.boxes.values())  # also those of unlisted runs
        super().close()

    def _ticked(self) -> list[int]:
        return [number for number, box in self.boxes.items() if box.value]

    def _chosen(self) -> dict[int, Run]:
        return {number: self._runs[number] for number in self._ticked()[:MAX_RUNS]}

    def _tick(self, numbers: Iterable[int]) -> None:
        """Tick these runs and no others, and draw nothing yet."""
        wanted = set(numbers)
        self._ticking = True
        try:
            for number, box in self.boxes.items():
                box.value = number in wanted
        finally:
            self._ticking = False

    def _filter(self) -> None:
        """List the runs of the chosen mode and outcome; runs that stay listed stay ticked."""
        with self._lock:
            listed = [
                number
                for number, run in self._runs.items()
                if self.mode.value in (ALL, str(run.plan.mode))
                and self.outcome.value in (ALL, str(run.outcome))
            ]
            self.list.children = [self.boxes[number] for number in listed]
            self._tick([number for number in self._ticked() if number in listed] or listed[:1])
            self._refresh()

    def _refresh(self) -> None:
        """Draw the chosen runs."""
        with self._lock:
            if self._ticking:
                return
            chosen, view = self._chosen(), self.view.value
            if not chosen:
                self._wanted = None
                empty = "No run is ticked." if self._runs else "There are no runs here."
                self.message.value = messages.status(empty)
                self.results.value = ""
                return
            wanted = self._wanted = (chosen, view)
            self.message.value = messages.status("drawing…")
            self._renderer.ask(lambda: self._draw(wanted))

    def _draw(self, wanted: tuple[dict[int, Run], View]) -> None:
        """Make tables and figures; runs in the background."""
        chosen, view = wanted
        try:
            shown = "".join(self._parts(chosen, view))
        except BaseException as error:
            self._show(wanted, messages.failed(error), "")
            raise
        text = f"Shown: {view}, run{'s' * (len(chosen) > 1)} {', '.join(map(str, chosen))}."
        if more := len(self._ticked()) - len(chosen):
            text += f" {more} more ticked than fit beside each other."
        self._show(wanted, messages.status(text), shown)

    def _show(self, wanted: tuple[dict[int, Run], View], message: str, shown: str) -> None:
        """Show the drawing, unless the choice has changed since."""
        with self._lock:
            if self._wanted is wanted:
                self.results.value = shown
                self.message.value = message

    def _parts(self, chosen: Mapping[int, Run], view: View) -> Iterator[str]:
        """Yield the tables and figures of a view; for a damaged run, its error."""
        read = Run.timeline if view is View.DOWNTIMES else Run.summary
        readable, errors = _sort_out(chosen, read)
        yield from errors
        if not readable:
            return
        if view is View.DOWNTIMES:
            yield run_tables.downtimes(readable)
            yield self._figure(view, tuple(readable.values()), None)
            return
        # All runs get the same time scale.
        until_s = max((run.returned_ns - run.called_ns) / 1e9 for run in readable.values())
        yield run_tables.numbers(readable)
        for number, run in readable.items():
            if len(chosen) > 1:
                yield f"<h4>Run {number}</h4>"
            try:
                yield self._figure(view, (run,), until_s)
            except MigrationLabError as error:  # its summary is saved, its recording is damaged
                yield messages.failed(error)


def _sort_out(
    runs: Mapping[int, Run], read: Callable[[Run], object]
) -> tuple[dict[int, Run], list[str]]:
    """Return the readable runs, and the errors of the others."""
    readable, errors = {}, []
    for number, run in runs.items():
        try:
            read(run)
        except MigrationLabError as error:
            errors.append(messages.failed(error, f"run {number}"))
        else:
            readable[number] = run
    return readable, errors


def _figure(view: View, runs: tuple[Run, ...], until_s: float | None) -> str:
    """Draw one figure of one run or of all chosen runs."""
    if view is View.DOWNTIMES:
        return plots.downtime(runs)._repr_html_()
    picture = _FIGURES[view](runs[0])
    if view is View.TIMELINE and until_s is not None:
        picture.figure.axes[0].set_xlim(right=until_s)
    return picture._repr_html_()
