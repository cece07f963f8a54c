"""Changes to a running lab host that can be taken back, as the broken cases need them.

Each change is made and undone by what stands in it and in the lab's folder alone, and undoing
is harmless where nothing was done: so another process can mend what one that died has broken.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Protocol

from migrationlab.errors import LabError
from migrationlab.hosts.host import Host
from migrationlab.lab import namespaces
from migrationlab.lab.lab_base import LabBase

#: Where the lab's folder keeps what stands below these folders of a host.
KEPT = {"root/.ssh": "ssh", "etc": "etc"}


class Change(Protocol):
    """Something that is done to a host, and can be taken back."""

    def make(self, lab: LabBase) -> None:
        """Do it."""

    def undo(self, lab: LabBase) -> None:
        """Take it back."""


@dataclass(frozen=True, slots=True)
class FileChanged:
    """A file of a host that says something else, or is gone.

    Attributes:
        host: The host's name.
        path: The file, below the host's root; one of those that ``hostconfig`` writes.
        text: What it says instead; None to delete it.
    """

    host: str
    path: str
    text: str | None

    def make(self, lab: LabBase) -> None:
        """Write the file, or delete it."""
        if self.text is None:
            _run(lab, self.host, "rm", "-f", f"/{self.path}")
        else:
            self._write(lab, self.text)

    def undo(self, lab: LabBase) -> None:
        """Write the file as the lab's folder has it."""
        self._write(lab, original(lab, self.host, self.path))

    def _write(self, lab: LabBase, text: str) -> None:
        script = 'umask 077; cat >"$1"'
        _run(lab, self.host, "sh", "-c", script, "sh", f"/{self.path}", text=text)


@dataclass(frozen=True, slots=True)
class Ran:
    """A shell script that was run on a host.

    Attributes:
        host: The host's name.
        script: What it runs.
        back: What takes that back, also where it has not been run.
    """

    host: str
    script: str
    back: str

    def make(self, lab: LabBase) -> None:
        """Run the script."""
        _run(lab, self.host, "sh", "-euc", self.script)

    def undo(self, lab: LabBase) -> None:
        """Run the script that takes it back."""
        _run(lab, self.host, "sh", "-euc", self.back)


@dataclass(frozen=True, slots=True)
class CertificatesRead:
    """The moment when a libvirtd reads its certificates anew; what it serves goes on."""

    host: str

    def make(self, lab: LabBase) -> None:
        """Let it read them."""
        _run(lab, self.host, "virt-admin", "server-update-tls", "libvirtd")

    def undo(self, lab: LabBase) -> None:
        """Let it read them."""
        self.make(lab)


@dataclass(frozen=True, slots=True)
class Restarted:
    """The moment when a libvirtd starts anew, and reads its settings."""

    host: Host

    def make(self, lab: LabBase) -> None:
        """Restart it."""
        lab.restart_libvirtd(self.host)

    def undo(self, lab: LabBase) -> None:
        """Restart it."""
        self.make(lab)


def original(lab: LabBase, host: str, path: str) -> str:
    """Return what a file of a host said when the lab started.

    Args:
        lab: The lab.
        host: The host's name.
        path: The file, below the host's root.
    """
    directory = lab.files.host(host).directory
    for folder, kept in KEPT.items():
        if PurePosixPath(path).is_relative_to(folder):
            return Path(directory, kept, PurePosixPath(path).relative_to(folder)).read_text()
    raise ValueError(f"the lab's folder keeps no {path} of its hosts")


def undo_all(lab: LabBase, changes: tuple[Change, ...]) -> None:
    """Take changes back in the order in which they were made, each whatever becomes of the others.

    Raises:
        LabError: Not all could be taken back.
    """
    failed: list[LabError] = []
    for change in changes:
        try:
            change.undo(lab)
        except LabError as error:
            failed.append(error)
    if failed:
        raise LabError(
            f"the lab could not be mended: {'; '.join(str(error) for error in failed)}",
            hint="try once more, or take the lab down and start a new one",
        ) from failed[0]


def _run(lab: LabBase, host: str, *argv: str, text: str = "") -> None:
    namespaces.run([*lab.rack.in_host(host), *argv], text=text)
