"""Read an experiment from disk: its design, its runs, and the runs that are left.

The folder is read anew each time, because another process may be running the experiment.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from migrationlab.errors import StoreError, UsageError
from migrationlab.experiment.cells import Cell
from migrationlab.experiment.design import Design
from migrationlab.experiment.folder import RUNS, ExperimentManifest, Start, read_starts
from migrationlab.experiment.schedule import LAB_S, Pace, PlannedRun, overhead_s, room_bytes
from migrationlab.experiment.spec import to_toml
from migrationlab.runs.run import Run, Runs
from migrationlab.runs.store import load_run, refuse_link

#: A run's place in the experiment, as columns of a frame.
PLACEMENT_COLUMNS: Mapping[str, str] = {
    "cell": "str",
    "block": "Int64",
    "run_number": "Int64",
    "attempt": "Int64",
    "warm_up": "boolean",
    "stopped": "boolean",
}


class StoredExperiment:
    """An experiment on disk: its design, and its runs.

    ``manifest`` is the content of its ``experiment.json``, written or still to be written. With
    ``strict`` a run that cannot be read is an error. Otherwise :attr:`runs` leaves it out, and
    ``runs.unreadable`` says why.
    """

    def __init__(
        self, manifest: ExperimentManifest, directory: Path, *, strict: bool = True
    ) -> None:
        self.manifest = manifest
        self.directory = directory
        self.strict = strict
        self._loaded: dict[str, Run] = {}

    def __repr__(self) -> str:
        cells = f"{len(self.cells)} cell{'s' if len(self.cells) > 1 else ''}"
        return f"{type(self).__name__}({self.name!r}, {cells}, {self.design.repeats} times each)"

    @property
    def id(self) -> str:
        """Return the experiment's id, which its runs name too."""
        return self.manifest.id

    @property
    def design(self) -> Design:
        """Return the design of the experiment."""
        return self.manifest.design

    @property
    def planned(self) -> tuple[PlannedRun, ...]:
        """Return the planned runs, in order."""
        return self.manifest.planned

    @property
    def name(self) -> str:
        """Return the experiment's short name."""
        return self.design.name

    @property
    def question(self) -> str:
        """Return the question of the experiment."""
        return self.design.question

    @property
    def cells(self) -> tuple[Cell, ...]:
        """Return the cells, which the experiment compares."""
        return self.design.cells

    @property
    def runs(self) -> Runs:
        """Return all runs on disk: those that count, warm-ups, and stopped runs.

        Raises:
            StoreError: A run cannot be read, or belongs to another experiment, and ``strict`` is
                set.
        """
        folder = self.directory / RUNS
        refuse_link(folder)
        try:
            names = {path.parent.name for path in folder.glob("[!.]*/run.json")}
        except OSError as error:
            raise StoreError(f"reading {folder} failed: {error.strerror}") from error
        unreadable: dict[str, str] = {}
        for name in sorted(names - self._loaded.keys()):
            try:
                refuse_link(folder / name)
                run = load_run(folder / name)
                self._require_own(run, folder / name)
                if not self.strict:
                    run.summary()  # as load_runs does: a damaged run fails here, not later
            except StoreError as error:
                if self.strict:
                    error.add_note("Experiment.load(…, strict=False) reads the others")
                    raise
                unreadable[name] = str(error)
                continue
            self._loaded[name] = run
        readable = (self._loaded[name] for name in sorted(names - unreadable.keys()))
        return Runs(readable, unreadable=unreadable)

    @property
    def measured(self) -> Runs:
        """Return the runs that count, with any outcome: one for each planned run done."""
        runs = self.runs
        counted = {
            placement(run)["run_number"]: run
            for run in runs
            if not (placement(run)["warm_up"] or placement(run)["stopped"])
        }
        return Runs(counted.values(), unreadable=runs.unreadable)

    @property
    def left(self) -> tuple[PlannedRun, ...]:
        """Return the planned runs that are not done yet, in order.

        An experiment that stopped at a look has none left.
        """
        done = {placement(run)["run_number"] for run in self.measured}
        last = self.stopped_at
        return tuple(
            run
            for run in self.planned
            if run.number not in done and (last is None or run.block <= last)
        )

    @property
    def stopped_at(self) -> int | None:
        """Return the block after which it stopped early, by its design; None if it did not."""
        return None

    @property
    def finished(self) -> bool:
        """Return whether every planned run is done."""
        return not self.left

    @property
    def starts(self) -> list[Start]:
        """Return the recorded starts of planned runs."""
        numbers = {run.number for run in self.planned}
        return [each for each in read_starts(self.directory) if each.run_number in numbers]

    @property
    def cut_short(self) -> int:
        """Return the number of runs without a result: stopped, or lost in a crash.

        Each of these runs is made again. The number does not include unreadable runs.
        """
        measured = self.measured
        done = Counter(placement(run)["run_number"] for run in measured)
        starts = Counter(each.run_number for each in self.starts)
        lost = sum(max(count - done[number], 0) for number, count in starts.items())
        return max(lost - len(measured.unreadable), 0)

    def cell(self, which: str | Mapping[str, object]) -> Cell:
        """Return a cell.

        Args:
            which: Its name, or values of factors that only this cell has, as {"mode": "normal"}.
        """
        if isinstance(which, str):
            return self.design.cell(which)
        if unknown := [key for key in which if key not in self.design.factors]:
            raise UsageError(
                f"{unknown[0]} must be a factor of the design",
                hint=f"Use one of: {', '.join(self.design.factors)}."
                if self.design.factors
                else "Leave it out: the design has one cell and no factors.",
            )
        fitting = [
            cell
            for cell in self.cells
            if all(cell.setting[key] == value for key, value in which.items())
        ]
        if len(fitting) != 1:
            names = "; ".join(cell.name for cell in fitting or self.cells)
            raise UsageError(
                f"cell must fit exactly one cell (got {dict(which)}, which fits {len(fitting)})",
                hint=f"Choose one of: {names}.",
            )
        return fitting[0]

    def pace(self) -> Pace:
        """Return the estimator of durations, corrected by the runs so far."""
        pace, cells = Pace(self.design), {cell.name: cell for cell in self.cells}
        for run in self.measured:
            cell = cells[str(placement(run)["cell"])]
            called_s = (run.returned_ns - run.called_ns) / 1e9
            pace.note(cell.name, overhead_s(cell) + called_s)
        return pace

    @property
    def estimate_s(self) -> float:
        """Return the estimated duration of the remaining runs."""
        if not self.left:
            return 0.0
        cells = [run.cell for run in self.left]
        warm_ups = itertools.islice(itertools.cycle(cells), self.design.warm_ups)
        starting_s = LAB_S if self.design.hosts is None else 0.0
        return starting_s + self.pace().left_s(Counter([*warm_ups, *cells]))

    @property
    def room_bytes(self) -> int:
        """Return the estimated disk space of all runs."""
        return room_bytes(self.design)

    def toml(self) -> str:
        """Return the design as the text of a TOML file that repeats the experiment."""
        return to_toml(self.design.spec)

    def _require_own(self, run: Run, place: Path) -> None:
        """Refuse a run of another experiment, or a run that does not name its planned run."""
        says = run.experiment or {}
        if says.get("id") != self.id:
            raise StoreError(
                f"{place} must be a run of the experiment {self.name!r}",
                hint="Move it to another folder. A folder holds the runs of one experiment.",
            )
        cells = {cell.name for cell in self.cells}
        if not PLACEMENT_COLUMNS.keys() <= says.keys() or says["cell"] not in cells:
            raise StoreError(
                f"{place} must say which run of the experiment it is",
                hint="Restore the folder from a copy, or delete it: then the run is made again.",
            )


def placement(run: Run) -> Mapping[str, object]:
    """Return the run's place in the experiment."""
    assert run.experiment is not None  # callers have checked its id
    return run.experiment
