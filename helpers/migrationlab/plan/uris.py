"""Split the URIs of a migration, check them for their place in a plan, and correct them.

A *migration URI* says where the destination's QEMU listens for the guest's memory:
``tcp://host[:port]``, ``rdma://host`` or ``unix:///path``. A *connection URI* says where the
destination's libvirtd is: ``qemu+ssh://user@host/system``. Both name the destination, in both
modes. The usual mistake is a URI of one kind in the place of the other. The problem then names the
kind of this URI, the right kind, and a URI that would work.

libvirt or QEMU refuses a URI that is refused here, or misunderstands it. The one exception is a
port of 0 (libvirt would choose one). The URI of the copied disks and that of the
console's clients are checked in the same way.

Sources: libvirt's ``docs/uri.rst`` and ``docs/migration.rst``; ``src/qemu/qemu_migration.c``
(qemuMigrationAnyParseURI, qemuMigrationDstPrepareDirect); ``src/libvirt-domain.c``
(virDomainMigrateCheckNotLocal); ``src/remote/remote_driver.c`` (doRemoteOpen).

No name is resolved, and no connection is opened.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from typing import Self

from migrationlab.errors import PlanError, UsageError
from migrationlab.plan.problem import Problem, require_none
from migrationlab.plan.uri_checks import (
    connection_faults,
    migration_faults,
    plain_uri_faults,
    text_fault,
)
from migrationlab.plan.uri_parser import (
    DRIVERS,
    MIGRATION_SCHEMES,
    PATHS,
    TRANSPORTS,
    UriFault,
    host_fault,
    is_local,
    join_uri,
    name_problem,
    read_migration_uri,
    read_uri,
    same_machine,
)
from migrationlab.plan.wording import nearest, quote

__all__ = [
    "AUTO", "ConnectionUri", "MigrationUri", "Mode", "client_at", "connection_notes", "host_of",
    "is_local", "migration_needs", "migration_notes", "require_connection_uri", "same_machine",
    "validate_connection_uri", "validate_domain_name", "validate_host_name", "validate_hosts",
    "validate_migration_uri", "validate_other_uri",
]  # fmt: skip

#: The word for a migration URI that the destination's libvirtd chooses.
AUTO = "auto"
MIGRATION_FORM = "tcp://HOST or tcp://HOST:PORT"
CONNECTION_FORM = "qemu+ssh://root@HOST/system"
_KNOWN_PORTS = {22: "sshd", 16509: "libvirtd (tcp)", 16514: "libvirtd (tls)"}
#: Linux lets only root listen on a lower port (ip(7), ip_unprivileged_port_start).
_FIRST_USER_PORT = 1024


class Mode(StrEnum):
    """The controller of a migration: the client (normal) or the source's libvirtd (peer2peer)."""

    NORMAL = "normal"
    PEER2PEER = "peer2peer"

    @classmethod
    def _missing_(cls, value: object) -> None:
        raise PlanError(
            f"mode must be {' or '.join(cls)} (got {quote(str(value))})",
            hint=f"Write mode='{nearest(str(value), list(cls)) or cls.NORMAL}'.",
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class MigrationUri:
    """The parts of a migration URI; ``str()`` gives the URI in its canonical form.

    Attributes:
        scheme: tcp, rdma or unix.
        host: Empty for a Unix socket.
        port: None if libvirt chooses it.
        path: The socket's path, empty for a host.
    """

    scheme: str = "tcp"
    host: str = ""
    port: int | None = None
    path: str = ""

    def __str__(self) -> str:
        return join_uri(self.scheme, self.host, self.port, self.path)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Split ``text``; PlanError if it is no migration URI that a plan could use."""
        require_none(validate_migration_uri(text, Mode.NORMAL))
        if text.startswith("unix:"):
            return cls(scheme="unix", path=text.removeprefix("unix:").removeprefix("//"))
        parts = read_migration_uri(text)
        return cls(scheme=parts.scheme or "tcp", host=parts.hostname, port=parts.port_number)


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionUri:
    """The parts of a connection URI; ``str()`` gives the URI again.

    Attributes:
        transport: None if the URI names none: libvirt then uses TLS.
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
        scheme = f"{self.driver}+{self.transport}" if self.transport else self.driver
        place = self.host or "", self.port, self.path
        return join_uri(scheme, *place, user=self.user, query=self.query)

    @classmethod
    def parse(cls, text: str, mode: Mode = Mode.NORMAL, *, client_at_source: bool = True) -> Self:
        """Split ``text``; PlanError if it is no connection URI for a plan in ``mode``."""
        require_none(validate_connection_uri(text, mode, client_at_source=client_at_source))
        parts = read_uri(text)
        return cls(
            driver=parts.driver,
            transport=parts.transport or None,
            user=parts.user or None,
            host=parts.hostname or None,
            port=parts.port_number,
            path=parts.path,
            query=parts.query,
        )


def validate_migration_uri(
    text: str, mode: Mode, *, source: str | None = None, destination: str | None = None
) -> tuple[Problem, ...]:
    """Return the problems of ``text`` as a migration URI; empty if it has none.

    Args:
        text: Any text.
        mode: The plan's mode.
        source: The source's host name, which ``text`` must not name.
        destination: The destination's host name, for suggestions if ``text`` names none.
    """
    find = partial(migration_faults, peer2peer=mode == Mode.PEER2PEER, source=source)
    corrected = _corrected_migration(text, destination)
    return _uri_problems("migration_uri", text, find, MIGRATION_FORM, corrected)


def validate_connection_uri(
    text: str,
    mode: Mode,
    *,
    source: str | None = None,
    destination: str | None = None,
    field: str = "connection_uri",
    of: str = "the destination",
    client_at_source: bool = True,
) -> tuple[Problem, ...]:
    """Return the problems of ``text`` as a connection URI; empty if it has none.

    Args:
        text: Any text.
        mode: The plan's mode: it decides who connects to the URI.
        source: As for :func:`validate_migration_uri`.
        destination: As for :func:`validate_migration_uri`.
        field: The name of the URI in messages.
        of: The name of its host in messages.
        client_at_source: Whether the client is on the source host.
    """
    find = partial(
        connection_faults, peer2peer=mode == Mode.PEER2PEER, source=source, of=of,
        client_at_source=client_at_source,
    )  # fmt: skip
    corrected = _corrected_connection(text, destination)
    return _uri_problems(field, text, find, CONNECTION_FORM, corrected)


def require_connection_uri(where: str, uri: str) -> None:
    """Raise UsageError for a text that libvirt would misunderstand or refuse.

    ``tcp://node1``, for example, is a migration URI, and libvirt would ask for TLS certificates. A
    URI of this machine is accepted, and so is libvirt's test driver, for tests. ``where`` says
    where the URI was given, as ``--from``; the hint has a URI that would work, if there is one.
    """
    if uri.startswith(("qemu:///", "test:///")):
        return
    for problem in validate_connection_uri(uri, Mode.NORMAL, field=where, of="the host"):
        raise UsageError(problem.reason, hint=problem.hint)


#: The schemes and the form of the URIs of the copied disks and of the console's clients.
#: Sources: qemuMigrationDstStartNBDServer and qemuMigrationSrcGraphicsRelocate in libvirt's
#: ``src/qemu/qemu_migration.c``; the latter only logs a warning about a URI that it cannot use.
_OTHER_URIS = {
    "disks_uri": (("tcp", "unix"), "tcp://ADDRESS:PORT or unix:///PATH"),
    "graphics_uri": (("spice", "vnc"), "spice://HOST:PORT or vnc://HOST:PORT"),
}


def validate_other_uri(field: str, text: str) -> tuple[Problem, ...]:
    """Return the problems of ``text`` as disks_uri or graphics_uri; empty if it has none."""
    schemes, form = _OTHER_URIS[field]
    return _uri_problems(field, text, partial(plain_uri_faults, schemes=schemes), form)


def validate_host_name(text: str, field: str) -> tuple[Problem, ...]:
    """Return the problems of ``text`` as a host's name or address; empty if it has none."""
    reason = name_problem(text, field)
    hint = "Give a host name or an IP address, such as host-b or 10.0.0.2."
    return (Problem(field, reason, hint),) if reason else ()


def validate_domain_name(name: str, field: str = "domain") -> tuple[Problem, ...]:
    """Return the problems of ``name`` as a guest's name; empty if it has none."""
    if name.strip() and name.isprintable() and "/" not in name:
        return ()
    reason = f"{field} must be a guest's name: printable, not empty, no / (got {quote(name)})"
    return (Problem(field, reason, "Give a name as `virsh list --name` shows it, such as web1."),)


def validate_hosts(source: str | None, destination: str | None) -> tuple[Problem, ...]:
    """Return the problems of the names of the two hosts; None for a name not given."""
    found = validate_host_name(source, "source") if source is not None else ()
    found += validate_host_name(destination, "destination") if destination is not None else ()
    if destination is None or found:
        return found
    reason = ""
    if source is not None and same_machine(source, destination):
        reason = (
            "destination must be another host than the source; otherwise libvirt answers 'Attempt "
            f"to migrate guest to the same host' (got {destination})"
        )
    elif is_local(destination):
        reason = (
            "destination must be the host's name as the source host sees it, because every machine "
            f"calls itself {destination} (got {destination})"
        )
    hint = "Give the name or address of another host, such as host-b or 10.0.0.2."
    return (Problem("destination", reason, hint),) if reason else ()


def host_of(text: str) -> str | None:
    """Return the host named in ``text``, or None. ``text`` can be any kind of URI."""
    parts = read_migration_uri(text.strip())
    return parts.hostname if parts.host and host_fault(parts.host) is None else None


def migration_needs(text: str) -> tuple[str, ...]:
    """Return what this valid migration URI needs and ordinary hosts lack."""
    if text.startswith("unix:"):
        return ("A Unix socket needs a program that forwards it from host to host.",)
    parts = read_migration_uri(text)
    needs = []
    if parts.scheme == "rdma":
        needs.append(
            "RDMA needs RDMA network cards in both hosts, a QEMU built with it, and a memory "
            "hard_limit in the domain's XML."
        )
    port = parts.port_number or 0
    if owner := _KNOWN_PORTS.get(port):
        needs.append(f"Port {port} is usually that of {owner}: QEMU needs a free one.")
    elif 0 < port < _FIRST_USER_PORT:
        needs.append(
            f"Port {port} is below {_FIRST_USER_PORT}, where only root may listen: libvirt usually "
            "starts QEMU as another user."
        )
    return tuple(needs)


def migration_notes(text: str) -> tuple[str, ...]:
    """Return remarks for the user of this valid migration URI."""
    if text == AUTO:
        said = (
            "auto leaves the choice to the destination's libvirtd, which gives migration_host of "
            "its qemu.conf or else its host name."
        )
        return (f"{said} The source must be able to resolve that name.",)
    notes = [*migration_needs(text)]
    if text.startswith("unix:"):
        return tuple(notes)
    parts = read_migration_uri(text)
    if text.startswith("tcp:") and not text.startswith("tcp://"):
        notes.append(f"{text} is the old form of {MigrationUri.parse(text)}; libvirt takes both.")
    if parts.no_port:
        notes.append(f"Port 0 in {text} is the same as no port: libvirt chooses one.")
    if parts.user is not None or parts.path or parts.query:
        notes.append(f"Only host and port of {text} count: libvirt ignores the rest.")
    return tuple(notes)


def client_at(source_uri: str | None) -> bool:
    """Return whether the client is on the source host, by its connection URI for the source."""
    host = read_uri(source_uri).hostname if source_uri else ""
    return not host or is_local(host)


def connection_notes(text: str, mode: Mode, *, source_uri: str | None = None) -> tuple[str, ...]:
    """Return remarks for the user of this valid connection URI."""
    at_source = client_at(source_uri)
    uri = ConnectionUri.parse(text, mode, client_at_source=at_source)
    notes = []
    if not uri.host and uri.transport in (None, "unix") and "socket=" not in uri.query:
        notes.append(
            f"{text} is the libvirtd of the machine where the command runs: run it on the "
            "destination."
        )
    elif uri.transport is None:
        notes.append(
            f"{text} names no transport, so libvirt uses TLS: the destination needs a server "
            "certificate, and the side that connects a client certificate."
        )
    if uri.transport == "tcp":
        notes.append(
            "qemu+tcp is not encrypted unless libvirtd demands SASL (auth_tcp in libvirtd.conf): "
            'with auth_tcp = "none" use it on trusted networks only.'
        )
    if mode == Mode.PEER2PEER and uri.transport in ("ssh", "libssh", "libssh2"):
        notes.append(
            "In peer2peer the source's libvirtd logs in by SSH, with the keys and known_hosts of "
            "its own user (usually root), not with the client's."
        )
    notes += [f"{text} runs the program {program}" for program in read_uri(text).programs]
    if uri.path == "/session":
        notes.append("/session is a user's own libvirtd; the system's is /system.")
    return tuple(notes)


def _corrected_migration(text: str, destination: str | None) -> Iterator[str]:
    """Yield possible corrections to a migration URI, the likeliest first, without a check."""
    parts = read_migration_uri(text.strip())
    if parts.scheme == "unix":
        path = text.strip().removeprefix("unix:")
        yield f"unix:///{path.removeprefix('//').partition('/')[2] if '//' in path else path}"
        return
    # The port of a connection URI is sshd's or libvirtd's: never QEMU's.
    keeps_port = parts.scheme is None or parts.scheme.lower() in ("tcp", "rdma")
    if keeps_port and parts.port_number:
        yield str(MigrationUri(host=parts.hostname, port=parts.port_number))
    for host in (parts.hostname, destination):
        if host:
            yield str(MigrationUri(host=host))


def _corrected_connection(text: str, destination: str | None) -> Iterator[str]:
    """Yield possible corrections to a connection URI, the likeliest first, without a check."""
    parts = read_uri(text.strip())
    scheme = (parts.scheme or "").lower()
    driver, plus, transport = scheme.partition("+")
    if not plus and driver in TRANSPORTS:
        transport = driver
    if transport not in TRANSPORTS:
        transport = (nearest(transport, TRANSPORTS) or "ssh") if plus else ""
    path = parts.path if parts.path in PATHS else "/system"
    user = parts.user or None
    migration = not plus and scheme in MIGRATION_SCHEMES and parts.path not in PATHS
    qemu_like = driver in (*DRIVERS, *TRANSPORTS) or plus or nearest(driver, ("qemu",))
    for host in (parts.hostname, destination):
        if not host:
            continue
        # "qemu:///system" says nothing of TLS: only with a host does no transport mean that.
        if qemu_like and not migration and (transport or parts.host):
            same = ConnectionUri(
                transport=transport or None, user=user, host=host, port=parts.port_number,
                path=path, query=parts.query,
            )  # fmt: skip
            yield str(same)
        yield str(ConnectionUri(transport="ssh", user=user or "root", host=host, path=path))


def _uri_problems(
    field: str,
    text: str,
    find: Callable[[str], Iterator[UriFault]],
    form: str,
    corrected: Iterable[str] = (),
) -> tuple[Problem, ...]:
    """Return the problems of a URI, with the first correction that has no fault."""

    def faults(uri: str) -> tuple[UriFault, ...]:
        fault = text_fault(uri)
        return (fault,) if fault else tuple(find(uri))

    found = faults(text)
    suggestion = next((uri for uri in corrected if not faults(uri)), None) if found else None
    end = f"Use {suggestion}" if suggestion else f"Write {form}"
    name, colon, password = (read_uri(text).user or "").partition(":")
    got = quote(text.replace(f"{name}:{password}@", f"{name}:***@") if colon else text)
    return tuple(
        Problem(
            field,
            f"{field} {fault.reason} (got {got})",
            f"{fault.hint} {end}".lstrip(),
            suggestion,
            rule="uri",
        )
        for fault in found
    )
