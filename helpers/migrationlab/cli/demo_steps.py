"""The demo: a lab, a guest, migrations in both modes, figures and a report.

The two modes alternate, and each pair has the reverse order of the pair before. So neither mode
always has the same direction. Each run is stored when it is over: an interrupted demo keeps all
finished runs.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from migrationlab import plots
from migrationlab.errors import UsageError
from migrationlab.lab.image import path_of as image_path_of
from migrationlab.lab.lab import Lab
from migrationlab.migrate.migration import Migration
from migrationlab.migrate.start import start
from migrationlab.plan.plan import Plan
from migrationlab.plan.uris import Mode
from migrationlab.report import write
from migrationlab.runs.run import Run, Runs
from migrationlab.runs.store import save_run, write_file
from migrationlab.steps import Listener, ignore, step

MOST_REPEATS = 1000
POLL_S = 0.1
#: More than the results of a short demo need.
ROOM_BYTES = 4 << 20


@dataclass(frozen=True, slots=True)
class DemoResult:
    """The results of a demo: its runs in order, and where runs, figures and report are."""

    runs: Runs
    runs_directory: Path
    figures: tuple[Path, ...]
    report: Path


def order(repeats: int) -> Iterator[Mode]:
    """Yield the mode of each migration of a demo."""
    pair = (Mode.NORMAL, Mode.PEER2PEER)
    for number in range(repeats):
        yield from pair if number % 2 == 0 else reversed(pair)


def demo(
    output: Path,
    *,
    repeats: int = 3,
    image: str = "trixie",
    on_step: Listener = ignore,
    stop: threading.Event | None = None,
) -> DemoResult:
    """Migrate a guest of the lab in both modes, store the runs, and write figures and a report.

    Args:
        output: The folder for the results; created if it does not exist.
        repeats: Number of migrations in each mode, 1 to 1000.
        image: The Debian release of both hosts.
        on_step: Called with each step.
        stop: Ends the demo when set, like KeyboardInterrupt. Python can drop a KeyboardInterrupt
            (one that is raised in a ``__del__``), so a signal handler sets this too.

    Raises:
        KeyboardInterrupt: The demo was stopped; the running migration is cancelled and stored.
        UsageError: ``repeats`` is out of range.
        StoreError: ``output`` cannot be written; found before anything starts.
    """
    if not 1 <= repeats <= MOST_REPEATS:
        raise UsageError(
            f"repeats must be an integer from 1 to {MOST_REPEATS} (got {repeats})",
            hint="Give --repeats 3.",
        )
    image_path_of(image)  # refuses an unknown release before anything starts
    # Check now, not after a minute of migrations, that the results can be stored.
    write_file(output / ".room", bytes(ROOM_BYTES)).unlink()
    kept: list[Run] = []
    with Lab(images=image, on_step=on_step) as lab:
        guest = lab.boot()
        for mode in order(repeats):
            migration = start(
                guest, to=lab.other(guest.host), plan=Plan(mode=mode), on_step=on_step
            )
            try:
                _wait(migration, stop)
            finally:
                migration.cancel()  # does nothing to a finished migration
                run = migration.wait()
                save_run(run, output / "runs")
            kept.append(run)
    runs = Runs(kept)
    with step(on_step, "drawing the figures and writing the report"):
        figures = _draw(runs, output / "figures")
        page = write(runs, output / "report.html")
    return DemoResult(runs, output / "runs", figures, page)


def _wait(migration: Migration, stop: threading.Event | None) -> None:
    while not migration.done:
        try:
            migration.wait(POLL_S)
        except TimeoutError:
            if stop is not None and stop.is_set():
                raise KeyboardInterrupt from None


def _draw(runs: Runs, directory: Path) -> tuple[Path, ...]:
    files = [plots.downtime(runs).save(directory / "downtime.png")]
    for mode in Mode:
        shown = next((run for run in runs if run.plan.mode is mode), None)
        if shown is not None:
            files.append(plots.timeline(shown).save(directory / f"timeline-{mode}.png"))
            files.append(plots.progress(shown).save(directory / f"progress-{mode}.png"))
    return tuple(files)
