"""Open files of folders that can come from anybody: regular files, of a limited size, no links.

A folder of runs can be somebody else's. A link in it could lead to any file of the reader, and a
FIFO or a device could block its reader. So a file is opened without following a link and without
waiting, and only a regular file is used. A file that is written to is never emptied, and has no
second name outside of the folder.
"""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

MIB = 1024 * 1024
#: Windows, which can read runs, has other flags.
_NO_WAIT = getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
_NO_LINK = getattr(os, "O_NOFOLLOW", 0)


def open_file(path: Path, flags: int = os.O_RDONLY, *, follow: bool = False) -> int:
    """Open a regular file, and return its descriptor.

    Args:
        path: The file.
        flags: Those of ``os.open``.
        follow: Whether it may be a link, because the user named this file.

    Raises:
        OSError: It is a link, it is not a regular file, it has a second name and would be
            written to, or the system refused.
    """
    try:
        before = path.stat() if follow else path.lstat()
    except FileNotFoundError:
        before = None
    except ValueError as error:  # a NUL
        raise OSError(errno.EINVAL, "no path has such a character", str(path)) from error
    if before is not None:
        # Before it is opened: to open a device can already do something.
        _require_regular(path, before, flags)
    descriptor = os.open(path, flags | _NO_WAIT | (0 if follow else _NO_LINK), 0o666)
    try:
        _require_regular(path, os.fstat(descriptor), flags)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def read_file(path: Path, limit: int, *, follow: bool = False) -> bytes:
    """Return the content of a regular file of at most ``limit`` bytes.

    Raises:
        OSError: :func:`open_file` refused it, or it is larger.
    """
    with os.fdopen(open_file(path, follow=follow), "rb") as file:
        content = file.read(limit + 1)
    if content is None:  # one of the kernel's files, which would wait for news
        raise OSError(errno.EINVAL, "it is not a regular file", str(path))
    if len(content) > limit:
        raise OSError(errno.EOVERFLOW, f"the file must have at most {limit // MIB} MiB", str(path))
    return content


def require_no_link(folder: Path) -> None:
    """Raise an OSError if a folder inside of another one is a link, which could lead anywhere."""
    if folder.is_symlink():
        raise OSError(errno.ELOOP, _LINK, str(folder))


_LINK = "it is a link, which could lead to any file"


def _require_regular(path: Path, found: os.stat_result, flags: int) -> None:
    if stat.S_ISLNK(found.st_mode):
        raise OSError(errno.ELOOP, _LINK, str(path))
    if not stat.S_ISREG(found.st_mode):
        raise OSError(errno.EINVAL, "it is not a regular file", str(path))
    if flags & (os.O_WRONLY | os.O_RDWR) and found.st_nlink > 1:
        raise OSError(errno.EMLINK, "it has a second name, perhaps in another folder", str(path))
