"""Whether what a design asks for can be had, before anything is started.

Asks the lab's own rules (``guest_spec``, ``wire_spec``, ``image``) and the disk.
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
    """Refuse a design that no lab could do.

    Raises:
        GuestError: A cell's guest cannot be.
        UsageError: Its wire cannot, or no host is made of that image.
    """
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


def require_room(design: Design, directory: Path, *, trials: int) -> None:
    """Refuse to begin what the disk has no room for.

    Args:
        design: What is measured.
        directory: Where it is kept; it is there.
        trials: How many runs are still to be made.

    Raises:
        StoreError: There is too little room.
    """
    needed = room_bytes(design) * trials // max(design.total, 1) + SPARE_BYTES
    free = shutil.disk_usage(directory).free
    if trials and free < needed:
        raise StoreError(
            f"{trials} runs take about {needed >> 20} MiB, and {directory} has {free >> 20} MiB",
            hint="Free some space there, choose another directory, or lower repeats.",
        )
