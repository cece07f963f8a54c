"""Record the fault matrix: one real migration, one fault and one recovery for each cell.

``fault_trial`` makes a run. Its row is written at once, so a stop or a crash loses one run at most.
A lab that lost a host, or broke, is replaced; so is a guest that did not end well.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from migrationlab.errors import HostError, MigrationLabError, UsageError
from migrationlab.experiment.fault_cells import COPIES, GUEST, IMAGES, MODES, Copy, FaultCell, cells
from migrationlab.experiment.fault_folder import (
    RUNS,
    FaultRow,
    append_row,
    estimate_s,
    left,
    prepare_folder,
    read_rows,
)
from migrationlab.experiment.fault_trial import trial
from migrationlab.experiment.folder import locked
from migrationlab.hosts.time_limit import within
from migrationlab.lab.guest import Guest
from migrationlab.lab.image import path_of
from migrationlab.lab.lab import Lab
from migrationlab.plan.uris import Mode
from migrationlab.runs.numbers import lasting
from migrationlab.runs.run import Run
from migrationlab.runs.store import save_run
from migrationlab.steps import Listener, Step, ignore

#: How long the end of a guest may take; QEMU may be stuck.
DROP_S = 15.0


def record_fault_matrix(
    folder: str | Path,
    *,
    repeats: int = 1,
    kinds: Sequence[str] = (),
    phases: Sequence[str] = (),
    modes: Sequence[Mode] = MODES,
    copies: Sequence[Copy] = COPIES,
    image: str | None = None,
    keep_runs: bool = True,
    on_step: Listener = ignore,
    stop: threading.Event | None = None,
) -> list[FaultRow]:
    """Make the runs of a fault matrix that a folder does not have yet, in new labs.

    Args:
        folder: Where the rows are kept. A second call goes on where the first one stopped.
        repeats: The number of runs of each cell.
        kinds: The faults; none given: all.
        phases: The phases; none given: all.
        modes: The modes of the migrations.
        copies: Pre-copy, post-copy, or both.
        image: The image of both hosts; by default trixie's, and for post-copy that of its
            backports.
        keep_runs: Whether to store the runs beside their rows.
        on_step: Receives the progress.
        stop: Ends the recording before the next run, when it is set.

    Returns:
        All rows of the folder, oldest first.

    Raises:
        UsageError: There is no such fault or phase, or the folder is the matrix of other runs.
        StoreError: The folder cannot be read or written.
        KeyboardInterrupt: Ctrl-C; the rows of the runs that are over are kept.
    """
    if repeats < 1:
        raise UsageError(f"repeats must be 1 or more (got {repeats})", hint="Give repeats=1.")
    wanted = cells(kinds, phases, modes=modes, copies=copies)
    for each in {image} if image else {IMAGES[cell.copy] for cell in wanted}:
        path_of(each)  # an unknown one is refused before anything starts
    place = Path(folder)
    place.mkdir(parents=True, exist_ok=True)
    with locked(place):
        prepare_folder(place)
        todo = left(wanted, read_rows(place), repeats)
        with contextlib.closing(_Bench(image, on_step)) as bench:
            _record(place, todo, bench, on_step, stop or threading.Event(), keep_runs=keep_runs)
        return read_rows(place)


def _record(
    folder: Path,
    todo: Sequence[tuple[FaultCell, int]],
    bench: _Bench,
    on_step: Listener,
    stop: threading.Event,
    *,
    keep_runs: bool,
) -> None:
    for index, (cell, repeat) in enumerate(todo):
        if stop.is_set():
            return
        what, rest = f"{cell}, run {repeat}", todo[index:]
        on_step(Step(what, "started"))
        share, time_left = index / len(todo), lasting(estimate_s(rest))
        on_step(Step(what, "progress", f"{len(rest)} left, about {time_left}", share))
        try:
            run, row = bench.run(cell, repeat)
        except (MigrationLabError, TimeoutError) as error:
            # This run is left for another call. The next one gets a new lab.
            bench.close()
            on_step(Step(what, "failed", " ".join(str(error).split())))
            continue
        if keep_runs:
            save_run(run, folder / RUNS)
        append_row(folder, row)
        on_step(Step(what, "done", f"{row.outcome}; {row.recovered_by}"))


class _Bench:
    """A lab and a guest, replaced when a run has used them up."""

    def __init__(self, image: str | None, on_step: Listener) -> None:
        self._image = image
        self._on_step = on_step
        self._lab: Lab | None = None
        self._guest: Guest | None = None
        #: Whether the last run left both hosts, and a guest that runs.
        self._whole = self._well = True

    def close(self) -> None:
        """End the lab."""
        lab, self._lab, self._guest = self._lab, None, None
        if lab is not None:
            lab.close()

    def run(self, cell: FaultCell, repeat: int) -> tuple[Run, FaultRow]:
        """Make one run of a cell."""
        lab, guest = self._ready(self._image or IMAGES[cell.copy])
        run, row = trial(lab, guest, cell, repeat)
        self._whole = not (cell.kind == "kill-host" and row.fired)
        self._well = row.verdict == "well" and row.ends_well
        return run, row

    def _ready(self, image: str) -> tuple[Lab, Guest]:
        if self._lab is not None and not (self._whole and self._lab.host_a.image == image):
            self.close()
        if self._guest is not None and not self._well:
            self._drop(self._guest)
        if self._lab is None:
            self._lab = Lab(images=image, on_step=self._on_step)
            self._lab.on_step = ignore
        if self._guest is None:
            self._guest = self._lab.boot(**asdict(GUEST))
        return self._lab, self._guest

    def _drop(self, guest: Guest) -> None:
        self._guest = None
        try:
            within(DROP_S, guest.clear)
        except (HostError, TimeoutError):
            self.close()
