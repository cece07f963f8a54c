"""What is wrong with a text as a migration URI, or as a connection URI.

Each generator yields every fault that it can be sure of; after one that makes the rest of the
text meaningless (the wrong kind, an unknown scheme) it stops. ``uris`` turns faults into problems
with the URI that would do; its docstring names the sources in libvirt.

Imports of the kit only ``_uris.parts``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from migrationlab.plan.uri_parser import (
    DRIVERS,
    FOREIGN,
    MIGRATION_SCHEMES,
    PATHS,
    PLAIN_TAIL,
    PLAIN_USER,
    TRANSPORTS,
    Fault,
    Parts,
    host_fault,
    is_local,
    is_port,
    nearest,
    quote,
    read,
    read_migration,
    same_machine,
)

WANTED_MIGRATION = "a migration URI: where the destination's QEMU listens"
WANTED_CONNECTION = "a connection URI: where the destination's libvirtd is"
WANTED_DISKS = "where the destination's QEMU takes the disks: tcp://ADDRESS:PORT or unix:///PATH"
WANTED_GRAPHICS = "where the console's clients go: spice://HOST:PORT or vnc://HOST:PORT"
# sun_path of struct sockaddr_un, with the byte that ends it.
LONGEST_SOCKET = 107


def migration_faults(text: str, *, peer2peer: bool, source: str | None = None) -> Iterator[Fault]:
    """What is wrong with ``text`` as a migration URI."""
    if fault := _text_fault(text, WANTED_MIGRATION):
        yield fault
        return
    parts, said = read_migration(text), quote(text)
    scheme = parts.scheme
    wanted = f"Wanted here is {WANTED_MIGRATION}"
    if scheme is None:
        yield Fault(
            f"{said} has no scheme: it is only a host{' and a port' if parts.port else ''}. "
            f"{wanted}.",
            "Put tcp:// before it.",
        )
    elif "+" in scheme or scheme.lower() in DRIVERS:
        opened_by = "the source's libvirtd" if peer2peer else "the client"
        yield Fault(
            f"{said} is a libvirt connection URI: it says where a libvirtd is, for {opened_by} to "
            f"dial. {wanted}, for the guest's memory.",
            "A connection URI belongs in the place of the connection URI (virsh: --desturi).",
        )
    elif scheme == "unix":
        yield from _socket_faults(text, said)
    elif scheme not in ("tcp", "rdma"):
        yield _unknown(said, "scheme", scheme, MIGRATION_SCHEMES, wanted)
    elif parts.lost_slashes:
        yield _lost_slashes(said)
    elif not parts.host:
        yield Fault(f"{said} names no host. {wanted}.", "Name the destination.")
    else:
        yield from _plain_faults(parts, said)
        yield from _host_and_port_faults(parts, said, source)
        if is_local(parts.host):
            yield Fault(
                f"{said} leads the source host back to itself, so the same host would be "
                "source and destination.",
                "Name the destination as the source host sees it.",
            )
        if not text.startswith(f"{scheme}://") and (parts.path or parts.query):
            # libvirt appends ":PORT" to the old form as it stands.
            yield Fault(
                f"{said}: in the old form tcp:HOST nothing may follow host and port.",
                "Write it with //.",
            )


def disks_faults(text: str) -> Iterator[Fault]:
    """What is wrong with ``text`` as a URI for the copied disks.

    Source: qemuMigrationDstStartNBDServer in libvirt's ``src/qemu/qemu_migration.c``.
    """
    if fault := _text_fault(text, WANTED_DISKS):
        yield fault
        return
    parts, said = read(text), quote(text)
    if parts.scheme == "unix":
        yield from _socket_faults(text, said)
    elif parts.scheme != "tcp":
        yield Fault(f"{said} is neither tcp:// nor unix://. Wanted here is {WANTED_DISKS}.", "")
    elif not parts.host:
        yield Fault(f"{said} names no host. Wanted here is {WANTED_DISKS}.", "")
    else:
        yield from _plain_faults(parts, said)
        yield from _host_and_port_faults(parts, said, None)


def graphics_faults(text: str) -> Iterator[Fault]:
    """What is wrong with ``text`` as a URI for the clients of the console.

    Source: qemuMigrationSrcGraphicsRelocate in libvirt's ``src/qemu/qemu_migration.c``, which
    only warns in its log of what it cannot use.
    """
    if fault := _text_fault(text, WANTED_GRAPHICS):
        yield fault
        return
    parts, said = read(text), quote(text)
    if parts.scheme not in ("spice", "vnc") or not parts.host:
        yield Fault(f"{said} is none. Wanted here is {WANTED_GRAPHICS}.", "")
    else:
        yield from _plain_faults(parts, said)
        yield from _host_and_port_faults(parts, said, None)


def _socket_faults(text: str, said: str) -> Iterator[Fault]:
    """What is wrong with a ``unix:`` URI."""
    rest = text.removeprefix("unix:")
    path = rest.removeprefix("//")
    if not path.startswith("/") or path.endswith("/"):
        yield Fault(
            f"{said} has no absolute path of a socket: no host goes into a unix: URI.",
            "Give three slashes and a path.",
        )
    elif len(path.encode()) > LONGEST_SOCKET:
        yield Fault(
            f"{said} is too long: a socket's path may have {LONGEST_SOCKET} characters.",
            "Choose a shorter path.",
        )
    elif not PLAIN_TAIL.fullmatch(path) or "?" in path:
        yield Fault(f"{said} has what no path in a URI may have.", "Choose a plain path.")


def connection_faults(text: str, *, peer2peer: bool, source: str | None = None) -> Iterator[Fault]:
    """What is wrong with ``text`` as the destination's connection URI."""
    if fault := _text_fault(text, WANTED_CONNECTION):
        yield fault
        return
    parts, said = read(text), quote(text)
    scheme = parts.scheme
    wanted = f"Wanted here is {WANTED_CONNECTION}"
    if scheme is None:
        yield Fault(
            f"{said} has no scheme: it is only a host{' and a port' if parts.port else ''}. "
            f"{wanted}.",
            "Name libvirt's driver and a transport.",
        )
        return
    driver, plus, transport = scheme.partition("+")
    transport = transport.lower()
    if not plus and scheme.lower() in MIGRATION_SCHEMES:
        yield Fault(
            f"{said} is a migration URI: it says where a QEMU listens. {wanted}.",
            "A migration URI belongs in the place of the migration URI (virsh: --migrateuri).",
        )
        return
    if not plus and scheme.lower() in TRANSPORTS:
        yield Fault(
            f"{said} names a transport ({scheme}) but no libvirt driver. {wanted}.",
            "Put qemu+ before it.",
        )
        return
    if driver != "qemu":
        if driver in DRIVERS:
            yield Fault(
                f"{said} is a connection URI of libvirt's driver {driver}; only QEMU guests "
                f"are migrated here. {wanted}.",
                "The driver's name is qemu.",
            )
        else:
            yield _unknown(said, "driver", driver, ("qemu",), wanted)
        return
    if plus and transport not in TRANSPORTS:
        known = nearest(transport, TRANSPORTS)
        yield Fault(
            f"{said}: libvirt knows no transport {quote(transport)}, only {', '.join(TRANSPORTS)}.",
            f"Did you mean {known}?" if known else "ssh is the usual one.",
        )
        return
    if parts.lost_slashes:
        yield _lost_slashes(said)
        return
    yield from _plain_faults(parts, said)
    yield from _reach_faults(parts, said, transport, peer2peer=peer2peer, source=source)
    if parts.path not in PATHS:
        yield Fault(
            f"{said} ends in {quote(parts.path)}: QEMU's libvirtd is at /system, a user's own "
            "at /session.",
            "End it with /system.",
        )


def _reach_faults(
    parts: Parts, said: str, transport: str, *, peer2peer: bool, source: str | None
) -> Iterator[Fault]:
    """What is wrong with the way that a connection URI leads to its libvirtd."""
    options = dict(option.partition("=")[::2] for option in re.split("[&;]", parts.query))
    opened_by = "the source host itself" if peer2peer else "the client's own machine"
    if transport == "unix":
        if parts.host:
            yield Fault(
                f"{said}: a Unix socket is on the machine that dials it, so no host can be named.",
                "Choose a transport that leads to another host, as ssh.",
            )
        elif not options.get("socket"):
            yield Fault(
                f"{said} is the libvirtd of {opened_by}, so the same host would be source and "
                "destination.",
                "Add ?socket=PATH of a socket that leads to the destination's libvirtd.",
            )
        return
    if transport == "ext" and not options.get("command"):
        yield Fault(
            f"{said}: the transport ext needs a command that makes the connection.",
            "Add ?command=PATH.",
        )
    if parts.host:
        yield from _host_and_port_faults(parts, said, source)
        if is_local(parts.host):
            yield Fault(
                f"{said} is the libvirtd of {opened_by}: libvirt's answer is "
                "'Attempt to migrate guest to the same host'.",
                "Name the destination as the one who dials sees it.",
            )
    elif transport != "ext" or peer2peer:
        yield Fault(
            f"{said} names no host, which means {opened_by}. Wanted here is {WANTED_CONNECTION}.",
            "Name the destination between // and the path.",
        )


def _text_fault(text: str, wanted: str) -> Fault | None:
    if not text.strip():
        return Fault(
            f"{quote(text)} is empty. Wanted here is {wanted}.", "Leave it out, or fill it in."
        )
    if match := FOREIGN.search(text):
        name = "a space" if match[0] == " " else f"the character {match[0]!a}"
        return Fault(
            f"{quote(text)} holds {name}, which no URI may hold.", "Take it out, or escape it."
        )
    return None


def _plain_faults(parts: Parts, said: str) -> Iterator[Fault]:
    """What no URI may hold beside its host; libvirt: 'Unable to parse URI'."""
    if ":" in (parts.user or ""):
        # libvirt would take "name:word" as a whole for the user's name (src/util/viruri.c).
        yield Fault(
            "a URI here takes a user's name, and no password.",
            "Leave the password out: ssh has its keys for that.",
        )
    for part, plain in (
        (parts.user or "", PLAIN_USER),
        (parts.path, PLAIN_TAIL),
        (parts.query, PLAIN_TAIL),
        (parts.fragment, PLAIN_TAIL),
    ):
        if not plain.fullmatch(part):
            yield Fault(
                f"{said} has {quote(part)}, which no URI parser takes there.",
                "Write %40 for an @, %25 for a %, %5B and %5D for brackets.",
            )


def _host_and_port_faults(parts: Parts, said: str, source: str | None) -> Iterator[Fault]:
    if fault := host_fault(parts.host):
        yield Fault(f"{said} names no host that can exist: {fault.reason}.", fault.hint)
    elif source is not None and same_machine(parts.host, source):
        yield Fault(
            f"{said} names the source host {source}, so the same host would be source and "
            "destination.",
            "Name the destination.",
        )
    port = parts.port
    if port is not None and not is_port(port):
        what = f"port {quote(port)}" if port else "a colon and no port"
        yield Fault(
            f"{said} has {what}; a port is a whole number from 1 to 65535.",
            "Leave the port out to have the usual one.",
        )


def _unknown(said: str, what: str, word: str, known: tuple[str, ...], wanted: str) -> Fault:
    near = nearest(word, known)
    hint = f"Did you mean {near}?" if near else f"Use {known[0]}."
    return Fault(f"{said}: libvirt knows no {what} {quote(word)} here. {wanted}.", hint)


def _lost_slashes(said: str) -> Fault:
    return Fault(
        f"{said} lacks the // before the host, so libvirt sees no host in it.", "Put // there."
    )
