"""An experiment on disk: what it is, which of its trials are done, what is left.

Reads what ``files`` keeps, each time anew: another process may be running it. Imports no libvirt.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from migrationlab.errors import StoreError, UsageError
from migrationlab.experiment import folder as files
from migrationlab.experiment.design import Cell, Design
from migrationlab.experiment.schedule import LAB_S, OVERHEAD_S, Pace, Trial, room_bytes
from migrationlab.experiment.toml import written
from migrationlab.runs.run import Run, Runs
from migrationlab.runs.store import load_run

#: What a run says of its trial, besides the experiment: columns of a frame.
OWN_COLUMNS: Mapping[str, str] = {
    "cell": "str",
    "block": "Int64",
    "run_number": "Int64",
    "attempt": "Int64",
    "warm_up": "boolean",
    "stopped": "boolean",
}


class Record:
    """An experiment on disk: its design, and the runs that there are.

    Attributes:
        head: What its ``experiment.json`` says, or will say.
        directory: Its folder.
        strict: Whether a run that cannot be read is an error; else :attr:`runs` is without it, and
            says in its ``unreadable`` why.
    """

    def __init__(self, head: files.Head, directory: Path, *, strict: bool = True) -> None:
        self.head = head
        self.directory = directory
        self.strict = strict
        self._loaded: dict[str, Run] = {}

    def __repr__(self) -> str:
        cells = f"{len(self.cells)} cell{'s' if len(self.cells) > 1 else ''}"
        return f"{type(self).__name__}({self.name!r}, {cells}, {self.design.repeats} times each)"

    @property
    def id(self) -> str:
        """Return its own name, which its runs bear."""
        return self.head.id

    @property
    def created(self) -> str:
        """Return when it was made, ISO 8601 in UTC."""
        return self.head.created

    @property
    def design(self) -> Design:
        """Return what is compared, and how often."""
        return self.head.design

    @property
    def trials(self) -> tuple[Trial, ...]:
        """Return what is to be measured, in order."""
        return self.head.trials

    @property
    def name(self) -> str:
        """Return its short name."""
        return self.design.name

    @property
    def question(self) -> str:
        """Return what it is to answer."""
        return self.design.question

    @property
    def cells(self) -> tuple[Cell, ...]:
        """Return what is compared."""
        return self.design.cells

    @property
    def factors(self) -> tuple[str, ...]:
        """Return the names of the settings in which the cells differ."""
        return self.design.factors

    @property
    def runs(self) -> Runs:
        """Return all its runs on disk: those that count, warm-ups, and those that were stopped.

        Raises:
            StoreError: One cannot be read, or is another experiment's, and this is ``strict``.
        """
        folder = self.directory / files.RUNS
        try:
            names = {path.parent.name for path in folder.glob("[!.]*/run.json")}
        except OSError as error:
            raise StoreError(f"{folder} cannot be read: {error.strerror}") from error
        unreadable: dict[str, str] = {}
        for name in sorted(names - self._loaded.keys()):
            try:
                run = load_run(folder / name)
                self._require_own(run, folder / name)
                if not self.strict:
                    run.summary()  # as load_runs does: no damage is left to be met by it
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
        """Return the runs that count, whatever their outcome: one for each trial that is done."""
        runs = self.runs
        counted = {
            fact(run)["run_number"]: run
            for run in runs
            if not (fact(run)["warm_up"] or fact(run)["stopped"])
        }
        return Runs(counted.values(), unreadable=runs.unreadable)

    @property
    def left(self) -> tuple[Trial, ...]:
        """Return the trials that are still to be made, in order."""
        done = {fact(run)["run_number"] for run in self.measured}
        return tuple(trial for trial in self.trials if trial.number not in done)

    @property
    def finished(self) -> bool:
        """Return whether every trial is done."""
        return not self.left

    @property
    def cut_short(self) -> int:
        """Return how many trials were begun for nothing: stopped, or lost in a crash.

        Each was made, or will be made, again. A run that cannot be read was not begun for nothing.
        """
        measured = self.measured
        done = Counter(fact(run)["run_number"] for run in measured)
        tries = files.begun(self.directory)
        lost = sum(max(count - done[number], 0) for number, count in tries.items())
        return max(lost - len(measured.unreadable), 0)

    def cell(self, which: str | Mapping[str, object]) -> Cell:
        """Return a cell.

        Args:
            which: Its name; or values of some factors, as {"mode": "normal"}, that only one cell
                has.

        Raises:
            UsageError: No cell is that, or more than one.
        """
        if isinstance(which, str):
            return self.design.cell(which)
        if unknown := [key for key in which if key not in self.factors]:
            raise UsageError(
                f"the cells do not differ in {unknown[0]}",
                hint=f"they differ in {', '.join(self.factors) or 'nothing: there is one'}",
            )
        fitting = [
            cell
            for cell in self.cells
            if all(cell.setting[key] == value for key, value in which.items())
        ]
        if len(fitting) != 1:
            names = "; ".join(cell.name for cell in fitting or self.cells)
            what = "several cells are" if fitting else "no cell is"
            raise UsageError(f"{what} {dict(which)}", hint=f"choose one of: {names}")
        return fitting[0]

    def pace(self) -> Pace:
        """Return how long trials take, as far as the runs so far tell."""
        pace = Pace(self.design)
        for run in self.measured:
            called_s = (run.returned_ns - run.called_ns) / 1e9
            pace.note(str(fact(run)["cell"]), OVERHEAD_S + called_s)
        return pace

    @property
    def estimate_s(self) -> float:
        """Return about how long it takes to make what is left."""
        if not self.left:
            return 0.0
        pace = self.pace()
        cells = [trial.cell for trial in self.left]
        warm_ups = itertools.islice(itertools.cycle(cells), self.design.warm_ups)
        starting_s = LAB_S if self.design.hosts is None else 0.0
        return starting_s + pace.left_s(Counter([*warm_ups, *cells]))

    @property
    def room_bytes(self) -> int:
        """Return about how much all its runs take on disk."""
        return room_bytes(self.design)

    def toml(self) -> str:
        """Return the design as a TOML file, from which it can be repeated."""
        return written(self.design.spec)

    def _require_own(self, run: Run, place: Path) -> None:
        """Refuse a run that is not of this experiment, or does not say which trial it is."""
        says = run.experiment or {}
        if says.get("id") != self.id:
            raise StoreError(
                f"{place} is no run of the experiment {self.name!r}",
                hint="Move it elsewhere: runs of one experiment are not mixed with others.",
            )
        cells = {cell.name for cell in self.cells}
        if not OWN_COLUMNS.keys() <= says.keys() or says["cell"] not in cells:
            raise StoreError(
                f"{place} does not say which trial of the experiment it is",
                hint="Restore the folder from a copy, or delete it: the trial is made again.",
            )


def fact(run: Run) -> Mapping[str, object]:
    """Return what a run says of its trial."""
    assert run.experiment is not None  # whoever asks has looked at its id
    return run.experiment
