"""What machine recorded a run, as far as it bears on the figures. No libvirt."""

from __future__ import annotations

import os
import platform
from pathlib import Path

import psutil


def environment(client_version: str) -> dict[str, object]:
    """Return the machine's kernel, processors, memory and load, and the software's versions.

    Args:
        client_version: The version of the libvirt client library in this process.
    """
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
    }


def _system() -> str:
    try:
        return platform.freedesktop_os_release().get("PRETTY_NAME", "unknown")
    except OSError:
        return "unknown"


def _cpu_model() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or "unknown"
