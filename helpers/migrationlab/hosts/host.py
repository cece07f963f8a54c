"""Hosts: connections to libvirt daemons, and what is known of their machines.

A host of the lab and a real one are the same type; the lab only fills in more. How libvirt is
called, and what becomes of its errors, is ``library``'s. Never imports ``lab``.
"""

from __future__ import annotations

import contextlib
import re
import shlex
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qsl, urlencode, urlsplit

import libvirt
from defusedxml.ElementTree import fromstring

from migrationlab.errors import GuestError, HostError, UsageError
from migrationlab.hosts.connection import (
    library_version,
    open_connection,
    refusal,
    refusals,
    version_text,
)
from migrationlab.hosts.counters import Meters
from migrationlab.hosts.domain_xml import xml_sha256
from migrationlab.hosts.facts import HostFacts, from_kernel
from migrationlab.hosts.shell import Shell, shell_of

__all__ = [
    "DomainState",
    "Host",
    "HostFacts",
    "library_version",
    "open_connection",
    "refusal",
    "refusals",
    "version_text",
    "xml_hash",
]  # fmt: skip

UUID = r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"
#: What in a connection URI concerns the machine that dials: its files, its programs.
CLIENT_ONLY_PARAMETERS = ("command", "keyfile", "known_hosts", "pkipath", "socket")


@dataclass(frozen=True, slots=True)
class DomainState:
    """A domain at one moment.

    Attributes:
        name: Its name.
        paused: Whether it stands still.
        moving: Whether it stands still because it is on its way from or to another host.
        metadata: The metadata that was asked for, None where it has none.
        uuid: Its UUID.
        active: Whether it runs, or stands still; else it is only defined.
    """

    name: str
    paused: bool
    moving: bool
    metadata: str | None
    uuid: str
    active: bool


class Host:
    """A host that guests run on and migrate to.

    Args:
        uri: The connection URI by which *this process* reaches its libvirtd.
        name: What to call it; by default its own hostname.
        peer_uri: The connection URI by which *other machines* reach its libvirtd; by default
            ``uri`` where that names a machine, else ssh to its own hostname.
        image: The release that a lab host runs.
        log: The daemon's log, where this process may read it.
        meters: Its machine's own counters, where this process can read them.
        route: Turns a connection URI meant for this host's neighbours into one that this
            process can open to the same end; None where they are the same.
        shell: How this process runs a program on the host's machine; by default as ``uri``
            shows, and None where it shows no way.

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
        meters: Meters | None = None,
        route: Callable[[str], str] | None = None,
        shell: Shell | None = None,
    ) -> None:
        if not uri:
            raise UsageError(
                "a host needs a connection URI", hint="for example qemu+ssh://root@node1/system"
            )
        self.uri = uri
        self.image = image
        self.log = log
        self.meters = meters
        self.shell = shell or shell_of(uri)
        self._route = route
        self._connection = open_connection(uri)
        with refusals():
            self._hostname: str = self.connection.getHostname()
        self.name = name or self._hostname
        self.peer_uri = peer_uri or self._default_peer_uri()
        self._facts: HostFacts | None = None

    def __repr__(self) -> str:
        return f"Host({self.name!r}, {self.uri!r})"

    def _default_peer_uri(self) -> str:
        parts = urlsplit(self.uri)
        if not parts.hostname:
            return f"qemu+ssh://root@{self._hostname}/system"
        query = [pair for pair in parse_qsl(parts.query) if pair[0] not in CLIENT_ONLY_PARAMETERS]
        return parts._replace(query=urlencode(query, safe="/")).geturl()

    @property
    def connection(self) -> libvirt.virConnect:
        """Return the connection to its libvirtd.

        Raises:
            HostError: It broke.
        """
        if not self._connection.isAlive():
            raise HostError(
                f"the connection to {self.name} is broken: its libvirtd ended, or is out of reach",
                hint="host.reconnect() opens a new one once libvirtd is there again",
            )
        return self._connection

    def reconnect(self) -> None:
        """Open the connection anew, as after a restart of the host's libvirtd.

        What the host says of itself is asked anew too. Guests are not touched.

        Raises:
            HostError: Its libvirtd could not be reached; the old connection is as it was.
        """
        new = open_connection(self.uri)
        with contextlib.suppress(libvirt.libvirtError):  # it broke: why else would this be called
            self._connection.close()
        self._connection = new
        self._facts = None

    @property
    def peer_name(self) -> str:
        """Return the name by which other machines reach it."""
        return urlsplit(self.peer_uri).hostname or self._hostname

    @property
    def facts(self) -> HostFacts:
        """Return what the host says of itself; asked once."""
        if self._facts is None:
            with refusals():
                _arch, _mib, cpus, *_ = self.connection.getInfo()
                kernel, cpu_model = from_kernel(self.shell)
                if cpu_model is None:
                    cpu_model = fromstring(self.capabilities()).findtext("host/cpu/model")
                self._facts = HostFacts(
                    hostname=self._hostname,
                    libvirt_version=version_text(self.connection.getLibVersion()),
                    # The first question about QEMU makes the daemon try every QEMU it has.
                    qemu_version=version_text(self.connection.getVersion()),
                    cpus=cpus,
                    memory_mib=_memory_mib(self.connection),
                    cpu_model=cpu_model,
                    kernel=kernel,
                )
        return self._facts

    def new_connection(self, uri: str | None = None) -> libvirt.virConnect:
        """Open one more connection; a daemon serves only five requests at once on each.

        Args:
            uri: Another connection URI of this host, as its neighbours use it.
        """
        if uri is not None and self._route:
            return open_connection(self._route(uri))
        # This process's own URI may name a key or a program that the neighbours' leaves out.
        return open_connection(self.uri if uri in (None, self.peer_uri) else uri)

    def domain(self, name: str, *, inactive: bool = False) -> libvirt.virDomain:
        """Return a domain of this host, by its name or UUID.

        Args:
            name: Its name, or else its UUID.
            inactive: Whether it may be one that is defined and not running.

        Raises:
            GuestError: It has no such domain, or that isn't running.
        """
        try:
            domain = self._find(name)
            running = inactive or bool(domain.isActive())
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
                hint="where it runs on no other host either, start it: "
                f"virsh --connect {shlex.quote(self.uri)} start {shlex.quote(name)}",
            )
        return domain

    def _find(self, name: str) -> libvirt.virDomain:
        try:
            return self.connection.lookupByName(name)
        except libvirt.libvirtError as error:
            unknown = error.get_error_code() == libvirt.VIR_ERR_NO_DOMAIN
            if not unknown or not re.fullmatch(UUID, name):
                raise
        return self.connection.lookupByUUIDString(name)

    def domain_names(self) -> list[str]:
        """Return the names of the domains that run on this host."""
        return sorted(domain.name for domain in self.domains())

    def domains(self, metadata: str | None = None, *, inactive: bool = False) -> list[DomainState]:
        """Return the domains that run on this host, paused and moving ones too.

        Args:
            metadata: Of which XML namespace to read each domain's metadata.
            inactive: Whether to return those too that are only defined.

        Raises:
            HostError: The host could not be asked.
        """
        with refusals(f"check that libvirtd of {self.name} runs"):
            found = self.connection.listAllDomains(
                0 if inactive else libvirt.VIR_CONNECT_LIST_DOMAINS_ACTIVE
            )
        return [state for domain in found if (state := _state(domain, metadata)) is not None]

    def find(self, uuid: str) -> DomainState | None:
        """Return how a domain of this host is, one too that is only defined.

        Args:
            uuid: The domain's UUID.

        Returns:
            Its state, without metadata; None where the host has no such domain.

        Raises:
            HostError: The host could not be asked.
        """
        try:
            return _state(self.connection.lookupByUUIDString(uuid))
        except libvirt.libvirtError as error:
            if error.get_error_code() == libvirt.VIR_ERR_NO_DOMAIN:
                return None
            raise refusal(error, f"check that libvirtd of {self.name} runs") from error

    def create(self, xml: str, *, persistent: bool = False) -> None:
        """Start a domain.

        Args:
            xml: The domain's XML.
            persistent: Whether the host keeps its definition when it ends.

        Raises:
            HostError: libvirt refused it; it isn't there.
        """
        with refusals(f"the log of {self.name} is {self.log}" if self.log else ""):
            if not persistent:
                self.connection.createXML(xml, 0)
                return
            domain = self.connection.defineXML(xml)
            try:
                domain.create()
            except libvirt.libvirtError:
                domain.undefine()
                raise

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

    def forget(self, uuid: str) -> None:
        """End a domain and drop its definition; what is not there is no error.

        Raises:
            HostError: libvirt refused.
        """
        try:
            domain = self.connection.lookupByUUIDString(uuid)
            if domain.isPersistent():
                domain.undefine()
            if domain.isActive():
                domain.destroy()
        except libvirt.libvirtError as error:
            if error.get_error_code() != libvirt.VIR_ERR_NO_DOMAIN:
                raise refusal(error) from error

    def is_busy(self, name: str) -> bool:
        """Return whether a domain has a job under way, such as a migration."""
        with refusals():
            domain = self.connection.lookupByName(name)
            # One that does not run has no jobs, and says so with an error.
            if not domain.isActive():
                return False
            info = domain.jobInfo()
        return bool(info[0] != libvirt.VIR_DOMAIN_JOB_NONE)

    def capabilities(self) -> str:
        """Return the host's capabilities XML."""
        with refusals():
            capabilities: str = self.connection.getCapabilities()
        return capabilities

    def close(self) -> None:
        """Close the connection; the host itself goes on."""
        with refusals():
            self._connection.close()


def xml_hash(domain: libvirt.virDomain) -> str | None:
    """Return the hash that domains of the same kind share (see ``domainxml``).

    Returns:
        The hash; None where this connection is denied the XML that is sent to another host, as
        libvirt does to whoever may not read a domain's passwords.

    Raises:
        HostError: The host could not be asked.
    """
    try:
        return xml_sha256(domain.XMLDesc(libvirt.VIR_DOMAIN_XML_MIGRATABLE))
    except libvirt.libvirtError as error:
        if error.get_error_code() in (
            libvirt.VIR_ERR_OPERATION_DENIED,
            libvirt.VIR_ERR_ACCESS_DENIED,
        ):
            return None
        raise refusal(error) from error


def _memory_mib(connection: libvirt.virConnect) -> int:
    """Return how much memory a host has.

    As its kernel counts it in /proc/meminfo (virHostMemGetStatsLinux in virhostmem.c);
    virNodeGetInfo adds up its NUMA nodes, of which a virtual machine's kernel may count less.
    """
    try:
        every = libvirt.VIR_NODE_MEMORY_STATS_ALL_CELLS
        return int(connection.getMemoryStats(every)["total"]) >> 10
    except libvirt.libvirtError as error:
        if error.get_error_code() != libvirt.VIR_ERR_NO_SUPPORT:
            raise
        return int(connection.getInfo()[1])


def _state(domain: libvirt.virDomain, metadata: str | None = None) -> DomainState | None:
    """Return how a domain is, None where it has ended since it was found."""
    try:
        state, reason = domain.state()
        text = _metadata(domain, metadata) if metadata else None
    except libvirt.libvirtError as error:
        if error.get_error_code() == libvirt.VIR_ERR_NO_DOMAIN:
            return None
        raise refusal(error) from error
    paused = state == libvirt.VIR_DOMAIN_PAUSED
    return DomainState(
        domain.name(),
        paused,
        moving=paused and reason == libvirt.VIR_DOMAIN_PAUSED_MIGRATION,
        metadata=text,
        uuid=domain.UUIDString(),
        active=state != libvirt.VIR_DOMAIN_SHUTOFF,
    )


def _metadata(domain: libvirt.virDomain, namespace: str) -> str | None:
    try:
        text: str = domain.metadata(libvirt.VIR_DOMAIN_METADATA_ELEMENT, namespace)
    except libvirt.libvirtError as error:
        if error.get_error_code() == libvirt.VIR_ERR_NO_DOMAIN_METADATA:
            return None
        raise
    return text
