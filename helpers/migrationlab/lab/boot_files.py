"""Make the boot files of guests: a host image's cloud kernel, and an initramfs with the workload.

The kernel is unpacked once here; else it unpacks itself at each boot, which takes most of a second
under TCG. QEMU starts an ELF kernel by its PVH entry (hw/i386/x86-common.c, load_elfboot).

The files are made once for each kernel and payload, and cached beside the images. The folder is
named by the hash of its inputs.
"""

from __future__ import annotations

import hashlib
import lzma
import shutil
import struct
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from migrationlab.lab import directories, namespaces
from migrationlab.lab.recipes import KERNEL
from migrationlab.steps import Listener, ignore, step

PAYLOAD = Path(__file__).parent / "payload"
#: Modules for a guest's network card and disk, if they are not built into the kernel.
MODULES = (
    "virtio_ring",
    "virtio",
    "virtio_pci_legacy_dev",
    "virtio_pci_modern_dev",
    "virtio_pci",
    "failover",
    "net_failover",
    "virtio_net",
    "virtio_blk",
    "vmxnet3",
)
#: Increase it when the same sources give other files.
VERSION = 3
COMPILE = ("gcc", "-O2", "-Wall", "-Wextra", "-static", "-pthread")


@dataclass(frozen=True, slots=True)
class BootFiles:
    """A guest's kernel and initramfs, as files of this machine."""

    kernel: Path
    initramfs: Path


def ensure(root: Path, on_step: Listener = ignore) -> BootFiles:
    """Return the boot files for guests of a host image; make missing ones."""
    packages = sorted((root / KERNEL).glob("*.deb"))
    # A named image never changes, so its name and the files' dates identify the packages.
    made_at = [package.stat().st_mtime for package in packages]
    digest = hashlib.sha256(repr([VERSION, root.name, made_at, COMPILE, MODULES]).encode())
    for source in (PAYLOAD / "guest-init.sh", *sorted(PAYLOAD.glob("*.[ch]"))):
        digest.update(source.read_bytes())
    folder = directories.cache() / "guests" / digest.hexdigest()[:16]
    if not folder.is_dir():
        with step(on_step, "making the guest's kernel and initramfs"):
            _make(root, packages, folder)
    return BootFiles(folder / "kernel", folder / "initramfs")


def _make(root: Path, packages: Sequence[Path], folder: Path) -> None:
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".partial-") as name:
        work = Path(name)
        unpacked, tree, made = work / "kernel", work / "initramfs", work / "made"
        made.mkdir()
        for package in packages:
            namespaces.run(["dpkg-deb", "--extract", str(package), str(unpacked)], timeout_s=120)
        # Debian 14 has it beside the modules, and no longer in /boot.
        packed = next(unpacked.rglob("vmlinuz*")).read_bytes()
        (made / "kernel").write_bytes(unpack_kernel(packed))
        _fill(tree, root, unpacked)
        files = "\n".join(str(path.relative_to(tree)) for path in sorted(tree.rglob("*")))
        archive = namespaces.run_bytes(
            [str(root / "bin/busybox"), "cpio", "-o", "-H", "newc"], text=files, cwd=tree
        )
        (made / "initramfs").write_bytes(archive)
        try:
            made.rename(folder)
        except OSError:
            if not folder.is_dir():  # else another lab has made the same files first
                raise


def unpack_kernel(packed: bytes) -> bytes:
    """Return the ELF kernel inside a bzImage; return a kernel in another format unchanged.

    The Linux x86 boot protocol (Documentation/arch/x86/boot.rst) says where the packed kernel
    is: ``setup_sects`` at 0x1f1, ``payload_offset`` and ``payload_length`` at 0x248 and 0x24c.
    """
    if packed[0x202:0x206] != b"HdrS":
        return packed
    offset, length = struct.unpack_from("<II", packed, 0x248)
    start = (packed[0x1F1] + 1) * 512 + offset
    payload = packed[start : start + length]
    if payload.startswith(b"\xfd7zXZ"):
        return lzma.LZMADecompressor().decompress(payload)
    if payload.startswith(b"\x28\xb5\x2f\xfd"):
        # The kernel's build appends the unpacked size.
        size = int.from_bytes(payload[-4:], "little")
        import pyarrow as pa  # noqa: PLC0415 (0.3 s, and the doctor needs none)

        unpacked: bytes = pa.decompress(
            payload[:-4], decompressed_size=size, codec="zstd", asbytes=True
        )
        return unpacked
    return packed


def _fill(tree: Path, root: Path, unpacked: Path) -> None:
    for name in ("bin", "modules", "dev", "proc", "sys"):
        (tree / name).mkdir(parents=True)
    shutil.copy(root / "bin/busybox", tree / "bin/busybox")
    shutil.copyfile(PAYLOAD / "guest-init.sh", tree / "init")
    (tree / "init").chmod(0o755)
    source = str(PAYLOAD / "workload.c")
    namespaces.run([*COMPILE, "-o", str(tree / "bin/workload"), source], timeout_s=120)
    for module in MODULES:
        for found in unpacked.rglob(f"{module}.ko*"):
            data = found.read_bytes()
            if found.suffix == ".xz":
                data = lzma.decompress(data)
            (tree / "modules" / f"{module}.ko").write_bytes(data)


def remove() -> None:
    """Delete all cached boot files."""
    namespaces.remove_tree(directories.cache() / "guests")
