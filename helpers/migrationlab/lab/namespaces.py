"""Make and enter Linux namespaces.

As an ordinary user the lab lives in a user namespace, in which that user is root; as root no user
namespace is needed. Everything is done by util-linux's ``unshare`` and ``nsenter``, called with
argument lists.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import IO

import psutil

from migrationlab.errors import LabError
from migrationlab.hosts.program import NOT_RUN, run_program

GUARD = Path(__file__).parent / "payload" / "guard.py"


def rootless() -> bool:
    """Return whether this process needs a user namespace to become root."""
    return os.geteuid() != 0


def unshare(*options: str) -> list[str]:
    """Return the start of a command that runs in new namespaces, as their root.

    ``--map-auto`` maps the user's sub-uids too: with a single uid libvirtd dies on
    "cannot set supplemental groups".
    """
    user = ["--user", "--map-root-user", "--map-auto"] if rootless() else []
    return ["unshare", *user, *options, "--"]


def nsenter(pid: int, *options: str) -> list[str]:
    """Return the start of a command that runs in the namespaces of the process ``pid``."""
    user = ["--user", "--preserve-credentials"] if rootless() else []
    return ["nsenter", "--target", str(pid), *user, *options, "--"]


def child_environment() -> dict[str, str]:
    """Return the environment of programs; a user's PATH may lack sbin, where tc is."""
    path = os.environ.get("PATH", os.defpath)
    return os.environ | {"PATH": f"{path}:/usr/local/sbin:/usr/sbin:/sbin"}


def run(argv: Sequence[str], *, timeout_s: float = 30, text: str = "") -> str:
    """Run a program, with ``text`` as its standard input, and return its output as text.

    Raises:
        LabError: It is missing, failed, or took too long; the message has its reason.
    """
    return run_bytes(argv, timeout_s=timeout_s, text=text).decode(errors="replace")


def run_bytes(
    argv: Sequence[str], *, timeout_s: float = 30, text: str = "", cwd: Path | None = None
) -> bytes:
    """Run a program like :func:`run`, in the folder ``cwd``, and return its output as bytes."""
    done = run_program(argv, timeout_s=timeout_s, text=text, cwd=cwd, env=child_environment())
    if done.status:
        raise LabError(
            f"{' '.join(argv)} failed: {done.complaint}",
            hint="Run `make setup`."
            if done.status == NOT_RUN and done.stderr.endswith("not found")
            else "Run `migrationlab doctor`: it shows what this machine lacks.",
        )
    return done.output


def start_guarded(
    argv: Sequence[str], *options: str, stdin: int, stdout: int, stderr: int | IO[bytes]
) -> subprocess.Popen[bytes]:
    """Start a program in new namespaces that end with this process in every case.

    The ``options`` of ``unshare`` are the namespaces besides mount and pid. The result is the
    ``unshare`` process; end it with :func:`end_guarded`.
    """
    owner = os.pidfd_open(os.getpid())
    try:
        return subprocess.Popen(
            [
                *unshare(*options, "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"),
                *(sys.executable, "-I", "-S", str(GUARD), str(owner)),
                *argv,
            ],
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            pass_fds=[owner],
            env=child_environment(),
            # A Ctrl-C in the terminal must reach the owner only.
            start_new_session=True,
        )
    except FileNotFoundError as error:
        raise LabError("unshare is missing", hint="Run `make setup`.") from error
    finally:
        os.close(owner)


def end_guarded(process: subprocess.Popen[bytes]) -> None:
    """End a program of :func:`start_guarded`, and return after the end of all its processes."""
    # The child of ``unshare`` is killed: it is pid 1 of its namespace, so it ends after all other
    # processes there, and ``unshare`` ends after it.
    for first in psutil.Process(process.pid).children() if process.poll() is None else []:
        with contextlib.suppress(psutil.NoSuchProcess):  # it has just ended by itself
            first.kill()
    process.wait()
    for stream in (process.stdin, process.stdout, process.stderr):
        if stream is not None:
            with contextlib.suppress(BrokenPipeError):  # of output that was never read
                stream.close()


def remove_tree(path: Path) -> None:
    """Delete a folder, if it exists, also with files of the user's sub-uids."""
    if not path.exists():
        return
    try:
        shutil.rmtree(path)
    except PermissionError:
        # Only root in a namespace with the same map may delete files of sub-uids.
        run([*unshare(), "rm", "-rf", "--one-file-system", str(path)], timeout_s=120)


def pid_outside(pid: int, rack: int) -> int:
    """Return the pid in this process's namespace of the process ``pid`` inside a rack.

    ``rack`` is the pid of the rack's first process in this process's namespace.
    """
    for status in Path("/proc").glob("[0-9]*/status"):
        try:
            text = status.read_text()
        except (FileNotFoundError, ProcessLookupError):
            continue  # it ended while we looked
        # NSpid has the pid in this process's namespace first, and the innermost one's last.
        found = re.search(r"^NSpid:\t(\d+)\t(?:.*\t)?(\d+)$", text, re.MULTILINE)
        if found and int(found[2]) == pid and _same_pid_namespace(int(found[1]), rack):
            return int(found[1])
    raise LabError(f"process {pid} of the rack is gone", hint="Start a new lab.")


def _same_pid_namespace(one: int, other: int) -> bool:
    try:
        one_link, other_link = (Path(f"/proc/{pid}/ns/pid").readlink() for pid in (one, other))
    except (FileNotFoundError, PermissionError):
        return False
    return one_link == other_link
