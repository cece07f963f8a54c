"""What the model of pre-copy says beside what runs did, as a table.

Pure: runs in, escaped HTML out. Imports neither IPython nor ipywidgets.
"""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from migrationlab.forecast.precopy import compare
from migrationlab.plots.picture import OUTCOMES
from migrationlab.runs.run import Outcome, Run
from migrationlab.widgets.comparison_table import UNKNOWN, table

_ROWS = (
    ("sending, from the first byte", "{:.1f} s", "forecast_s", "sending_s"),
    ("passes", "{:.0f}", "forecast_passes", "passes"),
    ("guest stands still", "{:.0f} ms", "forecast_downtime_ms", "downtime_event_ms"),
)


def beside(runs: Sequence[Run], memory_mib: float, caption: str) -> str:
    """Give what runs did, with what the model says of each.

    Args:
        runs: The runs.
        memory_mib: How much of their guest's memory is in use.
        caption: What runs they are.
    """
    held = list(compare(runs, memory_mib).to_dict(orient="records"))
    rows = [
        ("written", [f"{row['dirty_mib_s']:g} MiB/s" for row in held]),
        ("wire", [f"{row['wire_mbit_s']:g} Mbit/s" for row in held]),
        ("outcome", [_outcome(row["outcome"], ends=row["forecast_ends"]) for row in held]),
    ]
    for words, form, forecast, measured in _ROWS:
        values = [_said(form, row[measured], row[forecast]) for row in held]
        if any(value != UNKNOWN for value in values):
            rows.append((words, values))
    return table(caption, [f"run {number}" for number in range(1, len(held) + 1)], rows)


def _outcome(outcome: str, *, ends: bool) -> str:
    said = "it ends in time" if ends else "it does not end in time"
    return f"{OUTCOMES[Outcome(outcome)].lower()} (the model: {said})"


def _said(form: str, measured: float | None, forecast: float | None) -> str:
    """Write what was measured, with what the model says where it says anything."""
    did, told = (
        UNKNOWN if value is None or pd.isna(value) else form.format(value)
        for value in (measured, forecast)
    )
    return did if told == UNKNOWN else f"{did} (the model: {told})"
