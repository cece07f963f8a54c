"""Tests of guests' boot files: made once, in a folder that is named by the hash of the inputs."""

from __future__ import annotations

import lzma
import struct
import subprocess
from pathlib import Path

import pyarrow as pa
import pytest

from migrationlab.errors import LabError
from migrationlab.lab import boot_files, recipes
from migrationlab.steps import Step

#: In a busybox's place: the "archive" is the list of the files that would be in it.
LIST_AS_ARCHIVE = "#!/bin/sh\nexec cat\n"


@pytest.fixture
def root(cache: Path, tmp_path: Path) -> Path:
    """Return the root of a host image with a small, real kernel package in it."""
    package = tmp_path / "package"
    modules = package / "lib/modules/6.1.0/kernel/drivers"
    for path, data in {
        package / "DEBIAN/control": b"Package: linux-image-6.1.0\nVersion: 1\nArchitecture: all\n"
        b"Maintainer: nobody <nobody@localhost>\nDescription: a kernel\n",
        package / "boot/vmlinuz-6.1.0": b"kernel",
        modules / "net/virtio_net.ko": b"plain",
        modules / "virtio/virtio_pci.ko.xz": lzma.compress(b"packed"),
        modules / "net/e1000.ko": b"another",
    }.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    root = tmp_path / "trixie-0123456789ab"
    (root / recipes.KERNEL).mkdir(parents=True)
    (root / "bin").mkdir()
    (root / "bin/busybox").write_text(LIST_AS_ARCHIVE)
    (root / "bin/busybox").chmod(0o755)
    build = ["dpkg-deb", "--root-owner-group", "-Znone", "--build", package, root / recipes.KERNEL]
    subprocess.run(build, check=True, capture_output=True)
    return root


def test_boot_files_are_made_once(root: Path) -> None:
    """Kernel and initramfs come from the image's package, and are cached."""
    heard: list[Step] = []
    made = boot_files.ensure(root, heard.append)
    assert made.kernel.read_bytes() == b"kernel"
    assert made.initramfs.read_text().split("\n") == [
        *("bin", "bin/busybox", "bin/workload", "dev", "init"),
        *("modules", "modules/virtio_net.ko", "modules/virtio_pci.ko", "proc", "sys"),
    ]
    assert [step.state for step in heard] == ["started", "done"]
    assert boot_files.ensure(root, heard.append) == made
    assert len(heard) == 2


def bz_image(payload: bytes) -> bytes:
    """Return what unpacking needs of a bzImage: header fields, set-up sectors, a payload."""
    header = bytearray(0x260)
    header[0x1F1] = 2  # set-up sectors, besides the boot sector
    header[0x202:0x206] = b"HdrS"
    struct.pack_into("<II", header, 0x248, 100, len(payload))
    return bytes(header).ljust(3 * 512 + 100, b"\0") + payload + b"what follows"


KERNEL = b"\x7fELF" + bytes(range(256)) * 40


@pytest.mark.parametrize(
    ("payload", "unpacked"),
    [
        (lzma.compress(KERNEL) + len(KERNEL).to_bytes(4, "little"), KERNEL),
        (
            pa.compress(KERNEL, codec="zstd", asbytes=True) + len(KERNEL).to_bytes(4, "little"),
            KERNEL,
        ),
        (b"\x1f\x8bgzip", None),
    ],
    ids=["xz", "zstd", "another"],
)
def test_kernels_are_unpacked(payload: bytes, unpacked: bytes | None) -> None:
    """A kernel packed by xz or zstd is unpacked; another stays unchanged."""
    packed = bz_image(payload)
    assert boot_files.unpack_kernel(packed) == (unpacked or packed)


def test_modules_are_unpacked(root: Path, tmp_path: Path) -> None:
    """Packed modules are unpacked, because the guest's busybox loads plain ones only."""
    unpacked, tree = tmp_path / "package", tmp_path / "tree"
    boot_files._fill(tree, root, unpacked)
    assert (tree / "modules/virtio_net.ko").read_bytes() == b"plain"
    assert (tree / "modules/virtio_pci.ko").read_bytes() == b"packed"


def test_another_recipe_has_another_folder(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another compiler call gives another folder; removal deletes all folders."""
    first = boot_files.ensure(root)
    monkeypatch.setattr(boot_files, "COMPILE", (*boot_files.COMPILE, "-O1"))
    second = boot_files.ensure(root)
    assert second.initramfs.parent != first.initramfs.parent
    boot_files.remove()
    boot_files.remove()
    assert not first.kernel.exists()
    assert not second.kernel.exists()


def test_a_failure_leaves_nothing(root: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A failed compilation is an error with the compiler's message, and leaves nothing."""
    monkeypatch.setattr(boot_files, "COMPILE", ("gcc", "-fno-such-option"))
    with pytest.raises(LabError, match="-fno-such-option"):
        boot_files.ensure(root)
    assert list((cache / "guests").iterdir()) == []


def test_a_damaged_package_is_an_error(root: Path, cache: Path) -> None:
    """A damaged kernel package is an error with dpkg's message."""
    (root / recipes.KERNEL / "more.deb").write_bytes(b"junk")
    with pytest.raises(LabError, match="dpkg-deb"):
        boot_files.ensure(root)
    assert list((cache / "guests").iterdir()) == []
