"""Give the doctor this machine: its files, its programs, and tries in child processes.

A test replaces some files and answers of a :class:`Machine`, to give the doctor a machine that
lacks something.
"""

from __future__ import annotations

import ctypes
import fcntl
import getpass
import os
import platform
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import platformdirs
import psutil

from migrationlab.hosts.program import ProgramResult, run_program
from migrationlab.lab import accelerator, boot_files, image, namespaces
from migrationlab.lab.accelerator import KvmVerdict

TRY_LIMIT_S = 10.0

# linux/userfaultfd.h, and the number of the call on the machines where the lab runs.
USERFAULTFD_IOC_NEW = 0xAA00
USERFAULTFD_CALLS = {"x86_64": 323}


def run(argv: Sequence[str]) -> ProgramResult:
    """Run a try, with a time limit and English messages: hints match these."""
    environment = namespaces.child_environment() | {"LC_ALL": "C"}
    return run_program(argv, timeout_s=TRY_LIMIT_S, env=environment)


def open_userfaultfd() -> str:
    """Open a userfaultfd as QEMU does, and close it; return the reason if that fails."""
    try:
        device = os.open("/dev/userfaultfd", os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        pass  # Usual on most machines: the system call below is the other way.
    else:
        try:
            os.close(fcntl.ioctl(device, USERFAULTFD_IOC_NEW, os.O_CLOEXEC))
        except OSError as error:
            return f"/dev/userfaultfd: {error.strerror}"
        finally:
            os.close(device)
        return ""
    number = USERFAULTFD_CALLS.get(platform.machine())
    if number is None:
        return f"the system call's number on {platform.machine()} is not known"
    descriptor = ctypes.CDLL(None, use_errno=True).syscall(number, os.O_CLOEXEC)
    if descriptor < 0:
        return os.strerror(ctypes.get_errno())
    os.close(descriptor)
    return ""


def try_kvm() -> KvmVerdict | None:
    """Return whether a guest boots with KVM, or None if there is no image to boot from."""
    if not image.cached(image.DEFAULT):
        return None
    root = image.path_of(image.DEFAULT)
    return accelerator.kvm_verdict(root, boot_files.ensure(root))


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """The machine as the doctor sees it; a test replaces some of its attributes."""

    root: bool = field(default_factory=lambda: os.geteuid() == 0)
    user: str = field(default_factory=getpass.getuser)
    system: str = field(default_factory=lambda: f"{platform.system()} {platform.machine()}")
    files: Path = Path("/")
    cache: Path = field(default_factory=lambda: Path(platformdirs.user_cache_dir("migrationlab")))
    apart: Callable[..., list[str]] = namespaces.unshare
    run: Callable[[Sequence[str]], ProgramResult] = run
    which: Callable[[str], str | None] = lambda name: shutil.which(
        name, path=namespaces.child_environment()["PATH"]
    )
    opens: Callable[[Path], bool] = lambda path: os.access(path, os.R_OK | os.W_OK)
    userfaultfd: Callable[[], str] = open_userfaultfd
    free_disk: Callable[[Path], int] = lambda path: shutil.disk_usage(path).free
    free_memory: Callable[[], int] = lambda: psutil.virtual_memory().available
    cached: Callable[[str], bool] = image.cached
    kvm_verdict: Callable[[], KvmVerdict | None] = try_kvm

    def read(self, path: str) -> str | None:
        """Return the text of a small file, or None if it cannot be read."""
        try:
            return (self.files / path).read_text(encoding="utf-8").strip()
        except OSError:
            return None

    def cache_parent(self) -> Path:
        """Return the deepest existing folder on the path of the cache."""
        return next(path for path in (self.cache, *self.cache.parents) if path.is_dir())
