"""Read the folder that a verb is about: an experiment, or runs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from migrationlab.experiment.results import Results
    from migrationlab.runs.run import Runs


def read(folder: Path, *, strict: bool = True) -> Results | Runs:
    """Return the experiment of a folder, or else the runs in it.

    If not ``strict``, a run that cannot be read is named on standard error and left out.

    Raises:
        StoreError: The folder has neither, or it cannot be read.
    """
    # pandas takes half a second to load: not for --help.
    from migrationlab.experiment.folder import MANIFEST, is_experiment
    from migrationlab.runs.store import load_runs

    place = folder.parent if folder.name == MANIFEST else folder
    found: Results | Runs
    if is_experiment(place):
        # scipy takes longer than to read many runs.
        from migrationlab.experiment.experiment import Experiment

        found = Experiment.load(place, strict=strict)
        unreadable = found.runs.unreadable
    else:
        found = load_runs(folder, strict=strict)
        unreadable = found.unreadable
    for reason in unreadable.values():
        click.echo(f"migrationlab: left out: {reason}", err=True)
    return found
