"""Own migrationlab's folders: the cache, and in it the folders of running labs.

The lab writes nothing outside them. The labs are not in XDG_RUNTIME_DIR, though they live no longer
than a login. That variable can be set in one shell and not in the next, so a lab could not be
found.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import platformdirs

from migrationlab.errors import LabError
from migrationlab.runs.safe_files import open_file

#: sockaddr_un holds 108 bytes; the longest path beneath is a name and /host-a/run/libvirt-sock.
LONGEST = 107 - len("/" + 31 * "x" + "/host-a/run/libvirt-sock-ro")


def cache() -> Path:
    """Return the folder of images and guests; it may be deleted at any time."""
    return _own(Path(platformdirs.user_cache_dir("migrationlab")))


def labs() -> Path:
    """Return the folder of running labs; only this user can read it.

    Raises:
        LabError: Another user owns it or may write to it, or its path is too long for sockets.
    """
    path = _own(cache() / "labs")
    if len(os.fsencode(path)) > LONGEST:
        raise LabError(
            f"the cache folder must have a path of at most {LONGEST} bytes (got {str(path)!r})",
            hint="Set XDG_CACHE_HOME to a shorter path.",
        )
    return path


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock of a file; wait for another process. A missing file is made."""
    import fcntl  # noqa: PLC0415 - Windows has none, and can plan experiments, not build images

    with os.fdopen(open_file(path, os.O_RDWR | os.O_CREAT), "rb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def private(path: str, flags: int) -> int:
    """Open a file that only this user may read, as the ``opener`` of ``open``."""
    return os.open(path, flags, 0o600)


def _own(path: Path) -> Path:
    try:
        path.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise LabError(
            f"creation of the folder {path} failed: {error.strerror}",
            hint="Set XDG_CACHE_HOME to a folder that this user can write to.",
        ) from error
    found = path.stat(follow_symlinks=False)
    if found.st_uid != os.geteuid() or not stat.S_ISDIR(found.st_mode) or found.st_mode & 0o022:
        raise LabError(
            f"{path} must be a folder that only this user owns and writes to",
            hint=f"Check who made it; then remove it, or `chmod 700 {path}`.",
        )
    return path
