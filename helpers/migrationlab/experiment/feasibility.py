"""Check that a design can be carried out, before anything is started.

The rules of ``guest_spec``, ``wire_spec`` and ``image`` and the free space of the disk decide.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from migrationlab.errors import GuestError, StoreError, UsageError
from migrationlab.experiment.design import Design
from migrationlab.experiment.schedule import room_bytes
from migrationlab.lab import image

#: The space that stays free on a disk.
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
        for what, spec in (("workload", cell.workload), ("wire", cell.wire)):
            assert spec is not None
            try:
                spec.require_possible()
            except (GuestError, UsageError) as error:
                where = f"{what}, cell {cell.name!r}"
                raise type(error)(f"{where}: {error}", hint=error.hint) from error


def require_room(design: Design, directory: Path, *, runs: int) -> None:
    """Refuse to begin if the disk has too little room."""
    needed = room_bytes(design) * runs // max(design.total, 1) + SPARE_BYTES
    free = shutil.disk_usage(directory).free
    if runs and free < needed:
        raise StoreError(
            f"{directory} must have about {needed >> 20} MiB free for {runs} runs "
            f"(got {free >> 20} MiB)",
            hint="Free some space there, choose another directory, or lower repeats.",
        )
