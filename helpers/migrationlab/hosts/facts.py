"""What a host says of itself, as far as figures depend on it.

Imports no libvirt: what libvirt knows of a host is asked by ``hosts``, the rest by its shell.
"""

from __future__ import annotations

from dataclasses import dataclass

from migrationlab.hosts.shell import Shell

#: Some architectures' kernels name no model there.
_ASK_KERNEL = "uname -r; grep -m 1 '^model name' /proc/cpuinfo || true"


@dataclass(frozen=True, slots=True)
class HostFacts:
    """What a host says of itself.

    Attributes:
        hostname: Its own name, which it also gives to others as the place to migrate to.
        libvirt_version: Its daemon's version.
        qemu_version: Its QEMU's version.
        cpus: How many processors its machine has; like all that follows None where not known.
        memory_mib: How much memory.
        cpu_model: What processors: as its kernel names them, else the nearest of libvirt's models.
        kernel: Its kernel's release, which libvirt does not tell, but a shell.
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
    """Return the release of a machine's kernel, and its name for the processors.

    Args:
        shell: How to run a program there; None where there is no way.

    Returns:
        Both; None for what is not known.
    """
    if shell is None:
        return None, None
    answer = shell.run("sh", "-c", _ASK_KERNEL)
    if answer.status != 0:
        return None, None
    release, _, processor = answer.text.partition("\n")
    return release or None, processor.partition(":")[2].strip() or None
