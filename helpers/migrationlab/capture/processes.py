"""What the processes behind a migration use: QEMU, thread by thread, and libvirtd, on both hosts.

Two sources. Where a host's processes are this machine's too (a lab), the kernel is asked: for the
whole process its CPU clock (clock_getcpuclockid(3)), which counts threads that have ended too and
is exact to the nanosecond, and the pages of it in memory (proc_pid_stat(5)); for each thread what
the scheduler gave it (``/proc/PID/task/TID/schedstat``, Documentation/scheduler/sched-stats.rst).
Elsewhere libvirt is asked how much processor time the domain has used (``virDomainGetInfo``),
which costs it no question to QEMU.

The source's QEMU ends as the migration does, so its last row is up to one interval older than its
end. Imports no lab.
"""

from __future__ import annotations

import os
import queue
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial

import libvirt

from migrationlab.capture.sampler import PeriodicTimer
from migrationlab.hosts.counters import HostCounters

Row = Mapping[str, int | str | None]
#: Of libvirt, which counts in hundredths of a second, no more often.
LIBVIRT_INTERVAL_S = 0.25
#: How long to wait for the answer of a libvirtd that may be dead.
ANSWER_TIMEOUT_S = 1.0
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
#: In proc_pid_stat(5) from what follows the name in parentheses, the third: state, rss.
_STATE, _RESIDENT = 0, 21
#: A process that has ended and one that is ending have no threads to speak of.
_ENDED = ("Z", "X")

#: QEMU's names of its threads (with ``-name debug-threads=on``, as libvirt starts it), cut off
#: after 15 letters by the kernel: migration/migration.h since 9.1, and before that what
#: qemu_thread_create() is given in migration/*.c; accel/*/*-accel-ops.c. Up to 10.0 the receiving
#: threads of multifd call themselves "mig/src/recv".
_THREADS = (
    (re.compile(r"CPU (\d+)/"), r"vCPU \1"),
    (re.compile(r"ALL CPUs/TCG"), "vCPUs"),
    (re.compile(r"(?:mig/\w+/|multifd)(?:send|recv)_(\d+)"), r"multifd \1"),
    (re.compile(r"mig/|live_migration|migration|return path|postcopy/"), "migration"),
)


def thread_name(own: str, *, first: bool = False) -> str:
    """Return what a run calls a thread of QEMU.

    Args:
        own: What it calls itself.
        first: Whether it is the process's first.

    Returns:
        "main", "vCPU 0", "migration" (all of its threads but those of multifd), "multifd 0";
        of any other its own name.
    """
    if first:
        return "main"
    for pattern, name in _THREADS:
        if found := pattern.match(own):
            return found.expand(name)
    return own


class ProcessMeter:
    """Samples the processes of both hosts, rows each :meth:`read`.

    Args:
        sides: The hosts' counters, by "source" and "destination".
        uuid: The domain's UUID.
    """

    def __init__(self, sides: Mapping[str, HostCounters], uuid: str) -> None:
        self.rows: list[Row] = []
        self._sides = sides
        self._uuid = uuid
        self._watched: dict[tuple[str, str], _Process] = {}

    def read(self) -> None:
        """Take a row of each process and thread that is there."""
        for side, meters in self._sides.items():
            # A QEMU appears at the destination, one ends at the source; a libvirtd may start anew.
            missing = {"libvirtd", "qemu"} - {
                name for where, name in self._watched if where == side
            }
            if missing:
                self._find(side, meters, missing)
        for key, process in list(self._watched.items()):
            rows = process.sample()
            if not rows:
                process.close()
                del self._watched[key]
            side, name = key
            self.rows += [{"side": side, "process": name, **row} for row in rows]

    def close(self) -> None:
        """Let go of the processes; once more does no harm."""
        for process in self._watched.values():
            process.close()
        self._watched.clear()

    def _find(self, side: str, meters: HostCounters, missing: set[str]) -> None:
        for name, pid in meters.processes(self._uuid).items():
            if name in missing and (process := _watch(pid, threads=name == "qemu")):
                self._watched[side, name] = process


class DomainMeter:
    """Samples what libvirt says a domain has used, on both hosts, while they can be asked.

    A host that does not answer any more holds up nothing but its own rows.

    Args:
        sides: An open connection to each host, by "source" and "destination".
        uuid: The domain's UUID.

    Attributes:
        warnings: What went wrong, once it was stopped.
    """

    def __init__(self, sides: Mapping[str, libvirt.virConnect], uuid: str) -> None:
        self.warnings: list[str] = []
        self._rows: queue.SimpleQueue[Row] = queue.SimpleQueue()
        self._uuid = uuid
        self._timers = [
            PeriodicTimer(
                f"migration-{side}", LIBVIRT_INTERVAL_S, partial(self._read, side, connection)
            )
            for side, connection in sides.items()
        ]

    def start(self) -> None:
        """Begin to sample."""
        for timer in self._timers:
            timer.start()

    def stop(self) -> list[Row]:
        """Stop, and return the rows; once more does no harm."""
        while self._timers:
            timer = self._timers.pop()
            timer.stop(ANSWER_TIMEOUT_S)
            if timer.failure is not None:
                self.warnings.append(f"{timer.name} ended early: {timer.failure!r}")
        return [self._rows.get() for _ in range(self._rows.qsize())]

    def _read(self, side: str, connection: libvirt.virConnect) -> bool:
        now = time.time_ns()
        try:
            used_ns = connection.lookupByUUIDString(self._uuid).info()[4]
        except libvirt.libvirtError:
            # It is not there yet, or not any more; whether that is an error, others say.
            return bool(connection.isAlive())
        if used_ns:
            row = {"time_ns": now, "thread": "", "cpu_ns": used_ns, "memory_bytes": None}
            self._rows.put({"side": side, "process": "qemu", **row})
        return True


@dataclass(slots=True)
class _Process:
    """A process, held by its folder in /proc, which never becomes another's of the same number.

    Attributes:
        pid: Its number.
        folder: That folder, open.
        threads: Whether each thread is sampled too.
        used_ns: Each of its threads' name, and what that had used when it was last seen: also of
            those that have ended since, so that what is summed by name does not fall.
    """

    pid: int
    folder: int
    threads: bool
    used_ns: dict[int, tuple[str, int]] = field(default_factory=dict)

    def sample(self) -> list[Row]:
        """Return its rows; none once it has ended."""
        now = time.time_ns()
        try:
            facts = self._read("stat").rpartition(") ")[2].split()
            # CPUCLOCK_SCHED of a process: the kernel's include/linux/posix-timers_types.h.
            used_ns = time.clock_gettime_ns((~self.pid << 3) | 2)
        except OSError:
            return []
        if facts[_STATE] in _ENDED:
            return []
        resident = int(facts[_RESIDENT]) * PAGE_BYTES
        rows: list[Row] = [
            {"time_ns": now, "thread": "", "cpu_ns": used_ns, "memory_bytes": resident}
        ]
        if self.threads:
            rows += [
                {"time_ns": now, "thread": name, "cpu_ns": each, "memory_bytes": None}
                for name, each in self._by_thread().items()
            ]
        return rows

    def close(self) -> None:
        os.close(self.folder)

    def _by_thread(self) -> dict[str, int]:
        try:
            tasks = os.open("task", os.O_RDONLY | os.O_DIRECTORY, dir_fd=self.folder)
        except OSError:
            return {}
        try:
            with os.scandir(tasks) as entries:
                present = [int(entry.name) for entry in entries]
        except OSError:
            present = []  # it has ended since
        finally:
            os.close(tasks)
        for tid in present:
            try:
                used_ns = int(self._read(f"task/{tid}/schedstat").split()[0])
                # Each time anew: at first a thread has its maker's name.
                own = self._read(f"task/{tid}/comm").rstrip("\n")
            except OSError:
                continue  # it has ended since, or this kernel keeps no such figures
            self.used_ns[tid] = thread_name(own, first=tid == self.pid), used_ns
        summed: dict[str, int] = {}
        for name, used_ns in self.used_ns.values():
            summed[name] = summed.get(name, 0) + used_ns
        return summed

    def _read(self, name: str) -> str:
        descriptor = os.open(name, os.O_RDONLY, dir_fd=self.folder)
        try:
            return os.read(descriptor, 4096).decode(errors="replace")
        finally:
            os.close(descriptor)


def _watch(pid: int, *, threads: bool) -> _Process | None:
    """Return a process to sample, None where it has ended."""
    try:
        folder = os.open(f"/proc/{pid}", os.O_RDONLY | os.O_DIRECTORY)
    except OSError:
        return None
    return _Process(pid, folder, threads)
