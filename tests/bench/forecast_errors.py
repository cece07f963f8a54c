"""Compare forecasts with every recorded run in data/, and print the errors as a table.

    PYTHONPATH=helpers:tests python tests/bench/forecast_errors.py [--hold-out | FOLDER …]
    PYTHONPATH=helpers:tests python tests/bench/forecast_errors.py --stored EXPERIMENT …

The model's constants were chosen with these runs (all but those of folders given), so for them the
table says how well it fits, not how well it forecasts. With --hold-out each experiment is forecast
with constants that are fitted to the other experiments. With --stored the forecasts are those that
each experiment stored before its runs.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pandas as pd

from migrationlab import Experiment, load_runs
from migrationlab.experiment.forecasts import has_forecasts, held_forecasts
from migrationlab.forecast.calibration import calibrate
from migrationlab.forecast.run_inputs import compare
from migrationlab.forecast.scores import score
from migrationlab.runs.run import Run
from paths import DATA

DRAWS = 40
EXPERIMENTS = DATA / "experiments"
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


def held_out() -> pd.DataFrame:
    """Forecast each experiment without stored forecasts with constants of all others."""
    places = [place for place in sorted(EXPERIMENTS.iterdir()) if place.is_dir()]
    runs = {place.name: recorded([place]) for place in places if not has_forecasts(place)}
    parts = []
    for name, own in runs.items():
        others = [run for other, some in runs.items() if other != name for run in some]
        parts.append(compare(own, draws=DRAWS, constants=calibrate(others).constants))
    return pd.concat(parts, ignore_index=True)


def main() -> None:
    """Print the table."""
    words = sys.argv[1:]
    if words == ["--hold-out"]:
        held = held_out()
    elif words[:1] == ["--stored"]:
        held = pd.concat(held_forecasts(Experiment.load(Path(word))) for word in words[1:])
    else:
        held = compare(recorded([Path(word) for word in words] or [DATA]), draws=DRAWS)
    rows = [line(str(kind), part) for kind, part in held.groupby("kind")]
    sys.stdout.write("\n".join([HEAD, "|---|---|---|---|---|---|", *rows, line("all", held), ""]))


if __name__ == "__main__":
    main()
