"""What a widget says when the lab of its guest is down: which cell to run, whatever failed of it.

Knows nothing of how it is shown.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from migrationlab.errors import LabError, MigrationLabError

if TYPE_CHECKING:
    from migrationlab.lab.guest import Guest


def lab_down() -> LabError:
    """Return the error of a lab that is down."""
    return LabError(
        "The lab is down",
        hint="Run the cell with mig.Lab(…) again, then each cell from there to this one.",
    )


def cause(error: MigrationLabError, guest: Guest) -> MigrationLabError:
    """Return why something failed: the error that came of it, or that the guest's lab is down."""
    return error if guest.lab.alive else lab_down()
