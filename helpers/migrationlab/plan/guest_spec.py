"""Describe a guest of the lab, and check whether such a guest can exist.

:class:`GuestSpec` is the only list of the choices for a guest. The arguments of ``Lab.boot``,
the ``[workload]`` of an experiment, the options of ``migrationlab lab boot`` and the record of a
run follow from it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from migrationlab.errors import GuestError
from migrationlab.plan.spec import option, require_valid

#: The memory for the guest's kernel, its tables and the check, beside the working set.
RESERVED_MIB = 80
#: Names of libvirt's, as its XML has them: machine types and CPU models.
WORD = r"[A-Za-z0-9][A-Za-z0-9._-]*"
#: A local disk lies in the memory of this machine.
LARGEST_DISK_MIB = 4096

Accelerator = Literal["auto", "kvm", "tcg"]
Pattern = Literal["sequential", "random"]
Rate = float | Literal["max"]
DiskKind = Literal["local", "shared"]
#: As libvirt's and QEMU's (libvirt's docs/formatdomain.rst, the driver element of a disk).
DiskCache = Literal["writeback", "none", "writethrough", "directsync", "unsafe"]


@dataclass(frozen=True, slots=True, kw_only=True)
class GuestSpec:
    """The choices for a guest, with the defaults."""

    memory_mib: int = option(256, "The guest's memory.", unit="MiB", minimum=1)
    working_set_mib: int = option(
        64, "Memory that the workload writes in a loop.", unit="MiB", minimum=1
    )
    dirty_mib_s: Rate = option(
        40, 'Rate at which the workload writes memory; "max" for no pauses.', unit="MiB/s",
        minimum=0, maximum=100_000,
    )  # fmt: skip
    pattern: Pattern = option("sequential", "Order in which the workload writes memory.")
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
    accelerator: Accelerator = option("auto", "The accelerator; auto uses KVM if it works here.")
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
        """Raise GuestError unless the values are allowed and memory holds the working set."""
        import psutil  # noqa: PLC0415 (25 ms, which `migrationlab lab --help` needs not wait for)

        require_valid(self, GuestError)
        here_mib = psutil.virtual_memory().total >> 20
        if self.memory_mib > here_mib:
            raise GuestError(
                f"memory_mib must be at most the memory of this machine, {here_mib} "
                f"(got {self.memory_mib})",
                hint=f"Give less than {here_mib // 2}: a migration needs room for a second copy.",
            )
        needed = self.working_set_mib + RESERVED_MIB
        if self.memory_mib < needed:
            raise GuestError(
                f"memory_mib must be at least {needed} for working_set_mib={self.working_set_mib} "
                f"(got {self.memory_mib})",
                hint=f"Give memory_mib={needed} or more: the guest's system needs {RESERVED_MIB}.",
            )
