"""Hold the known facts about the two hosts and the domain of a migration, as plain records.

None means that a value is not known. An unknown value breaks no rule. :func:`domain_facts`
reads a domain's XML; the packages that talk to libvirt fill in the rest.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from xml.etree.ElementTree import Element

from migrationlab.plan.outside_xml import read_xml

#: Whether both hosts have the same image, by libvirt's type of the source alone; a file can be
#: either. Source: qemuMigrationSrcIsSafe in libvirt's ``src/qemu/qemu_migration.c``.
SHARED = {"network": True, "nvme": False}


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """One of the two hosts.

    Attributes:
        name: Its name as the other host sees it.
        libvirt: The version of its libvirtd, as (11, 3, 0).
        qemu: The version of its QEMU.
        uuid: The UUID that its libvirtd gives to the host.
        userfaultfd: Whether its QEMU may use userfaultfd, as post-copy does at the destination.
        locks_memory: Whether its libvirtd may let QEMU lock memory, as zero-copy does at the
            source.
    """

    name: str | None = None
    libvirt: tuple[int, ...] | None = None
    qemu: tuple[int, ...] | None = None
    uuid: str | None = None
    userfaultfd: bool | None = None
    locks_memory: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DiskFacts:
    """One disk of a domain.

    Attributes:
        target: Its name in the guest, as vda.
        source: Its file, block device or network address; None if it is empty.
        kind: libvirt's type of the source: file, block, network, volume, …
        cache: Its cache mode in the XML; None if QEMU chooses it.
        readonly: Whether the guest can only read it.
        shareable: Whether the XML says that several guests may use it at once.
        shared: Whether both hosts have the same image.
    """

    target: str
    source: str | None
    kind: str
    cache: str | None = None
    readonly: bool = False
    shareable: bool = False
    shared: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DomainFacts:
    """The domain that migrates.

    Attributes:
        name: Its name.
        active: Whether it runs.
        persistent: Whether its host keeps its definition.
        paused: Whether it is paused.
        accelerator: Its accelerator: "tcg" or "kvm".
        memory_mib: Its memory.
        hard_limit: Whether its XML limits the memory of its QEMU (``memtune/hard_limit``).
        disks: Its disks.
        xml: Its XML, with which a plan's ``destination_xml`` is compared.
    """

    name: str | None = None
    active: bool | None = None
    persistent: bool | None = None
    paused: bool | None = None
    accelerator: str | None = None
    memory_mib: int | None = None
    hard_limit: bool | None = None
    disks: tuple[DiskFacts, ...] | None = None
    xml: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Situation:
    """Hold what is known about the hosts and the domain of a migration."""

    source: Side = Side()
    destination: Side = Side()
    domain: DomainFacts | None = None


def domain_facts(
    xml: str,
    *,
    active: bool | None = None,
    persistent: bool | None = None,
    paused: bool | None = None,
) -> DomainFacts:
    """Return the facts in a domain's XML, the output of ``virsh dumpxml``.

    The other arguments are facts of :class:`DomainFacts` that are not in the XML.
    """
    root = read_xml(xml)
    memory = root.find("memory")
    kib = None if memory is None else memory_kib(memory)
    return DomainFacts(
        name=root.findtext("name"),
        active=active,
        persistent=persistent,
        paused=paused,
        # A domain's type is "qemu" if QEMU emulates its processor.
        accelerator="kvm" if root.get("type") == "kvm" else "tcg",
        memory_mib=None if kib is None else kib >> 10,
        hard_limit=root.find("memtune/hard_limit") is not None,
        disks=tuple(_disk(disk) for disk in root.findall("devices/disk")),
        xml=xml,
    )


def memory_kib(element: Element) -> int | None:
    """Return an amount of memory in KiB; None if it cannot be read.

    Source: virDomainParseScaledValue and virScaleInteger in libvirt's ``src/util/virutil.c``.
    """
    text = (element.text or "").strip()
    # Without a unit, libvirt means KiB.
    unit = (element.get("unit") or "KiB").lower()
    power = "kmgtpe".find(unit[0]) + 1
    if not re.fullmatch("[0-9]{1,30}", text):
        return None
    if power == 0 and unit not in ("b", "byte", "bytes"):
        return None
    base = 1000 if power and unit.endswith("b") and not unit.endswith("ib") else 1024
    size: int = int(text) * base**power
    return -(-size // 1024)  # libvirt rounds up


def _disk(disk: Element) -> DiskFacts:
    target, source, driver = disk.find("target"), disk.find("source"), disk.find("driver")
    places = ("file", "dev", "dir", "name", "volume")
    found = () if source is None else filter(None, map(source.get, places))
    kind = disk.get("type", "file")
    return DiskFacts(
        target="" if target is None else target.get("dev", ""),
        source=next(iter(found), None),
        kind=kind,
        cache=None if driver is None else driver.get("cache"),
        readonly=disk.find("readonly") is not None,
        shareable=disk.find("shareable") is not None,
        shared=SHARED.get(kind),
    )
