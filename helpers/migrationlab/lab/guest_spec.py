"""What a guest of the lab is made of, whether that can be, and the domain XML that says it.

All that makes a domain the kit's guest stands in its XML, as metadata of the kit's own
namespace, so that any process can find it again on whichever host it runs. No I/O.
"""

from __future__ import annotations

import dataclasses
import json
import re
from dataclasses import dataclass
from typing import Literal, get_args
from xml.etree import ElementTree as ET

import psutil
from defusedxml.ElementTree import fromstring

from migrationlab.errors import GuestError
from migrationlab.lab.layout import (
    BEAT_PORT,
    CONTROL_PORT,
    DISKS_AT_HOST,
    GUESTS_AT_HOST,
    LAN_PREFIX,
    OBSERVER,
    guest_address,
)

NAMESPACE = "urn:migrationlab:guest"
#: libvirt's docs/drvqemu.rst, "Pass-through of arbitrary qemu commands".
QEMU_NAMESPACE = "http://libvirt.org/schemas/domain/qemu/1.0"
#: What QEMU is to write into its log: see ``capture.qemulog``. As a pattern, since a QEMU without
#: such events would complain of a plain name.
TRACED = "vmstate_downtime_checkpoin*"
PAGE_BYTES = 4096
PAGES_PER_MIB = (1 << 20) // PAGE_BYTES
#: What the guest's kernel, its tables and the check need beside the working set.
RESERVED_MIB = 80
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]{0,59}")
#: Names of libvirt's, as its XML has them: machine types and processor models.
WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
HIGHEST_DIRTY_MIB_S = 100_000
#: A local disk lies in the memory of this machine.
LARGEST_DISK_MIB, HIGHEST_DISK_MIB_S = 4096, 1000
#: What a guest of a lab has no use for, and a processor that TCG emulates takes a second for.
QUICKER = (
    "nosmp noreplace-smp mitigations=off tsc=reliable cryptomgr.notests ipv6.disable=1 "
    "initcall_blacklist=jent_mod_init,trace_eval_init,load_system_certificate_list"
)
Pattern = Literal["sequential", "random"]
Rate = float | Literal["max"]
DiskKind = Literal["local", "shared"]
#: As libvirt's and QEMU's (libvirt's docs/formatdomain.rst, the driver element of a disk).
DiskCache = Literal["writeback", "none", "writethrough", "directsync", "unsafe"]
#: What a cpu element says by its mode; any other name is a model's.
CPU_MODES = ("host-model", "host-passthrough", "maximum")


@dataclass(frozen=True, slots=True, kw_only=True)
class GuestSpec:
    """What a guest is made of.

    Attributes:
        name: Its name.
        number: Its number on the LAN.
        memory_mib: Its memory.
        working_set_mib: How much of it the workload writes, over and over.
        dirty_mib_s: How fast: MiB of pages a second, 0 for not at all, "max" for as fast as
            it goes.
        pattern: In which order: "sequential" or "random".
        accelerator: "tcg" or "kvm".
        machine: QEMU's machine type.
        disk: "local", a disk on the file system of the host that it boots on; "shared", one that
            both hosts see; or None.
        disk_mib: The disk's size.
        disk_mib_s: How fast the workload writes to it, round and round.
        disk_cache: How QEMU caches it.
        persistent: Whether the host that it boots on keeps its definition.
        cpu: Its processor: a model's name, "host-model", "host-passthrough" or "maximum"; None
            for one that both hosts surely have.
    """

    name: str
    number: int
    memory_mib: int
    working_set_mib: int
    dirty_mib_s: Rate
    pattern: Pattern
    accelerator: str
    machine: str
    disk: DiskKind | None = None
    disk_mib: int = 32
    disk_mib_s: float = 1
    disk_cache: DiskCache = "writeback"
    persistent: bool = False
    cpu: str | None = None

    @property
    def disk_path(self) -> str:
        """Return where a host has the disk."""
        if self.disk == "local":
            return f"{DISKS_AT_HOST}/{self.name}.qcow2"
        return f"{GUESTS_AT_HOST}/{self.name}.raw"

    def require_possible(self) -> None:
        """Refuse what cannot be.

        Raises:
            GuestError: A figure out of its range, or too little memory for the working set.
        """
        if not NAME.fullmatch(str(self.name)):
            raise GuestError(
                f"{self.name!r} cannot name a guest",
                hint="use letters, digits and hyphens, no hyphen first",
            )
        for what, value in (("memory", self.memory_mib), ("working set", self.working_set_mib)):
            if not _is_whole(value):
                raise GuestError(f"a {what} of {value!r} MiB cannot be", hint="give a whole number")
        if self.working_set_mib < 1:
            raise GuestError("a working set is at least 1 MiB", hint="give working_set_mib=64")
        here_mib = psutil.virtual_memory().total >> 20
        if self.memory_mib > here_mib:
            raise GuestError(
                f"{self.memory_mib} MiB of memory are more than this machine has",
                hint=f"give at most {here_mib}, and leave room for a second copy while it migrates",
            )
        needed = self.working_set_mib + RESERVED_MIB
        if self.memory_mib < needed:
            raise GuestError(
                f"{self.memory_mib} MiB of memory are too little for a working set of "
                f"{self.working_set_mib} MiB",
                hint=f"give memory_mib={needed} or more: the guest's system needs {RESERVED_MIB}",
            )
        pages_per_second(self.dirty_mib_s)
        if self.pattern not in ("sequential", "random"):
            raise GuestError(
                f"no workload writes in the order {self.pattern!r}",
                hint="choose sequential or random",
            )
        for what, word in (("machine type", self.machine), ("processor", self.cpu)):
            if word is not None and not WORD.fullmatch(str(word)):
                raise GuestError(
                    f"{word!r} is no name of a {what}",
                    hint="`virsh domcapabilities` on the host lists the names",
                )
        self._require_possible_disk()

    def _require_possible_disk(self) -> None:
        blocks_per_second(self.disk_mib_s)
        if self.disk not in (None, *get_args(DiskKind)):
            raise GuestError(f"a disk cannot be {self.disk!r}", hint="choose local or shared")
        if self.disk_cache not in get_args(DiskCache):
            raise GuestError(
                f"a disk cannot be cached {self.disk_cache!r}",
                hint=f"choose {', '.join(get_args(DiskCache))}",
            )
        if not _is_whole(self.disk_mib) or not 1 <= self.disk_mib <= LARGEST_DISK_MIB:
            raise GuestError(
                f"a disk of {self.disk_mib!r} MiB cannot be",
                hint=f"give a whole number, 1 to {LARGEST_DISK_MIB}",
            )


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def pages_per_second(dirty_mib_s: object) -> int:
    """Return a dirty rate as the workload takes it; -1 is as fast as it goes.

    Raises:
        GuestError: The rate is negative, absurd, or no number.
    """
    if dirty_mib_s == "max":
        return -1
    if (
        not isinstance(dirty_mib_s, int | float)
        or isinstance(dirty_mib_s, bool)
        or not 0 <= dirty_mib_s <= HIGHEST_DIRTY_MIB_S
    ):
        raise GuestError(
            f"a dirty rate of {dirty_mib_s} MiB/s cannot be",
            hint=f'give 0 to {HIGHEST_DIRTY_MIB_S}, or "max" for as fast as it goes',
        )
    return round(dirty_mib_s * PAGES_PER_MIB)


def blocks_per_second(disk_mib_s: object) -> int:
    """Return the rate of writes to a disk as the workload takes it.

    Raises:
        GuestError: The rate is negative, absurd, or no number.
    """
    if (
        not isinstance(disk_mib_s, int | float)
        or isinstance(disk_mib_s, bool)
        or not 0 <= disk_mib_s <= HIGHEST_DISK_MIB_S
    ):
        raise GuestError(
            f"{disk_mib_s} MiB/s cannot be written to a disk",
            hint=f"give 0 to {HIGHEST_DISK_MIB_S}",
        )
    return round(disk_mib_s * PAGES_PER_MIB)


def domain_xml(spec: GuestSpec, uuid: str) -> str:
    """Return the domain XML of a guest.

    Args:
        spec: What it is made of.
        uuid: The domain's UUID.
    """
    settings: dict[str, object] = {
        "guest": spec.number,
        "pages": spec.working_set_mib * PAGES_PER_MIB,
        "rate": pages_per_second(spec.dirty_mib_s),
        "pattern": spec.pattern,
        "address": f"{guest_address(spec.number)}/{LAN_PREFIX}",
        "observer": OBSERVER,
        "beat_port": BEAT_PORT,
        "control_port": CONTROL_PORT,
    }
    if spec.disk:
        settings["disk_rate"] = blocks_per_second(spec.disk_mib_s)
    words = " ".join(f"migrationlab.{name}={value}" for name, value in settings.items())
    domain: ET.Element = fromstring(f"""
<domain type='{"kvm" if spec.accelerator == "kvm" else "qemu"}'>
  <name>{spec.name}</name>
  <uuid>{uuid}</uuid>
  <metadata><m:guest xmlns:m='{NAMESPACE}'/></metadata>
  <memory unit='MiB'>{spec.memory_mib}</memory>
  <vcpu>1</vcpu>
  <os>
    <type arch='x86_64' machine='{spec.machine}'>hvm</type>
    <kernel>{GUESTS_AT_HOST}/kernel</kernel>
    <initrd>{GUESTS_AT_HOST}/initramfs</initrd>
    <cmdline>console=ttyS0 quiet oops=panic {QUICKER} {words}</cmdline>
  </os>
  <features><acpi/></features>
  {_cpu(spec)}
  <on_reboot>destroy</on_reboot>
  <devices>
    <emulator>/usr/bin/qemu-system-x86_64</emulator>
    {_disk(spec)}
    <interface type='bridge'>
      <mac address='52:54:00:11:0b:{spec.number:02x}'/>
      <source bridge='lan'/>
      <model type='virtio'/>
    </interface>
    <serial type='file'><source path='{GUESTS_AT_HOST}/{spec.name}.console' append='on'/></serial>
    <memballoon model='none'/>
  </devices>
  <q:commandline xmlns:q='{QEMU_NAMESPACE}'>
    <q:arg value='-trace'/>
    <q:arg value='{TRACED}'/>
  </q:commandline>
</domain>""")
    element = domain.find(f"metadata/{{{NAMESPACE}}}guest")
    assert element is not None
    element.text = json.dumps(dataclasses.asdict(spec))
    return ET.tostring(domain, encoding="unicode")


def _cpu(spec: GuestSpec) -> str:
    cpu = spec.cpu or ("host-model" if spec.accelerator == "kvm" else "qemu64")
    if cpu in CPU_MODES:
        return f"<cpu mode='{cpu}'/>"
    return f"<cpu mode='custom' match='exact'><model>{cpu}</model></cpu>"


def _disk(spec: GuestSpec) -> str:
    if spec.disk is None:
        return ""
    return f"""
    <disk type='file' device='disk'>
      <driver name='qemu' type='{"qcow2" if spec.disk == "local" else "raw"}'
              cache='{spec.disk_cache}'/>
      <source file='{spec.disk_path}'/>
      <target dev='vda' bus='virtio'/>
    </disk>"""


def spec_from(metadata: str) -> GuestSpec:
    """Return what a guest was made of, from its domain's metadata of :data:`NAMESPACE`."""
    return GuestSpec(**json.loads(fromstring(metadata).text or "{}"))
