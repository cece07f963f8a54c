"""Show how many runs an experiment needs: a slider adds blocks, and the verdict changes.

``experiment.sample_size`` takes the blocks and compares them. A callback shows the verdict in words
at once; the figure is drawn in the background. Another order of the blocks shows another possible
experiment.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import ipywidgets as widgets

from migrationlab import plots
from migrationlab.errors import UsageError
from migrationlab.experiment.sample_size import CumulativeComparison, compare_cumulatively
from migrationlab.widgets import fields
from migrationlab.widgets.base import LiveWidget
from migrationlab.widgets.views import messages

if TYPE_CHECKING:
    from migrationlab.experiment.results import Results

#: The metrics to choose from; a metric without values is left out.
METRICS = (
    "total_ms",
    "downtime_event_ms",
    "downtime_network_ms",
    "transferred_bytes",
    "migration_cpu_s",
)
MIN_BLOCKS = 2


class SampleSize(LiveWidget):
    """Shows the result of an experiment after fewer runs.

    Args:
        experiment: The experiment, with at least two blocks.
        metric: The metric to begin with.
        pair: The names of two cells; by default the first two that differ in one setting.

    Raises:
        UsageError: The experiment has no runs, or there is no such metric or pair.
    """

    def __init__(
        self,
        experiment: Results,
        metric: str = "total_ms",
        *,
        pair: tuple[str, str] | None = None,
    ) -> None:
        super().__init__()
        self._experiment, self._pair = experiment, pair
        self._seed = 0
        self._grown = compare_cumulatively(experiment, metric, pair=pair)
        if not self._grown.order:
            raise UsageError(
                "the experiment must have runs (got none)",
                hint="Run the cell with .run() first, then this one.",
            )
        frame = experiment.frame()
        known = [name for name in METRICS if frame[name].notna().any()]
        blocks = len(self._grown.order)
        self.number = fields.number(
            "Runs of each setting",
            min(3, blocks),
            bounds=(min(MIN_BLOCKS, blocks), blocks),
            label="12em",
            width="18em",
        )
        self.metric = fields.dropdown(
            "What is compared",
            dict.fromkeys([metric, *known]),
            value=metric,
            label="12em",
            width=None,
        )
        self.again_button = fields.button(
            "Other blocks first",
            self.again,
            tooltip="Take the blocks in another order, as if it had been measured again",
            layout=widgets.Layout(width="max-content"),
        )
        self.verdict = widgets.HTML()
        self.figure = widgets.HTML()
        self._lay_out(
            fields.row(self.number, fields.slider(self.number), self.again_button),
            self.metric,
            self.verdict,
            self.figure,
        )
        fields.on_change(self._refresh, self.number)
        fields.on_change(self._regrow, self.metric)
        self._refresh()

    def __repr__(self) -> str:
        return f"SampleSize({self.metric.value!r}, {self.number.value} of {self.number.max})"

    def _static_html(self) -> str:
        picture = plots.sample_size(self._grown, self.number.value)
        return f"{self.verdict.value}{picture._repr_html_()}"

    @property
    def grown(self) -> CumulativeComparison:
        """Return the shown comparison of the two cells, block by block."""
        return self._grown

    def again(self) -> None:
        """Take the blocks in another order."""
        with self._lock:
            self._seed += 1
            self._regrow()

    def _regrow(self) -> None:
        with self._lock:
            self._grown = compare_cumulatively(
                self._experiment, self.metric.value, pair=self._pair, seed=self._seed
            )
            self._refresh()

    def _refresh(self) -> None:
        """Show the verdict of the counted runs, and draw the figure."""
        with self._lock:
            grown, number = self._grown, self.number.value
            self.verdict.value = messages.status(str(grown.at(number)))
            self._draw_into(self.figure, lambda: plots.sample_size(grown, number)._repr_html_())
