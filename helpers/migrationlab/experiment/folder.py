"""An experiment's folder: what it is, which trials were begun, and its runs.

``experiment.json`` says what is to be measured, and is replaced only when repeats are added.
``begun.jsonl`` gets a line before each trial, so that one whose end nobody saw (a crash, a power
cut) is counted. ``runs/`` holds the runs, each of which says which trial it is. So what is on disk
decides what is left; nothing else remembers anything. Imports no libvirt.
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
from migrationlab.experiment.schedule import Trial
from migrationlab.runs.store import write_file

FORMAT = "migrationlab-experiment"
VERSION = 2
MANIFEST = "experiment.json"
BEGUN = "begun.jsonl"
RUNS = "runs"

_RESTORE = "Restore it from a copy; the runs beside it are whole in themselves."


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """What ``experiment.json`` says.

    Attributes:
        id: The experiment's own name, which its runs bear: the UTC time of its making and three
            random bytes.
        created: When it was made, ISO 8601 in UTC.
        migrationlab_version: The version of migrationlab that made it.
        design: What is compared.
        trials: What is to be measured, in order.
    """

    id: str
    created: str
    migrationlab_version: str
    design: Design
    trials: tuple[Trial, ...]


def is_experiment(folder: Path) -> bool:
    """Return whether there is an experiment in a folder."""
    return (folder / MANIFEST).is_file()


def write_head(folder: Path, head: Head) -> None:
    """Write an experiment's ``experiment.json``.

    Raises:
        StoreError: The disk refused.
    """
    content = {
        "format": FORMAT,
        "version": VERSION,
        "id": head.id,
        "created": head.created,
        "migrationlab_version": head.migrationlab_version,
        "question": head.design.question,
        "design": dict(head.design.spec),
        "schedule": [asdict(trial) for trial in head.trials],
    }
    text = json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False)
    write_file(folder / MANIFEST, f"{text}\n".encode())


def read_head(folder: Path) -> Head:
    """Read an experiment's ``experiment.json``.

    Raises:
        StoreError: There is none, or it is damaged, foreign, or of a newer version.
    """
    path = folder / MANIFEST
    try:
        content = json.loads(path.read_bytes())
    except OSError as error:
        raise StoreError(
            f"there is no experiment in {folder}: {error.strerror}",
            hint=f"Give a folder that has {MANIFEST}, or a TOML file.",
        ) from error
    except ValueError as error:
        raise StoreError(f"{path} is damaged: {error}", hint=_RESTORE) from error
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise StoreError(
            f"{path} is no experiment of migrationlab",
            hint=f'Such a {MANIFEST} says "format": "{FORMAT}".',
        )
    if content.get("version") != VERSION:
        raise StoreError(
            f"{path} has version {content.get('version')} of the format; this migrationlab reads "
            f"{VERSION}",
            hint="Read it with the migrationlab that made it.",
        )
    try:
        design = read(content["design"])
        trials = tuple(Trial(**trial) for trial in content["schedule"])
        _require_sound(trials, design)
        return Head(
            id=str(content["id"]),
            created=str(content["created"]),
            migrationlab_version=str(content["migrationlab_version"]),
            design=design,
            trials=trials,
        )
    except (KeyError, TypeError, ValueError, AttributeError, UsageError) as error:
        raise StoreError(
            f"{path} does not describe an experiment: {error}", hint=_RESTORE
        ) from error


def _require_sound(trials: Sequence[Trial], design: Design) -> None:
    if unknown := {trial.cell for trial in trials} - {cell.name for cell in design.cells}:
        raise ValueError(f"its schedule has cells that its design has not: {sorted(unknown)}")
    if [trial.number for trial in trials] != list(range(1, len(trials) + 1)):
        raise ValueError("the trials of its schedule are not numbered from 1")


def note_begun(folder: Path, trial: int) -> None:
    """Write down that a trial begins, before it does.

    Raises:
        StoreError: The disk refused.
    """
    line = json.dumps({"run_number": trial, "at": datetime.now(UTC).isoformat()}) + "\n"
    try:
        with (folder / BEGUN).open("a+b") as file:  # which begins at its end
            if file.tell():
                file.seek(-1, os.SEEK_END)
                if file.read() != b"\n":
                    # A power cut left half a line, which is not to spoil this one.
                    line = f"\n{line}"
            file.write(line.encode())
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise StoreError(
            f"{folder / BEGUN} could not be written: {error.strerror}",
            hint="Free some space there, or choose a place that you may write to.",
        ) from error


def begun(folder: Path) -> Counter[int]:
    """Return how often each trial was begun.

    A line that is cut short, as a power cut leaves one, counts for nothing.

    Raises:
        StoreError: The file cannot be read.
    """
    try:
        lines = (folder / BEGUN).read_text(encoding="utf-8", errors="replace").splitlines()
    except FileNotFoundError:
        return Counter()
    except OSError as error:
        raise StoreError(
            f"{folder / BEGUN} could not be read: {error.strerror}", hint=_RESTORE
        ) from error
    return Counter(number for line in lines if (number := _trial_of(line)) is not None)


def _trial_of(line: str) -> int | None:
    try:
        found: Any = json.loads(line)
    except ValueError:
        return None
    number = found.get("run_number") if isinstance(found, Mapping) else None
    return number if isinstance(number, int) else None


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Keep others from running the same experiment at the same time.

    Raises:
        UsageError: Somebody does.
        StoreError: The folder cannot be written to.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / ".lock").open("w", encoding="utf-8")
    except OSError as error:
        raise StoreError(
            f"{folder} cannot be written to: {error.strerror}",
            hint="Choose a place that you may write to.",
        ) from error
    import fcntl  # noqa: PLC0415 - Windows has none, and can read experiments, not conduct them

    with lock:
        try:
            # The kernel lets go of it when the process ends, however it ends.
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise UsageError(
                f"the experiment in {folder} is being run by another process",
                hint="wait for it, or stop it; this one can go on from there",
            ) from error
        yield
