"""Draw the figures of README.md and measurements.md, ``data/figures/*.png``, from recorded runs.

``python data/draw_figures.py`` draws all of them again, and says of each what it shows.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import migrationlab as mig
from migrationlab.experiment.forecasts import held_forecasts
from migrationlab.plots.picture import Picture
from migrationlab.runs.run import Run

DATA = Path(__file__).parent
#: The figure, the folder of the run, and what draws it.
FIGURES: tuple[tuple[str, str, Callable[[Run], Picture]], ...] = (
    ("timeline-peer2peer.png", "runs/20261122-210428-98ce3f", mig.plots.timeline),
    ("service-redis.png", "experiments/services/runs/20261201-042902-e24bb0", mig.plots.service),
)


def main() -> None:
    """Draw each figure."""
    pictures = {}
    for name, folder, draw in FIGURES:
        place = DATA / folder
        (run,) = [mig.load_run(place)] if (place / "run.json").exists() else mig.load_runs(place)
        pictures[name] = draw(run)
    experiment = mig.Experiment.load(DATA / "experiments" / "calibration")
    pictures["calibration.png"] = mig.plots.calibration(held_forecasts(experiment))
    for name, drawn in pictures.items():
        drawn.save(DATA / "figures" / name)
        print(f"{name}: {drawn.title}. {drawn.alt}")


if __name__ == "__main__":
    main()
