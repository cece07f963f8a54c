"""Looking around on a host: a fixed list of commands that only read, and who answers them.

A lab's hosts answer live, a recording of them with what they once said. Pure but for running
those commands by a host's own shell: imports neither libvirt nor ``lab``, neither IPython nor
ipywidgets.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from migrationlab.course import json_files
from migrationlab.errors import LabError, UsageError
from migrationlab.hosts.program import ProgramResult
from migrationlab.hosts.shell import Shell

#: What separates processes on Linux: namespaces(7).
KINDS = ("cgroup", "ipc", "mnt", "net", "pid", "time", "user", "uts")
#: A user's own may lack sbin, where tc is.
PATH = "PATH=/usr/sbin:/usr/bin:/sbin:/bin"
GUEST = "guest-1"


@dataclass(frozen=True, slots=True)
class HostCommand:
    """A command that reads, and changes nothing.

    Attributes:
        key: Its name in a program.
        title: What it shows, in a few words.
        argv: The command.
        about: What to look at in its answer.
    """

    key: str
    title: str
    argv: tuple[str, ...]
    about: str

    @property
    def line(self) -> str:
        """The command as typed in a shell."""
        return shlex.join(self.argv)


HOST_COMMANDS = (
    HostCommand("guests", "guests", ("virsh", "list", "--all"),
         "Each libvirtd knows its own guests only."),
    HostCommand("guest", "the guest", ("virsh", "dominfo", GUEST),
         "A host that the guest is not on has never heard of it."),
    HostCommand("cards", "the guest's network card", ("virsh", "domiflist", GUEST),
         "vnet… is the host's end of the guest's cable; it is plugged into the bridge lan."),
    HostCommand("processes", "processes", ("ps", "-eo", "pid,ppid,comm"),
         "A guest is one process, qemu-system-x86. The numbers begin at 1 on each host."),
    HostCommand("addresses", "network cards", ("ip", "-brief", "address"),
         "wire leads straight to the other host; uplink joins the bridge lan to the guests' LAN."),
    HostCommand("names", "names", ("cat", "/etc/hosts"),
         "The names by which the hosts find each other, and that URIs are made of."),
    HostCommand("wire", "the wire", ("tc", "-s", "qdisc", "show", "dev", "wire"),
         "rate is what the wire lets through; Sent counts what has passed."),
    HostCommand("listening", "who listens", ("ss", "-tlnp"),
         "22 is sshd, 16509 libvirtd by TCP, 16514 libvirtd by TLS. QEMU's ports, from 49152, "
         "open only while a guest arrives."),
    HostCommand("machine", "the machine", ("virsh", "nodeinfo"),
         "Processors and memory, as the host sees them. Compare both hosts."),
    HostCommand("kernel", "the kernel", ("uname", "-nsr"),
         "The host's own name, and the kernel that it runs on. Compare both hosts."),
    HostCommand("load", "the load", ("uptime",),
         "How long the machine has been up, and how many processes want to run. Compare."),
    HostCommand("namespaces", "namespaces", ("readlink", *(f"/proc/self/ns/{kind}" for kind in KINDS)),
         "Equal numbers: shared by both hosts. Different ones: each host has its own."),
)  # fmt: skip
BY_KEY = {look.key: look for look in HOST_COMMANDS}


class Hosts(Protocol):
    """Hosts that can be asked."""

    @property
    def names(self) -> tuple[str, ...]:
        """Their names."""

    @property
    def live(self) -> bool:
        """Whether they are asked now, and not long ago."""

    def ask(self, host: str, look: str) -> ProgramResult:
        """Return what a host answers to a look, named by its key."""


class _Host(Protocol):
    @property
    def name(self) -> str: ...
    @property
    def shell(self) -> Shell | None: ...


class _Lab(Protocol):
    @property
    def alive(self) -> bool: ...
    @property
    def hosts(self) -> Sequence[_Host]: ...


class LiveHosts:
    """The hosts of a lab that is up.

    Args:
        lab: The lab.
    """

    live = True

    def __init__(self, lab: _Lab) -> None:
        self._lab = lab
        self.names = tuple(host.name for host in lab.hosts)

    def __repr__(self) -> str:
        return f"LiveHosts({', '.join(self.names)})"

    def ask(self, host: str, look: str) -> ProgramResult:
        """Run a command of the list on a host.

        Args:
            host: The host's name.
            look: The command's key.

        Raises:
            LabError: The lab is down.
            UsageError: There is no such host, or no such command in the list.
        """
        _require(host, self.names, look)
        found = next((each for each in self._lab.hosts if each.name == host), None)
        if found is None or found.shell is None or not self._lab.alive:
            raise LabError(
                "the lab is down",
                hint="Run the cell with mig.Lab(…) again, then those after it.",
            )
        return found.shell.run("env", PATH, *BY_KEY[look].argv)


class RecordedHosts:
    """What the hosts of a lab once answered.

    Args:
        answers: By host, and then by the command's key.
        wire: What was measured of the wire: what it was set to, and what came through.
    """

    live = False

    def __init__(
        self,
        answers: Mapping[str, Mapping[str, ProgramResult]],
        wire: Sequence[Mapping[str, float]] = (),
    ) -> None:
        self._answers = answers
        self.wire = tuple(dict(row) for row in wire)
        self.names = tuple(answers)

    def __repr__(self) -> str:
        return f"RecordedHosts({', '.join(self.names)})"

    @classmethod
    def load(cls, name: str = "host_commands") -> RecordedHosts:
        """Return a recording of ``data/course``.

        Args:
            name: Its file, without the ending.

        Raises:
            StoreError: There is none, or it cannot be read.
        """

        def made(told: Any) -> RecordedHosts:
            answers = {
                host: {
                    key: ProgramResult(answer["status"], answer["text"])
                    for key, answer in looks.items()
                }
                for host, looks in told["hosts"].items()
            }
            return cls(answers, told["wire"])

        return json_files.read(name, made)

    def save(self, path: Path) -> None:
        """Write the recording to a file."""
        answers = {
            host: {
                key: {"status": answer.status, "text": answer.text} for key, answer in looks.items()
            }
            for host, looks in self._answers.items()
        }
        json_files.write({"hosts": answers, "wire": self.wire}, path)

    def ask(self, host: str, look: str) -> ProgramResult:
        """Return what a host once answered.

        Args:
            host: The host's name.
            look: The command's key.

        Raises:
            UsageError: There is no such host, or no such command in the list.
        """
        _require(host, self.names, look)
        return self._answers[host][look]


def record(hosts: Hosts, wire: Sequence[Mapping[str, float]]) -> RecordedHosts:
    """Ask every host everything, and keep the answers.

    Args:
        hosts: The hosts.
        wire: What was measured of their wire.
    """
    return RecordedHosts(
        {
            host: {look.key: hosts.ask(host, look.key) for look in HOST_COMMANDS}
            for host in hosts.names
        },
        wire,
    )


def _require(host: str, hosts: Sequence[str], look: str) -> None:
    for value, known in ((host, hosts), (look, tuple(BY_KEY))):
        if value not in known:
            raise UsageError(f"there is no {value!r}", hint=f"choose one of {', '.join(known)}")
