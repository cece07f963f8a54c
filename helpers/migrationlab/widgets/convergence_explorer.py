"""Explore convergence: sliders, the forecast of the pre-copy model, and the results of runs.

Theory of operation. A slider's callback computes the model's forecast, which takes a millisecond,
shows it in words, and passes the simulated forecast, figure and tables to the background renderer.
A ``LiveRun`` makes a real migration in its own thread, and calls back.

``forecast.precopy`` is the model, the first explanation; ``forecast.forecast`` simulates QEMU's
rules beside it. libvirt is needed only with a guest.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import ipywidgets as widgets

from migrationlab import plots
from migrationlab.forecast import DirtyCurve, Memory, forecast
from migrationlab.forecast.precopy import PAYLOAD_SHARE, Precopy, memory_in_use_mib, nearest
from migrationlab.plan.plan import Plan
from migrationlab.runs.run import Run, Runs
from migrationlab.widgets import fields
from migrationlab.widgets.base import LiveWidget
from migrationlab.widgets.views import messages, progress_svg, run_tables

if TYPE_CHECKING:
    from collections.abc import Callable

    from migrationlab.experiment.results import Results
    from migrationlab.lab.guest import Guest
    from migrationlab.migrate.migration import Migration, Progress

CLOSE_TIMEOUT_S = 15.0
#: The number of own runs in the table, the newest.
MAX_OWN_RUNS = 3
_CANCELLING = "Cancelling…"


class ConvergenceExplorer(LiveWidget):
    """Shows whether the model of pre-copy predicts an end of a migration, beside recorded runs.

    Args:
        experiment: Recorded runs of plain pre-copy.
        guest: A guest of a running lab, to migrate for real; its workload and the lab's wire are
            set for each run, and set back after it.
        start: Starts a migration, as ``migrationlab.start`` does, which is the default.
    """

    def __init__(
        self,
        experiment: Results,
        guest: Guest | None = None,
        *,
        start: Callable[..., Migration] | None = None,
    ) -> None:
        super().__init__()
        self._recorded = tuple(experiment.measured)
        self._own: tuple[Run, ...] = ()
        self._deadline_s = max((run.plan.deadline_s for run in self._recorded), default=None)
        number = fields.number
        self.dirty = number("Written by the guest, MiB/s", 40, bounds=(0, 120), step=5)
        self.wire = number("Wire, Mbit/s", 500, bounds=(100, 1200), step=50)
        self.working_set = number("Working set, MiB", 64, bounds=(8, 192), step=8)
        self.memory = number("Memory in use, MiB", 118, bounds=(32, 512), step=2)
        self.max_downtime = number("Downtime limit, ms", 300, bounds=(50, 3000), step=50)
        sliders = (self.dirty, self.wire, self.working_set, self.memory, self.max_downtime)
        self._recorded_mib = memory_in_use_mib(self._recorded)
        self._set_memory(guest)
        self.deadline = number("Deadline of a run, s", 15, bounds=(5, 60), step=5)
        self.start_button = fields.button("Try it for real", self.start, button_style="success")
        self.cancel_button = fields.button("Cancel", self.cancel, disabled=True)
        self.forecast, self.results, self.progress, self.message = (
            widgets.HTML() for _ in range(4)
        )
        live: list[widgets.Widget] = []
        self._live_run = None
        if guest is not None:
            from migrationlab.widgets.live_run import Callbacks, LiveRun  # noqa: PLC0415 (libvirt)

            callbacks = Callbacks(
                progress=self._show_progress,
                run=self._show_run,
                error=self._show_error,
                idle=self._enable,
            )
            more = {} if start is None else {"start": start}
            self._live_run = LiveRun(guest, callbacks, **more)
            buttons = widgets.HBox([self.start_button, self.cancel_button, self.progress])
            live = [_with_slider(self.deadline), buttons, self.message]
        self._lay_out(*map(_with_slider, sliders), self.forecast, *live, self.results)
        fields.on_change(self._refresh, *sliders)
        self._refresh()

    def __repr__(self) -> str:
        own = f", {len(self._own)} own" if self._live_run is not None else ""
        return f"ConvergenceExplorer({len(self._recorded)} recorded runs{own})"

    def _static_html(self) -> str:
        return f"{self.forecast.value}{self._picture(self.settings)._repr_html_()}"

    @property
    def settings(self) -> Precopy:
        """Return the settings of the sliders."""
        return Precopy(
            dirty_mib_s=self.dirty.value,
            wire_mbit_s=self.wire.value,
            memory_mib=self.memory.value,
            working_set_mib=min(self.working_set.value, self.memory.value),
            max_downtime_ms=self.max_downtime.value,
        )

    @property
    def runs(self) -> Runs:
        """Return the runs made with this explorer."""
        return Runs(self._own)

    def start(self) -> None:
        """Migrate for real with the settings; return at once. Do nothing while a run is made."""
        with self._lock:
            live = self._live_run
            if live is not None and live.begin(self.settings, self.deadline.value):
                self.message.value = ""
                self.start_button.disabled = True
                self.cancel_button.disabled = False

    def cancel(self) -> None:
        """Cancel the run; return at once."""
        with self._lock:
            if self._live_run is not None and self._live_run.running:
                self.cancel_button.disabled = True
                self.message.value = messages.status(_CANCELLING)
                self._live_run.cancel()

    def wait(self, timeout_s: float | None = None) -> bool:
        """Wait for the run and the drawing, this time each at most; return whether both ended."""
        over = self._live_run is None or self._live_run.wait(timeout_s)
        return over and super().wait(timeout_s)

    def close(self) -> None:
        """Cancel the run, stop drawing, and take the explorer off the page."""
        if self._live_run is not None:
            self._live_run.close(CLOSE_TIMEOUT_S)
        super().close()

    def _set_memory(self, guest: Guest | None) -> None:
        """Set memory and working set to those of the guest, or else of the recorded runs."""
        working_sets = [run.guest.get("working_set_mib") for run in self._recorded]
        recorded = next((mib for mib in working_sets if mib is not None), self.working_set.value)
        used = self._recorded_mib or self.memory.value
        _set(self.working_set, recorded)
        if guest is not None:
            _set(self.working_set, guest.spec.working_set_mib)
            self.working_set.disabled = True  # the working set was fixed when the guest was booted
        # The rest, the guest's system, is the same for any working set.
        _set(self.memory, round(used) + self.working_set.value - recorded)

    def _refresh(self) -> None:
        """Show the forecast, and draw it."""
        with self._lock:
            settings = self.settings
            self.forecast.value = messages.status(f"{settings.forecast()}.")
            self._draw_into(self.results, lambda: self._drawn(settings))

    def _drawn(self, settings: Precopy) -> str:
        """Return the figure and the tables."""
        near = nearest(settings, self._recorded)
        used = self._recorded_mib or settings.memory_mib
        parts = [
            messages.note(simulated(settings)),
            self._picture(settings)._repr_html_(),
            _differences(settings, near),
            run_tables.forecasts(near, used, "The recorded runs nearest to the setting"),
        ]
        if own := self._own[-MAX_OWN_RUNS:]:
            title = "Your own runs, the newest last"
            parts.append(run_tables.forecasts(own, settings.memory_mib, title))
        return "".join(parts)

    def _picture(self, settings: Precopy) -> plots.Picture:
        return plots.convergence(
            settings.forecast(), self._recorded, own=self._own, deadline_s=self._deadline_s
        )

    def _show_progress(self, progress: Progress | None) -> None:
        if progress is None:
            self.progress.value = messages.progress("setting workload and wire", None)
        else:
            words = progress_svg.words(progress)
            self.progress.value = messages.progress(words, progress.fraction)

    def _show_run(self, run: Run) -> None:
        with self._lock:
            self._own = (*self._own, run)
            self.message.value = run_tables.verdict(run)
            self._refresh()

    def _show_error(self, error: BaseException) -> None:
        with self._lock:
            self.message.value = messages.failed(error)

    def _enable(self) -> None:
        with self._lock:
            self.progress.value = ""
            if self.message.value == messages.status(_CANCELLING):
                self.message.value = messages.status("Cancelled before it began.")
            self.start_button.disabled = False
            self.cancel_button.disabled = True


def simulated(settings: Precopy) -> str:
    """Return in words what the simulation of QEMU's rules forecasts for settings of the model."""
    told = forecast(
        Plan(max_downtime_ms=round(settings.max_downtime_ms)),
        DirtyCurve.constant(settings.dirty_mib_s, settings.working_set_mib),
        memory=Memory(total_mib=settings.memory_mib),
        bandwidth_mbit_s=settings.wire_mbit_s * PAYLOAD_SHARE,
    )
    if told.total_s.median is None:
        return f"Simulated by QEMU's rules: it ends with a probability of {told.ends:.0%}."
    return (
        f"Simulated by QEMU's rules: it ends with a probability of {told.ends:.0%}, after "
        f"{told.total_s} s, and the guest is paused for {told.downtime_ms.text(0)} ms."
    )


def _differences(settings: Precopy, near: tuple[Run, ...]) -> str:
    """Return the settings, besides dirty rate and wire, in which the recorded runs differ."""
    if not near:
        return messages.note("No recorded run has a known dirty rate and wire.")
    run = near[0]
    differences = []
    if run.guest["working_set_mib"] != settings.working_set_mib:
        differences.append(f"a working set of {run.guest['working_set_mib']} MiB")
    if run.downtime_requested_ms != settings.max_downtime_ms:
        differences.append(f"a downtime limit of {run.downtime_requested_ms} ms")
    return messages.note(f"Recorded with {' and '.join(differences)}.") if differences else ""


def _set(number: widgets.BoundedIntText, value: int) -> None:
    """Set a field to a value, even beyond the field's usual bounds."""
    number.max = max(number.max, value)
    number.min = min(number.min, value)
    number.value = value


def _with_slider(number: widgets.BoundedIntText) -> widgets.HBox:
    return fields.row(number, fields.slider(number))
