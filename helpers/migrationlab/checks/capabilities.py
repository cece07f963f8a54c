"""Ask a host for its capabilities, and for the requirements of a guest.

Capabilities come from a host's capabilities XML and a few questions to its libvirtd, requirements
from a guest's domain XML. ``domain`` and ``preflight`` compare them. Sources: libvirt's
``docs/formatcaps.rst`` and ``docs/formatdomain.rst``. Functions that ask a host raise HostError if
it does not answer.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from xml.etree.ElementTree import Element, tostring

from migrationlab.errors import HostError
from migrationlab.hosts.connection import refusals
from migrationlab.hosts.host import Host
from migrationlab.hosts.virtqueues import VirtioDevice
from migrationlab.plan.outside_xml import read_xml
from migrationlab.plan.validation import DomainFacts, domain_facts

#: The beginnings of versioned machine types, as QEMU names them.
FAMILIES = ("pc-q35-", "pc-i440fx-", "virt-", "s390-ccw-virtio-", "pseries-")
#: ``VIR_CONNECT_COMPARE_CPU_FAIL_INCOMPATIBLE``: report what is missing, as an error.
_SAY_WHY = 1
#: ``VIR_ERR_OPERATION_DENIED``: on a read-only connection.
_DENIED = 29
#: ``VIR_ERR_CPU_INCOMPATIBLE``.
_CPU_INCOMPATIBLE = 91

#: The virtio devices with queues: their element in a domain's XML, how one of it is known, and the
#: attributes of its driver that ask for a length, with the names of QEMU's properties.
_VIRTIO = {
    "virtio-net": (
        "devices/interface",
        "model[@type='virtio']",
        {"rx_queue_size": "rx_queue_size", "tx_queue_size": "tx_queue_size"},
    ),
    "virtio-blk": ("devices/disk", "target[@bus='virtio']", {"queue_size": "queue-size"}),
}


@dataclass(frozen=True, slots=True)
class Capabilities:
    """The capabilities of a host.

    Attributes:
        uuid: The host's UUID, by which libvirt tells hosts apart.
        cpu_model: The named model closest to its CPU; empty if libvirt knows none.
        machines: The machine types for guests of its architecture, with aliases.
    """

    uuid: str
    arch: str
    cpu_model: str
    machines: frozenset[str]

    @classmethod
    def parse(cls, text: str) -> Capabilities:
        """Read a capabilities XML."""
        xml = read_xml(text)
        arch = xml.findtext("host/cpu/arch", "")
        machines = {
            name
            for machine in xml.iterfind(f"guest/arch[@name='{arch}']//machine")
            for name in (machine.text, machine.get("canonical"))
        }
        return cls(
            uuid=xml.findtext("host/uuid", ""),
            arch=arch,
            cpu_model=xml.findtext("host/cpu/model", ""),
            machines=frozenset(filter(None, machines)),
        )


def newest(machines: frozenset[str], families: Iterable[str]) -> str | None:
    """Return the newest versioned machine type of the first family with such a type."""
    for family in families:
        versions = {
            name: tuple(map(int, match[1].split(".")))
            for name in machines
            if (match := re.fullmatch(rf"{re.escape(family)}(\d{{1,9}}(?:\.\d{{1,9}})+)", name))
        }
        if versions:
            return max(versions, key=lambda name: versions[name])
    return None


@dataclass(frozen=True, slots=True)
class Requirements:
    """The requirements of a domain on its host.

    Attributes:
        facts: Its name, memory and disks.
        virt: "kvm" or "qemu".
        cpu: The XML of its CPU, empty if it names none.
        cpu_mode: "custom", "host-model", "host-passthrough" …; empty if it names none.
        bridges: The host's bridges and devices that its network cards use.
        networks: libvirt's networks that its network cards use.
        devices: The types of the host's devices that it holds.
        virtio: Its virtio devices with queues.
        emulator: The path of its QEMU.
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
    virtio: tuple[VirtioDevice, ...] = ()
    emulator: str = ""

    @classmethod
    def parse(cls, text: str) -> Requirements:
        """Read a domain's XML."""
        xml = read_xml(text)
        kind = xml.find("os/type")
        cpu = xml.find("cpu")
        # A running domain names the bridge of a network too: <source network= bridge=>.
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
            virtio=tuple(_virtio_devices(xml)),
            emulator=xml.findtext("devices/emulator", ""),
        )


def _virtio_devices(xml: Element) -> Iterator[VirtioDevice]:
    for kind, (place, known_by, lengths) in _VIRTIO.items():
        for number, element in enumerate(xml.iterfind(place)):
            if element.find(known_by) is None:
                continue
            # Only a running domain's devices have aliases.
            alias = element.find("alias")
            driver = element.find("driver")
            attributes = {} if driver is None else driver.attrib
            yield VirtioDevice(
                alias=f"{kind}-{number}" if alias is None else alias.get("name", ""),
                kind=kind,
                asked=tuple(
                    (name, attributes[attribute])
                    for attribute, name in lengths.items()
                    if attribute in attributes
                ),
            )


def capabilities(host: Host) -> Capabilities:
    """Ask a host for its capabilities."""
    return Capabilities.parse(host.capabilities())


def requirements(host: Host, domain: str) -> Requirements:
    """Ask a host for the requirements of a domain, running or not; GuestError if absent."""
    found = host.domain(domain, inactive=True)
    with refusals():
        return Requirements.parse(found.XMLDesc())


def missing_features(host: Host, required: Requirements) -> str:
    """Return the CPU features that a host's QEMU lacks for a domain; empty if it has all."""
    try:
        with refusals():
            host.connection.compareHypervisorCPU(
                None, required.arch, required.machine or None, required.virt, required.cpu, _SAY_WHY
            )
    except HostError as error:
        text = str(error)
        # For a model or a feature that libvirt does not know, it reports an internal error.
        if error.code != _CPU_INCOMPATIBLE and "unknown cpu" not in text.lower():
            raise
        return text.partition("CPU: ")[2] or text.removeprefix("internal error: ")
    return ""


def can_write(host: Host) -> bool:
    """Return whether a connection is allowed to do more than read.

    A call that is denied to read-only connections (virConnectDomainXMLFromNative in libvirt's
    ``src/libvirt-domain.c``) is tried with an empty text, so it has no effect.
    """
    try:
        with refusals():
            host.connection.domainXMLFromNative("", "")
    except HostError as error:
        return error.code != _DENIED
    return True


def networks(host: Host) -> frozenset[str]:
    """Return the names of libvirt's networks that are up on a host."""
    with refusals():
        return frozenset(net.name() for net in host.connection.listAllNetworks() if net.isActive())


def free_memory_mib(host: Host) -> int:
    """Return the free memory of a host, without the memory in its kernel's cache."""
    with refusals():
        return int(host.connection.getFreeMemory()) >> 20
