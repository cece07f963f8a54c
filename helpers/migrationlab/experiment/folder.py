"""Read and write the folder of an experiment.

``experiment.json``, the manifest, holds the design. It is replaced only when repeats are added.
``begun.jsonl`` gets a line before each run, so that a run that ended in a crash or a power cut is
counted too. ``runs/`` holds the runs; each run names its planned run. So the files alone show which
runs are left.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from migrationlab.errors import StoreError, UsageError
from migrationlab.experiment.design import Design, read
from migrationlab.experiment.manifest import FolderKind, read_manifest_of
from migrationlab.experiment.schedule import PlannedRun
from migrationlab.runs.safe_files import MIB, open_file, read_file
from migrationlab.runs.store import write_file

FORMAT = "migrationlab-experiment"
VERSION = 2
MANIFEST = "experiment.json"
BEGUN = "begun.jsonl"
RUNS = "runs"
#: The limit of experiment.json and of begun.jsonl: 100,000 runs have 20 MiB.
MAX_BYTES = 64 * MIB

_RESTORE = "Restore it from a copy. The runs beside it can be read without it."
_KIND = FolderKind(
    what="an experiment", manifest=MANIFEST, format=FORMAT, version=VERSION, most_bytes=MAX_BYTES,
    missing=f"Give a folder that has {MANIFEST}, or a TOML file.", restore=_RESTORE,
)  # fmt: skip


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


@dataclass(frozen=True, slots=True)
class Start:
    """One start of a planned run, and its time in ISO 8601."""

    run_number: int
    at: str


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
    path, content = folder / MANIFEST, read_manifest_of(_KIND, folder)
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
    start = {"run_number": number, "at": datetime.now(UTC).isoformat()}
    append_line(folder / BEGUN, json.dumps(start))


def append_line(path: Path, text: str) -> None:
    """Append a line to a file, which is made if need be, and write it to the disk.

    Raises:
        StoreError: The disk refused.
    """
    line = f"{text}\n"
    try:
        descriptor = open_file(path, os.O_RDWR | os.O_APPEND | os.O_CREAT)
        with os.fdopen(descriptor, "a+b") as file:
            if file.seek(0, os.SEEK_END):
                file.seek(-1, os.SEEK_END)
                if file.read() != b"\n":
                    # A power cut left half a line, which must not spoil this one.
                    line = f"\n{line}"
            file.write(line.encode())
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise StoreError(
            f"writing {path} failed: {error.strerror}",
            hint="Free some space there, or choose a folder that you may write to.",
        ) from error


def write_starts(folder: Path, starts: Iterable[Start]) -> None:
    """Write the starts of planned runs, in a new folder."""
    lines = "".join(f"{json.dumps(asdict(each))}\n" for each in starts)
    write_file(folder / BEGUN, lines.encode())


def read_starts(folder: Path) -> list[Start]:
    """Return the starts of planned runs. A line that is no start is left out.

    A power cut can leave such a line.
    """
    try:
        text = read_file(folder / BEGUN, MAX_BYTES)
    except FileNotFoundError:
        return []
    except OSError as error:
        raise StoreError(
            f"reading {folder / BEGUN} failed: {error.strerror}", hint=_RESTORE
        ) from error
    lines = text.decode(errors="replace").splitlines()
    return [start for line in lines if (start := _start(line)) is not None]


def _start(line: str) -> Start | None:
    try:
        content: Any = json.loads(line)
        number = content["run_number"]
        at = datetime.fromisoformat(content["at"]).isoformat()
    except (KeyError, TypeError, ValueError, RecursionError):
        return None
    return Start(number, at) if type(number) is int and number > 0 else None


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Prevent another process from running the same experiment at the same time."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # What another program put there is neither followed nor emptied.
        lock = os.fdopen(open_file(folder / ".lock", os.O_RDWR | os.O_CREAT), "rb")
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
