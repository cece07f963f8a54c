"""Between two real hosts: who dials whom, by which port, as whom, and how to try it by hand.

Pure: what stands in the form in, records, command lines and escaped HTML out. Who dials is
``Plan.connections()``'s to say, what cannot work ``Plan.problems()``'s; here ports and logins
are added.
Nothing is resolved or dialled. Imports neither libvirt nor IPython nor ipywidgets.

Sources: libvirt's ``docs/uri.rst`` and ``docs/remote.rst`` (transports and their ports),
``src/qemu/qemu.conf.in`` (migration_port_min, migration_port_max), ``docs/migration.rst``.
"""

from __future__ import annotations

import html
import shlex
from collections.abc import Iterable
from dataclasses import dataclass, replace

from migrationlab.errors import PlanError
from migrationlab.plan.plan import Connection, Endpoint, Mode, Plan, Problem
from migrationlab.plan.uris import (
    ConnectionUri,
    MigrationUri,
    host_of,
    validate_connection_uri,
    validate_domain_name,
)

SSH = ("ssh", "libssh", "libssh2")
#: libvirt's own ports; ssh's is what ssh's configuration says, usually 22.
TCP_PORT, TLS_PORT = 16509, 16514
FIRST_PORT, LAST_PORT = 49152, 49215
HERE = "this machine"


@dataclass(frozen=True, slots=True)
class ConnectionCheck:
    """One connection of a migration, as somebody who has to open it needs to know it.

    Attributes:
        opened_by: The machine that dials, and so the one whose names and keys count.
        listener: Who listens, and on which machine.
        port: By which port.
        identity: As whom the dialler comes.
        uri: What is dialled.
        attempt: A command that tries it.
        where: Where to type it.
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
    """What stands in the form: two hosts, a guest, a mode.

    Attributes:
        source_uri: How this machine reaches the source's libvirtd.
        destination_uri: The connection URI of the destination's libvirtd.
        domain: The guest's name.
        mode: Who controls the migration.
        migration_uri: Where the memory goes, where not by the destination's own name.
    """

    source_uri: str
    destination_uri: str
    domain: str
    mode: Mode = Mode.NORMAL
    migration_uri: str = ""

    @property
    def source(self) -> str:
        """The source's name, as its URI has it; this machine where that names none."""
        return host_of(self.source_uri) or HERE

    @property
    def destination(self) -> str:
        """The destination's name, as its URI has it."""
        return host_of(self.destination_uri) or "destination"

    def problems(self) -> tuple[Problem, ...]:
        """Say everything that is wrong; empty where it can work."""
        found: list[Problem] = []
        # The source's may be this machine's own.
        if not self.source_uri.startswith("qemu:///"):
            found += [
                replace(problem, field="source", reason=_of_source(problem.reason))
                for problem in validate_connection_uri(self.source_uri.strip(), Mode.NORMAL)
            ]
        if not self.destination_uri.strip():
            reason = "The destination's connection URI is missing."
            found.append(Problem("connection_uri", reason, "As qemu+ssh://root@node2/system."))
        source = None if self.source == HERE else self.source
        found += self._asked().problems(source=source, destination=host_of(self.destination_uri))
        found += validate_domain_name(self.domain)
        return tuple(found)

    def plan(self) -> Plan:
        """Return the plan, what is left out filled in.

        Raises:
            PlanError: It cannot work; the message is the first problem's.
        """
        if problems := self.problems():
            raise PlanError(problems[0].reason, hint=problems[0].hint)
        return self._asked().filled(destination=self.destination)

    def checks(self) -> tuple[ConnectionCheck, ...]:
        """Return who dials whom, in the order in which it happens.

        Raises:
            PlanError: As for :meth:`plan`.
        """
        talks = self.plan().connections(source_uri=self.source_uri)
        return tuple(self._check(talk) for talk in talks)

    def commands(self) -> tuple[tuple[str, str], ...]:
        """Return what to type on this machine, each with what it does.

        Raises:
            PlanError: As for :meth:`plan`.
        """
        plan, ends = self.plan(), ["--from", self.source_uri, "--to", self.destination_uri]
        more = ["--mode", str(self.mode)]
        more += ["--migration-uri", self.migration_uri.strip()] if self.migration_uri else []
        return (
            ("See what stands in the check; nothing moves.",
             shlex.join(["migrationlab", "doctor", *ends, "--domain", self.domain, *more])),
            ("Migrate, measure, and keep the run.",
             shlex.join(["migrationlab", "migrate", self.domain, *ends, *more])),
            ("The same with virsh, unmeasured.",
             shlex.join(plan.virsh(self.domain, source_uri=self.source_uri))),
        )  # fmt: skip

    def _asked(self) -> Plan:
        return Plan(
            mode=self.mode,
            connection_uri=self.destination_uri.strip() or None,
            migration_uri=self.migration_uri.strip() or None,
        )

    def _check(self, talk: Connection) -> ConnectionCheck:
        if talk.listener is Endpoint.DESTINATION_QEMU:
            return self._memory(talk.uri)
        assert talk.uri is not None  # filled in by plan()
        uri = shlex.quote(talk.uri)
        there = self.source if talk.listener is Endpoint.SOURCE_LIBVIRTD else self.destination
        if talk.opened_by is Endpoint.CLIENT:
            opened_by, whose, where = HERE, "you", HERE
        else:
            opened_by, whose = self.source, f"root of {self.source}"
            where = f"{self.source}, as root"
        port, identity = _login(talk.uri, whose)
        attempt = f"virsh --connect {uri} hostname"
        return ConnectionCheck(
            opened_by, f"libvirtd of {there}", port, identity, talk.uri, attempt, where
        )

    def _memory(self, text: str | None) -> ConnectionCheck:
        listener = f"QEMU of {self.destination}"
        nobody = "nobody: there is no login"
        if text is None:  # left to the destination, which says its own name
            ports = f"{FIRST_PORT} to {LAST_PORT}"
            attempt = f"nc -zv {self.destination} {FIRST_PORT}"
            return ConnectionCheck(
                self.source, listener, ports, nobody, "auto", attempt, self.source
            )
        uri = MigrationUri.parse(text)
        if uri.path:
            attempt = f"test -S {shlex.quote(uri.path)}"
            return ConnectionCheck(
                self.source, listener, "a socket", nobody, text, attempt, self.source
            )
        port = str(uri.port) if uri.port else f"{FIRST_PORT} to {LAST_PORT}"
        attempt = f"nc -zv {uri.host} {uri.port or FIRST_PORT}"
        return ConnectionCheck(self.source, listener, port, nobody, text, attempt, self.source)


def table(checks: Iterable[ConnectionCheck]) -> str:
    """Give the checks as a checklist, a row each."""
    titles = ("", "who dials", "who listens", "port", "as whom", "try it")
    head = "".join(f'<th scope="col" style="text-align:left">{title}</th>' for title in titles)
    rows = "".join(
        f'<tr><th scope="row">{number}</th>'
        + "".join(
            f'<td style="text-align:left">{html.escape(text)}</td>'
            for text in (check.opened_by, check.listener, check.port, check.identity)
        )
        + f'<td style="text-align:left">on {html.escape(check.where)}:<br>'
        f"<code>{html.escape(check.attempt)}</code></td></tr>"
        for number, check in enumerate(checks, 1)
    )
    return (
        '<div class="jp-RenderedHTMLCommon" style="overflow-x:auto"><table>'
        '<caption style="text-align:left;font-weight:bold">Each of these must work</caption>'
        f"<thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>"
    )


def lines(commands: Iterable[tuple[str, str]]) -> str:
    """Give command lines, each under what it does."""
    return "".join(
        f'<div style="line-height:1.45;margin-top:0.4em">{html.escape(about)}</div>'
        '<pre style="line-height:1.45;white-space:pre-wrap;margin:0;padding:0.4em 0.6em;'
        f'background:#F4F6F8;color:#222222"><code>{_unbroken(line)}</code></pre>'
        for about, line in commands
    )


def _unbroken(line: str) -> str:
    # Broken at spaces only: a browser would break at hyphens too.
    words = (html.escape(word) for word in line.split(" "))
    return " ".join(f'<span style="white-space:nowrap">{word}</span>' for word in words)


def _login(text: str, whose: str) -> tuple[str, str]:
    """Return by which port a libvirtd is dialled, and as whom."""
    if text.startswith("qemu:///"):
        return "a socket", whose
    uri = ConnectionUri.parse(text)
    if uri.transport in SSH:
        port = str(uri.port) if uri.port else "ssh's, usually 22"
        user = f"logged in as {uri.user}" if uri.user else "logged in under the same name"
        return port, f"{whose}, by ssh key, {user}"
    if uri.transport == "tcp":
        return str(uri.port or TCP_PORT), "by SASL, unless auth_tcp is none; not encrypted"
    if uri.transport in (None, "tls"):
        return str(uri.port or TLS_PORT), f"{whose}, by TLS client certificate"
    return "a socket", whose


def _of_source(reason: str) -> str:
    return reason.replace("the destination's libvirtd", "the source's libvirtd")
