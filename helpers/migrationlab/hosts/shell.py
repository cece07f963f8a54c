"""Run programs on a host's machine, by the way in its connection URI.

``qemu+ssh://root@node1/system`` is also a way to run ``getent`` on node1. A URI of this machine
needs no way. Any other URI shows no way, and then there is no shell. ssh gets the words that
libvirt gives it (``src/rpc/virnetsocket.c``, virNetSocketNewConnectSSH), so the same user, key and
options apply.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from urllib.parse import unquote

from migrationlab.hosts.program import ProgramResult, run_program
from migrationlab.plan.uri_parser import read_uri

#: The transports that log in by ssh. ``libssh`` and ``libssh2`` read ssh's files too.
SSH_TRANSPORTS = ("ssh", "libssh", "libssh2")


@dataclass(frozen=True, slots=True)
class Shell:
    """A way to run programs on a machine.

    Attributes:
        start: The first words of each command; empty for this machine.
        over_ssh: Whether another shell splits the words again, so that they must be quoted.
    """

    start: tuple[str, ...] = ()
    over_ssh: bool = False

    def command(self, *argv: str) -> list[str]:
        """Return the command that runs ``argv`` there."""
        return [*self.start, *([shlex.join(argv)] if self.over_ssh else argv)]

    def run(self, *argv: str, timeout_s: float = 15) -> ProgramResult:
        """Run a program there to its end."""
        return run_program(self.command(*argv), timeout_s=timeout_s)


def shell_of(uri: str) -> Shell | None:
    """Return the shell on the machine of a connection URI, or None if the URI shows no way.

    The URI is the one by which this process reaches a host's libvirtd.
    """
    parts = read_uri(uri)
    if not parts.hostname:
        # A socket at another path may be a forwarded one, or a lab host's.
        here = parts.transport in ("", "unix") and "socket" not in parts.options
        return Shell() if here else None
    if parts.transport not in SSH_TRANSPORTS:
        return None
    query, port = parts.options, parts.port_number
    unchecked = query.get("no_verify") == "1" or query.get("known_hosts_verify") == "ignore"
    command = [
        query.get("command", "ssh"),
        *(["-p", str(port)] if port else []),
        *(["-l", unquote(parts.user)] if parts.user else []),
        *(["-i", query["keyfile"]] if "keyfile" in query else []),
        *(["-o", f"UserKnownHostsFile={query['known_hosts']}"] if "known_hosts" in query else []),
        *(["-o", "StrictHostKeyChecking=no"] if unchecked else []),
        # Nobody is there to type a password.
        *("-T", "-e", "none", "-o", "BatchMode=yes", "-o", "ConnectTimeout=10"),
        *("--", parts.hostname),
    ]
    return Shell(tuple(command), over_ssh=True)
