"""Start the rack: the namespaces that hold a lab's network and hosts.

Theory of operation. The owner starts ``unshare`` with new namespaces. Its child, pid 1 there, is
``payload/guard.py``; it runs ``payload/rack_init.py``, which builds the network and the hosts and
then waits. The kernel cleans up: when pid 1 of a pid namespace ends, everything in it is killed,
and with the last process go interfaces and mounts. Pid 1 ends when the owner does (it holds a pidfd
of the owner, which the kernel signals also after SIGKILL), or when it is killed by its pid. No
process is ever searched by name.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from migrationlab.errors import LabError
from migrationlab.hosts.poll import readable
from migrationlab.lab import image, namespaces
from migrationlab.lab.layout import (
    BEAT_PORT,
    BEAT_RECORDS,
    DAEMONS,
    LAN_PREFIX,
    OBSERVER,
    OBSERVER6,
    PREFIX6,
    LabFiles,
    bridge_mac,
)

PAYLOAD = Path(__file__).parent / "payload"
START_TIMEOUT_S = 20


@dataclass(frozen=True, slots=True)
class Rack:
    """A running rack."""

    #: The pid of the rack's first process; when that is killed the lab ends.
    pid: int
    #: The pid of each host's first process.
    hosts: dict[str, int]
    #: The pid of the observer, which is in the rack's own network.
    observer: int

    def is_alive(self) -> bool:
        """Return whether the rack runs, and so both hosts."""
        return bool(psutil.pid_exists(self.pid))

    def libvirtd(self, host: str) -> psutil.Process | None:
        """Return the daemon of a host that controls QEMU, None while none runs.

        It is libvirtd, or virtqemud of the modular daemons.

        Raises:
            psutil.NoSuchProcess: The host is gone.
        """
        for process in psutil.Process(self.hosts[host]).children():
            with contextlib.suppress(psutil.NoSuchProcess):  # another one that has just ended
                if process.name() in DAEMONS:
                    return process
        return None

    def in_host(self, host: str) -> list[str]:
        """Return the start of a command that runs inside a host."""
        return namespaces.nsenter(
            self.hosts[host], "--mount", "--net", "--uts", "--ipc", "--pid", "--root", "--wd"
        )

    def in_host_network(self, host: str) -> list[str]:
        """Return the start of a command with this machine's files and a host's network."""
        return namespaces.nsenter(self.hosts[host], "--net")

    def in_rack_network(self) -> list[str]:
        """Return the start of a command that runs on the rack's own network."""
        return namespaces.nsenter(self.observer, "--net")


def start(
    files: LabFiles, hosts: Sequence[tuple[str, Path, Path | None]]
) -> tuple[Rack, subprocess.Popen[bytes]]:
    """Start a rack in a lab's folder, which has the settings of the ``hosts`` already.

    Args:
        files: The lab's folder.
        hosts: Each host's name, its image, and the folder of its modular daemons, if it has them.

    Returns:
        The rack, and its process as this process's child.

    Raises:
        LabError: The rack did not start; none of its processes is left.
    """
    spec = {
        "hosts": [
            {
                "name": name,
                "image": str(root),
                "directory": str(files.host(name).directory),
                "capabilities": str(image.capabilities(root)),
                "daemons": str(daemons or ""),
            }
            for name, root, daemons in hosts
        ],
        "guests": str(files.guests),
        "disks": str(files.disks),
        "observer": f"{OBSERVER}/{LAN_PREFIX}",
        "observer6": f"{OBSERVER6}/{PREFIX6}",
        "bridge_mac": bridge_mac(OBSERVER),
        "beat_port": BEAT_PORT,
        "beats": str(files.beats),
        "beat_records": BEAT_RECORDS,
        "broker": str(files.broker),
    }
    program = [sys.executable, "-I", "-S", str(PAYLOAD / "rack_init.py")]
    pipe = subprocess.PIPE
    with files.rack_log.open("wb") as log:
        process = namespaces.start_guarded(program, "--net", stdin=pipe, stdout=pipe, stderr=log)
    try:
        pids = _build(process, spec, files)
        first = only_child(process.pid)
        outside = {name: namespaces.pid_outside(pid, first) for name, pid in pids.items()}
        firsts = {name: only_child(outside[name]) for name, *_ in hosts}
        return Rack(pid=first, hosts=firsts, observer=outside["observer"]), process
    except BaseException:
        namespaces.end_guarded(process)
        raise


def _build(
    process: subprocess.Popen[bytes], spec: dict[str, Any], files: LabFiles
) -> dict[str, int]:
    """Send the rack its spec, and wait until it is built."""
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        process.stdin.write(json.dumps(spec).encode() + b"\n")
        process.stdin.flush()
    except BrokenPipeError:
        pass  # it has ended already; the reason is read below
    ready = readable(process.stdout, START_TIMEOUT_S)
    answer = json.loads(process.stdout.readline() or "{}") if ready else {}
    if "up" in answer:
        pids: dict[str, int] = answer["up"]
        return pids
    namespaces.end_guarded(process)
    log = files.rack_log.read_text(errors="replace")[-1500:]
    reason = f"{answer.get('error', '')}\n{log}".strip()
    raise LabError(
        f"start of the lab's rack failed: {reason or 'no answer'}",
        hint="Run `migrationlab doctor`: it checks whether this machine allows what the lab needs.",
    )


def only_child(pid: int) -> int:
    """Return the child of an ``unshare --fork``, which is pid 1 of its pid namespace."""
    children = psutil.Process(pid).children()
    if len(children) != 1:
        raise LabError(f"process {pid} of the lab has {len(children)} children, not one")
    return int(children[0].pid)
