"""Read any text as a URI of libvirt's, without a check.

Owns :func:`read_uri`, which splits a text like libvirt, and the simple questions about the parts:
is this a host name, a port, this machine? No text makes a function of this module raise.

Sources: RFC 3986, appendix B, which libvirt's parser (libxml2's) follows; libvirt's
``src/util/viruri.c`` and qemuMigrationAnyParseURI in ``src/qemu/qemu_migration.c``.
"""

from __future__ import annotations

import ipaddress
import re
import urllib.parse
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from migrationlab.plan.wording import quote

DRIVERS = (
    "bhyve", "ch", "esx", "gsx", "hyperv", "lxc", "openvz", "qemu", "test", "vbox",
    "vmwareplayer", "vmwarews", "vpx", "vz", "xen",
)  # fmt: skip
TRANSPORTS = ("tls", "unix", "ssh", "ext", "tcp", "libssh2", "libssh")
MIGRATION_SCHEMES = ("tcp", "rdma", "unix")
PATHS = ("/system", "/session")

# RFC 3986, appendix B.
_URI = re.compile(
    r"(?:(?P<scheme>[^:/?#]+):)?(?://(?P<authority>[^/?#]*))?"
    r"(?P<path>[^?#]*)(?:\?(?P<query>[^#]*))?(?:#(?P<fragment>.*))?",
    re.DOTALL,
)
_HOST_AND_PORT = re.compile(r"(?P<host>\[[^\]]*(?:\]|$)|[^:]*)(?::(?P<port>.*))?", re.DOTALL)
FOREIGN = re.compile(r"[^A-Za-z0-9\-._~:/?#\[\]@!$&'()*+,;=%]")
# The allowed characters of a user's name, and of a path or a query.
PLAIN_USER = re.compile(r"(?:[A-Za-z0-9\-._~!$&'()*+,;=:]|%[0-9A-Fa-f]{2})*")
PLAIN_TAIL = re.compile(r"(?:[A-Za-z0-9\-._~!$&'()*+,;=:@/?]|%[0-9A-Fa-f]{2})*")
_LABEL = r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
_NAME = re.compile(rf"{_LABEL}(?:\.{_LABEL})*\.?")


class UriFault(NamedTuple):
    """One thing wrong with a text.

    Attributes:
        reason: The rest of a sentence after the name of the field: "must …".
        hint: The fix, in sentences; empty if a good URI is enough.
    """

    reason: str
    hint: str = ""


class UriParts(NamedTuple):
    """The unchecked parts of a URI; ``host`` keeps its brackets, ``port`` may be no number."""

    scheme: str | None
    user: str | None
    host: str
    port: str | None
    path: str
    query: str
    fragment: str
    lost_slashes: bool

    @property
    def driver(self) -> str:
        """Return libvirt's driver: the part of the scheme before its plus."""
        return (self.scheme or "").partition("+")[0]

    @property
    def transport(self) -> str:
        """Return libvirt's transport: the part of the scheme after its plus."""
        return (self.scheme or "").partition("+")[2].lower()

    @property
    def hostname(self) -> str:
        """Return the host without the brackets of an IPv6 address; empty if there is none."""
        return bare(self.host)

    @property
    def port_number(self) -> int | None:
        """Return the port; None if there is none to connect to."""
        return int(self.port) if self.port and is_port(self.port) else None

    @property
    def no_port(self) -> bool:
        """Return whether it has port 0, which libvirt reads as no port."""
        return self.port is not None and re.fullmatch("0{1,5}", self.port) is not None

    @property
    def options(self) -> dict[str, str]:
        """Return the options in its query, as libvirt reads them: names have no case."""
        return dict(self._options())

    def _options(self) -> Iterator[tuple[str, str]]:
        """Yield each option, as ``src/util/viruri.c`` splits them; one can come twice."""
        query = self.query
        while query:
            option, _, query = query.partition("&" if "&" in query else ";")
            name, _, value = option.partition("=")
            if name:
                yield urllib.parse.unquote(name).lower(), urllib.parse.unquote(value)

    @property
    def programs(self) -> tuple[str, ...]:
        """Return the programs that it names, which libvirt runs (libvirt's ``docs/uri.rst``).

        ``command`` runs on the connecting machine, ``netcat`` on the other one.
        """
        return tuple(
            value for name, value in self._options() if value and name in ("command", "netcat")
        )

    def with_options(self, options: Mapping[str, str]) -> str:
        """Return the URI as text, with these options instead of its options."""
        query = urllib.parse.urlencode(options, quote_via=urllib.parse.quote, safe="/")
        scheme, user = self.scheme or "", self.user
        return join_uri(scheme, self.host, self.port, self.path, user=user, query=query)


def join_uri(
    scheme: str,
    host: str,
    port: int | str | None,
    path: str,
    *,
    user: str | None = None,
    query: str = "",
) -> str:
    """Return the URI of these parts; an IPv6 address gets its brackets."""
    before = f"{user}@" if user else ""
    after = f":{port}" if port else ""
    return f"{scheme}://{before}{bracketed(host)}{after}{path}{f'?{query}' if query else ''}"


def read_uri(text: str) -> UriParts:
    """Split any text into the parts of a URI, without a check."""
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
    return UriParts(
        scheme, user, host, port, path, match["query"] or "", match["fragment"] or "", lost_slashes
    )


def read_migration_uri(text: str) -> UriParts:
    """Split a migration URI like :func:`read_uri`; accept libvirt's old form ``tcp:host``."""
    if text.startswith("tcp:") and not text.startswith("tcp://"):
        parts = read_uri(f"tcp://{text[4:]}")
        if parts.host:
            return parts
    return read_uri(text)


def _split_authority(authority: str) -> tuple[str | None, str, str | None]:
    before, at, rest = authority.rpartition("@")
    user = before if at else None
    if is_ipv6(rest):
        return user, rest, None
    match = _HOST_AND_PORT.fullmatch(rest)
    return (user, match["host"], match["port"]) if match else (user, rest, None)


def host_fault(host: str) -> UriFault | None:
    """Return the fault of a host in a URI, with its brackets."""
    if host.startswith("["):
        if is_ipv6(host[1:-1]) and host.endswith("]"):
            return None
        return UriFault("must be a valid IPv6 address", "Correct the address in the brackets.")
    if is_ipv6(host):
        return UriFault("must be an IPv6 address in brackets", f"Write [{host}].")
    if re.fullmatch(r"[0-9]+(\.[0-9]+){3}", host):
        try:
            ipaddress.IPv4Address(host)
        except ValueError:
            return UriFault("must be a valid IPv4 address", "Correct the address.")
    if len(host) > 253 or not _NAME.fullmatch(host):
        return UriFault(
            "must be a host name or an IP address", "Use letters, digits, hyphens and dots."
        )
    return None


def reach_fault(uri: str) -> UriFault | None:
    """Return the fault of a URI that no connection can be opened by: characters, host or port."""
    if not uri.isprintable():
        return UriFault("must have printable characters only", "Remove them, or write them as %XX.")
    parts = read_uri(uri)
    if parts.host and (fault := host_fault(parts.host)):
        return fault
    if parts.port is not None and not is_port(parts.port):
        return UriFault("must have a port from 1 to 65535, or none", "Correct the port.")
    return None


def name_problem(text: str, field: str) -> str | None:
    """Return the reason why a text is no host name or address; None if it is one."""
    fault = host_fault(bracketed(text))
    return fault and f"{field} {fault.reason} (got {quote(text)})"


def is_port(text: str) -> bool:
    """Return whether ``text`` is a port that can be connected to."""
    return re.fullmatch(r"[0-9]{1,5}", text) is not None and 1 <= int(text) <= 65535


def is_ipv6(text: str) -> bool:
    """Return whether ``text`` is an IPv6 address, without brackets."""
    # Python takes anything for the zone after a %; a URI does not.
    if not re.fullmatch(r"[0-9A-Fa-f:.]+(%[A-Za-z0-9_.-]+)?", text):
        return False
    try:
        ipaddress.IPv6Address(text)
    except ValueError:
        return False
    return True


def is_address(text: str) -> bool:
    """Return whether ``text`` is an IP address, without brackets; IPv6 may have its zone."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def is_local(host: str) -> bool:
    """Return whether a host is the connecting machine itself, by libvirt's ``localhost…`` test."""
    name = bare(host).lower()
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        return name.startswith("localhost")
    return address.is_loopback or address.is_unspecified


def same_machine(name: str, other: str) -> bool:
    """Return whether two host names certainly mean one machine; no name is resolved.

    Two names for this machine (``localhost``, ``127.0.0.1``) are the same.
    """

    def canonical(name: str) -> str:
        name = bare(name).lower().rstrip(".")
        if is_local(name):
            return "localhost"
        if not is_ipv6(name):
            return name
        address = ipaddress.IPv6Address(name)
        return str(address.ipv4_mapped or address)

    return canonical(name) == canonical(other)


def bare(host: str) -> str:
    """Return a host without the brackets of an IPv6 address."""
    return host[1:-1] if host.startswith("[") and host.endswith("]") else host


def bracketed(host: str) -> str:
    """Return a host in its form for a URI: an IPv6 address in brackets."""
    return f"[{host}]" if ":" in host and not host.startswith("[") else host
