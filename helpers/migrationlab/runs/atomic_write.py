"""Write files that appear whole or not at all, and explain the error of a disk that refuses."""

from __future__ import annotations

import errno
import os
import secrets
import shutil
from collections.abc import Mapping
from pathlib import Path

from migrationlab.errors import StoreError

UNFINISHED = ".part"
RESTORE = "Restore the folder from a copy, or delete it."


def write_file(path: str | Path, content: bytes) -> Path:
    """Write a file whole or not at all. An existing file is replaced.

    Raises:
        StoreError: The disk refused. The file is as it was before.
    """
    place = Path(path)
    unfinished = _beside(place)
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        try:
            _write(unfinished, content)
            unfinished.replace(place)
        except BaseException:
            unfinished.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise refused(f"{place} could not be written", error) from error
    return place


def write_folder(place: Path, files: Mapping[str, bytes]) -> None:
    """Write a new folder of files to the disk, whole or not at all.

    Raises:
        OSError: The disk refused, or the folder exists. No part of the folder is left.
    """
    unfinished = _beside(place)
    unfinished.mkdir()
    try:
        for name, content in files.items():
            _write(unfinished / name, content)
        _sync_directory(unfinished)
        unfinished.rename(place)
        _sync_directory(place.parent)
    except BaseException:
        shutil.rmtree(unfinished, ignore_errors=True)
        raise


def refused(what: str, error: OSError) -> StoreError:
    """Return the error for an operation that a disk refused, with a hint.

    Args:
        what: The operation that failed.
        error: The reason.
    """
    match error:
        case OSError(errno=errno.ENOSPC | errno.EDQUOT | errno.EFBIG):
            hint = "Free some space there, or choose another place."
        case PermissionError() | OSError(errno=errno.EROFS):
            hint = "Choose a place that you may write to."
        case OSError(errno=errno.ELOOP | errno.EINVAL | errno.EMLINK):
            hint = "Put a copy of the file there."
        case FileNotFoundError() | FileExistsError() | NotADirectoryError():
            hint = "Check the path."
        case _:
            hint = ""
    return StoreError(f"{what}: {error.strerror or error}", hint=hint)


def damaged(path: Path, why: object) -> StoreError:
    """Return the error for a damaged file."""
    return StoreError(f"{path} is damaged: {why}", hint=RESTORE)


def _beside(place: Path) -> Path:
    """Return a new hidden name next to a place."""
    return place.with_name(f".{place.name}.{secrets.token_hex(4)}{UNFINISHED}")


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
