"""Sample the resources of the processes behind a migration: QEMU, its threads, and libvirtd.

There are two sources. If a host's processes are this machine's too (a lab), the kernel is asked:

- for the whole process its CPU clock (clock_getcpuclockid(3)), which counts ended threads too and
  is exact to the nanosecond, and its pages in memory (proc_pid_stat(5));
- for each thread its time from the scheduler (``/proc/PID/task/TID/schedstat``,
  Documentation/scheduler/sched-stats.rst).

Otherwise libvirt is asked for the processor time of the domain (``virDomainGetInfo``), which needs
no question to QEMU.

The source's QEMU ends with the migration, so its last row is up to one interval older than its end.
"""

from __future__ import annotations

import contextlib
import os
import queue
import re
import time
from collections import Counter
from collections.abc import Mapping
from functools import partial

import libvirt

from migrationlab.capture.periodic_timer import PeriodicTimer
from migrationlab.hosts.connection import waits_on
from migrationlab.hosts.counters import HostCounters
from migrationlab.hosts.time_limit import start_call

Row = Mapping[str, int | str | None]
#: libvirt counts in hundredths of a second, so it is not asked more often.
LIBVIRT_INTERVAL_S = 0.25
#: How long to wait for the answer of a libvirtd that may be dead.
ANSWER_TIMEOUT_S = 1.0
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
#: In proc_pid_stat(5), counted from the field after the name in parentheses: state, rss.
_STATE, _RESIDENT = 0, 21
#: The states of a process that has ended or is ending.
_ENDED = ("Z", "X")

#: QEMU's names of its threads (with ``-name debug-threads=on``, as libvirt starts it), which the
#: kernel truncates to 15 letters: migration/migration.h since 9.1, and before that the names given
#: to qemu_thread_create() in migration/*.c; accel/*/*-accel-ops.c. Up to 10.0 the receiving threads
#: of multifd are named "mig/src/recv".
_THREADS = (
    (re.compile(r"CPU (\d+)/"), r"vCPU \1"),
    (re.compile(r"ALL CPUs/TCG"), "vCPUs"),
    (re.compile(r"(?:mig/\w+/|multifd)(?:send|recv)_(\d+)"), r"multifd \1"),
    (re.compile(r"mig/|live_migration|migration|return path|postcopy/"), "migration"),
)


def thread_name(own: str, *, first: bool = False) -> str:
    """Return the name of a QEMU thread in a run; ``first`` is the first thread of the process.

    It is "main", "vCPU 0", "migration" (all such threads except multifd's) or "multifd 0". Any
    other thread keeps its own name.
    """
    found = ((pattern.match(own), name) for pattern, name in _THREADS)
    return "main" if first else next((match.expand(name) for match, name in found if match), own)


class ProcessMeter:
    """Samples the processes of both hosts at each :meth:`read`; they are its ``sides``."""

    def __init__(self, sides: Mapping[str, HostCounters], uuid: str) -> None:
        self.rows: list[Row] = []
        self._sides = sides
        self._uuid = uuid
        self._processes: dict[tuple[str, str], _Process] = {}

    def read(self) -> None:
        """Add a row for each process and thread that exists now."""
        for side, counters in self._sides.items():
            # QEMU appears at the destination and ends at the source; libvirtd may be restarted.
            if missing := {(side, "libvirtd"), (side, "qemu")} - self._processes.keys():
                found = counters.processes(self._uuid)
                for key in missing:
                    with contextlib.suppress(KeyError, OSError):  # it does not run
                        process = _Process(found[key[1]], threads=key[1] == "qemu")
                        self._processes[key] = process
        for (side, name), process in list(self._processes.items()):
            rows = process.sample()
            if not rows:
                self._processes.pop((side, name)).close()
            self.rows += [{"side": side, "process": name, **row} for row in rows]

    def close(self) -> None:
        """Release the processes. A second close does nothing."""
        while self._processes:
            self._processes.popitem()[1].close()


class DomainMeter:
    """Samples the processor time of a domain by libvirt, on both hosts, while they answer.

    If one host no longer answers, only its own rows end. After :meth:`stop`, ``warnings`` says why.
    """

    names: tuple[str, ...] = ("processes",)

    def __init__(self, sides: Mapping[str, libvirt.virConnect], uuid: str) -> None:
        self.warnings: list[str] = []
        self._rows: queue.SimpleQueue[Row] = queue.SimpleQueue()
        self._uuid = uuid
        self._timers = {
            PeriodicTimer(
                f"migration-{side}",
                LIBVIRT_INTERVAL_S,
                partial(self._read, side, connection),
                self.warnings,
            ): connection
            for side, connection in sides.items()
        }

    def start(self) -> None:
        """Start to sample."""
        for timer in self._timers:
            timer.start()

    def stop(self) -> dict[str, list[Row]]:
        """Stop, and return the rows of the frame ``processes`` since the last stop."""
        while self._timers:
            timer, connection = self._timers.popitem()
            if not timer.stop(ANSWER_TIMEOUT_S):
                # A frozen daemon has not answered.
                waits_on(connection, start_call(timer.stop, "migration-answer"))
        return {"processes": [self._rows.get() for _ in range(self._rows.qsize())]}

    close = stop

    def _read(self, side: str, connection: libvirt.virConnect) -> bool:
        now = time.time_ns()
        try:
            used_ns = connection.lookupByUUIDString(self._uuid).info()[4]
        except libvirt.libvirtError:
            # The domain is not there yet, or no longer. The call will say if that is an error.
            return bool(connection.isAlive())
        if used_ns:
            row = {"time_ns": now, "thread": "", "cpu_ns": used_ns, "memory_bytes": None}
            self._rows.put({"side": side, "process": "qemu", **row})
        return True


class _Process:
    """A process, held by its open folder in /proc: a later process with its pid has another.

    Raises:
        OSError: It has ended.
    """

    def __init__(self, pid: int, *, threads: bool) -> None:
        self.pid = pid
        self.threads = threads
        self.folder = os.open(f"/proc/{pid}", os.O_RDONLY | os.O_DIRECTORY)
        #: The name of each thread and what it had used at the last sample. Ended threads stay, so
        #: that the sum by name does not fall.
        self.used_ns: dict[int, tuple[str, int]] = {}

    def sample(self) -> list[Row]:
        """Return the rows of the process; empty after its end."""
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
        rows: list[tuple[str, int, int | None]] = [("", used_ns, resident)]
        if self.threads:
            rows += [(name, each, None) for name, each in self._by_thread().items()]
        return [
            {"time_ns": now, "thread": name, "cpu_ns": each, "memory_bytes": memory}
            for name, each, memory in rows
        ]

    def close(self) -> None:
        os.close(self.folder)

    def _by_thread(self) -> dict[str, int]:
        try:
            with os.scandir(f"/proc/self/fd/{self.folder}/task") as entries:
                present = [int(entry.name) for entry in entries]
        except OSError:
            return {}  # the process has ended since
        for tid in present:
            try:
                used_ns = int(self._read(f"task/{tid}/schedstat").split()[0])
                # Read the name each time: at first a thread has its creator's name.
                own = self._read(f"task/{tid}/comm").rstrip("\n")
            except OSError:
                continue  # the thread has ended since, or this kernel has no such figures
            self.used_ns[tid] = thread_name(own, first=tid == self.pid), used_ns
        summed: Counter[str] = Counter()
        for name, used_ns in self.used_ns.values():
            summed[name] += used_ns
        return summed

    def _read(self, name: str) -> str:
        descriptor = os.open(name, os.O_RDONLY, dir_fd=self.folder)
        try:
            return os.read(descriptor, 4096).decode(errors="replace")
        finally:
            os.close(descriptor)
