"""Change a running lab host in ways that can be undone, as the faults need them.

A change needs only its own arguments and the lab's folder to be made and undone. It is harmless to
undo a change that was not made. So another process can undo the changes of a dead one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath

from migrationlab.errors import LabError
from migrationlab.hosts.host import Host
from migrationlab.lab import namespaces
from migrationlab.lab.lab_base import LabBase

#: The folders of a host with originals in the lab's folder, and the places of these.
ORIGINALS = {"root/.ssh": "ssh", "etc": "etc"}


@dataclass(frozen=True, slots=True)
class Change:
    """A change of a host that can be undone."""

    make: Callable[[], None]
    undo: Callable[[], None]


def file_changed(lab: LabBase, host: str, path: str, text: str | None) -> Change:
    """Replace the text of a host's file; None deletes the file.

    The ``path`` is below the host's root, one of those that ``host_config`` writes.
    """

    def write(text: str) -> None:
        script = 'umask 077; cat >"$1"'
        _run(lab, host, "sh", "-c", script, "sh", f"/{path}", text=text)

    delete = partial(_run, lab, host, "rm", "-f", f"/{path}")
    return Change(
        make=delete if text is None else partial(write, text),
        undo=lambda: write(original(lab, host, path)),
    )


def ran(lab: LabBase, host: str, script: str, back: str) -> Change:
    """Run a shell script on a host; ``back`` undoes it, even if it did not run."""
    return Change(*(partial(_run, lab, host, "sh", "-euc", each) for each in (script, back)))


def certificates_read(lab: LabBase, host: str) -> Change:
    """Let the daemon that serves other machines read its certificates again.

    Its connections stay. virt-admin finds it by itself: virtproxyd has the socket of libvirtd.
    """
    server = lab.files.host(host).server
    read = partial(_run, lab, host, "virt-admin", "server-update-tls", server)
    return Change(read, read)


def restarted(lab: LabBase, host: Host) -> Change:
    """Let libvirtd restart and read its settings."""
    restart = partial(lab.restart_libvirtd, host)
    return Change(restart, restart)


def original(lab: LabBase, host: str, path: str) -> str:
    """Return the text that a file, below the host's root, had when the lab started."""
    directory = lab.files.host(host).directory
    for folder, kept in ORIGINALS.items():
        if PurePosixPath(path).is_relative_to(folder):
            return Path(directory, kept, PurePosixPath(path).relative_to(folder)).read_text()
    raise ValueError(f"path must be below {', '.join(ORIGINALS)} (got {path!r})")


def undo_all(changes: Iterable[Change]) -> None:
    """Undo changes in the order in which they were made, also after one fails.

    Raises:
        LabError: Not all could be undone.
    """
    failed: list[LabError] = []
    for change in changes:
        try:
            change.undo()
        except LabError as error:
            failed.append(error)
    if failed:
        raise LabError(
            f"fixing the lab failed: {'; '.join(str(error) for error in failed)}",
            hint="Try once more, or take the lab down and start a new one.",
        ) from failed[0]


def _run(lab: LabBase, host: str, *argv: str, text: str = "") -> None:
    namespaces.run([*lab.rack.in_host(host), *argv], text=text)
