"""Own the running parts of a lab: its hosts, wire, LAN and files.

Guests, disks, faults and inspection need only :class:`LabBase`. It does not know guests, or the
start and end of a lab; :class:`migrationlab.lab.lab.Lab` does.
"""

from __future__ import annotations

import contextlib
import functools
import re
import socket
import time
from collections.abc import Callable
from typing import TypeVar

import psutil

from migrationlab.errors import HostError, LabError, UsageError
from migrationlab.hosts.host import Host
from migrationlab.hosts.shell import Shell
from migrationlab.lab import image, proxy, wire_check
from migrationlab.lab.beat_buffer import BeatBuffer
from migrationlab.lab.host_counters import LabHostCounters
from migrationlab.lab.layout import HOST_NAMES, OBSERVER, OBSERVER6, WIRE_ADDRESSES, LabFiles
from migrationlab.lab.network import Wire
from migrationlab.lab.rack import Rack
from migrationlab.lab.socket_broker import LAN, open_socket
from migrationlab.lab.wire_check import WireCheck
from migrationlab.plan.outside_xml import read_xml
from migrationlab.plan.wire_spec import WireSpec

HOSTS_TIMEOUT_S = 30
#: How long a libvirtd may take to end by itself: usually 20 ms.
END_TIMEOUT_S = 2

T = TypeVar("T")


class LabBase:
    """A running lab; ``images`` are those of its hosts.

    Raises:
        LabError: A host did not come up.
    """

    hosts: tuple[Host, ...] = ()

    def __init__(self, name: str, files: LabFiles, images: tuple[str, ...], rack: Rack) -> None:
        self.name = name
        self.files = files
        self.images = images
        self.rack = rack
        self.wire = Wire(rack)
        #: The results of :meth:`measure_wire`, by the settings of the wire.
        self.wire_checks: dict[WireSpec, WireCheck] = {}
        self.beat_buffer = BeatBuffer(files.beats)
        for host, used in zip(HOST_NAMES, images, strict=True):
            self.hosts = (*self.hosts, self._open(host, used))

    @property
    def host_a(self) -> Host:
        """Return the first host."""
        return self.hosts[0]

    @property
    def host_b(self) -> Host:
        """Return the second host."""
        return self.hosts[1]

    @property
    def alive(self) -> bool:
        """Return whether the lab is up."""
        return self.rack.is_alive()

    def other(self, host: Host) -> Host:
        """Return the other host than ``host``."""
        return self.host_b if host is self.host_a else self.host_a

    def require_own(self, name: str, host: Host) -> None:
        """Refuse a host of another lab or machine; ``name`` is the argument's, for the message."""
        if host not in self.hosts:
            raise UsageError(
                f"{name} must be a host of this lab (got {host!r})",
                hint="Give lab.host_a or lab.host_b.",
            )

    @functools.cached_property
    def machine(self) -> str:
        """Return the newest q35 machine type that QEMU has on both hosts."""
        common = set.intersection(*(_machines(host) for host in self.hosts))
        return max(common, key=lambda name: [int(part) for part in name[7:].split(".")])

    def lan_socket(self, ip: str = "ipv4") -> socket.socket:
        """Return a new UDP socket on the guests' LAN, for IPv4 or for IPv6."""
        family = socket.AF_INET6 if ip == "ipv6" else socket.AF_INET
        lan = open_socket(self.files.broker, LAN, family, socket.SOCK_DGRAM)
        lan.bind((OBSERVER6 if ip == "ipv6" else OBSERVER, 0))
        return lan

    def measure_wire(self, sender: Host | None = None) -> WireCheck:
        """Measure the TCP throughput of the wire; takes about 1.3 s.

        Later runs record the result whenever the wire has the same settings. A migration that
        runs meanwhile shares the wire with the measurement.

        Args:
            sender: The host that sends, by default the first.

        Raises:
            UsageError: ``sender`` is no host of this lab.
            LabError: The lab is down, or nothing comes through.
        """
        sender = self.host_a if sender is None else sender
        self.require_own("sender", sender)
        settings = self.wire.seen_from(sender.name)
        self.wire_checks[settings] = wire_check.measure(
            self.files.broker, settings, here=sender.name
        )
        return self.wire_checks[settings]

    def restart_libvirtd(self, host: Host) -> None:
        """Restart the libvirtd of a host, as after a change of its settings.

        Guests keep running, and ``host`` is connected again. Other connections break.

        Raises:
            UsageError: ``host`` is no host of this lab.
            LabError: It did not come up again, or the lab is down.
        """
        self.require_own("host", host)
        try:
            daemon = self.rack.libvirtd(host.name)
        except psutil.NoSuchProcess as error:
            raise self.down_error() from error
        if daemon is not None:  # else the host is starting one already
            _end(daemon)
        self.reconnect(host)

    def reconnect(self, host: Host) -> None:
        """Connect to a host again as soon as its libvirtd answers.

        Raises:
            LabError: It does not come up, or the lab is down.
        """
        self._await_libvirtd(host.name, host.reconnect)

    def down_error(self) -> LabError:
        """Return the error for a lab that is down."""
        return LabError(f"lab {self.name} is down", hint="Start a new one.")

    def close(self) -> None:
        """Close the connections to the hosts; the lab stays up."""
        for host in self.hosts:
            host.close()
        self.hosts = ()

    def _open(self, name: str, used: str) -> Host:
        """Connect to a host as soon as its libvirtd answers."""
        files = self.files.host(name)
        address = dict(zip(HOST_NAMES, WIRE_ADDRESSES, strict=True))[name]
        first = self.rack.hosts[name]
        packages = image.packages(image.path_of(used), image.RECORDED)
        return self._await_libvirtd(
            name,
            lambda: Host(
                f"qemu+unix:///system?socket={files.socket}",
                name=name,
                peer_uri=f"qemu+ssh://root@{name}/system",
                image=used,
                packages=packages,
                daemons="monolithic" if files.daemon == "libvirtd" else "modular",
                log=files.log,
                counters=LabHostCounters(name, address, first, self.files.broker, self.wire),
                route=functools.partial(proxy.route, self.files),
                shell=Shell(tuple(self.rack.in_host(name))),
            ),
        )

    def _await_libvirtd(self, name: str, connect: Callable[[], T]) -> T:
        """Return the result of ``connect`` as soon as the libvirtd of a host accepts it."""
        end = time.monotonic() + HOSTS_TIMEOUT_S
        files = self.files.host(name)
        refused: HostError | None = None
        while True:
            # libvirtd makes its socket a moment after it starts. There is no event for it, and
            # a look costs less than a refused connection.
            if files.socket.exists():
                try:
                    return connect()
                except HostError as error:
                    refused = error
            if time.monotonic() > end or not self.rack.is_alive():
                output = (files.directory / "log/libvirtd.err").read_text(errors="replace")
                raise LabError(
                    f"start of libvirtd on {name} failed: {refused or 'no socket'}\n"
                    f"{output[-800:]}",
                    hint=f"Read its log: {files.log}",
                ) from refused
            time.sleep(0.005)


def _end(daemon: psutil.Process) -> None:
    """End a libvirtd: ask it first, then kill it."""
    with contextlib.suppress(psutil.NoSuchProcess):  # it has ended by itself
        daemon.terminate()
        try:
            daemon.wait(END_TIMEOUT_S)
        except psutil.TimeoutExpired:
            # systemd does the same. libvirtd keeps the records of its guests on disk.
            daemon.kill()
        daemon.wait(END_TIMEOUT_S)


def _machines(host: Host) -> set[str]:
    capabilities = read_xml(host.capabilities())
    found: set[str] = set()
    for arch in capabilities.iterfind("guest/arch[@name='x86_64']"):
        for machine in arch.iterfind("machine"):
            found.update([machine.text or "", machine.get("canonical", "")])
    return {name for name in found if re.fullmatch(r"pc-q35-\d+\.\d+", name)}
