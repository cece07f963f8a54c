"""Hold the facts about a host that influence figures, and ask its kernel for some of them."""

from __future__ import annotations

from dataclasses import dataclass

from migrationlab.hosts.shell import Shell

#: The kernels of some architectures name no model there.
_ASK_KERNEL = "uname -r; grep -m 1 '^model name' /proc/cpuinfo || true"
#: The letters of them that are kept.
LONGEST = 200


@dataclass(frozen=True, slots=True)
class HostFacts:
    """Facts about a host; None where not known.

    Attributes:
        hostname: Its name, which it also gives to other hosts as the destination.
        cpu_model: Its CPU, as its kernel names it, else the closest of libvirt's models.
        kernel: The release of its kernel. Only a shell knows it, not libvirt.
    """

    hostname: str
    libvirt_version: str
    qemu_version: str
    cpus: int | None = None
    memory_mib: int | None = None
    cpu_model: str | None = None
    kernel: str | None = None

    @property
    def qemu(self) -> tuple[int, ...]:
        """Return QEMU's version as numbers that compare."""
        return tuple(int(part) for part in self.qemu_version.split("."))

    @property
    def libvirt(self) -> tuple[int, ...]:
        """Return libvirt's version as numbers that compare."""
        return tuple(int(part) for part in self.libvirt_version.split("."))


def from_kernel(shell: Shell | None) -> tuple[str | None, str | None]:
    """Return the release of a machine's kernel and its name of the CPU; None where unknown."""
    if shell is None:
        return None, None
    answer = shell.run("sh", "-c", _ASK_KERNEL)
    if answer.status != 0:
        return None, None
    release, _, processor = answer.text.partition("\n")
    # Each run stores them, and a host can answer anything.
    return release[:LONGEST] or None, processor.partition(":")[2].strip()[:LONGEST] or None
