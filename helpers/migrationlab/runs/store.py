"""Store runs: a folder per run, with JSON for its facts and Parquet for its frames.

``data/README.md`` describes the format; pandas reads it without migrationlab.

Theory of operation. A folder appears whole or not at all: it is written next to its place under a
hidden name, synced, and then renamed. Loading a run reads ``run.json`` only, because few readers
need every frame of thousands of runs. ``run.json`` has the run's summary with the number of its
definition, a checksum of itself, and the sizes and checksums of the other files. Sizes are compared
at once, so that a cut or lost file is reported before the run is used. A frame's content is checked
when the frame is first needed.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
from msgspec import ValidationError

from migrationlab.errors import PlanError, StoreError
from migrationlab.plan.plan import Plan
from migrationlab.runs import manifest as manifests
from migrationlab.runs import parquet
from migrationlab.runs.atomic_write import refused, write_file, write_folder
from migrationlab.runs.manifest import FORMAT, MANIFEST, VERSION
from migrationlab.runs.run import Run, Runs, remember
from migrationlab.runs.safe_files import require_no_link
from migrationlab.runs.schema import FRAMES
from migrationlab.runs.stored_values import require_facts

__all__ = ["FORMAT", "MANIFEST", "VERSION", "load_run", "load_runs", "save_run", "write_file"]

#: The number of different plans that stay in memory after reading.
PLANS_KEPT = 1024


def save_run(run: Run, directory: str | Path) -> Path:
    """Write a run as a new folder of ``directory``, which is made if it is missing.

    Args:
        run: The run.
        directory: The directory of runs.

    Returns:
        The run's folder.

    Raises:
        StoreError: The directory has the run already, or the disk refused. No part of the run is
            left.
    """
    parent = Path(directory)
    place = parent / run.run_id
    frames = {name: getattr(run, name) for name in FRAMES}
    try:
        parent.mkdir(parents=True, exist_ok=True)
        if place.exists():
            raise StoreError(
                f"{parent} has the run {run.run_id} already",
                hint="Choose another directory, or delete that folder: a run is never overwritten.",
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

    A frame is read when it is first needed, so the folder must stay in its place. Damage that is
    found only then is a StoreError, too.

    Args:
        path: The folder, or the ``run.json`` in it.

    Returns:
        The run, equal to the one that was saved.

    Raises:
        StoreError: The run is missing or damaged, or its format has another version.
    """
    given = Path(path)
    # Absolute, since the working directory can be another when a frame is read.
    folder = (given.parent if given.name == MANIFEST else given).absolute()
    manifest = manifests.read(folder)
    frames: dict[str, Any] = dict(parquet.readers(folder, manifest))
    try:
        facts = manifest.facts
        run = Run(**facts | {"plan": _plan(msgspec.json.encode(facts["plan"]))}, **frames)
        require_facts(run)
        if (summary := manifest.known_summary) is not None:
            remember(run, summary)
    except (TypeError, ValueError, ValidationError, PlanError, RecursionError) as error:
        raise manifests.no_run(folder / MANIFEST, error) from error
    return run


@functools.lru_cache(maxsize=PLANS_KEPT)
def _plan(encoded: bytes) -> Plan:
    """Return a stored plan. Thousands of runs share a few plans, which do not change."""
    return Plan.from_dict(msgspec.json.decode(encoded))


def load_runs(directory: str | Path, *, strict: bool = True) -> Runs:
    """Read all runs of a directory, oldest first.

    A folder without ``run.json`` is no run and is skipped, and so is a hidden one, which an
    interrupted write left.

    Args:
        directory: The directory.
        strict: Whether a run that cannot be read is an error. With False the result has the other
            runs, and its ``unreadable`` says why these could not be read.

    Raises:
        StoreError: There is no such directory; a run cannot be read; or a run is there twice.
    """
    parent = Path(directory)
    runs: dict[str, Run] = {}
    unreadable: dict[str, str] = {}
    places: dict[str, str] = {}
    for name in run_folders(parent):
        try:
            refuse_link(parent / name)
            run = load_run(parent / name)
            if not strict:
                run.summary()  # a summary that is not stored needs the frames, which can be damaged
        except StoreError as error:
            if strict:
                error.add_note("Read the other runs with load_runs(…, strict=False)")
                raise
            unreadable[name] = str(error)
            continue
        if run.run_id in runs:
            raise same_run(parent, places[run.run_id], name)
        runs[run.run_id], places[run.run_id] = run, name
    return Runs(runs.values(), unreadable=unreadable)


def refuse_link(folder: Path) -> None:
    """Raise a StoreError if a run's folder is a link, which could lead to any other folder."""
    try:
        require_no_link(folder)
    except OSError as error:
        raise refused(f"{folder} could not be read", error) from error


def same_run(parent: Path, first: str, second: str) -> StoreError:
    """Return the error for two folders of a directory that hold one run."""
    return StoreError(
        f"{first} and {second} in {parent} are the same run",
        hint="Delete the copy: it would count twice.",
    )


def run_folders(parent: Path) -> Iterator[str]:
    """Yield the names of the folders that hold a run, sorted.

    Raises:
        StoreError: There is no such directory, or it is a run itself.
    """
    if os.path.lexists(parent / MANIFEST):
        raise StoreError(f"{parent} is one run", hint=f"Give its directory: {parent}/..")
    try:
        with os.scandir(parent) as entries:
            names = sorted(entry.name for entry in entries if entry.is_dir())
    except OSError as error:
        raise refused(f"no runs could be read from {parent}", error) from error
    for name in names:
        if not name.startswith(".") and os.path.lexists(parent / name / MANIFEST):
            yield name
