"""Know one host: a connection to its libvirt daemon, its domains, and facts about its machine.

A lab's host and a real one have the same type; the lab fills in more.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import libvirt

from migrationlab.errors import GuestError, HostError, UsageError
from migrationlab.hosts.connection import (
    answer_or_none,
    close_connection,
    open_connection,
    refusals,
    version_text,
)
from migrationlab.hosts.counters import HostCounters
from migrationlab.hosts.domain_xml import xml_sha256
from migrationlab.hosts.facts import HostFacts, from_kernel
from migrationlab.hosts.shell import Shell, shell_of
from migrationlab.plan.outside_xml import read_xml
from migrationlab.plan.plan import Plan
from migrationlab.plan.problem import require_none
from migrationlab.plan.uri_parser import name_problem, reach_fault, read_uri
from migrationlab.plan.uris import validate_domain_name
from migrationlab.plan.validation import Side
from migrationlab.plan.virsh import virsh_line
from migrationlab.plan.wording import quote

UUID = r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"
#: Parameters of a connection URI about the connecting machine: its files, its programs.
CLIENT_ONLY_PARAMETERS = ("command", "keyfile", "known_hosts", "pkipath", "socket")
NO_DOMAIN = (libvirt.VIR_ERR_NO_DOMAIN,)
DENIED = (libvirt.VIR_ERR_OPERATION_DENIED, libvirt.VIR_ERR_ACCESS_DENIED)


@dataclass(frozen=True, slots=True)
class DomainState:
    """The state of a domain at one moment.

    Attributes:
        moving: Whether it is paused because it migrates from or to another host.
        metadata: The requested metadata, None if it has none.
        active: Whether it is running or paused; otherwise it is only defined.
    """

    name: str
    paused: bool
    moving: bool
    metadata: str | None
    uuid: str
    active: bool


class Host:
    """A host that guests run on and migrate to.

    Every method raises HostError if libvirt refuses or cannot be reached.

    Args:
        uri: The connection URI by which *this process* reaches its libvirtd.
        name: Its name in messages; by default its hostname.
        peer_uri: The connection URI by which *other machines* reach its libvirtd; by default
            ``uri`` if that names a machine, else ssh to its hostname.
        image: The image that a lab host runs.
        daemons: The kind of libvirt's daemons that a lab host runs: "monolithic" or "modular".
        packages: The exact versions of the packages that matter, by name, if they are known.
        log: The daemon's log, if this process may read it.
        counters: The counters of its machine, if this process can read them.
        route: Turns a connection URI for this host's neighbours into one that this process can
            open to the same end; None if they are the same.
        shell: How this process runs a program on the host's machine; by default what ``uri``
            shows, and None if it shows no way.

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
        packages: Mapping[str, str] | None = None,
        daemons: str | None = None,
        log: Path | None = None,
        counters: HostCounters | None = None,
        route: Callable[[str], str] | None = None,
        shell: Shell | None = None,
    ) -> None:
        if not uri:
            raise UsageError(
                f"uri must be a connection URI (got {uri!r})",
                hint="Give one, for example qemu+ssh://root@node1/system",
            )
        if fault := reach_fault(uri):
            raise UsageError(f"uri {fault.reason} (got {quote(uri)})", hint=fault.hint)
        self.uri = uri
        self.image = image
        self.packages = packages
        self.daemons = daemons
        self.log = log
        self.counters = counters
        self.shell = shell or shell_of(uri)
        self._route = route
        self._connection = open_connection(uri)
        with refusals():
            self._hostname: str = self.connection.getHostname()
        # Programs and URIs get this name, and another machine chose it.
        if problem := name_problem(self._hostname, f"the hostname that {uri} reports"):
            raise HostError(problem, hint="Set it there: hostnamectl set-hostname NAME")
        self.name = name or self._hostname
        self.peer_uri = peer_uri or self._default_peer_uri()
        self._facts: HostFacts | None = None

    def __repr__(self) -> str:
        return f"Host({self.name!r}, {self.uri!r})"

    def _default_peer_uri(self) -> str:
        parts = read_uri(self.uri)
        if not parts.hostname:
            return f"qemu+ssh://root@{self._hostname}/system"
        options = parts.options.items()
        return parts.with_options(
            {name: value for name, value in options if name not in CLIENT_ONLY_PARAMETERS}
        )

    @property
    def _hint(self) -> str:
        return f"check that libvirtd of {self.name} runs"

    @property
    def connection(self) -> libvirt.virConnect:
        """Return the connection to its libvirtd; HostError if it is broken."""
        if not self._connection.isAlive():
            raise HostError(
                f"the connection to {self.name} is broken: its libvirtd ended or cannot be reached",
                hint="Call host.reconnect() when libvirtd runs again.",
            )
        return self._connection

    def reconnect(self) -> None:
        """Open the connection again, as after a restart of the host's libvirtd.

        The host's facts are asked again too. Guests are not touched. The old connection stays if
        the new one fails.
        """
        new = open_connection(self.uri)
        close_connection(self._connection)
        self._connection = new
        self._facts = None

    @property
    def peer_name(self) -> str:
        """Return the name by which other machines reach it."""
        return read_uri(self.peer_uri).hostname or self._hostname

    @property
    def side(self) -> Side:
        """Return the facts about this host that a plan is validated against."""
        return Side(name=self.peer_name, libvirt=self.facts.libvirt, qemu=self.facts.qemu)

    def with_uris(self, plan: Plan) -> Plan:
        """Return a plan whose missing URIs lead to this host as the destination."""
        if plan.connection_uri is None:
            plan = replace(plan, connection_uri=self.peer_uri)
        return plan.filled(destination=self.peer_name)

    @property
    def facts(self) -> HostFacts:
        """Return facts about the host. They are read once and kept."""
        if self._facts is None:
            with refusals():
                _arch, _mib, cpus, *_ = self.connection.getInfo()
                kernel, cpu_model = from_kernel(self.shell)
                if cpu_model is None:
                    cpu_model = read_xml(self.capabilities()).findtext("host/cpu/model")
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
        """Return a domain of this host, by its name or UUID; with ``inactive`` also a defined one.

        Raises:
            GuestError: The host has no such domain, or it is not running.
        """
        require_none(validate_domain_name(name))
        domain = answer_or_none(lambda: self.connection.lookupByName(name), NO_DOMAIN)
        if domain is None and re.fullmatch(UUID, name):
            domain = answer_or_none(lambda: self.connection.lookupByUUIDString(name), NO_DOMAIN)
        active = domain and answer_or_none(domain.isActive, NO_DOMAIN)
        if active is None:
            running = ", ".join(self.domain_names())
            raise GuestError(
                f"{self.name} has no guest {name!r}",
                hint=f"Choose one that runs there: {running}" if running else "Start one there.",
            )
        if not (active or inactive):
            raise GuestError(
                f"the guest {name!r} of {self.name} is not running",
                hint="Start it if it runs on no other host: " + virsh_line(self.uri, "start", name),
            )
        return domain

    def domain_names(self) -> list[str]:
        """Return the names of the domains that run on this host."""
        return sorted(domain.name for domain in self.domains())

    def domains(self, metadata: str | None = None, *, inactive: bool = False) -> list[DomainState]:
        """Return the running domains of this host, with paused and migrating ones.

        Args:
            metadata: The XML namespace of the metadata to read.
            inactive: Whether to return domains too that are only defined.
        """
        with refusals(self._hint):
            found = self.connection.listAllDomains(
                0 if inactive else libvirt.VIR_CONNECT_LIST_DOMAINS_ACTIVE
            )
        return [state for domain in found if (state := _state(domain, metadata)) is not None]

    def find(self, uuid: str) -> DomainState | None:
        """Return the state of a domain by its UUID, without metadata; None if it is not here."""
        domain = answer_or_none(
            lambda: self.connection.lookupByUUIDString(uuid), NO_DOMAIN, self._hint
        )
        return domain and _state(domain)

    def create(self, xml: str, *, persistent: bool = False) -> None:
        """Start a domain; the host keeps the definition of a persistent one when it ends."""
        with refusals(f"read the log of {self.name}: {self.log}" if self.log else ""):
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
        """End a domain at once, if the host has it."""
        answer_or_none(lambda: self.connection.lookupByName(name).destroy(), NO_DOMAIN)

    def forget(self, uuid: str) -> None:
        """End a domain and remove its definition, if the host has them."""

        def forget() -> None:
            domain = self.connection.lookupByUUIDString(uuid)
            if domain.isPersistent():
                domain.undefine()
            if domain.isActive():
                domain.destroy()

        answer_or_none(forget, NO_DOMAIN)

    def is_busy(self, name: str) -> bool:
        """Return whether a domain has a job under way, such as a migration."""
        with refusals():
            domain = self.connection.lookupByName(name)
            # jobInfo() fails for a domain that does not run.
            return bool(domain.isActive() and domain.jobInfo()[0] != libvirt.VIR_DOMAIN_JOB_NONE)

    def capabilities(self) -> str:
        """Return the host's capabilities XML."""
        with refusals():
            capabilities: str = self.connection.getCapabilities()
        return capabilities

    def close(self) -> None:
        """Close the connection."""
        close_connection(self._connection)


def domain_sha256(domain: libvirt.virDomain) -> str | None:
    """Return the hash of a domain's kind (see ``domain_xml``).

    None if this connection may not read the XML that is sent to another host, which has the
    domain's passwords.
    """
    xml = answer_or_none(lambda: domain.XMLDesc(libvirt.VIR_DOMAIN_XML_MIGRATABLE), DENIED)
    return None if xml is None else xml_sha256(xml)


def _memory_mib(connection: libvirt.virConnect) -> int:
    """Return the memory of a host.

    This is the kernel's figure in /proc/meminfo (virHostMemGetStatsLinux in virhostmem.c).
    virNodeGetInfo adds up the NUMA nodes, of which the kernel of a virtual machine may count less.
    """
    every = libvirt.VIR_NODE_MEMORY_STATS_ALL_CELLS
    stats = answer_or_none(lambda: connection.getMemoryStats(every), (libvirt.VIR_ERR_NO_SUPPORT,))
    return int(connection.getInfo()[1]) if stats is None else int(stats["total"]) >> 10


def _state(domain: libvirt.virDomain, metadata: str | None = None) -> DomainState | None:
    """Return the state of a domain, None if it has ended since it was found."""
    found = answer_or_none(domain.state, NO_DOMAIN)
    if found is None:
        return None
    state, reason = found
    text: str | None = metadata and answer_or_none(
        lambda: domain.metadata(libvirt.VIR_DOMAIN_METADATA_ELEMENT, metadata),
        (libvirt.VIR_ERR_NO_DOMAIN_METADATA, *NO_DOMAIN),
    )
    paused = state == libvirt.VIR_DOMAIN_PAUSED
    return DomainState(
        domain.name(),
        paused,
        moving=paused and reason == libvirt.VIR_DOMAIN_PAUSED_MIGRATION,
        metadata=text,
        uuid=domain.UUIDString(),
        active=state != libvirt.VIR_DOMAIN_SHUTOFF,
    )
