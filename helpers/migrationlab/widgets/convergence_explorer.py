"""A playground of convergence: sliders, what the model of pre-copy says, and what runs did.

Theory of operation. A slider's callback may run on any thread. It works out the forecast, which
takes a millisecond, says it in words, and hands figure and table to a ``BackgroundRenderer``; while one is
drawn and the slider moves on, only the newest is drawn next. A trial for real is a ``LiveRun``'s
business, which runs in a thread of its own and tells of it.

Holds no logic: ``migrationlab.forecast.precopy`` is the model, ``foretold`` makes the tables. Needs
libvirt only where a guest is given.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import ipywidgets as widgets

from migrationlab import plots
from migrationlab.errors import MigrationLabError
from migrationlab.forecast.precopy import Precopy, memory_in_use_mib, nearest
from migrationlab.runs.run import Run, Runs
from migrationlab.widgets import forecast_table, markup, progress_svg, results
from migrationlab.widgets.background_renderer import BackgroundRenderer
from migrationlab.widgets.closing import close_all

if TYPE_CHECKING:
    from collections.abc import Callable

    from migrationlab.experiment.results import Results
    from migrationlab.lab.guest import Guest
    from migrationlab.migrate.migration import Migration, Progress

CLOSE_TIMEOUT_S = 15.0
#: Of so many own runs the table tells, the newest.
MOST_OWN_RUNS = 3


class ConvergenceExplorer:
    """Asks the model of pre-copy whether a migration ends, and lays recorded runs beside it.

    Args:
        experiment: Recorded runs of plain pre-copy.
        guest: A guest of a running lab, to try a setting for real; its workload and the lab's wire
            are set for each trial, and set back after it.
        start: Starts a migration, as ``migrationlab.start`` does, which is the default.
    """

    def __init__(
        self,
        experiment: Results,
        guest: Guest | None = None,
        *,
        start: Callable[..., Migration] | None = None,
    ) -> None:
        self._recorded = tuple(experiment.measured)
        self._own: tuple[Run, ...] = ()
        self._deadline_s = max((run.plan.deadline_s for run in self._recorded), default=None)
        # Setting a trait calls observers in the same thread, so the lock must let it in again.
        self._lock = threading.RLock()
        self._painter = BackgroundRenderer("playground")
        self.dirty = _number("Written by the guest, MiB/s", (0, 120, 5), 40)
        self.wire = _number("Wire, Mbit/s", (100, 1200, 50), 500)
        self.working_set = _number("Working set, MiB", (8, 192, 8), 64)
        self.memory = _number("Memory in use, MiB", (32, 512, 2), 118)
        self.max_downtime = _number("Downtime limit, ms", (50, 3000, 50), 300)
        numbers = (self.dirty, self.wire, self.working_set, self.memory, self.max_downtime)
        self._recorded_mib = memory_in_use_mib(self._recorded)
        self._set_memory(guest)
        self.said = widgets.HTML()
        self.results = widgets.HTML()
        self.deadline = _number("Deadline of a trial, s", (5, 60, 5), 15)
        self.start_button = widgets.Button(description="Try it for real", button_style="success")
        self.cancel_button = widgets.Button(description="Cancel", disabled=True)
        self.progress = widgets.HTML()
        self.message = widgets.HTML()
        live: list[widgets.Widget] = []
        self._trial = None
        if guest is not None:
            from migrationlab.widgets.live_run import Callbacks, LiveRun  # noqa: PLC0415 (libvirt)

            heard = Callbacks(
                progress=self._told, run=self._made, error=self._failed, idle=self._enable
            )
            self._trial = LiveRun(guest, heard, **({} if start is None else {"start": start}))
            buttons = widgets.HBox([self.start_button, self.cancel_button, self.progress])
            live = [_with_slider(self.deadline), buttons, self.message]
            self.start_button.on_click(lambda _button: self.start())
            self.cancel_button.on_click(lambda _button: self.cancel())
        self._box = widgets.VBox(
            [*map(_with_slider, numbers), self.said, *live, self.results],
            layout=widgets.Layout(width="100%"),
        )
        for number in numbers:
            number.observe(lambda _change: self._refresh(), names="value")
        self._refresh()

    def __repr__(self) -> str:
        own = f", {len(self._own)} own" if self._trial is not None else ""
        return f"ConvergenceExplorer({len(self._recorded)} recorded runs{own})"

    def _repr_mimebundle_(self, **_options: object) -> dict[str, Any]:
        """Give the live playground, and for readers of a saved notebook what it says."""
        bundle: dict[str, Any] = self._box._repr_mimebundle_()
        static = markup.note("The playground is live: run this cell to use it.")
        with self._lock:
            picture = self._picture(self.asked)
            shown = static + self.said.value + picture._repr_html_()
        return {**bundle, "text/plain": repr(self), "text/html": shown}

    @property
    def asked(self) -> Precopy:
        """Return what the sliders ask."""
        return Precopy(
            dirty_mib_s=self.dirty.value,
            wire_mbit_s=self.wire.value,
            memory_mib=self.memory.value,
            working_set_mib=min(self.working_set.value, self.memory.value),
            max_downtime_ms=self.max_downtime.value,
        )

    @property
    def runs(self) -> Runs:
        """Return the runs that were made here."""
        return Runs(self._own)

    def start(self) -> None:
        """Try the setting for real; returns at once. Does nothing while that is done already."""
        with self._lock:
            if self._trial is not None and self._trial.begin(self.asked, self.deadline.value):
                self.message.value = ""
                self.start_button.disabled = True
                self.cancel_button.disabled = False

    def cancel(self) -> None:
        """Ask for the trial to be cancelled; returns at once."""
        with self._lock:
            if self._trial is not None and self._trial.running:
                self.cancel_button.disabled = True
                self.message.value = markup.status("Cancelling…")
                self._trial.cancel()

    def wait(self, timeout_s: float | None = None) -> bool:
        """Wait until nothing runs and all is drawn; tell whether that came.

        Args:
            timeout_s: How long to wait at most, for each of the two.
        """
        over = self._trial is None or self._trial.wait(timeout_s)
        return over and self._painter.wait(timeout_s)

    def close(self) -> None:
        """Cancel what runs, draw nothing more, and take the playground off the page."""
        if self._trial is not None:
            self._trial.close(CLOSE_TIMEOUT_S)
        self._painter.close()
        close_all(self._box)

    def _set_memory(self, guest: Guest | None) -> None:
        """Set memory and working set to those of the guest that there is, or of the records."""
        working_sets = [run.guest.get("working_set_mib") for run in self._recorded]
        recorded = next((mib for mib in working_sets if mib is not None), self.working_set.value)
        used = self._recorded_mib or self.memory.value
        _set(self.working_set, recorded)
        if guest is not None:
            _set(self.working_set, guest.spec.working_set_mib)
            self.working_set.disabled = True  # it is what it was booted with
        # The rest, the guest's system, is the same whatever its working set.
        _set(self.memory, round(used) + self.working_set.value - recorded)

    def _refresh(self) -> None:
        """Say what the model says, and have it drawn."""
        with self._lock:
            asked = self.asked
            self.said.value = markup.status(f"{asked.forecast()}.")
            self._painter.ask(lambda: self._draw(asked))

    def _draw(self, asked: Precopy) -> None:
        """Draw figure and tables; the painter's job."""
        try:
            near = nearest(asked, self._recorded)
            used = self._recorded_mib or asked.memory_mib
            tables = [forecast_table.beside(near, used, "The recorded runs nearest to the setting")]
            if own := self._own[-MOST_OWN_RUNS:]:
                title = "Your own runs, the newest last"
                tables.append(forecast_table.beside(own, asked.memory_mib, title))
            html = self._picture(asked)._repr_html_()
        except MigrationLabError as error:
            self.results.value = markup.failed(error)
            return
        except BaseException as error:
            self.results.value = markup.failed(error)
            raise
        self.results.value = "".join([html, _differing(asked, near), *tables])

    def _picture(self, asked: Precopy) -> plots.Picture:
        return plots.convergence(
            asked.forecast(), self._recorded, own=self._own, deadline_s=self._deadline_s
        )

    def _told(self, progress: Progress | None) -> None:
        if progress is None:
            self.progress.value = markup.progress("setting workload and wire", None)
        else:
            self.progress.value = markup.progress(progress_svg.words(progress), progress.fraction)

    def _made(self, run: Run) -> None:
        with self._lock:
            self._own = (*self._own, run)
            self.message.value = results.verdict(run)
            self._refresh()

    def _failed(self, error: BaseException) -> None:
        with self._lock:
            self.message.value = markup.failed(error)

    def _enable(self) -> None:
        with self._lock:
            self.progress.value = ""
            if self.message.value == markup.status("Cancelling…"):
                self.message.value = markup.status("Cancelled before it began.")
            self.start_button.disabled = False
            self.cancel_button.disabled = True


def _differing(asked: Precopy, near: tuple[Run, ...]) -> str:
    """Say where the recorded runs differ from the setting, other than in dirty rate and wire."""
    if not near:
        return markup.note("No recorded run says how fast its guest wrote, and over which wire.")
    run = near[0]
    differing = []
    if run.guest["working_set_mib"] != asked.working_set_mib:
        differing.append(f"a working set of {run.guest['working_set_mib']} MiB")
    if run.downtime_requested_ms != asked.max_downtime_ms:
        differing.append(f"a downtime limit of {run.downtime_requested_ms} ms")
    return markup.note(f"Recorded with {' and '.join(differing)}.") if differing else ""


def _number(description: str, steps: tuple[int, int, int], value: int) -> widgets.BoundedIntText:
    least, most, step = steps
    return widgets.BoundedIntText(
        value=value,
        min=least,
        max=most,
        step=step,
        description=description,
        style={"description_width": "14em"},
        layout=widgets.Layout(width="21em"),
    )


def _set(number: widgets.BoundedIntText, value: int) -> None:
    """Set a field to what is so, also where that is beyond what can be chosen otherwise."""
    number.max = max(number.max, value)
    number.min = min(number.min, value)
    number.value = value


def _with_slider(number: widgets.BoundedIntText) -> widgets.HBox:
    """Put a slider beside a field: to a screen reader a slider of ipywidgets has no name."""
    slider = widgets.IntSlider(
        value=number.value,
        min=number.min,
        max=number.max,
        step=number.step,
        readout=False,
        disabled=number.disabled,
        layout=widgets.Layout(width="18em"),
    )
    widgets.link((number, "value"), (slider, "value"))
    return widgets.HBox([number, slider], layout=widgets.Layout(flex_flow="row wrap"))
