"""Change a running lab host in ways that can be undone, as the faults need them.

A change needs only its own fields and the lab's folder to be made and undone. Undoing is harmless
where nothing was done. So another process can fix what a dead one has broken.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Protocol

from migrationlab.errors import LabError
from migrationlab.hosts.host import Host
from migrationlab.lab import namespaces
from migrationlab.lab.lab_base import LabBase

#: The folders of a host whose original files are in the lab's folder, and where.
ORIGINALS = {"root/.ssh": "ssh", "etc": "etc"}


class Change(Protocol):
    """A change of a host that can be undone."""

    def make(self, lab: LabBase) -> None:
        """Make the change."""

    def undo(self, lab: LabBase) -> None:
        """Undo the change."""


@dataclass(frozen=True, slots=True)
class FileChanged:
    """A file of a host with another text, or without the file.

    Attributes:
        host: The host's name.
        path: The file, below the host's root; one of those that ``host_config`` writes.
        text: The new text; None to delete the file.
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
        """Write the original text."""
        self._write(lab, original(lab, self.host, self.path))

    def _write(self, lab: LabBase, text: str) -> None:
        script = 'umask 077; cat >"$1"'
        _run(lab, self.host, "sh", "-c", script, "sh", f"/{self.path}", text=text)


@dataclass(frozen=True, slots=True)
class Ran:
    """A shell script that was run on a host.

    Attributes:
        host: The host's name.
        script: The script.
        back: The script that undoes it, also where it did not run.
    """

    host: str
    script: str
    back: str

    def make(self, lab: LabBase) -> None:
        """Run the script."""
        _run(lab, self.host, "sh", "-euc", self.script)

    def undo(self, lab: LabBase) -> None:
        """Run the script that undoes it."""
        _run(lab, self.host, "sh", "-euc", self.back)


@dataclass(frozen=True, slots=True)
class CertificatesRead:
    """libvirtd reads its certificates again; its connections stay."""

    host: str

    def make(self, lab: LabBase) -> None:
        """Read them."""
        _run(lab, self.host, "virt-admin", "server-update-tls", "libvirtd")

    def undo(self, lab: LabBase) -> None:
        """Read them."""
        self.make(lab)


@dataclass(frozen=True, slots=True)
class Restarted:
    """libvirtd restarts and reads its settings."""

    host: Host

    def make(self, lab: LabBase) -> None:
        """Restart it."""
        lab.restart_libvirtd(self.host)

    def undo(self, lab: LabBase) -> None:
        """Restart it."""
        self.make(lab)


def original(lab: LabBase, host: str, path: str) -> str:
    """Return the text of a host's file when the lab started.

    Args:
        lab: The lab.
        host: The host's name.
        path: The file, below the host's root.
    """
    directory = lab.files.host(host).directory
    for folder, kept in ORIGINALS.items():
        if PurePosixPath(path).is_relative_to(folder):
            return Path(directory, kept, PurePosixPath(path).relative_to(folder)).read_text()
    raise ValueError(f"path must be below {', '.join(ORIGINALS)} (got {path!r})")


def undo_all(lab: LabBase, changes: tuple[Change, ...]) -> None:
    """Undo changes in the order in which they were made, also after one fails.

    Raises:
        LabError: Not all could be undone.
    """
    failed: list[LabError] = []
    for change in changes:
        try:
            change.undo(lab)
        except LabError as error:
            failed.append(error)
    if failed:
        raise LabError(
            f"fixing the lab failed: {'; '.join(str(error) for error in failed)}",
            hint="Try once more, or take the lab down and start a new one.",
        ) from failed[0]


def _run(lab: LabBase, host: str, *argv: str, text: str = "") -> None:
    namespaces.run([*lab.rack.in_host(host), *argv], text=text)
