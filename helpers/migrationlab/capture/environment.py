"""Describe the machine that records a run: its properties that influence the figures.

The kernel counts how busy all processors were, with everything that runs on the machine
(``/proc/stat``). A container may have only a share of them, which is not known here.
"""

from __future__ import annotations

import functools
import os
import platform
import re
from collections.abc import Mapping
from pathlib import Path

import psutil

from migrationlab.hosts.program import run_program

#: The folder of migrationlab's code; in a checkout two folders below the root.
PACKAGE = Path(__file__).parents[1]
GIT_TIMEOUT_S = 5.0


class MachineSampler:
    """Samples this machine from before a migration until after it."""

    def __init__(self, client_version: str) -> None:
        self._before = environment(client_version)
        self._total_s, self._idle_s = _cpu_times_s()

    def until_now(self) -> Mapping[str, object]:
        """Return the environment at the start, and the load of the processors since then."""
        total_s, idle_s = _cpu_times_s()
        passed_s = total_s - self._total_s
        # The kernel counts in hundredths of a second, so a shorter time gives no figure. Its idle
        # time can fall behind by a tick (proc(5)).
        busy = 1 - (idle_s - self._idle_s) / passed_s if passed_s > 0 else None
        percent = None if busy is None else round(min(max(busy, 0.0), 1.0) * 100, 1)
        return {**self._before, "cpu_busy_percent": percent}


def environment(client_version: str) -> dict[str, object]:
    """Return the machine's kernel, processors, memory and load, and the software's versions."""
    return {
        "kernel": platform.release(),
        "system": _system(),
        "cpu_model": _cpu_model(),
        "cpus": psutil.cpu_count() or 0,
        "memory_mib": psutil.virtual_memory().total >> 20,
        "load_1min": round(os.getloadavg()[0], 2),
        "python": platform.python_version(),
        "libvirt_client": client_version,
        "rootless": os.geteuid() != 0,
        "code": code_revision(),
    }


@functools.cache
def code_revision(package: Path = PACKAGE) -> str | None:
    """Return the git revision of migrationlab's code at the first call.

    It is the commit, with ``-dirty`` if a file of the code differs from it; None if the code does
    not run from its own checkout (for example installed in the virtual environment of another), or
    if there is no git.
    """
    checkout = package.parents[1]
    if not (checkout / ".git").exists():
        return None
    commit = _git(checkout, "rev-parse", "HEAD")
    changed = _git(checkout, "status", "--porcelain", "--", str(package))
    if not commit or changed is None:
        return None
    return f"{commit}-dirty" if changed else commit


def _git(checkout: Path, *arguments: str) -> str | None:
    # A git hook has these set, and they would point to another repository.
    clean = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    command = ["git", "--no-optional-locks", "-C", str(checkout), *arguments]
    result = run_program(command, timeout_s=GIT_TIMEOUT_S, env=clean)
    return result.stdout.strip() if result.status == 0 else None


def _cpu_times_s() -> tuple[float, float]:
    """Return the time of all processors since boot, and their idle time."""
    times = psutil.cpu_times()
    # The time of guests is part of the user time (account_guest_time in the kernel's
    # kernel/sched/cputime.c).
    counted = {name: value for name, value in times._asdict().items() if "guest" not in name}
    return sum(counted.values()), times.idle + getattr(times, "iowait", 0.0)


def _system() -> str:
    try:
        return platform.freedesktop_os_release().get("PRETTY_NAME", "unknown")
    except OSError:
        return "unknown"


def _cpu_model() -> str:
    found = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    return found[1].strip() if found else platform.processor() or "unknown"
