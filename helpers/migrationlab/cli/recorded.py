"""What a verb is about that reads: an experiment's folder, or one of runs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from migrationlab.experiment.results import Results
    from migrationlab.runs.run import Runs


def read(folder: Path, *, strict: bool = True) -> Results | Runs:
    """Read the experiment that a folder has, else the runs in it.

    Args:
        folder: The folder.
        strict: Whether a run that cannot be read is an error; else it is told of on standard
            error, and the others are read.

    Raises:
        StoreError: It has neither, or what it has cannot be read.
    """
    # pandas and the like: not for --help.
    from migrationlab.experiment.experiment import Experiment  # noqa: PLC0415
    from migrationlab.experiment.folder import MANIFEST, is_experiment  # noqa: PLC0415
    from migrationlab.runs.store import load_runs  # noqa: PLC0415

    place = folder.parent if folder.name == MANIFEST else folder
    found: Results | Runs
    if is_experiment(place):
        found = Experiment.load(place, strict=strict)
        unreadable = found.runs.unreadable
    else:
        found = load_runs(folder, strict=strict)
        unreadable = found.unreadable
    for reason in unreadable.values():
        click.echo(f"migrationlab: left out: {reason}", err=True)
    return found
