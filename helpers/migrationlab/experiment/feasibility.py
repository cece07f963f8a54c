"""Check that a design can be carried out, before anything is started.

The rules of ``guest_spec``, ``wire_spec`` and ``image`` decide, and the free space of the disk.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from migrationlab.errors import GuestError, StoreError, UsageError
from migrationlab.experiment.design import Cell, Design
from migrationlab.experiment.schedule import room_bytes
from migrationlab.lab import image

#: What stays free on a disk.
SPARE_BYTES = 64 << 20


def require_possible(design: Design) -> None:
    """Refuse a design that no lab can carry out."""
    if design.images is None:
        return
    for release in design.images:
        try:
            image.path_of(release)
        except UsageError as error:
            raise UsageError(f"lab.images: {error}", hint=error.hint) from error
    for cell in design.cells:
        _require_cell(cell)


def _require_cell(cell: Cell) -> None:
    assert cell.workload is not None
    assert cell.wire is not None
    try:
        cell.workload.require_possible()
    except GuestError as error:
        raise GuestError(f"workload, cell {cell.name!r}: {error}", hint=error.hint) from error
    try:
        cell.wire.require_possible()
    except UsageError as error:
        raise UsageError(f"wire, cell {cell.name!r}: {error}", hint=error.hint) from error


def require_room(design: Design, directory: Path, *, runs: int) -> None:
    """Refuse to begin where the disk has too little room."""
    needed = room_bytes(design) * runs // max(design.total, 1) + SPARE_BYTES
    free = shutil.disk_usage(directory).free
    if runs and free < needed:
        raise StoreError(
            f"{directory} must have about {needed >> 20} MiB free for {runs} runs "
            f"(got {free >> 20} MiB)",
            hint="Free some space there, choose another directory, or lower repeats.",
        )
