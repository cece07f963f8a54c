"""The running parts of a lab: its hosts, wire, LAN and files, for whoever may use them.

What a guest and an inspection need, and the owner of the lab has. Knows neither guests nor
who owns the lab: starting and ending it is ``lab``'s business.
"""

from __future__ import annotations

import functools
import re
import socket
import time

from defusedxml.ElementTree import fromstring

from migrationlab.errors import HostError, LabError
from migrationlab.hosts import Host
from migrationlab.lab import routes
from migrationlab.lab.beatring import BeatRing
from migrationlab.lab.layout import HOST_NAMES, LabFiles
from migrationlab.lab.network import Wire
from migrationlab.lab.rack import Rack

HOSTS_TIMEOUT_S = 30


class Site:
    """A running lab, as its user sees it.

    Args:
        name: Its name.
        files: Its folder.
        images: The Debian release of each host.
        rack: Its running rack.

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
        self.ring = BeatRing(files.ring)
        for host, release in zip(HOST_NAMES, images, strict=True):
            self.hosts = (*self.hosts, self._open(host, release))

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
        """Return the host that ``host`` is not."""
        return self.host_b if host is self.host_a else self.host_a

    @functools.cached_property
    def machine(self) -> str:
        """Return the newest q35 machine type that QEMU has on both hosts."""
        common = set.intersection(*(_machines(host) for host in self.hosts))
        return max(common, key=lambda name: [int(part) for part in name[7:].split(".")])

    def lan_socket(self) -> socket.socket:
        """Return a new UDP socket that speaks on the guests' LAN.

        Raises:
            LabError: The lab is down.
        """
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as visitor:
                visitor.connect(str(self.files.door))
                _, descriptors, _, _ = socket.recv_fds(visitor, 16, 1)
            return socket.socket(fileno=descriptors[0])
        except (OSError, IndexError) as error:
            raise LabError(f"lab {self.name} is down", hint="start a new one") from error

    def close(self) -> None:
        """Let go of the hosts; the lab goes on."""
        for host in self.hosts:
            try:
                host.close()
            except HostError:
                continue  # its daemon is gone already, and the connection with it
        self.hosts = ()

    def _open(self, name: str, release: str) -> Host:
        """Connect to a host, as soon as its libvirtd is there."""
        end = time.monotonic() + HOSTS_TIMEOUT_S
        files = self.files.host(name)
        while True:
            try:
                return Host(
                    f"qemu+unix:///system?socket={files.socket}",
                    name=name,
                    peer_uri=f"qemu+ssh://root@{name}/system",
                    image=release,
                    log=files.log,
                    sent_bytes=functools.partial(self.wire.sent_bytes, name),
                    route=functools.partial(routes.route, self.files),
                )
            except HostError as error:
                # libvirtd makes its socket a moment after it starts; there is no event for it.
                if time.monotonic() > end or not self.rack.is_alive():
                    said = (files.directory / "log/libvirtd.err").read_text(errors="replace")
                    raise LabError(
                        f"libvirtd of {name} did not start: {error}\n{said[-800:]}",
                        hint=f"its log is {files.log}",
                    ) from error
                time.sleep(0.02)


def _machines(host: Host) -> set[str]:
    capabilities = fromstring(host.capabilities())
    found: set[str] = set()
    for arch in capabilities.iterfind("guest/arch[@name='x86_64']"):
        for machine in arch.iterfind("machine"):
            found.update([machine.text or "", machine.get("canonical", "")])
    return {name for name in found if re.fullmatch(r"pc-q35-\d+\.\d+", name)}
