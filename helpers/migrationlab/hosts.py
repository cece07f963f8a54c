"""Hosts: connections to libvirt daemons, and what is known of their machines.

Owns the libvirt library in this process: its event loop, its error handler, and the turning
of its errors into the kit's. A host of the lab and a real one are the same type; the lab only
fills in more. Never imports ``lab``.
"""

from __future__ import annotations

import contextlib
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import libvirt

from migrationlab.errors import GuestError, HostError, UsageError

_library_lock = threading.Lock()
_library_ready = False


@contextmanager
def refusals(hint: str = "") -> Iterator[None]:
    """Turn a libvirt error raised in the body into a :class:`HostError`.

    Args:
        hint: What the user can do about it.
    """
    try:
        yield
    except libvirt.libvirtError as error:
        raise refusal(error, hint) from error


#: What to do about the refusals that people meet first, by the words of libvirt 9 to 11.
HINTS = (
    (
        r"Could not resolve hostname|Unable to resolve address|Name or service not known",
        (
            "whoever dials that name must be able to resolve it: in normal mode this machine, in "
            "peer2peer the source host (its DNS or /etc/hosts); or give an address"
        ),
    ),
    (
        r"Host key verification failed",
        (
            "whoever dials must know the host's key: in peer2peer root of the source host; log in "
            "once by ssh from there"
        ),
    ),
    (
        r"unsupported scheme|missing scheme|missing host|Unable to parse URI",
        "a migration URI says where the destination's QEMU listens: tcp://HOST",
    ),
    (
        r"unable to connect to server|Connection refused|No route to host",
        (
            "see that the port is open between the hosts: 49152 to 49215 for QEMU, or give a port "
            "in the migration URI"
        ),
    ),
    (r"CA certificate|credentials", "that URI means TLS: name another transport, as qemu+ssh"),
    (r"canceled by client", "it was cancelled, or its deadline passed: the guest goes on"),
    (
        r"client socket is closed|End of file while reading data|keepalive",
        "the host or its libvirtd went away: see that it runs, and its log",
    ),
)
UNKNOWN_HINT = "the logs of both libvirtds, and of the destination's QEMU, say more"


def refusal(error: libvirt.libvirtError, hint: str = "") -> HostError:
    """Return the kit's error for a libvirt error, with code, domain and text kept."""
    text = error.get_error_message() or str(error)
    known = (hint for pattern, hint in HINTS if re.search(pattern, text))
    return HostError(
        text,
        hint=hint or next(known, UNKNOWN_HINT),
        code=error.get_error_code(),
        domain=error.get_error_domain(),
    )


def version_text(number: int) -> str:
    """Return a version as people write it, from libvirt's 1,000,000 * major + 1,000 * minor."""
    return f"{number // 1_000_000}.{number // 1_000 % 1_000}.{number % 1_000}"


def library_version() -> str:
    """Return the version of the libvirt client library in this process."""
    return version_text(libvirt.getVersion())


def open_connection(uri: str) -> libvirt.virConnect:
    """Open a connection to a libvirt daemon.

    Raises:
        HostError: The daemon could not be reached, or refused.
    """
    _start_library()
    with refusals(f"check that {uri} is where the host's libvirtd listens"):
        return libvirt.open(uri)


def _start_library() -> None:
    """Start libvirt's event loop in a thread of its own; before the first connection, once."""
    global _library_ready  # noqa: PLW0603 - a library has one event loop a process
    with _library_lock:
        if _library_ready:
            return
        # Errors are raised; libvirt would print them to standard error besides.
        libvirt.registerErrorHandler(lambda _context, _error: None, None)
        libvirt.virEventRegisterDefaultImpl()
        threading.Thread(target=_run_events, name="libvirt-events", daemon=True).start()
        _library_ready = True


def _run_events() -> None:
    while True:
        # One turn that fails must not end all events of this process.
        with contextlib.suppress(libvirt.libvirtError):
            libvirt.virEventRunDefaultImpl()


@dataclass(frozen=True, slots=True)
class HostFacts:
    """What a host says of itself.

    Attributes:
        hostname: Its own name, which it also gives to others as the place to migrate to.
        libvirt_version: Its daemon's version.
        qemu_version: Its QEMU's version.
    """

    hostname: str
    libvirt_version: str
    qemu_version: str

    @property
    def qemu(self) -> tuple[int, ...]:
        """Return QEMU's version as numbers that compare."""
        return tuple(int(part) for part in self.qemu_version.split("."))


@dataclass(frozen=True, slots=True)
class DomainState:
    """A domain at one moment.

    Attributes:
        name: Its name.
        paused: Whether it stands still.
        moving: Whether it stands still because it is on its way from or to another host.
        metadata: The metadata that was asked for, None where it has none.
    """

    name: str
    paused: bool
    moving: bool
    metadata: str | None


class Host:
    """A host that guests run on and migrate to.

    Args:
        uri: The connection URI by which *this process* reaches its libvirtd.
        name: What to call it; by default its own hostname.
        peer_uri: The connection URI by which *other machines* reach its libvirtd; by default
            ``uri`` where that names a machine, else ssh to its own hostname.
        image: The release that a lab host runs.
        log: The daemon's log, where this process may read it.
        sent_bytes: Reads how many bytes the host has put on the wire so far.
        route: Turns a connection URI meant for this host's neighbours into one that this
            process can open to the same end; None where they are the same.

    Raises:
        UsageError: ``uri`` is empty.
        HostError: Its libvirtd could not be reached.
    """

    def __init__(
        self,
        uri: str,
        *,
        name: str | None = None,
        peer_uri: str | None = None,
        image: str | None = None,
        log: Path | None = None,
        sent_bytes: Callable[[], int] | None = None,
        route: Callable[[str], str] | None = None,
    ) -> None:
        if not uri:
            raise UsageError(
                "a host needs a connection URI", hint="for example qemu+ssh://root@node1/system"
            )
        self.uri = uri
        self.image = image
        self.log = log
        self.sent_bytes = sent_bytes
        self._route = route
        self.connection = open_connection(uri)
        with refusals():
            self._hostname: str = self.connection.getHostname()
        self.name = name or self._hostname
        self.peer_uri = peer_uri or self._default_peer_uri()
        self._facts: HostFacts | None = None

    def __repr__(self) -> str:
        return f"Host({self.name!r}, {self.uri!r})"

    def _default_peer_uri(self) -> str:
        if urlsplit(self.uri).hostname:
            return self.uri
        return f"qemu+ssh://root@{self._hostname}/system"

    @property
    def peer_name(self) -> str:
        """Return the name by which other machines reach it."""
        return urlsplit(self.peer_uri).hostname or self._hostname

    @property
    def facts(self) -> HostFacts:
        """Return what the host says of itself; asked once."""
        if self._facts is None:
            with refusals():
                self._facts = HostFacts(
                    hostname=self._hostname,
                    libvirt_version=version_text(self.connection.getLibVersion()),
                    # The first question about QEMU makes the daemon try every QEMU it has.
                    qemu_version=version_text(self.connection.getVersion()),
                )
        return self._facts

    def new_connection(self, uri: str | None = None) -> libvirt.virConnect:
        """Open one more connection; a daemon serves only five requests at once on each.

        Args:
            uri: Another connection URI of this host, as its neighbours use it.
        """
        if uri is None:
            return open_connection(self.uri)
        return open_connection(self._route(uri) if self._route else uri)

    def domain(self, name: str) -> libvirt.virDomain:
        """Return a running domain of this host.

        Raises:
            GuestError: It has no such domain, or that isn't running.
        """
        try:
            domain = self.connection.lookupByName(name)
            running = bool(domain.isActive())
        except libvirt.libvirtError as error:
            if error.get_error_code() != libvirt.VIR_ERR_NO_DOMAIN:
                raise refusal(error) from error
            known = ", ".join(self.domain_names()) or "none"
            raise GuestError(
                f"{self.name} has no guest {name!r}", hint=f"guests running there: {known}"
            ) from error
        if not running:
            raise GuestError(
                f"the guest {name!r} of {self.name} is not running",
                hint=f"start it with `virsh --connect {self.uri} start {name}`",
            )
        return domain

    def domain_names(self) -> list[str]:
        """Return the names of the domains that run on this host."""
        return sorted(domain.name for domain in self.domains())

    def domains(self, metadata: str | None = None) -> list[DomainState]:
        """Return the domains that run on this host, paused and moving ones too.

        Args:
            metadata: Of which XML namespace to read each domain's metadata.

        Raises:
            HostError: The host could not be asked.
        """
        with refusals(f"check that libvirtd of {self.name} runs"):
            found = self.connection.listAllDomains(libvirt.VIR_CONNECT_LIST_DOMAINS_ACTIVE)
        states = []
        for domain in found:
            try:
                state, reason = domain.state()
                text = _metadata(domain, metadata) if metadata else None
            except libvirt.libvirtError as error:
                if error.get_error_code() == libvirt.VIR_ERR_NO_DOMAIN:
                    continue  # it ended since it was listed
                raise refusal(error) from error
            paused = state == libvirt.VIR_DOMAIN_PAUSED
            moving = paused and reason == libvirt.VIR_DOMAIN_PAUSED_MIGRATION
            states.append(DomainState(domain.name(), paused, moving, text))
        return states

    def create(self, xml: str) -> None:
        """Start a transient domain.

        Args:
            xml: The domain's XML.

        Raises:
            HostError: libvirt refused it.
        """
        with refusals(f"the log of {self.name} is {self.log}" if self.log else ""):
            self.connection.createXML(xml, 0)

    def destroy(self, name: str) -> None:
        """End a domain at once; one that is not there is no error.

        Raises:
            HostError: libvirt refused.
        """
        try:
            self.connection.lookupByName(name).destroy()
        except libvirt.libvirtError as error:
            if error.get_error_code() != libvirt.VIR_ERR_NO_DOMAIN:
                raise refusal(error) from error

    def is_busy(self, name: str) -> bool:
        """Return whether a domain has a job under way, such as a migration."""
        with refusals():
            info = self.connection.lookupByName(name).jobInfo()
        return bool(info[0] != libvirt.VIR_DOMAIN_JOB_NONE)

    def capabilities(self) -> str:
        """Return the host's capabilities XML."""
        with refusals():
            capabilities: str = self.connection.getCapabilities()
        return capabilities

    def close(self) -> None:
        """Close the connection; the host itself goes on."""
        with refusals():
            self.connection.close()


def _metadata(domain: libvirt.virDomain, namespace: str) -> str | None:
    try:
        text: str = domain.metadata(libvirt.VIR_DOMAIN_METADATA_ELEMENT, namespace)
    except libvirt.libvirtError as error:
        if error.get_error_code() == libvirt.VIR_ERR_NO_DOMAIN_METADATA:
            return None
        raise
    return text
