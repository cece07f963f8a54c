"""List the connections of a migration between the user's own two hosts, with commands to try them.

``Plan.connections()`` returns the connections, and ``Plan.problems()`` the problems of a plan. This
module adds ports, logins and command lines. It resolves no name and opens no connection.

Sources: libvirt's ``docs/uri.rst`` and ``docs/remote.rst`` (transports and their ports),
``src/qemu/qemu.conf.in`` (migration_port_min, migration_port_max), ``docs/migration.rst``.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass

from migrationlab.plan.plan import Connection, Endpoint, Mode, Plan, Problem
from migrationlab.plan.problem import require_none
from migrationlab.plan.uris import (
    ConnectionUri,
    MigrationUri,
    host_of,
    validate_connection_uri,
    validate_domain_name,
)

SSH = ("ssh", "libssh", "libssh2")
#: libvirt's own ports; the port of ssh is in ssh's configuration, usually 22.
TCP_PORT, TLS_PORT = 16509, 16514
FIRST_PORT, LAST_PORT = 49152, 49215
HERE = "this machine"
SOCKET = "a socket"


@dataclass(frozen=True, slots=True)
class ConnectionCheck:
    """One connection of a migration, with everything that is needed to open it.

    Attributes:
        opened_by: The machine that connects: its names and keys count.
        listener: The program that listens, and its machine.
        port: The port.
        identity: The login.
        uri: The URI.
        attempt: A command that tries it.
        where: Where to type the command.
    """

    opened_by: str
    listener: str
    port: str
    identity: str
    uri: str
    attempt: str
    where: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MigrationForm:
    """The content of the form: two hosts, a guest, a mode.

    Attributes:
        source_uri: The URI by which this machine reaches the source's libvirtd.
        destination_uri: The connection URI of the destination's libvirtd.
        domain: The guest's name.
        mode: The mode: the side that controls the migration.
        migration_uri: The address for the memory; empty for the destination's own name.
    """

    source_uri: str
    destination_uri: str
    domain: str
    mode: Mode = Mode.NORMAL
    migration_uri: str = ""

    @property
    def source(self) -> str:
        """Return the source's name in its URI; this machine if the URI names no host."""
        return host_of(self.source_uri) or HERE

    @property
    def destination(self) -> str:
        """Return the destination's name in its URI."""
        return host_of(self.destination_uri) or "destination"

    def problems(self) -> tuple[Problem, ...]:
        """Return all problems; empty if the migration can work."""
        found: list[Problem] = []
        # The source may be this machine.
        if not self.source_uri.startswith("qemu:///"):
            uri = self.source_uri.strip()
            found += validate_connection_uri(uri, Mode.NORMAL, field="source", of="the source")
        if not self.destination_uri.strip():
            reason = "connection_uri must be given (got '')"
            found.append(Problem("connection_uri", reason, "Use qemu+ssh://root@node2/system."))
        source = None if self.source == HERE else self.source
        found += self._plan().problems(source=source, destination=host_of(self.destination_uri))
        found += validate_domain_name(self.domain)
        return tuple(found)

    def plan(self) -> Plan:
        """Return the plan, with the left-out values filled in.

        Raises:
            PlanError: The plan cannot work; the message lists the problems.
        """
        require_none(self.problems())
        return self._plan().filled(destination=self.destination)

    def checks(self) -> tuple[ConnectionCheck, ...]:
        """Return the connections of the migration, in the order of opening."""
        return tuple(map(self._check, self.plan().connections(source_uri=self.source_uri)))

    def commands(self) -> tuple[tuple[str, list[str]], ...]:
        """Return the commands to type on this machine: their purposes and their words."""
        plan = self.plan()
        ends = ["--from", self.source_uri, "--to", self.destination_uri]
        more = ["--mode", str(self.mode)]
        if self.migration_uri:
            more += ["--migration-uri", self.migration_uri.strip()]
        doctor = ["migrationlab", "doctor", *ends, "--domain", self.domain, *more]
        return (
            ("Find what blocks the migration; nothing moves.", doctor),
            (
                "Migrate, measure, and save the run.",
                ["migrationlab", "migrate", self.domain, *ends, *more],
            ),
            (
                "The same with virsh, without measurements.",
                plan.virsh(self.domain, source_uri=self.source_uri),
            ),
        )

    def _plan(self) -> Plan:
        return Plan(
            mode=self.mode,
            connection_uri=self.destination_uri.strip() or None,
            migration_uri=self.migration_uri.strip() or None,
        )

    def _check(self, connection: Connection) -> ConnectionCheck:
        if connection.listener is Endpoint.DESTINATION_QEMU:
            return self._check_memory(connection.uri)
        uri = connection.uri
        assert uri is not None  # filled in by plan()
        there = self.source if connection.listener is Endpoint.SOURCE_LIBVIRTD else self.destination
        if connection.opened_by is Endpoint.CLIENT:
            opened_by, user, where = HERE, "you", HERE
        else:
            opened_by, user = self.source, f"root of {self.source}"
            where = f"{self.source}, as root"
        port, identity = _login(uri, user)
        attempt = f"virsh --connect {shlex.quote(uri)} hostname"
        return ConnectionCheck(
            opened_by, f"libvirtd of {there}", port, identity, uri, attempt, where
        )

    def _check_memory(self, text: str | None) -> ConnectionCheck:
        uri = MigrationUri.parse(text) if text is not None else None
        if uri is not None and uri.path:
            port, attempt = SOCKET, f"test -S {shlex.quote(uri.path)}"
        else:
            # Without a URI, the destination gives its own name.
            host, number = (self.destination, None) if uri is None else (uri.host, uri.port)
            port = str(number) if number else f"{FIRST_PORT} to {LAST_PORT}"
            attempt = f"nc -zv {host} {number or FIRST_PORT}"
        return ConnectionCheck(
            opened_by=self.source,
            listener=f"QEMU of {self.destination}",
            port=port,
            identity="nobody: there is no login",
            uri=text or "auto",
            attempt=attempt,
            where=self.source,
        )


def _login(text: str, user: str) -> tuple[str, str]:
    """Return the port of a libvirtd, and the login."""
    if text.startswith("qemu:///"):
        return SOCKET, user
    uri = ConnectionUri.parse(text)
    if uri.transport in SSH:
        port = str(uri.port) if uri.port else "ssh's, usually 22"
        name = f"logged in as {uri.user}" if uri.user else "logged in under the same name"
        return port, f"{user}, by ssh key, {name}"
    if uri.transport == "tcp":
        port = str(uri.port or TCP_PORT)
        return port, "by SASL, which encrypts; if auth_tcp is none: nobody, and not encrypted"
    if uri.transport in (None, "tls"):
        return str(uri.port or TLS_PORT), f"{user}, by TLS client certificate"
    return SOCKET, user
