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


def errors(held: pd.DataFrame) -> dict[str, pd.Series]:
    """Return the absolute errors of completed runs: time in percent, downtime in ms."""
    done = held[held["ended"]].dropna(subset=["total_s_median"])
    relative = (done["total_s_median"] / done["total_s"] - 1).abs() * 100
    absolute = (done["downtime_ms_median"] - done["downtime_ms"]).abs()
    return {"total_s": relative, "downtime_ms": absolute}


def line(kind: str, held: pd.DataFrame) -> str:
    """Return a row of the table."""
    right = int(((held["ends"] >= 0.5) == held["ended"]).sum())
    done = held[held["ended"]].dropna(subset=["total_s_median"])
    cells = []
    for name, unit in (("total_s", "%"), ("downtime_ms", "ms")):
        found = errors(held)[name].dropna()
        cells.append(
            " / ".join(f"{found.quantile(q):.1f}" for q in (0.5, 0.9, 1)) + f" {unit}"
            if len(found) else "-"
        )  # fmt: skip
    covered = [
        f"{done[name].between(done[f'{name}_low'], done[f'{name}_high'].fillna(1e9)).mean():.0%}"
        if len(done) else "-" for name in ("total_s", "downtime_ms")
    ]  # fmt: skip
    return (
        f"| {kind} | {len(held)} | {right} | {cells[0]} | {cells[1]} | "
        f"{covered[0]} time, {covered[1]} downtime |"
    )


def main() -> None:
    """Print the table."""
    folders = [Path(word) for word in sys.argv[1:]] or [DATA]
    held = compare(recorded(folders), draws=DRAWS)
    rows = [line(str(kind), part) for kind, part in held.groupby("kind")]
    sys.stdout.write("\n".join([HEAD, "|---|---|---|---|---|---|", *rows, line("all", held), ""]))


if __name__ == "__main__":
    main()
