"""An explorer of runs: choose some of many, and see them side by side.

Theory of operation. The boxes may call back on any thread, so a callback only reads what is
chosen, says "drawing…", and hands the work to a ``BackgroundRenderer``; figures are made there, and go into
the trait of an HTML widget. A figure that was made once is kept.

Runs are chosen by check boxes: JupyterLab takes a list box's arrow keys for itself, to move from
cell to cell, so that nobody could use one by keyboard.

Holds no logic of runs: ``abreast`` makes tables, ``migrationlab.plots`` the figures. Needs no
libvirt.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from enum import StrEnum
from typing import Any

import ipywidgets as widgets

from migrationlab import plots
from migrationlab.errors import MigrationLabError, UsageError
from migrationlab.plots.picture import OUTCOMES
from migrationlab.runs.run import Run, Runs
from migrationlab.widgets import comparison_table, markup
from migrationlab.widgets.background_renderer import BackgroundRenderer
from migrationlab.widgets.closing import close_all

#: More don't fit beside each other.
MOST_RUNS = 3
KEPT_FIGURES = 48
ALL = "all"


class View(StrEnum):
    """What is shown of the runs that are chosen."""

    TIMELINE = "timeline"
    DOWNTIMES = "downtimes"
    PARTS = "parts of the downtime"
    LATENCY = "latency"
    PROGRESS = "progress"


_ONE_EACH = {
    View.TIMELINE: plots.timeline,
    View.PARTS: plots.downtime_parts,
    View.LATENCY: plots.latency,
    View.PROGRESS: plots.progress,
}


class RunExplorer:
    """Shows runs: a list to tick one to three in, and tables and figures of those.

    Args:
        runs: The runs.
    """

    def __init__(self, runs: Iterable[Run]) -> None:
        self._runs = dict(enumerate(Runs(runs), 1))
        # Setting a trait calls observers in the same thread, so the lock must let it in again.
        self._lock = threading.RLock()
        self._painter = BackgroundRenderer("run-explorer")
        self._ticking = False
        self._wanted: tuple[dict[int, Run], View] | None = None
        self._figure = functools.lru_cache(KEPT_FIGURES)(_figure)
        modes = sorted({str(run.plan.mode) for run in self._runs.values()})
        outcomes = {run.outcome for run in self._runs.values()}
        self.mode = _choice("Mode", {ALL: ALL} | {mode: mode for mode in modes})
        self.outcome = _choice(
            "Outcome",
            {ALL: ALL} | {words: str(one) for one, words in OUTCOMES.items() if one in outcomes},
        )
        as_wide = widgets.Layout(width="98%", min_height="1.8em")
        self.boxes = {
            number: widgets.Checkbox(
                description=comparison_table.label(number, run), indent=False, layout=as_wide
            )
            for number, run in self._runs.items()
        }
        self.list = widgets.VBox(
            layout=widgets.Layout(width="98%", max_height="15em", overflow="auto")
        )
        self.view = widgets.RadioButtons(
            options=[(str(view), view) for view in View],
            description="Show",
            orientation="horizontal",
            style={"description_width": "5em"},
            layout=widgets.Layout(width="100%"),
        )
        self.message = widgets.HTML()
        self.results = widgets.HTML()
        self._box = widgets.VBox(
            [
                widgets.HBox([self.mode, self.outcome]),
                widgets.HTML(
                    markup.note(f"Tick up to {MOST_RUNS} runs: they are shown beside each other.")
                ),
                self.list,
                self.view,
                self.message,
                self.results,
            ],
            layout=widgets.Layout(width="100%"),
        )
        self._filter()
        for widget in (self.mode, self.outcome):
            widget.observe(lambda _change: self._filter(), names="value")
        for widget in (*self.boxes.values(), self.view):
            widget.observe(lambda _change: self._refresh(), names="value")

    def __repr__(self) -> str:
        return f"RunExplorer({len(self._runs)} runs)"

    def _repr_mimebundle_(self, **_options: object) -> dict[str, Any]:
        """Give the live explorer, and for readers of a saved notebook its first numbers."""
        bundle: dict[str, Any] = self._box._repr_mimebundle_()
        static = markup.note("The explorer is live: run this cell to use it.")
        whole, wrong = _sort_out(self._chosen(), Run.summary)
        table = comparison_table.numbers(whole) if whole else ""
        shown = "".join([static, *wrong, table])
        return {**bundle, "text/plain": repr(self), "text/html": shown}

    @property
    def chosen(self) -> Runs:
        """Return the runs that are shown."""
        return Runs(self._chosen().values())

    def choose(self, *numbers: int) -> None:
        """Tick the runs of these numbers, and no others.

        Raises:
            UsageError: There is no run of such a number.
        """
        if unknown := [number for number in numbers if number not in self._runs]:
            raise UsageError(
                f"there is no run {unknown[0]}", hint=f"The runs are 1 to {len(self._runs)}."
            )
        with self._lock:
            self._tick(numbers)
            self._refresh()

    def wait(self, timeout_s: float | None = None) -> bool:
        """Wait until everything that was asked for is drawn; tell whether it is."""
        return self._painter.wait(timeout_s)

    def close(self) -> None:
        """Draw nothing more, and take the explorer off the page."""
        self._painter.close()
        self.list.children = tuple(self.boxes.values())  # also those that are not listed
        close_all(self._box)

    def _ticked(self) -> list[int]:
        return [number for number, box in self.boxes.items() if box.value]

    def _chosen(self) -> dict[int, Run]:
        return {number: self._runs[number] for number in self._ticked()[:MOST_RUNS]}

    def _tick(self, numbers: Iterable[int]) -> None:
        """Tick these and no others, and have nothing drawn for it yet."""
        wanted = set(numbers)
        self._ticking = True
        try:
            for number, box in self.boxes.items():
                box.value = number in wanted
        finally:
            self._ticking = False

    def _filter(self) -> None:
        """List the runs of the mode and outcome that are asked for; keep those ticked that stay."""
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
        """Have what is chosen drawn."""
        with self._lock:
            if self._ticking:
                return
            chosen, view = self._chosen(), self.view.value
            if not chosen:
                self._wanted = None
                empty = "No run is ticked." if self._runs else "There are no runs here."
                self.message.value = markup.status(empty)
                self.results.value = ""
                return
            wanted = self._wanted = (chosen, view)
            self.message.value = markup.status("drawing…")
            self._painter.ask(lambda: self._draw(wanted))

    def _draw(self, wanted: tuple[dict[int, Run], View]) -> None:
        """Make tables and figures; the painter's job."""
        chosen, view = wanted
        try:
            shown = "".join(self._parts(chosen, view))
        except BaseException as error:
            self._say(wanted, markup.failed(error), "")
            raise
        said = f"Shown: {view}, run{'s' * (len(chosen) > 1)} {', '.join(map(str, chosen))}."
        if more := len(self._ticked()) - len(chosen):
            said += f" {more} more ticked than fit beside each other."
        self._say(wanted, markup.status(said), shown)

    def _say(self, wanted: tuple[dict[int, Run], View], message: str, shown: str) -> None:
        """Show what was drawn, unless something else is wanted by now."""
        with self._lock:
            if self._wanted is wanted:
                self.results.value = shown
                self.message.value = message

    def _parts(self, chosen: Mapping[int, Run], view: View) -> Iterator[str]:
        """Give the tables and figures of a view; of a damaged run, what is wrong with it."""
        whole, wrong = _sort_out(chosen, Run.timeline if view is View.DOWNTIMES else Run.summary)
        yield from wrong
        if not whole:
            return
        if view is View.DOWNTIMES:
            yield comparison_table.downtimes(whole)
            yield self._figure(view, tuple(whole.values()), None)
            return
        # Runs are compared by the same time scale.
        until = max((run.returned_ns - run.called_ns) / 1e9 for run in whole.values())
        yield comparison_table.numbers(whole)
        for number, run in whole.items():
            if len(chosen) > 1:
                yield f"<h4>Run {number}</h4>"
            try:
                yield self._figure(view, (run,), until)
            except MigrationLabError as error:  # its summary is kept, what was recorded is damaged
                yield markup.failed(error)


def _sort_out(
    runs: Mapping[int, Run], read: Callable[[Run], object]
) -> tuple[dict[int, Run], list[str]]:
    """Tell runs that can be read from the others, of which it is said what is wrong.

    Args:
        runs: The runs, by their numbers in the list.
        read: Reads what is to be shown of one.
    """
    whole, wrong = {}, []
    for number, run in runs.items():
        try:
            read(run)
        except MigrationLabError as error:
            wrong.append(markup.failed(error, f"run {number}"))
        else:
            whole[number] = run
    return whole, wrong


def _figure(view: View, runs: tuple[Run, ...], until_s: float | None) -> str:
    """Draw one figure, of one run or of all."""
    if view is View.DOWNTIMES:
        return plots.downtime(runs)._repr_html_()
    picture = _ONE_EACH[view](runs[0])
    if view is View.TIMELINE and until_s is not None:
        picture.figure.axes[0].set_xlim(right=until_s)
    return picture._repr_html_()


def _choice(description: str, options: Mapping[str, str]) -> widgets.Dropdown:
    return widgets.Dropdown(
        options=list(options.items()),
        description=description,
        style={"description_width": "5em"},
        layout=widgets.Layout(width="18em"),
    )
