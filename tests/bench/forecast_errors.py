"""Compare forecasts with every recorded run in data/, and print the errors as a table.

    PYTHONPATH=helpers:tests python tests/bench/forecast_errors.py [FOLDER …]

The model's constants were chosen with these runs (all but those of folders given), so for them the
table says how well it fits, not how well it forecasts.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pandas as pd

from migrationlab import load_runs
from migrationlab.forecast.run_inputs import compare
from migrationlab.forecast.scores import score
from migrationlab.runs.run import Run
from paths import DATA

DRAWS = 40
HEAD = (
    "| kind | runs | ends right | time p50 / p90 / max | downtime p50 / p90 / max | in interval |"
)


def recorded(folders: list[Path]) -> list[Run]:
    """Return the runs of some folders, each once."""
    found = {
        run.run_id: run
        for folder in folders
        for place in sorted({path.parent.parent for path in folder.rglob("run.json")})
        for run in load_runs(place)
    }
    return list(found.values())


def line(kind: str, held: pd.DataFrame) -> str:
    """Return a row of the table."""
    found = score(held)

    def three(values: tuple[float, ...] | None, unit: str) -> str:
        return "-" if values is None else " / ".join(f"{one:.1f}" for one in values) + f" {unit}"

    def share(value: float | None) -> str:
        return "-" if value is None else f"{value:.0%}"

    return (
        f"| {kind} | {found.runs} | {found.ends_right} | {three(found.time_percent, '%')} | "
        f"{three(found.downtime_ms, 'ms')} | {share(found.time_covered)} time, "
        f"{share(found.downtime_covered)} downtime |"
    )


def main() -> None:
    """Print the table."""
    folders = [Path(word) for word in sys.argv[1:]] or [DATA]
    held = compare(recorded(folders), draws=DRAWS)
    rows = [line(str(kind), part) for kind, part in held.groupby("kind")]
    sys.stdout.write("\n".join([HEAD, "|---|---|---|---|---|---|", *rows, line("all", held), ""]))


if __name__ == "__main__":
    main()
