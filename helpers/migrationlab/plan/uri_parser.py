"""Any text read as a URI, without judging whether it is a good one.

The raw material of ``uris``: taking a text apart as libvirt does, and the simple questions about
its parts (is this a host name, a port, this very machine?). Nothing here raises, whatever the text.
Source: RFC 3986, appendix B, which libvirt's parser (libxml2's) follows; libvirt's
``src/util/viruri.c`` and qemuMigrationAnyParseURI in ``src/qemu/qemu_migration.c``.

Imports nothing of the kit.
"""

from __future__ import annotations

import difflib
import ipaddress
import re
from collections.abc import Iterable
from typing import NamedTuple

DRIVERS = (
    "bhyve", "ch", "esx", "gsx", "hyperv", "lxc", "openvz", "qemu", "test", "vbox",
    "vmwareplayer", "vmwarews", "vpx", "vz", "xen",
)  # fmt: skip
TRANSPORTS = ("tls", "unix", "ssh", "ext", "tcp", "libssh2", "libssh")
MIGRATION_SCHEMES = ("tcp", "rdma", "unix")
PATHS = ("/system", "/session")

# RFC 3986, appendix B; libvirt's parser, libxml2's, follows the same RFC.
_URI = re.compile(
    r"(?:(?P<scheme>[^:/?#]+):)?(?://(?P<authority>[^/?#]*))?"
    r"(?P<path>[^?#]*)(?:\?(?P<query>[^#]*))?(?:#(?P<fragment>.*))?",
    re.DOTALL,
)
_HOST_AND_PORT = re.compile(r"(?P<host>\[[^\]]*(?:\]|$)|[^:]*)(?::(?P<port>.*))?", re.DOTALL)
FOREIGN = re.compile(r"[^A-Za-z0-9\-._~:/?#\[\]@!$&'()*+,;=%]")
# What may stand in a user's name, and in a path or a query.
PLAIN_USER = re.compile(r"(?:[A-Za-z0-9\-._~!$&'()*+,;=:]|%[0-9A-Fa-f]{2})*")
PLAIN_TAIL = re.compile(r"(?:[A-Za-z0-9\-._~!$&'()*+,;=:@/?]|%[0-9A-Fa-f]{2})*")
_LABEL = r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
_NAME = re.compile(rf"{_LABEL}(?:\.{_LABEL})*\.?")


class Fault(NamedTuple):
    """One thing wrong with a URI: the reason, and what to do about it."""

    reason: str
    hint: str


class Parts(NamedTuple):
    """A URI as it was written; ``host`` keeps its brackets, ``port`` may be no number."""

    scheme: str | None
    user: str | None
    host: str
    port: str | None
    path: str
    query: str
    fragment: str
    lost_slashes: bool


def read(text: str) -> Parts:
    """Take any text apart without judging it."""
    match = _URI.fullmatch(text)
    assert match is not None, "every text matches: each group takes what the others leave"
    scheme, authority, path = match["scheme"], match["authority"], match["path"]
    lost_slashes = False
    if authority is None:
        word = (scheme or "").lower()
        known = (*MIGRATION_SCHEMES, *TRANSPORTS, *DRIVERS)
        if scheme is not None and ("+" in word or word in known):
            # "qemu+tls:/desthost/system": the host slipped into the path.
            first, slash, rest = path.lstrip("/").partition("/")
            if first and f"/{first}" not in PATHS:
                lost_slashes, authority, path = True, first, slash + rest
        else:
            # "host-b", "host-b:49152", "root@host-b/system": a host, and no scheme at all.
            scheme, head = None, text.partition("?")[0].partition("#")[0]
            authority, slash, rest = head.partition("/")
            path = slash + rest
    user, host, port = _split_authority(authority or "")
    return Parts(
        scheme, user, host, port, path, match["query"] or "", match["fragment"] or "", lost_slashes
    )


def read_migration(text: str) -> Parts:
    """As :func:`read`, with the old form ``tcp:host`` understood as libvirt does."""
    if text.startswith("tcp:") and not text.startswith("tcp://"):
        parts = read(f"tcp://{text[4:]}")
        if parts.host:
            return parts
    return read(text)


def _split_authority(authority: str) -> tuple[str | None, str, str | None]:
    before, at, rest = authority.rpartition("@")
    user = before if at else None
    if is_ipv6(rest):
        return user, rest, None
    match = _HOST_AND_PORT.fullmatch(rest)
    return (user, match["host"], match["port"]) if match else (user, rest, None)


def host_fault(host: str) -> Fault | None:
    """What is wrong with a host as it stands in a URI, brackets and all."""
    if host.startswith("["):
        if is_ipv6(host[1:-1]) and host.endswith("]"):
            return None
        return Fault(f"{quote(host)} is no IPv6 address", "Mend the address in the brackets.")
    if is_ipv6(host):
        return Fault(f"the IPv6 address {host} has no brackets", f"Write [{host}].")
    if re.fullmatch(r"[0-9]+(\.[0-9]+){3}", host):
        try:
            ipaddress.IPv4Address(host)
        except ValueError:
            return Fault(f"{quote(host)} is no IPv4 address", "Mend the address.")
    if len(host) > 253 or not _NAME.fullmatch(host):
        return Fault(
            f"{quote(host)} is no host name",
            "Use letters, digits, hyphens and dots, or an IP address.",
        )
    return None


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The known word most like ``word``, or None if none is like it."""
    matches = difflib.get_close_matches(word[:40].lower(), list(known), n=1, cutoff=0.5)
    return matches[0] if matches else None


def quote(text: str) -> str:
    """``text`` in quotes, on one line, fit for any terminal."""
    return ascii(text if len(text) <= 120 else text[:117] + "...")


def is_port(text: str) -> bool:
    """Whether ``text`` is a port that can be dialled."""
    return re.fullmatch(r"[0-9]{1,5}", text) is not None and 1 <= int(text) <= 65535


def is_ipv6(text: str) -> bool:
    """Whether ``text`` is an IPv6 address, without brackets."""
    # Python takes anything for the zone after a %; a URI does not.
    if not re.fullmatch(r"[0-9A-Fa-f:.]+(%[A-Za-z0-9_.-]+)?", text):
        return False
    try:
        ipaddress.IPv6Address(text)
    except ValueError:
        return False
    return True


def is_local(host: str) -> bool:
    """Whether a host is the machine that dials it; ``localhost…`` as libvirt tests for it."""
    name = bare(host).lower()
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        return name.startswith("localhost")
    return address.is_loopback or address.is_unspecified


def same_machine(name: str, other: str) -> bool:
    """Whether two host names are surely the same machine: nothing is resolved.

    Two names for this very machine (``localhost``, ``127.0.0.1``) are the same.
    """
    return _canonical(name) == _canonical(other)


def _canonical(name: str) -> str:
    name = bare(name).lower().rstrip(".")
    if is_local(name):
        return "localhost"
    return str(ipaddress.IPv6Address(name)) if is_ipv6(name) else name


def bare(host: str) -> str:
    """A host without the brackets of an IPv6 address."""
    return host[1:-1] if host.startswith("[") and host.endswith("]") else host


def bracketed(host: str) -> str:
    """A host as it stands in a URI: an IPv6 address in brackets."""
    return f"[{host}]" if ":" in host and not host.startswith("[") else host
