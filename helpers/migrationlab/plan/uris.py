"""The two URIs of a migration: parsed, judged for the place they stand in, mended.

A *migration URI* says where the destination's QEMU listens for the guest's memory:
``tcp://host[:port]``, or ``rdma://host``, or ``unix:///path``. A *connection URI* says where the
destination's libvirtd is: ``qemu+ssh://user@host/system``. Both name the destination, in both
modes, and a URI of the one kind in the other's place is the mistake that this module is for: it
says what the URI is, what is wanted there, and the URI that would do.

What is refused here, libvirt or QEMU refuses too, or takes for something else than was meant.
One exception: a port of 0 (libvirt would choose one). Besides the two there are the URI of the
copied disks and that of the console's clients, judged likewise.
Sources: libvirt's ``docs/uri.rst`` and ``docs/migration.rst``;
``src/qemu/qemu_migration.c`` (qemuMigrationAnyParseURI, qemuMigrationDstPrepareDirect);
``src/libvirt-domain.c`` (virDomainMigrateCheckNotLocal); ``src/remote/remote_driver.c``
(doRemoteOpen).

Text in, records out: nothing is resolved or dialled. Imports no libvirt, and of the kit only
``errors`` and its own ``_uris.parts`` and ``_uris.faults``.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Self

from migrationlab.errors import PlanError, UsageError
from migrationlab.plan.uri_checks import (
    connection_faults,
    disks_faults,
    graphics_faults,
    migration_faults,
)
from migrationlab.plan.uri_parser import (
    DRIVERS,
    MIGRATION_SCHEMES,
    PATHS,
    TRANSPORTS,
    Fault,
    bare,
    bracketed,
    host_fault,
    is_local,
    is_port,
    nearest,
    quote,
    read,
    read_migration,
    same_machine,
)

__all__ = [
    "ConnectionUri",
    "MigrationUri",
    "Mode",
    "Problem",
    "connection_notes",
    "host_of",
    "is_local",
    "migration_notes",
    "nearest",
    "quote",
    "require_connection_uri",
    "same_machine",
    "validate_connection_uri",
    "validate_disks_uri",
    "validate_domain_name",
    "validate_graphics_uri",
    "validate_host_name",
    "validate_hosts",
    "validate_migration_uri",
]  # fmt: skip

MIGRATION_FORM = "tcp://HOST or tcp://HOST:PORT"
CONNECTION_FORM = "qemu+ssh://root@HOST/system"
_KNOWN_PORTS = {22: "sshd", 16509: "libvirtd (tcp)", 16514: "libvirtd (tls)"}


class Mode(StrEnum):
    """Who controls the migration: the client (normal) or the source's libvirtd (peer2peer)."""

    NORMAL = "normal"
    PEER2PEER = "peer2peer"

    @classmethod
    def _missing_(cls, value: object) -> None:
        known = nearest(str(value), list(cls))
        raise PlanError(
            f"unknown mode {quote(str(value))}",
            hint=f"Did you mean {known}?" if known else f"The modes are {' and '.join(cls)}.",
        )


@dataclass(frozen=True, slots=True)
class Problem:
    """A reason why a plan cannot work.

    Attributes:
        field: The plan's field, or ``source``, ``destination``, ``domain``.
        reason: What is wrong: what was given and what is wanted there.
        hint: What to do about it.
        suggestion: The URI that would do, itself judged good; None where none can be derived.
        rule: The name of the rule that it breaks, which stays the same.
    """

    field: str
    reason: str
    hint: str
    suggestion: str | None = None
    rule: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class MigrationUri:
    """A migration URI taken apart; ``str()`` puts it together again in its canonical form.

    Attributes:
        scheme: tcp, rdma or unix.
        host: Empty for a Unix socket.
        port: None where libvirt chooses it.
        path: The socket's path, empty for a host.
    """

    scheme: str = "tcp"
    host: str = ""
    port: int | None = None
    path: str = ""

    def __str__(self) -> str:
        if self.path:
            return f"{self.scheme}://{self.path}"
        return f"{self.scheme}://{bracketed(self.host)}" + (f":{self.port}" if self.port else "")

    @classmethod
    def parse(cls, text: str) -> Self:
        """Take ``text`` apart.

        Raises:
            PlanError: It is no migration URI that a plan could use.
        """
        _require_none(validate_migration_uri(text, Mode.NORMAL))
        if text.startswith("unix:"):
            return cls(scheme="unix", path=text.removeprefix("unix:").removeprefix("//"))
        parts = read_migration(text)
        return cls(
            scheme=parts.scheme or "tcp",
            host=bare(parts.host),
            port=int(parts.port) if parts.port else None,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionUri:
    """A connection URI taken apart; ``str()`` puts it together again.

    Attributes:
        transport: None where the URI names none: libvirt then uses TLS.
        host: None for a Unix socket, and for a command (``ext``) in normal mode.
    """

    driver: str = "qemu"
    transport: str | None = None
    user: str | None = None
    host: str | None = None
    port: int | None = None
    path: str = "/system"
    query: str = ""

    def __str__(self) -> str:
        return "".join(
            (
                self.driver,
                f"+{self.transport}" if self.transport else "",
                "://",
                f"{self.user}@" if self.user else "",
                bracketed(self.host or ""),
                f":{self.port}" if self.port else "",
                self.path,
                f"?{self.query}" if self.query else "",
            )
        )

    @classmethod
    def parse(cls, text: str, mode: Mode = Mode.NORMAL) -> Self:
        """Take ``text`` apart.

        Raises:
            PlanError: It is no connection URI that a plan in ``mode`` could use.
        """
        _require_none(validate_connection_uri(text, mode))
        parts = read(text)
        driver, _, transport = (parts.scheme or "").partition("+")
        return cls(
            driver=driver,
            transport=transport.lower() or None,
            user=parts.user or None,
            host=bare(parts.host) or None,
            port=int(parts.port) if parts.port else None,
            path=parts.path,
            query=parts.query,
        )


def validate_migration_uri(
    text: str, mode: Mode, *, source: str | None = None, destination: str | None = None
) -> tuple[Problem, ...]:
    """Say what is wrong with ``text`` as a migration URI; empty when nothing is.

    Args:
        text: Any text.
        mode: The plan's mode.
        source: The source's host name, which ``text`` must not name.
        destination: The destination's host name, for suggestions where ``text`` names none.
    """
    peer2peer = mode == Mode.PEER2PEER
    faults = tuple(migration_faults(text, peer2peer=peer2peer, source=source))
    good = (
        uri
        for uri in (_mended_migration(text, destination) if faults else ())
        if not any(migration_faults(uri, peer2peer=peer2peer, source=source))
    )
    return _problems("migration_uri", faults, next(good, None), MIGRATION_FORM)


def validate_connection_uri(
    text: str, mode: Mode, *, source: str | None = None, destination: str | None = None
) -> tuple[Problem, ...]:
    """Say what is wrong with ``text`` as the destination's connection URI; empty when nothing is.

    Args:
        text: Any text.
        mode: The plan's mode: it decides who dials the URI.
        source: The source's host name, which ``text`` must not name.
        destination: The destination's host name, for suggestions where ``text`` names none.
    """
    peer2peer = mode == Mode.PEER2PEER
    faults = tuple(connection_faults(text, peer2peer=peer2peer, source=source))
    good = (
        uri
        for uri in (_mended_connection(text, destination) if faults else ())
        if not any(connection_faults(uri, peer2peer=peer2peer, source=source))
    )
    return _problems("connection_uri", faults, next(good, None), CONNECTION_FORM)


def require_connection_uri(where: str, uri: str) -> None:
    """Refuse what libvirt would take for something else, or not at all.

    ``tcp://node1``, say, is a migration URI, and libvirt would ask for TLS certificates. A URI of
    this machine is no mistake here, and libvirt's test driver is for tests.

    Args:
        where: Where it was given, as ``--from``.
        uri: The URI.

    Raises:
        UsageError: It is no connection URI; the hint has one that would do, where there is one.
    """
    if uri.startswith(("qemu:///", "test:///")):
        return
    for problem in validate_connection_uri(uri, Mode.NORMAL):
        # Both ends are given in this way.
        reason = problem.reason.replace("the destination's libvirtd", "the host's libvirtd")
        raise UsageError(f"{where}: {reason}", hint=problem.hint)


def validate_disks_uri(text: str) -> tuple[Problem, ...]:
    """Say what is wrong with ``text`` as the URI of the copied disks; empty when nothing is."""
    faults = tuple(disks_faults(text))
    return _problems("disks_uri", faults, None, "tcp://ADDRESS:PORT or unix:///PATH")


def validate_graphics_uri(text: str) -> tuple[Problem, ...]:
    """Say what is wrong with ``text`` as the console's URI; empty when nothing is."""
    faults = tuple(graphics_faults(text))
    return _problems("graphics_uri", faults, None, "spice://HOST:PORT or vnc://HOST:PORT")


def validate_host_name(text: str, field: str) -> tuple[Problem, ...]:
    """Say what is wrong with ``text`` as a host's name or address; empty when nothing is."""
    fault = host_fault(bracketed(text)) if text else Fault("empty", "")
    if fault is None:
        return ()
    reason = f"{quote(text)} is no host name: {fault.reason}"
    return (Problem(field, reason, "Give a host name or an IP address, as host-b or 10.0.0.2."),)


def validate_domain_name(name: str) -> tuple[Problem, ...]:
    """Say what is wrong with ``name`` as a guest's name; empty when nothing is."""
    if name.strip() and name.isprintable() and "/" not in name:
        return ()
    return (
        Problem(
            "domain",
            f"{quote(name)} cannot be a guest's name",
            "Give the name that virsh list shows.",
        ),
    )


def validate_hosts(source: str | None, destination: str | None) -> tuple[Problem, ...]:
    """Say what is wrong with the names of the two hosts; None is for a name not given."""
    found: list[Problem] = []
    for field, name in (("source", source), ("destination", destination)):
        if name is not None:
            found += validate_host_name(name, field)
    if destination is not None and not found:
        if source is not None and same_machine(source, destination):
            found.append(
                Problem(
                    "destination",
                    f"source and destination are the same host, {destination}; libvirt's answer "
                    "is 'Attempt to migrate guest to the same host'.",
                    "Name another host as the destination.",
                )
            )
        elif is_local(destination):
            found.append(
                Problem(
                    "destination",
                    f"{destination} is whichever machine says it, so the same host would be "
                    "source and destination.",
                    "Name the destination as the source host sees it.",
                )
            )
    return tuple(found)


def host_of(text: str) -> str | None:
    """The host that ``text`` names, of whichever kind it is; None if none can be made out."""
    host = read_migration(text.strip()).host
    return bare(host) if host and host_fault(host) is None else None


def migration_notes(text: str) -> tuple[str, ...]:
    """What a user of this good migration URI should know."""
    if text == "auto":
        said = "The kit's own word: the destination's libvirtd chooses, and gives its host name."
        return (f"{said} The source must know that name.",)
    if text.startswith("unix:"):
        return ("A Unix socket needs somebody who forwards it from host to host.",)
    parts = read_migration(text)
    notes = []
    if parts.scheme == "rdma":
        notes.append(
            "RDMA needs RDMA network cards in both hosts, a QEMU built with it, and a memory "
            "hard_limit in the domain's XML."
        )
    if text.startswith("tcp:") and not text.startswith("tcp://"):
        notes.append(f"{text} is the old form of {MigrationUri.parse(text)}; libvirt takes both.")
    if parts.user is not None or parts.path or parts.query:
        notes.append(f"Only host and port of {text} count: libvirt ignores the rest.")
    if parts.port and (owner := _KNOWN_PORTS.get(int(parts.port))):
        notes.append(f"Port {parts.port} is usually {owner}'s own: QEMU needs a free one.")
    return tuple(notes)


def connection_notes(text: str, mode: Mode) -> tuple[str, ...]:
    """What a user of this good connection URI should know."""
    uri = ConnectionUri.parse(text, mode)
    notes = []
    if uri.transport is None:
        notes.append(
            f"{text} names no transport, so libvirt uses TLS: both hosts need certificates."
        )
    if uri.transport == "tcp":
        notes.append("qemu+tcp is not encrypted: for trusted networks only.")
    if mode == Mode.PEER2PEER and uri.transport in ("ssh", "libssh", "libssh2"):
        notes.append(
            "In peer2peer the source's libvirtd logs in by ssh, with its own user's keys and "
            "known_hosts (usually root's), not with the client's."
        )
    if uri.path == "/session":
        notes.append("/session is a user's own libvirtd; the system's is /system.")
    return tuple(notes)


def _mended_migration(text: str, destination: str | None) -> Iterator[str]:
    """Migration URIs that may have been meant, the likeliest first; not judged yet."""
    parts = read_migration(text.strip())
    if parts.scheme == "unix":
        path = text.strip().removeprefix("unix:")
        yield f"unix:///{path.removeprefix('//').partition('/')[2] if '//' in path else path}"
        return
    # The port of a connection URI is sshd's or libvirtd's: never QEMU's.
    keeps_port = parts.scheme is None or parts.scheme.lower() in ("tcp", "rdma")
    if keeps_port and parts.port and is_port(parts.port):
        yield str(MigrationUri(host=bare(parts.host), port=int(parts.port)))
    for host in (bare(parts.host), destination):
        if host:
            yield str(MigrationUri(host=host))


def _mended_connection(text: str, destination: str | None) -> Iterator[str]:
    """Connection URIs that may have been meant, the likeliest first; not judged yet."""
    parts = read(text.strip())
    scheme = (parts.scheme or "").lower()
    driver, plus, transport = scheme.partition("+")
    if not plus and driver in TRANSPORTS:
        transport = driver
    if transport not in TRANSPORTS:
        transport = (nearest(transport, TRANSPORTS) or "ssh") if plus else ""
    path = parts.path if parts.path in PATHS else "/system"
    port = int(parts.port) if parts.port and is_port(parts.port) else None
    user = parts.user or None
    migration = not plus and scheme in MIGRATION_SCHEMES and parts.path not in PATHS
    qemu_like = driver in (*DRIVERS, *TRANSPORTS) or plus or nearest(driver, ("qemu",))
    for host in (bare(parts.host), destination):
        if not host:
            continue
        # "qemu:///system" says nothing of TLS: only with a host does no transport mean that.
        if qemu_like and not migration and (transport or parts.host):
            kept = ConnectionUri(
                transport=transport or None, user=user, host=host, port=port, path=path,
                query=parts.query,
            )  # fmt: skip
            yield str(kept)
        yield str(ConnectionUri(transport="ssh", user=user or "root", host=host, path=path))


def _problems(
    field: str, faults: tuple[Fault, ...], suggestion: str | None, form: str
) -> tuple[Problem, ...]:
    end = f"This would do: {suggestion}" if suggestion else f"The form is {form}"
    return tuple(
        Problem(field, fault.reason, f"{fault.hint} {end}".strip(), suggestion, rule="uri")
        for fault in faults
    )


def _require_none(problems: tuple[Problem, ...]) -> None:
    if problems:
        raise PlanError(problems[0].reason, hint=problems[0].hint)
