"""Make and delete the files of a guest's disk on the hosts that need them.

A local disk is a qcow2 overlay on each host's own file system, over a backing file that both hosts
have. The other host's overlay is empty: libvirt copies into an existing file. It makes a file
itself only in a storage pool, and never one with a backing file (libvirt's qemu_migration.c,
qemuMigrationDstPrepareStorage; 9.0: qemuMigrationDstPrecreateStorage). A shared disk is one raw
file in the folder of guests.

The backing file and a new shared disk hold write number b at each block b: the first round of the
workload's writes (see ``payload/workload.c``).
"""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np

from migrationlab.lab import namespaces
from migrationlab.lab.booted_spec import PAGE_BYTES, PAGES_PER_MIB, BootedSpec
from migrationlab.lab.lab_base import LabBase
from migrationlab.lab.layout import GUESTS_AT_HOST

#: As in workload.c: a number at each 512-byte step of a block.
STAMPS = 8
_CREATE = """\
mkdir -p "${1%/*}"
exec qemu-img create -q -f qcow2 -b "$2" -F raw "$1"
"""


def create(lab: LabBase, spec: BootedSpec) -> None:
    """Make the disk of a guest that is about to boot, on both hosts; do nothing without a disk."""
    if spec.disk is None:
        return
    name = f"blocks-{spec.disk_mib}.raw"
    base = lab.files.guests / name
    if not base.exists():
        write_first_round(base, spec.disk_mib)
    if spec.disk == "shared":
        shutil.copyfile(base, lab.files.guests / Path(spec.disk_path).name)
        return
    for host in lab.hosts:
        enter = lab.rack.in_host(host.name)
        namespaces.run(
            [*enter, "sh", "-euc", _CREATE, "sh", spec.disk_path, f"{GUESTS_AT_HOST}/{name}"]
        )


def remove(lab: LabBase, spec: BootedSpec) -> None:
    """Delete the disk of a guest that has ended, from both hosts."""
    if spec.disk == "shared":
        (lab.files.guests / Path(spec.disk_path).name).unlink(missing_ok=True)
    elif spec.disk == "local":
        for host in lab.hosts:
            namespaces.run([*lab.rack.in_host(host.name), "rm", "-f", spec.disk_path])


def write_first_round(path: Path, size_mib: int) -> None:
    """Write a raw disk with the first round of a workload's writes."""
    words = np.zeros((size_mib * PAGES_PER_MIB, STAMPS, PAGE_BYTES // STAMPS // 8), dtype="<u8")
    words[:, :, 0] = np.arange(words.shape[0] * STAMPS).reshape(-1, STAMPS)
    partial = path.with_name(f".{path.name}")
    words.tofile(partial)
    partial.rename(path)
