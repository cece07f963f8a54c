"""Break a migration midway for lesson 10: in the lab, or as the recorded fault matrix has it."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

from migrationlab.course.lesson import find_data
from migrationlab.errors import StoreError, UsageError
from migrationlab.experiment.fault_cells import GUEST, Copy, FaultCell, cells
from migrationlab.experiment.fault_folder import FaultRow, load_fault_matrix, read_rows

if TYPE_CHECKING:
    import pandas as pd

    from migrationlab.lab.lab import Lab


def break_midway(
    lab: Lab, kind: str, phase: str, side: str = "", *, mode: str = "normal"
) -> FaultRow:
    """Migrate a new guest in pre-copy, let a fault happen, recover the guest, and end it.

    Args:
        lab: The lab.
        kind: The fault, such as "kill-qemu".
        phase: The phase that it fires in.
        side: "source" or "destination", for a fault of one host.
        mode: "normal" or "peer2peer".

    Raises:
        UsageError: There is no such cell in the fault matrix.
    """
    from migrationlab.experiment.fault_trial import trial  # noqa: PLC0415 - it needs libvirt

    cell = _cell(kind, phase, side, mode)
    guest = lab.boot(**asdict(GUEST))
    try:
        _, row = trial(lab, guest, cell, 1)
    finally:
        guest.clear()
    return row


def find_midway(
    kind: str, phase: str, side: str = "", *, mode: str = "normal", copy: Copy = "pre-copy"
) -> FaultRow:
    """Return the first recorded run of :func:`break_midway`, or of post-copy."""
    wanted = _cell(kind, phase, side, mode, copy).key
    found = next((row for row in read_rows(find_data("faults")) if row.key == wanted), None)
    if found is None:
        raise StoreError(
            f"data/faults must hold a run of {', '.join(filter(None, wanted))}",
            hint="Record it: migrationlab faults -o data/faults --no-runs",
        )
    return found


def recorded_matrix() -> pd.DataFrame:
    """Return the recorded fault matrix, a row a run."""
    return load_fault_matrix(find_data("faults"))


def _cell(kind: str, phase: str, side: str, mode: str, copy: Copy = "pre-copy") -> FaultCell:
    for cell in cells([kind], [phase], copies=[copy]):
        if (cell.side, str(cell.mode)) == (side, mode) and not cell.impossible:
            return cell
    raise UsageError(
        f"the fault matrix has no run of {kind} in {phase} at {side or 'the wire'}, {mode}",
        hint="Choose a row of recorded_matrix().",
    )
