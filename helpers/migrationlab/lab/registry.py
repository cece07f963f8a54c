"""Track the labs that are up: their names, their locks, and the remains of dead labs.

A lab's owner holds a lock on a file beside the lab's folder. The kernel releases the lock when the
owner ends in any way. So a folder without a held lock belongs to a dead lab.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from migrationlab.errors import UsageError
from migrationlab.lab import directories, namespaces
from migrationlab.lab.layout import LabFiles

NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,30}")


def files(name: str) -> LabFiles:
    """Return the files of the lab ``name``, present or not; refuse an invalid name."""
    if not NAME.fullmatch(name):
        raise UsageError(
            "a lab's name must be small letters, digits and hyphens, 31 at most, no hyphen first "
            f"(got {name!r})",
            hint="Give a name such as lab-2.",
        )
    return LabFiles(directories.labs() / name)


def take(name: str) -> int:
    """Take the name of a new lab, and return a descriptor that holds it until closed."""
    directory = files(name).directory
    with _alone():
        descriptor = try_lock(_lock(directory), create=True)
    if descriptor is None:
        raise UsageError(
            f"a lab {name!r} is up already",
            hint=f"Use it, choose another name, or run `migrationlab lab down {name}`.",
        )
    os.truncate(descriptor, 0)
    os.write(descriptor, str(os.getpid()).encode())
    return descriptor


def release(name: str, descriptor: int) -> None:
    """Release a name, and delete the lab's folder."""
    with _alone():
        _release(name, descriptor)


def is_up(name: str) -> bool:
    """Return whether the owner of a lab runs."""
    lock = _lock(files(name).directory)
    with _alone():
        if not lock.exists():
            return False
        descriptor = try_lock(lock)
        if descriptor is not None:
            os.close(descriptor)
        return descriptor is None


def owner(name: str) -> int | None:
    """Return the process that holds a lab's name, or None."""
    try:
        return int(_lock(files(name).directory).read_text() or 0) or None
    except FileNotFoundError:
        return None


def sweep(only: Sequence[str] | None = None) -> list[str]:
    """Delete the remains of dead labs, all or ``only`` some, and return their names."""
    swept = []
    with _alone():
        for name in _known():
            if only is not None and name not in only:
                continue
            # A folder without a lock file is a dead lab's, too.
            descriptor = try_lock(_lock(files(name).directory), create=True)
            if descriptor is not None:
                _release(name, descriptor)
                swept.append(name)
    return swept


def names() -> list[str]:
    """Return the names of this user's labs that are up."""
    return [name for name in _known() if is_up(name)]


def state(name: str) -> dict[str, Any]:
    """Return the owner's record of a lab; refuse the name of a lab that is not up."""
    path = files(name).state
    if is_up(name) and path.exists():
        found: dict[str, Any] = json.loads(path.read_text())
        return found
    up = ", ".join(names())
    hint = f"Choose one that is up: {up}." if up else "Start one: `migrationlab lab up`."
    raise UsageError(f"no lab {name!r} is up", hint=hint)


def _known() -> list[str]:
    """Return the names of all labs that have a folder or a lock, up or dead."""
    found = {path.name.removesuffix(".lock") for path in directories.labs().iterdir()}
    return sorted(name for name in found if NAME.fullmatch(name))


def _release(name: str, descriptor: int) -> None:
    directory = files(name).directory
    namespaces.remove_tree(directory)
    _lock(directory).unlink(missing_ok=True)
    os.close(descriptor)


def _alone() -> AbstractContextManager[None]:
    """Be the only process of this user that looks at locks, makes or deletes one."""
    return directories.locked(directories.cache() / "registry.lock")


def _lock(directory: Path) -> Path:
    return directory.with_name(f"{directory.name}.lock")


def try_lock(lock: Path, *, create: bool = False) -> int | None:
    """Return a descriptor that holds a lock; None if another holds it or there is no file.

    The file must not be deleted between opening and locking it, so labs call it in :func:`_alone`.
    """
    flags = os.O_RDWR | os.O_CLOEXEC | (os.O_CREAT if create else 0)
    try:
        descriptor = os.open(lock, flags, 0o600)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor
