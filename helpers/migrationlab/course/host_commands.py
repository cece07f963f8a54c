"""Read the state of a host with commands from a fixed list, on live or recorded hosts.

The hosts of a lab run the command. A recording has the answers that its hosts gave earlier.
"""

from __future__ import annotations

import shlex
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Protocol

import msgspec

from migrationlab.course import json_files
from migrationlab.errors import LabError, UsageError
from migrationlab.hosts.shell import Shell
from migrationlab.plan.wording import nearest

#: The kinds of namespace, which separate processes on Linux: namespaces(7).
KINDS = ("cgroup", "ipc", "mnt", "net", "pid", "time", "user", "uts")
#: A user's own PATH may lack sbin, where tc is.
PATH = "PATH=/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass(frozen=True, slots=True)
class HostCommand:
    """A command that only reads.

    Attributes:
        key: The command's name in a program.
        title: The content of its answer, in a few words.
        line: The command line for a shell.
        about: The part of its answer to look at.
        lesson: The lesson that shows it.
    """

    key: str
    title: str
    line: str
    about: str
    lesson: str = "02"


@dataclass(frozen=True, slots=True)
class Answer:
    """The output of a command on a host, and its exit status."""

    status: int
    text: str


HOST_COMMANDS = tuple(
    HostCommand(key, **about)
    for key, about in tomllib.loads(
        Path(__file__).with_suffix(".toml").read_text(encoding="utf-8")
    ).items()
)
BY_KEY = {command.key: command for command in HOST_COMMANDS}


class Hosts(Protocol):
    """Hosts that can be asked."""

    @property
    def names(self) -> tuple[str, ...]:
        """Their names."""

    @property
    def live(self) -> bool:
        """Return whether the hosts are live; those of a recording are not."""

    def ask(self, host: str, command: str) -> Answer:
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

    def ask(self, host: str, command: str) -> Answer:
        """Run a command of the list on a host."""
        _check_names(host, self.names, command)
        found = next((each for each in self._lab.hosts if each.name == host), None)
        if found is None or found.shell is None or not self._lab.alive:
            raise LabError(
                "the lab is down",
                hint="Run the cell with mig.Lab(…) again, then the cells after it.",
            )
        result = found.shell.run("env", PATH, *shlex.split(BY_KEY[command].line))
        return Answer(result.status, result.text)


class RecordedHosts(msgspec.Struct, frozen=True):
    """The recorded answers of a lab's hosts.

    Attributes:
        hosts: The answers by host, and then by the command's key.
        wire: Measurements of the wire: the set rate, and the payload that arrived.
    """

    hosts: Mapping[str, Mapping[str, Answer]]
    wire: Sequence[Mapping[str, float]]
    live: ClassVar[bool] = False

    @property
    def names(self) -> tuple[str, ...]:
        """Their names."""
        return tuple(self.hosts)

    def __repr__(self) -> str:
        return f"RecordedHosts({', '.join(self.names)})"

    @classmethod
    def load(cls, name: str = "host_commands") -> RecordedHosts:
        """Return a recording of ``data/course``, by its file without the ending."""
        return json_files.read(name, cls)

    def save(self, path: Path) -> None:
        """Write the recording to a file."""
        json_files.write(self, path)

    def ask(self, host: str, command: str) -> Answer:
        """Return a host's recorded answer."""
        _check_names(host, self.names, command)
        return self.hosts[host][command]


def record(hosts: Hosts, wire: Sequence[Mapping[str, float]]) -> RecordedHosts:
    """Run every command on every host; return the answers with measurements of the wire."""
    answers = {
        host: {command.key: hosts.ask(host, command.key) for command in HOST_COMMANDS}
        for host in hosts.names
    }
    return RecordedHosts(answers, wire)


def _check_names(host: str, hosts: Sequence[str], command: str) -> None:
    for name, value, known in (("host", host, hosts), ("command", command, tuple(BY_KEY))):
        if value not in known:
            raise UsageError(
                f"{name} must be one of {', '.join(known)} (got {value!r})",
                hint=f"Give {nearest(value, known) or known[0]!r}.",
            )
