"""Describe a booted guest: a guest spec with a name, a number and no open choice."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from migrationlab.errors import GuestError
from migrationlab.lab.layout import DISKS_AT_HOST, GUESTS_AT_HOST
from migrationlab.plan.guest_spec import GuestSpec, Rate

PAGE_BYTES = 4096
PAGES_PER_MIB = (1 << 20) // PAGE_BYTES
#: The words of each 64-word step of a page after its number (payload/pages.h).
NOISE_WORDS = 63
#: Where the kernel lists the machine's NUMA nodes.
NODES = Path("/sys/devices/system/node")
#: The kernel has this folder where it has IPv6.
IPV6 = Path("/proc/sys/net/ipv6")
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]{0,59}")


@dataclass(frozen=True, slots=True, kw_only=True)
class BootedSpec(GuestSpec):
    """The spec of a booted guest."""

    #: The guest's name at boot. The domain may have another name now.
    name: str
    #: Its number on the LAN.
    number: int

    @property
    def disk_path(self) -> str:
        """Return the path of the disk on a host."""
        if self.disk == "local":
            return f"{DISKS_AT_HOST}/{self.name}.qcow2"
        return f"{GUESTS_AT_HOST}/{self.name}.raw"

    @property
    def noise_words(self) -> int:
        """Return the words of each step of a page that do not compress."""
        return 0 if self.content == "zeros" else round(self.incompressible * NOISE_WORDS)

    @property
    def fresh(self) -> int:
        """Return 1 if these words are new at each write, else 0."""
        return int(self.content == "random")


def require_name(name: str) -> None:
    """Refuse a name that no guest can have."""
    if not NAME.fullmatch(str(name)):
        raise GuestError(
            f"name must be letters, digits and hyphens, 60 at most, no hyphen first (got {name!r})",
            hint="Give a name such as web-1, or leave it out.",
        )


def require_machine(spec: BootedSpec) -> None:
    """Raise GuestError unless this machine has what a guest needs of it."""
    if spec.accelerator != "kvm":
        spec.require_kvm()
    if spec.ip == "ipv6" and not IPV6.exists():
        raise GuestError(
            "ip must be 'ipv4' on this machine, whose kernel has no IPv6 (got 'ipv6')",
            hint="Leave out ip, or boot this machine without ipv6.disable=1.",
        )
    last = (os.cpu_count() or 1) - 1
    if spec.vcpu_pins is not None and max(map(int, spec.vcpu_pins.split(","))) > last:
        raise GuestError(
            f"vcpu_pins must be processors of this machine, 0 to {last} (got {spec.vcpu_pins!r})",
            hint="Show them with: lscpu --extended",
        )
    if spec.numa_node is not None and not Path(NODES, f"node{spec.numa_node}").exists():
        raise GuestError(
            f"numa_node must be a node of this machine (got {spec.numa_node})",
            hint="Show its nodes with: lscpu | grep NUMA",
        )


def pages_per_second(rate_mib_s: Rate) -> int:
    """Return a rate of writes for the workload: pages or blocks a second, -1 for "max"."""
    return -1 if rate_mib_s == "max" else round(rate_mib_s * PAGES_PER_MIB)
