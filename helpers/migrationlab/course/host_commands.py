"""Commands that read the state of a host: a fixed list, and hosts that answer them.

The hosts of a lab answer now; a recording answers with what its hosts said when it was made.
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
#: A user's own PATH may lack sbin, where tc is.
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


HOST_COMMANDS = tuple(
    HostCommand(*row)
    for row in (
        ("guests", "guests", ("virsh", "list", "--all"),
         "Each libvirtd knows its own guests only."),
        ("guest", "the guest", ("virsh", "dominfo", GUEST),
         "Only the host that the guest is on knows it."),
        ("cards", "the guest's network card", ("virsh", "domiflist", GUEST),
         "vnet… is the host's end of the guest's cable; it is plugged into the bridge lan."),
        ("processes", "processes", ("ps", "-eo", "pid,ppid,comm"),
         "A guest is one process, qemu-system-x86. The numbers begin at 1 on each host."),
        ("addresses", "network cards", ("ip", "-brief", "address"),
         "wire leads straight to the other host; uplink joins the bridge lan to the guests' LAN."),
        ("names", "names", ("cat", "/etc/hosts"),
         "The names by which the hosts find each other, and that URIs are made of."),
        ("wire", "the wire", ("tc", "-s", "qdisc", "show", "dev", "wire"),
         "rate is what the wire lets through; Sent counts what has passed."),
        ("listening", "who listens", ("ss", "-tlnp"),
         "22: sshd. 16509, 16514: libvirtd by TCP, TLS. From 49152: QEMU, while a guest arrives."),
        ("machine", "the machine", ("virsh", "nodeinfo"),
         "Processors and memory, as the host sees them. Compare both hosts."),
        ("kernel", "the kernel", ("uname", "-nsr"),
         "The host's own name, and the kernel that it runs on. Compare both hosts."),
        ("load", "the load", ("uptime",),
         "How long the machine has been up, and how many processes want to run. Compare."),
        ("namespaces", "namespaces", ("readlink", *(f"/proc/self/ns/{kind}" for kind in KINDS)),
         "Equal numbers: shared by both hosts. Different ones: each host has its own."),
    )
)  # fmt: skip
BY_KEY = {command.key: command for command in HOST_COMMANDS}


class Hosts(Protocol):
    """Hosts that can be asked."""

    @property
    def names(self) -> tuple[str, ...]:
        """Their names."""

    @property
    def live(self) -> bool:
        """Whether they answer now; a recording does not."""

    def ask(self, host: str, command: str) -> ProgramResult:
        """Return a host's answer to the command with this key."""


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
    """The hosts of a lab that is up."""

    live = True

    def __init__(self, lab: _Lab) -> None:
        self._lab = lab
        self.names = tuple(host.name for host in lab.hosts)

    def __repr__(self) -> str:
        return f"LiveHosts({', '.join(self.names)})"

    def ask(self, host: str, command: str) -> ProgramResult:
        """Run a command of the list on a host.

        Args:
            host: The host's name.
            command: The command's key.

        Raises:
            LabError: The lab is down.
            UsageError: There is no such host, or no such command in the list.
        """
        _check_names(host, self.names, command)
        found = next((each for each in self._lab.hosts if each.name == host), None)
        if found is None or found.shell is None or not self._lab.alive:
            raise LabError(
                "the lab is down",
                hint="Run the cell with mig.Lab(…) again, then the cells after it.",
            )
        return found.shell.run("env", PATH, *BY_KEY[command].argv)


class RecordedHosts:
    """The recorded answers of a lab's hosts.

    Args:
        answers: By host, and then by the command's key.
        wire: Measurements of the wire: the rate that was set, and the payload that came through.
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
            StoreError: There is no such file, or its content is damaged.
        """

        def make(saved: Any) -> RecordedHosts:
            answers = {
                host: {
                    key: ProgramResult(answer["status"], answer["text"])
                    for key, answer in commands.items()
                }
                for host, commands in saved["hosts"].items()
            }
            return cls(answers, saved["wire"])

        return json_files.read(name, make)

    def save(self, path: Path) -> None:
        """Write the recording to a file."""
        answers = {
            host: {
                key: {"status": answer.status, "text": answer.text}
                for key, answer in commands.items()
            }
            for host, commands in self._answers.items()
        }
        json_files.write({"hosts": answers, "wire": self.wire}, path)

    def ask(self, host: str, command: str) -> ProgramResult:
        """Return a host's recorded answer.

        Args:
            host: The host's name.
            command: The command's key.

        Raises:
            UsageError: There is no such host, or no such command in the list.
        """
        _check_names(host, self.names, command)
        return self._answers[host][command]


def record(hosts: Hosts, wire: Sequence[Mapping[str, float]]) -> RecordedHosts:
    """Ask every host every command, and return the answers with measurements of the wire."""
    answers = {
        host: {command.key: hosts.ask(host, command.key) for command in HOST_COMMANDS}
        for host in hosts.names
    }
    return RecordedHosts(answers, wire)


def _check_names(host: str, hosts: Sequence[str], command: str) -> None:
    for value, known in ((host, hosts), (command, tuple(BY_KEY))):
        if value not in known:
            raise UsageError(f"there is no {value!r}", hint=f"Choose one of {', '.join(known)}.")
