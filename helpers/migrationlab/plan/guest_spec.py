"""Describe a guest of the lab, and check whether such a guest can exist.

:class:`GuestSpec` is the only list of the choices for a guest. The arguments of ``Lab.boot``,
the ``[workload]`` of an experiment, the options of ``migrationlab lab boot`` and the record of a
run follow from it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

from migrationlab.errors import GuestError
from migrationlab.plan.phases import PHASES, read_phases
from migrationlab.plan.spec import option, require_valid

#: The memory for the guest's kernel, its tables and the check, beside the workload's memory.
RESERVED_MIB = 80
#: More of it for each GiB: the kernel has 64 bytes for a page (struct page), the check has 9.
RESERVED_PER_GIB_MIB = 20
#: Names of libvirt's, as its XML has them: machine types and CPU models.
WORD = r"[A-Za-z0-9][A-Za-z0-9._-]*"
#: The settings that QEMU or libvirt refuse without KVM: TCG has no such ring, and libvirt knows no
#: threads of its virtual processors (src/qemu/qemu_process.c, qemuProcessSetupVcpus). Memory could
#: be placed; without processors beside it that would say nothing.
KVM_ONLY = ("dirty_ring", "vcpu_pins", "numa_node")
#: A local disk lies in the memory of this machine.
LARGEST_DISK_MIB = 4096

Accelerator = Literal["auto", "kvm", "tcg"]
Pattern = Literal["sequential", "random", "hot-cold", "zipf"]
Content = Literal["random", "fixed", "zeros"]
Rate = float | Literal["max"]
NetworkModel = Literal["virtio", "vmxnet3"]
InternetProtocol = Literal["ipv4", "ipv6"]
DiskKind = Literal["local", "shared"]
ClientSide = Literal["outside", "source", "destination"]
ServiceName = Literal["redis", "nginx", "postgresql"]
#: Memory of the guest that a service takes: its files, its processes and the client's data.
SERVICE_MIB: Mapping[str, int] = MappingProxyType({"redis": 80, "nginx": 64, "postgresql": 300})
#: As libvirt's and QEMU's (libvirt's docs/formatdomain.rst, the driver element of a disk).
DiskCache = Literal["writeback", "none", "writethrough", "directsync", "unsafe"]


@dataclass(frozen=True, slots=True, kw_only=True)
class GuestSpec:
    """The choices for a guest, with the defaults."""

    memory_mib: int = option(256, "The guest's memory.", unit="MiB", minimum=1)
    working_set_mib: int = option(
        64, "Memory that the workload writes in a loop.", unit="MiB", minimum=1
    )
    fill_mib: int = option(
        0, "Memory beside the working set that is filled once, and never written again.",
        unit="MiB", minimum=0,
    )  # fmt: skip
    dirty_mib_s: Rate = option(
        40, 'Rate at which the workload writes memory; "max" for no pauses.', unit="MiB/s",
        minimum=0, maximum=100_000,
    )  # fmt: skip
    pattern: Pattern = option("sequential", "Order in which the workload writes memory.")
    hot_memory_percent: float = option(
        10, "Part of the working set that is hot, with pattern hot-cold.", unit="%",
        minimum=0.1, maximum=99.9,
    )  # fmt: skip
    hot_writes_percent: float = option(
        90, "Part of the writes that goes to hot memory, with pattern hot-cold.", unit="%",
        minimum=0.1, maximum=99.9,
    )  # fmt: skip
    phases: str | None = option(
        None, "Shares of the rate over time, from boot and from each change of the rate.",
        matches=PHASES, allowed_text='SHARE:SECONDS,… such as "1:2,0:3" or "1:5,0"',
        absent="always the full rate",
    )  # fmt: skip
    incompressible: float = option(
        0.5, "Share of each written page that does not compress.",
        minimum=0, maximum=1, before=0.0,
    )  # fmt: skip
    content: Content = option(
        "random", 'What does not compress: "random" is new at each write, "fixed" never changes; '
        'with "zeros" a page is zero but for 64 bytes.', before="zeros",
    )  # fmt: skip
    vcpus: int = option(1, "The guest's virtual processors.", minimum=1, maximum=8)
    writers: int | None = option(
        None, "Threads that share the working set and the rate.",
        minimum=1, maximum=16, absent="one for each virtual processor",
    )  # fmt: skip
    huge_pages: bool = option(
        default=False,
        help="Whether the guest's kernel holds the workload's memory in huge pages of 2 MiB.",
        allowed_text="True or False",
    )
    disk: DiskKind | None = option(
        None, 'Disk: "local" on one host, to be copied to an empty one at the other; or "shared".',
        absent="no disk",
    )  # fmt: skip
    disk_mib: int = option(32, "Size of the disk.", unit="MiB", minimum=1, maximum=LARGEST_DISK_MIB)
    disk_mib_s: float = option(
        1, "Rate at which the workload writes the disk, in a loop.", unit="MiB/s",
        minimum=0, maximum=1000,
    )  # fmt: skip
    disk_cache: DiskCache = option("writeback", "How QEMU caches the disk.")
    disk_queue_size: int | None = option(
        None, "Entries of the disk's virtqueue, as its XML asks for them.",
        minimum=2, maximum=1024, absent="what QEMU gives by itself",
    )  # fmt: skip
    network_model: NetworkModel = option("virtio", "Model of the network card.")
    ip: InternetProtocol = option(
        "ipv4", "Internet protocol of beats and pings; with ipv6 the guest has an address of each."
    )
    service: ServiceName | None = option(
        None, "Server in the guest, which clients on the LAN use while the guest migrates.",
        absent="no service",
    )  # fmt: skip
    requests_s: float = option(
        500, "Rate at which the clients send the service requests, whatever it answers.",
        unit="requests/s", minimum=1, maximum=20_000,
    )  # fmt: skip
    connections: int = option(
        4, "Connections of the clients, each used for one request at a time.", minimum=1, maximum=8
    )
    value_bytes: int = option(
        1000, "Size of the data in a request that writes.", unit="byte", minimum=50, maximum=65_536
    )
    client_side: ClientSide = option(
        "outside", "Where the clients and the pings of the guest are: on the LAN outside the two "
        "hosts, on the host that it leaves, or on the one that it goes to.",
    )  # fmt: skip
    accelerator: Accelerator = option("auto", "The accelerator; auto uses KVM if it works here.")
    dirty_ring: int | None = option(
        None, "Entries of KVM's ring of dirty pages for each virtual processor; needs KVM.",
        minimum=1024, maximum=65_536, absent="a bitmap of all pages",
    )  # fmt: skip
    vcpu_pins: str | None = option(
        None, "The machine's processor for each virtual one, in order; needs KVM.",
        matches=r"\d{1,4}(,\d{1,4})*", allowed_text='processors such as "0,1"', absent="any",
    )  # fmt: skip
    numa_node: int | None = option(
        None, "NUMA node of the machine that the guest's memory comes from; needs KVM.",
        minimum=0, maximum=1023, absent="any",
    )  # fmt: skip
    persistent: bool = option(
        default=False,
        help="Whether the host keeps the domain's definition.",
        allowed_text="True or False",
        factor="guest_persistent",
    )
    cpu: str | None = option(
        None, "CPU: a model's name, host-model, host-passthrough or maximum.",
        matches=WORD, allowed_text="a name that `virsh domcapabilities` lists",
        absent="one that both hosts have",
    )  # fmt: skip
    machine: str | None = option(
        None, "QEMU's machine type.",
        matches=WORD, allowed_text="a name that `virsh domcapabilities` lists",
        absent="the newest that both hosts have",
    )  # fmt: skip

    def require_possible(self) -> None:
        """Raise GuestError unless the values are allowed and memory holds what is written."""
        import psutil  # noqa: PLC0415 (25 ms, which `migrationlab lab --help` needs not wait for)

        require_valid(self, GuestError)
        here_mib = psutil.virtual_memory().total >> 20
        if self.memory_mib > here_mib:
            raise GuestError(
                f"memory_mib must be at most the memory of this machine, {here_mib} "
                f"(got {self.memory_mib})",
                hint=f"Give less than {here_mib // 2}: a migration needs room for a second copy.",
            )
        written = self.working_set_mib + self.fill_mib
        reserved = RESERVED_MIB + written // 1024 * RESERVED_PER_GIB_MIB
        service_mib = SERVICE_MIB.get(self.service or "", 0)
        needed = written + reserved + service_mib
        if self.memory_mib < needed:
            filled = f" and fill_mib={self.fill_mib}" if self.fill_mib else ""
            served = f" and service={self.service!r}" if self.service else ""
            takes = f", {self.service} {service_mib}" if self.service else ""
            raise GuestError(
                f"memory_mib must be at least {needed} for "
                f"working_set_mib={self.working_set_mib}{filled}{served} (got {self.memory_mib})",
                hint=f"Give memory_mib={needed} or more: the guest's system needs {reserved}"
                f"{takes}.",
            )
        self._require_phases()
        self._require_powers_of_two()
        self._require_placement()

    def _require_powers_of_two(self) -> None:
        for name, largest in (("dirty_ring", 65_536), ("disk_queue_size", 1024)):
            entries = getattr(self, name)
            if entries is not None and entries.bit_count() != 1:
                raise GuestError(
                    f"{name} must be a power of two (got {entries})",
                    hint=f"Give {name}={largest}, or a half, a quarter and so on of it.",
                )

    def _require_placement(self) -> None:
        pins = [] if self.vcpu_pins is None else self.vcpu_pins.split(",")
        if pins and len(pins) != self.vcpus:
            raise GuestError(
                f"vcpu_pins must have a processor for each of vcpus={self.vcpus} "
                f"(got {self.vcpu_pins!r})",
                hint=f'Give vcpu_pins="{",".join(map(str, range(self.vcpus)))}", or leave it out.',
            )
        if self.accelerator == "tcg":
            self.require_kvm()

    def require_kvm(self) -> None:
        """Raise GuestError if a setting is given that only KVM has, for a guest without KVM."""
        for name in KVM_ONLY:
            if (value := getattr(self, name)) is not None:
                raise GuestError(
                    f"{name} must be left out for a guest without KVM (got {value!r})",
                    hint=f"Leave out {name}, or boot where `migrationlab doctor` says that KVM "
                    "runs guests.",
                )

    def _require_phases(self) -> None:
        phases = read_phases(self.phases) if self.phases is not None else ()
        if self.dirty_mib_s == "max" and any(phase.share not in (0, 1) for phase in phases):
            raise GuestError(
                f'phases must have shares 0 and 1 only for dirty_mib_s="max" (got {self.phases!r})',
                hint="Give a rate in MiB/s for a part of it, or shares 0 and 1.",
            )
