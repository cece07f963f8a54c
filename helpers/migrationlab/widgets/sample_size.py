"""How many runs? A slider takes more and more blocks of an experiment, and the verdict changes.

Theory of operation. A callback may run on any thread: it says the verdict in words at once, and
hands the figure to a ``BackgroundRenderer``, which draws the newest only. Another order of the blocks is an
experiment that might have been, too.

Holds no logic: ``_experiment.growth`` takes the blocks, ``_experiment.statistics`` compares them.
Needs no libvirt.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import ipywidgets as widgets

from migrationlab import plots
from migrationlab.errors import MigrationLabError, UsageError
from migrationlab.experiment.sample_size import Growth, grow
from migrationlab.widgets import markup
from migrationlab.widgets.background_renderer import BackgroundRenderer
from migrationlab.widgets.closing import close_all

if TYPE_CHECKING:
    from migrationlab.experiment.results import Results

#: What is worth a look; a metric that no run has a value of is left out.
METRICS = (
    "total_ms",
    "downtime_event_ms",
    "downtime_network_ms",
    "transferred_bytes",
    "migration_cpu_s",
)
FEWEST = 2


class SampleSize:
    """Asks what an experiment would have said after fewer runs.

    Args:
        experiment: The experiment, of at least two blocks.
        metric: What to begin with.
        pair: The names of two cells; by default the first two that differ in one setting.

    Raises:
        UsageError: It has no runs yet, or there is no such metric or pair.
    """

    def __init__(
        self,
        experiment: Results,
        metric: str = "total_ms",
        *,
        pair: tuple[str, str] | None = None,
    ) -> None:
        self._experiment, self._pair = experiment, pair
        # Setting a trait calls observers in the same thread, so the lock must let it in again.
        self._lock = threading.RLock()
        self._painter = BackgroundRenderer("sample-size")
        self._seed = 0
        self._grown = grow(experiment, metric, pair=pair)
        if not self._grown.order:
            raise UsageError(
                "the experiment has no runs yet",
                hint="Run the cell with .run() first, then this one.",
            )
        frame = experiment.frame()
        known = [name for name in METRICS if frame[name].notna().any()]
        most = len(self._grown.order)
        self.number = widgets.BoundedIntText(
            value=min(3, most),
            min=min(FEWEST, most),
            max=most,
            description="Runs of each setting",
            style={"description_width": "12em"},
            layout=widgets.Layout(width="18em"),
        )
        slider = widgets.IntSlider(
            value=self.number.value,
            min=self.number.min,
            max=most,
            readout=False,
            layout=widgets.Layout(width="18em"),
        )
        widgets.link((self.number, "value"), (slider, "value"))
        self.metric = widgets.Dropdown(
            options=list(dict.fromkeys([metric, *known])),
            value=metric,
            description="What is compared",
            style={"description_width": "12em"},
        )
        self.again_button = widgets.Button(
            description="Other blocks first",
            tooltip="Take the blocks in another order, as if it had been measured again",
            layout=widgets.Layout(width="max-content"),
        )
        self.said = widgets.HTML()
        self.figure = widgets.HTML()
        row = widgets.Layout(flex_flow="row wrap")
        self._box = widgets.VBox(
            [
                widgets.HBox([self.number, slider, self.again_button], layout=row),
                self.metric,
                self.said,
                self.figure,
            ],
            layout=widgets.Layout(width="100%"),
        )
        self.number.observe(lambda _change: self._refresh(), names="value")
        self.metric.observe(lambda _change: self._regrow(), names="value")
        self.again_button.on_click(lambda _button: self.again())
        self._refresh()

    def __repr__(self) -> str:
        return f"SampleSize({self.metric.value!r}, {self.number.value} of {self.number.max})"

    def _repr_mimebundle_(self, **_options: object) -> dict[str, Any]:
        """Give the live widget, and for readers of a saved notebook what it says."""
        bundle: dict[str, Any] = self._box._repr_mimebundle_()
        note = markup.note("The slider is live: run this cell to use it.")
        with self._lock:
            picture = plots.growth(self._grown, self.number.value)
            static = note + self.said.value + picture._repr_html_()
        return {**bundle, "text/plain": repr(self), "text/html": static}

    @property
    def grown(self) -> Growth:
        """Return what is shown: the two cells, block by block."""
        return self._grown

    def again(self) -> None:
        """Take the blocks in another order."""
        with self._lock:
            self._seed += 1
            self._regrow()

    def wait(self, timeout_s: float | None = None) -> bool:
        """Wait until all is drawn; tell whether that came."""
        return self._painter.wait(timeout_s)

    def close(self) -> None:
        """Draw nothing more, and take the widget off the page."""
        self._painter.close()
        close_all(self._box)

    def _regrow(self) -> None:
        with self._lock:
            self._grown = grow(
                self._experiment, self.metric.value, pair=self._pair, seed=self._seed
            )
            self._refresh()

    def _refresh(self) -> None:
        """Say what the runs that are taken tell, and have it drawn."""
        with self._lock:
            grown, number = self._grown, self.number.value
            self.said.value = markup.status(str(grown.at(number)))
            self._painter.ask(lambda: self._draw(grown, number))

    def _draw(self, grown: Growth, number: int) -> None:
        """Draw the figure; the painter's job."""
        try:
            drawn = plots.growth(grown, number)._repr_html_()
        except MigrationLabError as error:
            drawn = markup.failed(error)
        except BaseException as error:
            self.figure.value = markup.failed(error)
            raise
        self.figure.value = drawn
