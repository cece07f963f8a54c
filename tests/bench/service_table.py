"""Print what clients of three services noticed of the recorded migrations, as Markdown.

    python -m bench.service_table      (PYTHONPATH=tests)

A figure is the median of a cell's runs, with the smallest and the largest in brackets. It is
unknown, a dash, if one of the runs has too few requests for it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import click
import pandas as pd

from migrationlab.experiment.experiment import Experiment
from migrationlab.runs.run import Run
from paths import ROOT

FOLDER = ROOT / "data" / "experiments" / "services"
LATENCIES = {"p50_ms": "p50, ms", "p99_ms": "p99, ms", "max_ms": "max, ms"}


def tables(measured: Iterable[Run]) -> list[str]:
    """Return the two tables: of the migrations, and of the requests' latencies."""
    cells: dict[tuple[str, str], list[Run]] = {}
    for run in measured:
        assert run.experiment is not None
        setting = run.experiment["setting"]
        cells.setdefault((setting["guest"], setting["plan"]), []).append(run)
    ordered = sorted(cells.items())
    lines = _head("service", "plan", "n", "*event*, ms", "longest gap, ms", "time to normal, ms",
                  "failed, sent again", "connections lost", "writes lost")  # fmt: skip
    for (guest, plan), runs in ordered:
        views = [run.service() for run in runs]
        checks = [run.service_check or {} for run in runs]
        trouble = f"{sum(view.failed or 0 for view in views)}, "
        trouble += f"{sum(view.retried or 0 for view in views)}"
        figures = (
            [run.timeline().downtime_event_ms for run in runs],
            [view.downtime_service_ms for view in views],
            [view.recovery_ms for view in views],
        )
        lost = sum(not check["connections_kept"] for check in checks)
        writes = sum(check["lost_writes"] for check in checks)
        cells_of_row = (guest, plan, str(len(runs)), *map(_ranged, figures))
        lines.append(_row(*cells_of_row, trouble, str(lost), str(writes)))
    lines += ["", *_head("service", "plan", "part", "answers/s", *LATENCIES.values())]
    for (guest, plan), runs in ordered:
        parts = [run.service().parts.set_index("part") for run in runs]
        for part in parts[0].index:
            rows = [frame.loc[part] for frame in parts]
            figures_of_part = (_ranged([row[name] for row in rows]) for name in LATENCIES)
            rate = _ranged([row["requests_s"] for row in rows])
            lines.append(_row(guest, plan, str(part), rate, *figures_of_part))
    return lines


def _head(*names: str) -> list[str]:
    return [_row(*names), "|---" * len(names) + "|"]


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def _ranged(values: Sequence[float | None]) -> str:
    known = pd.Series(values, dtype="float64")
    if known.isna().any():
        return "–"
    digits = 0 if known.median() >= 10 else 1
    low, middle, high = known.min(), known.median(), known.max()
    return f"{middle:.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"


def recorded() -> list[Run]:
    """Return the recorded runs that count."""
    return list(Experiment.load(FOLDER).measured)


if __name__ == "__main__":
    click.echo("\n".join(tables(recorded())))
