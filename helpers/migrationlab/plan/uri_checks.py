"""Find the faults of a text as each of the four URIs of a plan.

:func:`text_fault` comes first. Each generator yields only certain faults. It stops after a fault
that makes the rest of the text meaningless (the wrong kind of URI, an unknown scheme). ``uris``
turns faults into problems with a URI that works; its docstring names the sources in libvirt.
"""

from __future__ import annotations

from collections.abc import Iterator

from migrationlab.plan.uri_parser import (
    DRIVERS,
    FOREIGN,
    MIGRATION_SCHEMES,
    PATHS,
    PLAIN_TAIL,
    PLAIN_USER,
    TRANSPORTS,
    UriFault,
    UriParts,
    host_fault,
    is_local,
    is_port,
    read_migration_uri,
    read_uri,
    same_machine,
)
from migrationlab.plan.wording import in_words, quote

MIGRATION = "a migration URI, where the destination's QEMU listens for the guest's memory"
CONNECTION = "a connection URI, where {of}'s libvirtd is"
# sun_path of struct sockaddr_un, with the byte that ends it.
LONGEST_SOCKET = 107
_SAME_HOST = "source and destination would be the same host"
_LEADS_BACK = (
    "must name the destination as the source host sees it; this leads the source host back to "
    "itself"
)


def migration_faults(
    text: str, *, peer2peer: bool, source: str | None = None
) -> Iterator[UriFault]:
    """Yield the faults of ``text`` as a migration URI."""
    parts = read_migration_uri(text)
    scheme = parts.scheme
    if scheme is None:
        yield UriFault(f"must begin with a scheme, and this is only {_only_a_host(parts)}")
    elif "+" in scheme or scheme.lower() in DRIVERS:
        opened_by = "the source's libvirtd" if peer2peer else "the client"
        yield UriFault(
            f"must be {MIGRATION}; this is a libvirt connection URI, to which {opened_by} connects",
            "Move it to connection_uri (virsh: --desturi).",
        )
    elif scheme == "unix":
        yield from _socket_faults(text)
    elif scheme not in ("tcp", "rdma"):
        yield UriFault(f"must have the scheme {in_words(MIGRATION_SCHEMES)}")
    elif parts.lost_slashes:
        yield UriFault("must have // before the host")
    elif not parts.host:
        yield UriFault("must name the destination host")
    else:
        yield from _plain_faults(parts)
        yield from _host_and_port_faults(parts, source)
        if is_local(parts.host):
            yield UriFault(_LEADS_BACK)
        if text.startswith(f"{scheme}://"):
            return
        # libvirt appends ":PORT" to the old form as it stands, unless it has a port.
        if parts.path or parts.query:
            yield UriFault("must end after host and port in the old form tcp:HOST")
        if parts.no_port:
            yield UriFault(
                "must have a port from 1 to 65535, or none, in the old form tcp:HOST",
                "Leave out the port.",
            )


def plain_uri_faults(text: str, *, schemes: tuple[str, ...]) -> Iterator[UriFault]:
    """Yield the faults of ``text`` as a URI of a host and port, or of a Unix socket."""
    parts = read_uri(text)
    if parts.scheme not in schemes:
        yield UriFault(f"must have the scheme {in_words(schemes)}")
    elif parts.scheme == "unix":
        yield from _socket_faults(text)
    elif not parts.host:
        yield UriFault("must name a host")
    else:
        yield from _plain_faults(parts)
        # The source's QEMU connects to the disks' URI; clients of the console to theirs.
        disks = "tcp" in schemes
        yield from _host_and_port_faults(parts, None, zero=disks)
        if disks and is_local(parts.host):
            yield UriFault(_LEADS_BACK)


def _socket_faults(text: str) -> Iterator[UriFault]:
    """Yield the faults of a ``unix:`` URI."""
    path = text.removeprefix("unix:").removeprefix("//")
    if not path.startswith("/") or path.endswith("/"):
        yield UriFault(
            "must have the absolute path of a socket, and no host",
            "Write three slashes and a path: unix:///PATH.",
        )
    elif len(path.encode()) > LONGEST_SOCKET:
        yield UriFault(
            f"must have a path of at most {LONGEST_SOCKET} characters", "Choose a shorter path."
        )
    elif not PLAIN_TAIL.fullmatch(path) or "?" in path:
        yield UriFault(
            "must have a path of plain characters only", "Choose a path of letters and digits."
        )


def connection_faults(
    text: str,
    *,
    peer2peer: bool,
    source: str | None = None,
    of: str = "the destination",
    client_at_source: bool = True,
) -> Iterator[UriFault]:
    """Yield the faults of ``text`` as the connection URI of a host's libvirtd.

    A client that is not on the source can be on the destination itself, and connect to its own
    libvirtd: in normal mode no other program connects to the URI.
    """
    if fault := _scheme_fault(text, CONNECTION.format(of=of)):
        yield fault
        return
    parts = read_uri(text)
    yield from _plain_faults(parts)
    own = not peer2peer and not client_at_source
    if not (own and _is_own(parts)):
        yield from _reach_faults(parts, peer2peer=peer2peer, source=source, of=of)
    if parts.path not in PATHS:
        yield UriFault(
            "must end in /system, or in /session for a user's own libvirtd, not in "
            f"{quote(parts.path)}"
        )


def _scheme_fault(text: str, wanted: str) -> UriFault | None:
    """Return the fault of the beginning of a connection URI."""
    parts = read_uri(text)
    scheme = parts.scheme
    if scheme is None:
        return UriFault(f"must be {wanted}; this has no scheme, and is only {_only_a_host(parts)}")
    plus = "+" in scheme
    if not plus and scheme.lower() in MIGRATION_SCHEMES:
        return UriFault(
            f"must be {wanted}; this is a migration URI, where a QEMU listens",
            "Move it to migration_uri (virsh: --migrateuri).",
        )
    if not plus and scheme.lower() in TRANSPORTS:
        return UriFault(f"must name libvirt's driver before the transport {scheme}")
    if parts.driver in DRIVERS and parts.driver != "qemu":
        return UriFault(f"must have libvirt's driver qemu, for QEMU guests, not {parts.driver}")
    if parts.driver != "qemu":
        return UriFault(f"must have libvirt's driver qemu, not {quote(parts.driver)}")
    if plus and parts.transport not in TRANSPORTS:
        known = in_words(TRANSPORTS)
        return UriFault(f"must have the transport {known}, not {quote(parts.transport)}")
    return UriFault("must have // before the host") if parts.lost_slashes else None


def _is_own(parts: UriParts) -> bool:
    """Return whether a connection URI leads to the libvirtd of the machine that connects."""
    if parts.transport in ("", "unix"):
        return not parts.host
    return is_local(parts.host) and host_fault(parts.host) is None


def _only_a_host(parts: UriParts) -> str:
    return "a host and a port" if parts.port else "a host"


def _reach_faults(
    parts: UriParts, *, peer2peer: bool, source: str | None, of: str
) -> Iterator[UriFault]:
    """Yield the faults of the way to a libvirtd in its connection URI."""
    options, transport = parts.options, parts.transport
    opened_by = "the source host itself" if peer2peer else "the client's own machine"
    if transport == "unix":
        if parts.host:
            yield UriFault(
                "must name no host with the transport unix: a Unix socket is on the machine that "
                "connects to it"
            )
        elif not options.get("socket"):
            yield UriFault(
                f"must lead to another host; this is the libvirtd of {opened_by}, so {_SAME_HOST}",
                f"Add ?socket=PATH of a socket that leads to {of}'s libvirtd.",
            )
        return
    if transport == "ext" and not options.get("command"):
        yield UriFault(
            "must have a command with the transport ext",
            "Add ?command=PATH of a program that makes the connection.",
        )
    if parts.host:
        yield from _host_and_port_faults(parts, source)
        if is_local(parts.host):
            yield UriFault(
                f"must lead to another host; this is the libvirtd of {opened_by}, and libvirt "
                "answers 'Attempt to migrate guest to the same host'"
            )
    elif transport != "ext" or peer2peer:
        yield UriFault(
            f"must name a host, because without one it is the libvirtd of {opened_by}",
            f"Name {of} between // and the path.",
        )


def text_fault(text: str) -> UriFault | None:
    """Return the fault that makes a text no URI; the other checks need a text without it."""
    if not text.strip():
        return UriFault("must not be empty", "Fill it in, or leave it out.")
    if match := FOREIGN.search(text):
        name = "a space" if match[0] == " " else f"the character {match[0]!a}"
        return UriFault(f"must not have {name}", "Remove it, or write it as %XX.")
    return None


def _plain_faults(parts: UriParts) -> Iterator[UriFault]:
    """Yield the parts beside the host that no URI may have (libvirt: 'Unable to parse URI')."""
    if ":" in (parts.user or ""):
        # libvirt would take "name:word" as a whole for the user's name (src/util/viruri.c).
        yield UriFault("must not have a password", "Remove the password and use an SSH key.")
    for part, plain in (
        (parts.user or "", PLAIN_USER),
        (parts.path, PLAIN_TAIL),
        (parts.query, PLAIN_TAIL),
        (parts.fragment, PLAIN_TAIL),
    ):
        if not plain.fullmatch(part):
            yield UriFault(
                f"must not have {quote(part)}, which no URI parser accepts there",
                "Write %40 for an @, %25 for a %, %5B and %5D for brackets.",
            )


def _host_and_port_faults(
    parts: UriParts, source: str | None, *, zero: bool = True
) -> Iterator[UriFault]:
    """Yield the faults of a host and a port; ``zero`` says whether port 0 is as good as none."""
    if fault := host_fault(parts.host):
        yield UriFault(f"has the host {quote(parts.host)}, which {fault.reason}", fault.hint)
    elif source is not None and same_machine(parts.host, source):
        yield UriFault(
            f"must name the destination, not the source host {source}; otherwise {_SAME_HOST}"
        )
    if parts.port is not None and not (is_port(parts.port) or (zero and parts.no_port)):
        yield UriFault(
            "must have a port from 1 to 65535, or none",
            "Leave out the port to use the usual one.",
        )
