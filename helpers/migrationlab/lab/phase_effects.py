"""What the faults in mid-migration do to a lab, and how each is undone.

An effect can be undone with the same target by another process, also if it was not applied.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Collection, Iterable
from dataclasses import asdict, dataclass, field
from typing import Any

import psutil

from migrationlab.errors import LabError
from migrationlab.hosts.host import Host
from migrationlab.lab import namespaces
from migrationlab.lab.lab_base import LabBase
from migrationlab.lab.layout import LIBVIRT_PORT, LIBVIRT_TLS_PORT, WIRE_ADDRESSES

CONTROL_PORTS = (22, LIBVIRT_PORT, LIBVIRT_TLS_PORT)
#: The priority of a routing rule that nothing else of a host uses.
RULE = 4916


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """Numbers of the faults; each concerns one kind or phase only.

    Attributes:
        iteration: The iteration of pre-copy to wait for, with phase "perform".
        period_s: How long a flapping wire is down and up again.
        rate_mbit_s: The rate of a throttled wire.
    """

    iteration: int | None = None
    period_s: float = 1.0
    rate_mbit_s: float = 10.0


@dataclass(frozen=True, slots=True)
class Target:
    """What a fault concerns, and how that was before."""

    lab: LabBase
    host: Host
    uuid: str
    options: Options
    before: dict[str, Any]

    def qemu(self) -> list[psutil.Process]:
        """Return the guest's QEMU on the host, if there is one."""
        return [each for each in self.everything() if self.uuid in _arguments(each)]

    def libvirtd(self) -> list[psutil.Process]:
        """Return the host's libvirtd, if one runs."""
        found = self.lab.rack.libvirtd(self.host.name)
        return [] if found is None else [found]

    def everything(self) -> list[psutil.Process]:
        """Return all processes of the host, the first one first."""
        first = psutil.Process(self.lab.rack.hosts[self.host.name])
        return [first, *first.children(recursive=True)]


Find = Callable[[Target], list[psutil.Process]]


class Effect:
    """What a kind does. Another process can undo it with the same target."""

    def look(self, target: Target) -> None:
        """Note in ``target.before`` what :meth:`undo` needs."""

    def apply(self, target: Target) -> Collection[int]:
        """Do it; return the pids of the processes that are stopped now."""
        raise NotImplementedError

    def undo(self, target: Target) -> None:
        """Undo it, also if it was not done."""


@dataclass
class Kill(Effect):
    """Processes get SIGKILL."""

    find: Find
    #: Whether the host starts them again.
    again: bool = False

    def apply(self, target: Target) -> Collection[int]:
        """Kill them."""
        found = self.find(target)
        _require(found, target)
        for process in found:
            with contextlib.suppress(psutil.NoSuchProcess):  # it has just ended
                process.kill()
        return ()

    def undo(self, target: Target) -> None:
        """Wait until the host has started them again."""
        if self.again:
            target.lab.reconnect(target.host)


@dataclass
class Freeze(Effect):
    """Processes get SIGSTOP."""

    find: Find

    def apply(self, target: Target) -> Collection[int]:
        """Stop them."""
        stopped: set[int] = set()
        # A process may have started another one meanwhile.
        while new := [each for each in self.find(target) if each.pid not in stopped]:
            for process in new:
                with contextlib.suppress(psutil.NoSuchProcess):  # it has just ended
                    process.suspend()
            stopped.update(process.pid for process in new)
        _require(stopped, target)
        return stopped

    def undo(self, target: Target) -> None:
        """Continue them."""
        with contextlib.suppress(psutil.NoSuchProcess):  # the host has died
            continue_all(self.find(target))
            target.lab.reconnect(target.host)


class CutWire(Effect):
    """The wire has no carrier."""

    def apply(self, target: Target) -> Collection[int]:
        """Take the carrier."""
        target.lab.wire.cut()
        return ()

    def undo(self, target: Target) -> None:
        """Give it back."""
        target.lab.wire.join()


@dataclass
class FlapWire(CutWire):
    """The wire has a carrier for half of each period only."""

    _over: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def apply(self, target: Target) -> Collection[int]:
        """Begin to flap."""
        super().apply(target)
        self._thread = threading.Thread(target=self._flap, args=[target], daemon=True)
        self._thread.start()
        return ()

    def undo(self, target: Target) -> None:
        """Stop flapping."""
        self._over.set()
        if self._thread is not None:
            self._thread.join()
        super().undo(target)

    def _flap(self, target: Target) -> None:
        wire = target.lab.wire
        change, following = wire.join, wire.cut
        while not self._over.wait(target.options.period_s / 2):
            change()
            change, following = following, change


class ThrottleWire(Effect):
    """The wire has another rate."""

    def look(self, target: Target) -> None:
        """Note the settings of the wire."""
        target.before.update(asdict(target.lab.wire.settings))

    def apply(self, target: Target) -> Collection[int]:
        """Set the rate, in both directions."""
        rates = {"rate_mbit_s": target.options.rate_mbit_s, "back_mbit_s": None}
        target.lab.wire.set(**{**target.before, **rates})
        return ()

    def undo(self, target: Target) -> None:
        """Set the rate as before."""
        target.lab.wire.set(**target.before)


class CutControl(Effect):
    """Packets of the control connections do not leave a host by the wire."""

    _rules = " ".join(
        f"rule add pref {RULE} blackhole to {address} ipproto tcp {end} {port}\n"
        for address in WIRE_ADDRESSES
        for end in ("dport", "sport")
        for port in CONTROL_PORTS
    )

    def apply(self, target: Target) -> Collection[int]:
        """Add the rules."""
        self._on_hosts(target, ("ip", "-batch", "-"), self._rules)
        return ()

    def undo(self, target: Target) -> None:
        """Delete the rules."""
        delete = f"while ip rule delete pref {RULE} 2>/dev/null; do :; done"
        self._on_hosts(target, ("sh", "-c", delete), "")

    @staticmethod
    def _on_hosts(target: Target, argv: tuple[str, ...], text: str) -> None:
        rack = target.lab.rack
        for host, pid in rack.hosts.items():
            if psutil.pid_exists(pid):
                namespaces.run([*rack.in_host_network(host), *argv], text=text)


class FillDisk(Effect):
    """The file system of a host is as small as what is on it.

    It is in memory (see ``payload/rack_init.py``), so its size changes at once, and nothing has to
    be written to fill it. mount(8) gets its source too: else it repeats the options that the kernel
    shows, and in a user namespace their uid is refused.
    """

    _fill = """\
set -- "$1" $(stat -f -c '%S %b %f %c %d' "$1")
mount -o "remount,size=$(($2 * ($3 - $4))),nr_inodes=$(($5 - $6))" tmpfs "$1"
"""

    def look(self, target: Target) -> None:
        """Note the size."""
        size, blocks, inodes = self._run(target, 'stat -f -c "%S %b %c" "$1"').split()
        target.before.update(size=int(size) * int(blocks), inodes=int(inodes))

    def apply(self, target: Target) -> Collection[int]:
        """Shrink it."""
        self._run(target, self._fill)
        return ()

    def undo(self, target: Target) -> None:
        """Give it its size again."""
        before = target.before
        size = f"size={before['size']},nr_inodes={before['inodes']}"
        self._run(target, f'mount -o remount,{size} tmpfs "$1"')

    @staticmethod
    def _run(target: Target, script: str) -> str:
        lab, place = target.lab, target.lab.files.disks / target.host.name
        enter = namespaces.nsenter(lab.rack.pid, "--mount", "--pid")
        return namespaces.run([*enter, "sh", "-euc", script, "sh", str(place)])


EFFECTS: dict[str, Callable[[], Effect]] = {
    "kill-qemu": lambda: Kill(Target.qemu),
    "kill-libvirtd": lambda: Kill(Target.libvirtd, again=True),
    "kill-host": lambda: Kill(lambda target: target.everything()[:1]),
    "freeze-qemu": lambda: Freeze(Target.qemu),
    "freeze-libvirtd": lambda: Freeze(Target.libvirtd),
    "freeze-host": lambda: Freeze(Target.everything),
    "cut-wire": CutWire,
    "flap-wire": FlapWire,
    "throttle-wire": ThrottleWire,
    "cut-control": CutControl,
    "fill-disk": FillDisk,
}


def _arguments(process: psutil.Process) -> list[str]:
    try:
        return list(process.cmdline())
    except psutil.NoSuchProcess:
        return []


def _require(found: Collection[object], target: Target) -> None:
    if not found:
        raise LabError(f"{target.host.name} has no such process at that moment")


def continue_all(processes: Iterable[psutil.Process]) -> None:
    """Continue processes that were stopped; continuing one that runs changes nothing.

    A process that waits for a disk or for a processor stops later. So its state does not say
    whether it must be continued.
    """
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):  # it has just ended
            process.resume()
