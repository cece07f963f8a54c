"""Runs on disk: one folder a run, JSON for what it is and Parquet for what was recorded.

``data/README.md`` describes the format, which pandas reads without us. A folder appears whole or
not at all: it is written beside its place under a hidden name, synced, and then renamed.
``run.json`` holds size and checksum of the other files, so that damage is found and not plotted.

Owns the format's version. Version 1, which knew less, is read too: what it did not record is
missing. Imports no libvirt; knows nothing of figures or reports.
"""

from __future__ import annotations

import dataclasses
import errno
import hashlib
import io
import json
import os
import secrets
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from migrationlab.errors import PlanError, StoreError
from migrationlab.plan import Plan
from migrationlab.runs import FRAMES, Run, RunError, Runs, frame

FORMAT = "migrationlab-run"
VERSION = 2
OLDEST = 1
MANIFEST = "run.json"

#: What version 2 added: whole frames, and columns of others.
NEW_FRAMES = frozenset({"echoes"})
NEW_COLUMNS = {
    "job": (
        "postcopy_requests",
        "throttle_percent",
        "compression_cache_bytes",
        "compression_bytes",
        "compression_pages",
        "compression_cache_misses",
        "compression_overflows",
        "disk_total_bytes",
        "disk_processed_bytes",
        "disk_remaining_bytes",
        "disk_bps",
    )
}

_UNFINISHED = ".part"
_RESTORE = "Restore the folder from a copy, or delete it."


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
    unfinished = parent / f".{run.run_id}.{secrets.token_hex(4)}{_UNFINISHED}"
    try:
        parent.mkdir(parents=True, exist_ok=True)
        if place.exists():
            raise StoreError(
                f"the run {run.run_id} is in {parent} already",
                hint="A run is never overwritten. Delete its folder first, or choose another.",
            )
        unfinished.mkdir()
        try:
            files = {f"{name}.parquet": _parquet(getattr(run, name)) for name in FRAMES}
            files[MANIFEST] = _json(_manifest(run, files))
            for name, content in files.items():
                _write(unfinished / name, content)
            _sync_directory(unfinished)
            unfinished.rename(place)
            _sync_directory(parent)
        except BaseException:
            shutil.rmtree(unfinished, ignore_errors=True)
            raise
    except OSError as error:
        raise _refused(f"the run {run.run_id} could not be written to {parent}", error) from error
    return place


def load_run(path: str | Path) -> Run:
    """Read a run's folder.

    Args:
        path: The folder, or the ``run.json`` in it.

    Returns:
        The run, equal to the one that was saved.

    Raises:
        StoreError: There is no run, it is damaged, foreign, or of a newer version of the format.
    """
    given = Path(path)
    folder = given.parent if given.name == MANIFEST else given
    manifest = _read_manifest(folder)
    frames = {name: _read_frame(folder, name, manifest) for name in FRAMES}
    try:
        facts = dict(manifest["run"])
        error = facts.pop("error")
        return Run(
            plan=Plan.from_dict(facts.pop("plan")),
            error=None if error is None else RunError(**error),
            **facts,
            **frames,
        )
    except (KeyError, TypeError, ValueError, PlanError) as error:
        raise StoreError(
            f"{folder / MANIFEST} does not describe a run: {error}", hint=_RESTORE
        ) from error


def load_runs(directory: str | Path) -> Runs:
    """Read all runs of a directory, oldest first.

    Folders that hold no ``run.json`` are not runs and are passed over, as are those that a
    stopped write left under a hidden name.

    Raises:
        StoreError: There is no such directory, or one of its runs cannot be read.
    """
    parent = Path(directory)
    if (parent / MANIFEST).exists():
        raise StoreError(f"{parent} is one run", hint=f"Give the directory it is in: {parent}/..")
    try:
        names = sorted(entry.name for entry in parent.iterdir() if entry.is_dir())
    except OSError as error:
        raise _refused(f"no runs can be read from {parent}", error) from error
    visible = (parent / name for name in names if not name.startswith("."))
    return Runs(load_run(folder) for folder in visible if (folder / MANIFEST).exists())


def write_file(path: str | Path, content: bytes) -> Path:
    """Write a file whole or not at all, and replace the one that is there.

    Raises:
        StoreError: The disk refused; what was there before still is.
    """
    place = Path(path)
    unfinished = place.with_name(f".{place.name}.{secrets.token_hex(4)}{_UNFINISHED}")
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        try:
            _write(unfinished, content)
            unfinished.replace(place)
        except BaseException:
            unfinished.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise _refused(f"{place} could not be written", error) from error
    return place


# --- writing ----------------------------------------------------------------------------------


def _manifest(run: Run, files: Mapping[str, bytes]) -> dict[str, Any]:
    facts = {
        field.name: getattr(run, field.name)
        for field in dataclasses.fields(run)
        if field.name not in FRAMES
    }
    facts["plan"] = run.plan.to_dict()
    facts["error"] = None if run.error is None else dataclasses.asdict(run.error)
    return {
        "format": FORMAT,
        "version": VERSION,
        "run": facts,
        "files": {
            f"{name}.parquet": {
                "rows": len(getattr(run, name)),
                "bytes": len(files[f"{name}.parquet"]),
                "sha256": hashlib.sha256(files[f"{name}.parquet"]).hexdigest(),
            }
            for name in FRAMES
        },
    }


def _json(value: Mapping[str, Any]) -> bytes:
    text = json.dumps(value, default=dict, indent=2, ensure_ascii=False, allow_nan=False)
    return (text + "\n").encode()


def _parquet(frame: pd.DataFrame) -> bytes:
    # Stamps and counters that grow evenly shrink to a third as differences.
    growing = [name for name, kind in frame.dtypes.items() if str(kind).lower() == "int64"]
    content: bytes = frame.to_parquet(
        None,
        engine="pyarrow",
        index=False,
        compression="zstd",
        use_dictionary=[name for name in frame.columns if name not in growing],
        column_encoding=dict.fromkeys(growing, "DELTA_BINARY_PACKED"),
    )
    return content


def _write(path: Path, content: bytes) -> None:
    with path.open("xb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _sync_directory(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


# --- reading ----------------------------------------------------------------------------------


def _read_manifest(folder: Path) -> dict[str, Any]:
    path = folder / MANIFEST
    try:
        manifest = json.loads(path.read_bytes())
    except OSError as error:
        raise _refused(f"there is no run to read in {folder}", error) from error
    except ValueError as error:
        raise StoreError(f"{path} is damaged: {error}", hint=_RESTORE) from error
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise StoreError(
            f"{path} is no run of migrationlab",
            hint=f'A run\'s {MANIFEST} says "format": "{FORMAT}".',
        )
    version = manifest.get("version")
    if version not in range(OLDEST, VERSION + 1):
        raise StoreError(
            f"{path} has version {version} of the format; this migrationlab reads {OLDEST} to "
            f"{VERSION}",
            hint="Update migrationlab to read it." if _is_newer(version) else _RESTORE,
        )
    return manifest


def _is_newer(version: object) -> bool:
    return isinstance(version, int) and version > VERSION


def _read_frame(folder: Path, name: str, manifest: Mapping[str, Any]) -> pd.DataFrame:
    old = manifest["version"] == 1
    if old and name in NEW_FRAMES:
        return frame(name, [])
    path = folder / f"{name}.parquet"
    try:
        content = path.read_bytes()
        if hashlib.sha256(content).hexdigest() != manifest["files"][path.name]["sha256"]:
            raise StoreError(f"{path} is damaged: its checksum differs", hint=_RESTORE)
        found = pd.read_parquet(io.BytesIO(content), engine="pyarrow")
    except OSError as error:
        raise _refused(f"{path} could not be read", error) from error
    except (KeyError, TypeError, ValueError) as error:
        raise StoreError(f"{path} is damaged: {error}", hint=_RESTORE) from error
    if old:
        found = found.reindex(columns=[*found.columns, *NEW_COLUMNS.get(name, ())])
    return found


def _refused(what: str, error: OSError) -> StoreError:
    match error:
        case OSError(errno=errno.ENOSPC | errno.EDQUOT | errno.EFBIG):
            hint = "Free some space there, or choose another place."
        case PermissionError() | OSError(errno=errno.EROFS):
            hint = "Choose a place that you may write to."
        case FileNotFoundError() | FileExistsError() | NotADirectoryError():
            hint = "Check the path."
        case _:
            hint = ""
    return StoreError(f"{what}: {error.strerror or error}", hint=hint)
