"""The kit's own folders: the cache, and in it the folders of running labs.

Nothing outside them is written by the lab. The labs are not in XDG_RUNTIME_DIR, though they
live no longer than a login: where that is set in one shell and not in the next, a user would
look for a lab in the wrong place. Imports nothing of the lab.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

import platformdirs

from migrationlab.errors import LabError

#: sockaddr_un holds 108 bytes; the longest path beneath is a name and /host-a/run/libvirt-sock.
LONGEST = 107 - len("/" + 31 * "x" + "/host-a/run/libvirt-sock-ro")


def cache() -> Path:
    """Return the folder of images and guests, which may be deleted at any time."""
    return _own(Path(platformdirs.user_cache_dir("migrationlab")))


def labs() -> Path:
    """Return the folder of running labs, readable by this user alone.

    Raises:
        LabError: The folder is somebody else's, others may write to it, or its path is too
            long for the sockets beneath it.
    """
    path = _own(cache() / "labs")
    if len(os.fsencode(path)) > LONGEST:
        raise LabError(
            f"{path} is too long a path for the sockets beneath it",
            hint="set XDG_CACHE_HOME to a shorter one",
        )
    return path


def _own(path: Path) -> Path:
    try:
        path.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise LabError(
            f"the folder {path} cannot be made: {error.strerror}",
            hint="set XDG_CACHE_HOME to a folder that this user can write to",
        ) from error
    found = path.stat(follow_symlinks=False)
    if found.st_uid != os.geteuid() or not stat.S_ISDIR(found.st_mode) or found.st_mode & 0o022:
        raise LabError(
            f"{path} is not a folder of this user's alone",
            hint=f"look who made it; then remove it, or `chmod 700 {path}`",
        )
    return path
