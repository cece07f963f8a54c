"""Runs on disk: one folder a run, JSON for what it is and Parquet for what was recorded.

``data/README.md`` describes the format, which pandas reads without us. A folder appears whole or
not at all: it is written beside its place under a hidden name, synced, and then renamed.

Theory of operation. Of thousands of runs nobody wants every frame, so loading reads ``run.json``
only, which also keeps the run's summary, with the number of the definition that it was worked out
by. ``run.json`` has a checksum of itself, and sizes and checksums of the other files. Sizes are
compared at once, so a cut or lost file is told before anything is made of the run; a frame's
content is checked when it is first asked for.

Only one version of the format is read. Another one is refused.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from migrationlab.errors import PlanError, StoreError
from migrationlab.plan.plan import Plan
from migrationlab.runs import manifest as manifests
from migrationlab.runs import parquet
from migrationlab.runs.atomic_write import RESTORE, refused, write_file, write_folder
from migrationlab.runs.manifest import FORMAT, MANIFEST, VERSION
from migrationlab.runs.run import Run, RunError, Runs, remember
from migrationlab.runs.schema import FRAMES

__all__ = [
    "FORMAT", "MANIFEST", "VERSION", "load_run", "load_runs", "save_run", "write_file",
]  # fmt: skip


def save_run(run: Run, directory: str | Path) -> Path:
    """Write a run as a new folder of ``directory``, which is made where it is missing.

    Args:
        run: The run.
        directory: Where runs are kept.

    Returns:
        The run's folder.

    Raises:
        StoreError: The run is there already, or the disk refused. Nothing is left half-made.
    """
    parent = Path(directory)
    place = parent / run.run_id
    frames = {name: getattr(run, name) for name in FRAMES}
    try:
        parent.mkdir(parents=True, exist_ok=True)
        if place.exists():
            raise StoreError(
                f"the run {run.run_id} is in {parent} already",
                hint="A run is never overwritten. Delete its folder first, or choose another.",
            )
        files = {name: parquet.encode(table) for name, table in frames.items()}
        content = {f"{name}.parquet": file for name, file in files.items()}
        content[MANIFEST] = manifests.encode(run, frames, files)
        write_folder(place, content)
    except OSError as error:
        raise refused(f"the run {run.run_id} could not be written to {parent}", error) from error
    return place


def load_run(path: str | Path) -> Run:
    """Read a run's folder.

    Its frames are read when they are asked for, so the folder must stay where it is; damage that
    is found only then is a StoreError, too.

    Args:
        path: The folder, or the ``run.json`` in it.

    Returns:
        The run, equal to the one that was saved.

    Raises:
        StoreError: There is no run, it is damaged, foreign, or of a newer version of the format.
    """
    given = Path(path)
    # Absolute, since the working directory can be another when a frame is read.
    folder = (given.parent if given.name == MANIFEST else given).absolute()
    manifest = manifests.read(folder)
    frames: dict[str, Any] = dict(parquet.readers(folder, manifest))
    try:
        facts = dict(manifest["run"])
        error = facts.pop("error")
        run = Run(
            plan=Plan.from_dict(facts.pop("plan")),
            error=None if error is None else RunError(**error),
            **facts,
            **frames,
        )
        summary = manifests.kept_summary(manifest)
    except (AttributeError, KeyError, TypeError, ValueError, PlanError) as error:
        raise StoreError(
            f"{folder / MANIFEST} does not describe a run: {error}", hint=RESTORE
        ) from error
    if summary is not None:
        remember(run, summary)
    return run


def load_runs(directory: str | Path, *, strict: bool = True) -> Runs:
    """Read all runs of a directory, oldest first.

    Folders that hold no ``run.json`` are not runs and are passed over, as are those that a
    stopped write left under a hidden name.

    Args:
        directory: The directory.
        strict: Whether a run that cannot be read is an error. Give False to have the others, and
            in ``unreadable`` of the result why not these.

    Raises:
        StoreError: There is no such directory; one of its runs cannot be read; or one is there
            twice.
    """
    parent = Path(directory)
    if (parent / MANIFEST).exists():
        raise StoreError(f"{parent} is one run", hint=f"Give the directory it is in: {parent}/..")
    runs: dict[str, Run] = {}
    unreadable: dict[str, str] = {}
    places: dict[str, str] = {}
    for name in _folders(parent):
        try:
            run = load_run(parent / name)
            if not strict:
                run.summary()  # one that is not kept needs the frames: whoever asks has it, then
        except StoreError as error:
            if strict:
                error.add_note("load_runs(…, strict=False) reads the others")
                raise
            unreadable[name] = str(error)
            continue
        if run.run_id in runs:
            raise StoreError(
                f"{places[run.run_id]} and {name} in {parent} are the same run",
                hint="Delete the copy, else it would count twice.",
            )
        runs[run.run_id], places[run.run_id] = run, name
    return Runs(runs.values(), unreadable=unreadable)


def _folders(parent: Path) -> Iterator[str]:
    """Yield the names of the folders that hold a run, in their order."""
    try:
        with os.scandir(parent) as entries:
            names = sorted(entry.name for entry in entries if entry.is_dir())
    except OSError as error:
        raise refused(f"no runs can be read from {parent}", error) from error
    for name in names:
        if not name.startswith(".") and (parent / name / MANIFEST).exists():
            yield name
