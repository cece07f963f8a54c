"""Read and write the folder of an experiment.

``experiment.json``, the manifest, holds the design. It is replaced only when repeats are added.
``begun.jsonl`` gets a line before each run, so that a run that ended in a crash or a power cut is
counted too. ``runs/`` holds the runs; each run names its planned run. So the files alone show which
runs are left.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from migrationlab.errors import StoreError, UsageError
from migrationlab.experiment.design import Design, read
from migrationlab.experiment.schedule import PlannedRun
from migrationlab.runs.store import write_file

FORMAT = "migrationlab-experiment"
VERSION = 2
MANIFEST = "experiment.json"
BEGUN = "begun.jsonl"
RUNS = "runs"

_RESTORE = "Restore it from a copy. The runs beside it can be read without it."


@dataclass(frozen=True, slots=True, kw_only=True)
class ExperimentManifest:
    """The content of ``experiment.json``.

    The ``id``, which its runs name too, is the UTC time of its creation and three random bytes.
    ``created`` is that time in ISO 8601.
    """

    id: str
    created: str
    migrationlab_version: str
    design: Design
    planned: tuple[PlannedRun, ...]


def is_experiment(folder: Path) -> bool:
    """Return whether a folder holds an experiment."""
    return (folder / MANIFEST).is_file()


def write_manifest(folder: Path, manifest: ExperimentManifest) -> None:
    """Write the manifest of an experiment."""
    content = {
        "format": FORMAT,
        "version": VERSION,
        "id": manifest.id,
        "created": manifest.created,
        "migrationlab_version": manifest.migrationlab_version,
        "question": manifest.design.question,
        "design": dict(manifest.design.spec),
        "schedule": [asdict(run) for run in manifest.planned],
    }
    text = json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False)
    write_file(folder / MANIFEST, f"{text}\n".encode())


def read_manifest(folder: Path) -> ExperimentManifest:
    """Read the manifest of an experiment."""
    path = folder / MANIFEST
    try:
        content = json.loads(path.read_bytes())
    except OSError as error:
        raise StoreError(
            f"{folder} must hold an experiment (reading {MANIFEST} failed: {error.strerror})",
            hint=f"Give a folder that has {MANIFEST}, or a TOML file.",
        ) from error
    except ValueError as error:
        raise StoreError(f"reading {path} failed: {error}", hint=_RESTORE) from error
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise StoreError(
            f"{path} must be an experiment of migrationlab",
            hint=f'Choose a {MANIFEST} that says "format": "{FORMAT}".',
        )
    if content.get("version") != VERSION:
        raise StoreError(
            f"version of {path} must be {VERSION} (got {content.get('version')})",
            hint="Read it with the migrationlab that made it.",
        )
    try:
        design = read(content["design"])
        planned = tuple(PlannedRun(**each) for each in content["schedule"])
        _require_consistent(planned, design)
        return ExperimentManifest(
            id=str(content["id"]),
            created=str(content["created"]),
            migrationlab_version=str(content["migrationlab_version"]),
            design=design,
            planned=planned,
        )
    except (KeyError, TypeError, ValueError, AttributeError, UsageError) as error:
        raise StoreError(f"{path} must describe an experiment: {error}", hint=_RESTORE) from error


def _require_consistent(planned: Sequence[PlannedRun], design: Design) -> None:
    if unknown := {run.cell for run in planned} - {cell.name for cell in design.cells}:
        raise ValueError(f"its schedule has cells that its design does not have: {sorted(unknown)}")
    if [run.number for run in planned] != list(range(1, len(planned) + 1)):
        raise ValueError("the runs of its schedule are not numbered from 1")


def record_start(folder: Path, number: int) -> None:
    """Record the start of a planned run, before the run begins."""
    line = json.dumps({"run_number": number, "at": datetime.now(UTC).isoformat()}) + "\n"
    try:
        with (folder / BEGUN).open("a+b") as file:  # opened at the end of the file
            if file.tell():
                file.seek(-1, os.SEEK_END)
                if file.read() != b"\n":
                    # A power cut left half a line, which must not spoil this one.
                    line = f"\n{line}"
            file.write(line.encode())
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise StoreError(
            f"writing {folder / BEGUN} failed: {error.strerror}",
            hint="Free some space there, or choose a folder that you may write to.",
        ) from error


def count_starts(folder: Path) -> Counter[int]:
    """Return the number of starts of each planned run; ignore a line that a power cut left half."""
    try:
        lines = (folder / BEGUN).read_text(encoding="utf-8", errors="replace").splitlines()
    except FileNotFoundError:
        return Counter()
    except OSError as error:
        raise StoreError(
            f"reading {folder / BEGUN} failed: {error.strerror}", hint=_RESTORE
        ) from error
    return Counter(number for line in lines if (number := _started(line)) is not None)


def _started(line: str) -> int | None:
    try:
        content: Any = json.loads(line)
    except ValueError:
        return None
    number = content.get("run_number") if isinstance(content, Mapping) else None
    return number if isinstance(number, int) else None


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Prevent another process from running the same experiment at the same time."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / ".lock").open("w", encoding="utf-8")
    except OSError as error:
        raise StoreError(
            f"writing to {folder} failed: {error.strerror}",
            hint="Choose a folder that you may write to.",
        ) from error
    import fcntl  # noqa: PLC0415 - Windows has none: it can read experiments, not run them

    with lock:
        try:
            # The kernel releases the lock when the process ends, even in a crash.
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise UsageError(
                f"another process runs the experiment in {folder}",
                hint="Wait for it, or stop it. Then run this command again to continue.",
            ) from error
        yield
