"""Find changes of the guest's hardware between a domain's XML and XML for the destination.

libvirt completes both definitions with its own values, and then compares them. Here only values
that stand in both texts are compared. So libvirt refuses every change that is found here.

Source: virDomainDefCheckABIStabilityFlags, virDomainDiskDefCheckABIStability and
virDomainNetDefCheckABIStability in libvirt's ``src/conf/domain_conf.c``;
qemuMigrationSrcBeginXML in ``src/qemu/qemu_migration.c``.
"""

from __future__ import annotations

from collections.abc import Iterator
from xml.etree.ElementTree import Element, ParseError

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import fromstring

from migrationlab.plan.facts import memory_kib
from migrationlab.plan.problem import Problem
from migrationlab.plan.wording import quote

#: Devices that libvirt never adds to a definition, so that the text has all of them.
COUNTED = {
    "interface": "network cards",
    "filesystem": "filesystems",
    "hostdev": "host devices",
    "sound": "sound cards",
    "rng": "random number generators",
    "tpm": "TPMs",
    "redirdev": "redirected devices",
    "smartcard": "smartcards",
    "shmem": "shared memory devices",
    "memory": "memory modules",
    "vsock": "vsocks",
}
HINT = (
    "Take the domain's own XML (virsh dumpxml --migratable) and change only what the host sees: "
    "images, bridges, graphics ports."
)


def xml_problems(field: str, text: str) -> Iterator[Problem]:
    """Yield the problems of a domain's XML by itself."""
    root = _read(text)
    wrong = root if isinstance(root, str) else quote(root.tag) if root.tag != "domain" else None
    if wrong is not None:
        reason = f"{field} must be XML with the root element domain (got {wrong})"
        yield Problem(field, reason, HINT, rule="xml-unreadable")


def abi_problems(text: str, domain: str) -> Iterator[Problem]:
    """Yield the changes of the guest's hardware from ``domain``, its own XML, to ``text``.

    :func:`xml_problems` reports a text that cannot be read.
    """
    there, here = _read(text), _read(domain)
    if isinstance(there, str) or isinstance(here, str) or there.tag != "domain":
        return
    for what, new, old in (*_named(there, here), *_sized(there, here), *_devices(there, here)):
        yield Problem(
            "destination_xml",
            f"destination_xml must keep {what}, which the guest sees (got {new} instead of {old})",
            "Set destination_name to rename the domain." if what == "the name" else HINT,
            rule="abi-changed",
        )


def _read(text: str) -> Element | str:
    """Return the root of the XML, or its problem."""
    try:
        root: Element = fromstring(text)
    except DefusedXmlException:
        return "entities, which no domain's XML needs"
    except (ParseError, ValueError) as error:
        return f"no XML: {error}"
    return root


def _named(there: Element, here: Element) -> Iterator[tuple[str, str, str]]:
    """Yield changed names, of the domain and of its hardware: what, new, old."""
    yield from _differ("the type", there.get("type"), here.get("type"))
    yield from _differ("the name", there.findtext("name"), here.findtext("name"))
    # Without one, libvirt makes a new one.
    uuid = (there.findtext("uuid") or "a new one").strip().lower()
    yield from _differ("the UUID", uuid, (here.findtext("uuid") or uuid).strip().lower())
    new, old = there.find("os/type"), here.find("os/type")
    if new is not None and old is not None:
        yield from _differ("the kind of guest", new.text, old.text)
        yield from _differ("the architecture", new.get("arch"), old.get("arch"), both=True)
        machines = new.get("machine", ""), old.get("machine", "")
        # pc and q35 are aliases of one of the others, which depends on that host's QEMU.
        if all("-" in machine for machine in machines):
            yield from _differ("the machine type", *machines)


def _sized(there: Element, here: Element) -> Iterator[tuple[str, str, str]]:
    """Yield changed amounts: what, new, old."""
    new, old = there.find("memory"), here.find("memory")
    if new is not None and old is not None:
        sizes = memory_kib(new), memory_kib(old)
        if None not in sizes:
            yield from _differ("the memory", *(f"{size} KiB" for size in sizes))
    vcpus, before = (root.findtext("vcpu", "1").strip() for root in (there, here))
    yield from _differ("the number of processors", vcpus, before)


def _devices(there: Element, here: Element) -> Iterator[tuple[str, str, str]]:
    """Yield changed devices: what, new, old."""
    new, old = there.find("devices"), here.find("devices")
    if old is None:
        return
    if new is None:
        new = Element("devices")
    for tag, what in COUNTED.items():
        counts = [len(devices.findall(tag)) for devices in (new, old)]
        yield from _differ(f"the number of {what}", *map(str, counts))
    disks, before = _disks(new), _disks(old)
    names = [", ".join(sorted(group)) or "none" for group in (disks, before)]
    yield from _differ("the disks", *names)
    for target in sorted(disks.keys() & before.keys()):
        one, other = disks[target], before[target]
        kinds = [disk.get("device", "disk") for disk in (one, other)]
        yield from _differ(f"the kind of {target}", *kinds)
        buses = [disk.find("target").get("bus") for disk in (one, other)]  # type: ignore[union-attr]
        yield from _differ(f"the bus of {target}", *buses, both=True)
        for tag in ("serial", "wwn"):
            values = [disk.findtext(tag) or "none" for disk in (one, other)]
            yield from _differ(f"the {tag} of {target}", *values)
        if kinds == ["disk", "disk"]:
            readonly = (disk.find("readonly") is not None for disk in (one, other))
            modes = ("read-only" if each else "read and write" for each in readonly)
            yield from _differ(f"the access to {target}", *modes)
    cards = new.findall("interface"), old.findall("interface")
    if len(cards[0]) == len(cards[1]):
        for number, (card, was) in enumerate(zip(*cards, strict=True), 1):
            yield from _card(number, card, was)


def _card(number: int, card: Element, was: Element) -> Iterator[tuple[str, str, str]]:
    new, old = card.find("mac"), was.find("mac")
    if old is not None:
        # Without one, libvirt makes a new one.
        address = "a new one" if new is None else new.get("address", "").lower()
        before = old.get("address", "").lower()
        yield from _differ(f"the address of network card {number}", address, before)
    found = (each.find("model") for each in (card, was))
    models = [None if model is None else model.get("type") for model in found]
    yield from _differ(f"the model of network card {number}", *models, both=True)


def _disks(devices: Element) -> dict[str, Element]:
    return {
        target.get("dev", ""): disk
        for disk in devices.findall("disk")
        if (target := disk.find("target")) is not None
    }


def _differ(
    what: str, new: str | None, old: str | None, *, both: bool = False
) -> Iterator[tuple[str, str, str]]:
    """Yield a value that changes; with ``both`` only a value that both texts have."""
    if new != old and not (both and (new is None or old is None)):
        yield what, quote(new or "none"), quote(old or "none")
