"""What a host offers to a guest, and what a guest wants of one: asked here, judged elsewhere.

A host's side comes from its capabilities XML and a few questions to its libvirtd; a guest's from
its domain XML. Sources: libvirt's ``docs/formatcaps.rst`` and ``docs/formatdomain.rst``. Never
imports ``lab``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from xml.etree.ElementTree import tostring

from defusedxml.ElementTree import fromstring

from migrationlab.errors import HostError
from migrationlab.hosts.host import Host, refusals
from migrationlab.plan.validation import DomainFacts, domain_facts

#: What versioned machine types begin with, as QEMU itself names them.
FAMILIES = ("pc-q35-", "pc-i440fx-", "virt-", "s390-ccw-virtio-", "pseries-")
#: ``VIR_CONNECT_COMPARE_CPU_FAIL_INCOMPATIBLE``: say what is missing, as an error.
_SAY_WHY = 1
#: ``VIR_ERR_OPERATION_DENIED``: on a read-only connection.
_DENIED = 29
#: ``VIR_ERR_CPU_INCOMPATIBLE``.
_CPU_INCOMPATIBLE = 91


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a host's libvirtd says of its machine.

    Attributes:
        uuid: The host's UUID, by which libvirt tells hosts apart.
        arch: Its architecture.
        cpu_model: The named model next to its CPU; empty where libvirt knows none.
        machines: The machine types of its own architecture's guests, aliases too.
    """

    uuid: str
    arch: str
    cpu_model: str
    machines: frozenset[str]

    @classmethod
    def parse(cls, text: str) -> Capabilities:
        """Read a capabilities XML."""
        xml = fromstring(text)
        arch = xml.findtext("host/cpu/arch", "")
        machines: set[str] = set()
        for machine in xml.iterfind(f"guest/arch[@name='{arch}']//machine"):
            machines.update(filter(None, (machine.text, machine.get("canonical"))))
        return cls(
            uuid=xml.findtext("host/uuid", ""),
            arch=arch,
            cpu_model=xml.findtext("host/cpu/model", ""),
            machines=frozenset(machines),
        )

    def newest(self, family: str) -> str | None:
        """Return the newest versioned machine type of a family, None where it has none."""
        return newest(self.machines, [family])


def newest(machines: frozenset[str], families: Iterable[str]) -> str | None:
    """Return the newest versioned machine type among some.

    Args:
        machines: Names of machine types.
        families: What the wanted ones begin with; the first family of which there are any counts.
    """
    for family in families:
        versions = {
            name: tuple(map(int, match[1].split(".")))
            for name in machines
            if (match := re.fullmatch(rf"{re.escape(family)}(\d+(?:\.\d+)+)", name))
        }
        if versions:
            return max(versions, key=lambda name: versions[name])
    return None


@dataclass(frozen=True, slots=True)
class Wants:
    """What a domain wants of the host that it runs on.

    Attributes:
        facts: Its name, memory and disks.
        virt: "kvm" or "qemu".
        arch: Its architecture.
        machine: Its machine type.
        cpu: Its CPU's XML, empty where it has none of its own.
        cpu_mode: "custom", "host-model", "host-passthrough" …; empty likewise.
        bridges: The host's bridges and devices that its network cards use.
        networks: libvirt's networks that they use.
        devices: Devices of the host that it holds, by their kinds.
    """

    facts: DomainFacts
    virt: str
    arch: str
    machine: str
    cpu: str
    cpu_mode: str
    bridges: tuple[str, ...]
    networks: tuple[str, ...]
    devices: tuple[str, ...]

    @classmethod
    def parse(cls, text: str) -> Wants:
        """Read a domain's XML."""
        xml = fromstring(text)
        kind = xml.find("os/type")
        cpu = xml.find("cpu")
        # A running domain says for a network which bridge it is: <source network= bridge=>.
        cards = [source for card in xml.iterfind("devices/interface") for source in card[:]]
        sources = [source for source in cards if source.tag == "source"]
        networks = {name for source in sources if (name := source.get("network"))}
        bridges = {
            name
            for source in sources
            if source.get("network") is None and (name := source.get("bridge") or source.get("dev"))
        }
        return cls(
            facts=domain_facts(text),
            virt=xml.get("type", ""),
            arch="" if kind is None else kind.get("arch", ""),
            machine="" if kind is None else kind.get("machine", ""),
            cpu="" if cpu is None else tostring(cpu, encoding="unicode").strip(),
            cpu_mode="" if cpu is None else cpu.get("mode", ""),
            bridges=tuple(sorted(bridges)),
            networks=tuple(sorted(networks)),
            devices=tuple(device.get("type", "") for device in xml.iterfind("devices/hostdev")),
        )


def capabilities(host: Host) -> Capabilities:
    """Ask a host for its capabilities.

    Raises:
        HostError: It did not say.
    """
    return Capabilities.parse(host.capabilities())


def wants(host: Host, domain: str) -> Wants:
    """Ask a host what a domain of it wants, running or not.

    Raises:
        GuestError: It has no such domain.
        HostError: It did not say.
    """
    found = host.domain(domain, inactive=True)
    with refusals():
        return Wants.parse(found.XMLDesc())


def missing_features(host: Host, want: Wants) -> str:
    """Return what a host's CPU, as QEMU offers it there, lacks for a domain; empty for nothing.

    Raises:
        HostError: The host could not tell.
    """
    try:
        with refusals():
            host.connection.compareHypervisorCPU(
                None, want.arch, want.machine or None, want.virt, want.cpu, _SAY_WHY
            )
    except HostError as error:
        text = str(error)
        # A libvirt that never heard of a model or a feature calls that an internal error.
        if error.code != _CPU_INCOMPATIBLE and "unknown cpu" not in text.lower():
            raise
        return text.partition("CPU: ")[2] or text.removeprefix("internal error: ")
    return ""


def may_act(host: Host) -> bool:
    """Return whether a connection may do more than read.

    Tried by a question that only such a connection may ask (virConnectDomainXMLFromNative in
    libvirt's ``src/libvirt-domain.c``): about nothing, so that nothing comes of it.
    """
    try:
        with refusals():
            host.connection.domainXMLFromNative("", "")
    except HostError as error:
        return error.code != _DENIED
    return True


def networks(host: Host) -> frozenset[str]:
    """Return the names of libvirt's networks that are up on a host.

    Raises:
        HostError: It did not say.
    """
    with refusals():
        return frozenset(net.name() for net in host.connection.listAllNetworks() if net.isActive())


def free_memory_mib(host: Host) -> int:
    """Return how much memory is free on a host, what the kernel would give back not counted.

    Raises:
        HostError: It did not say.
    """
    with refusals():
        return int(host.connection.getFreeMemory()) >> 20
