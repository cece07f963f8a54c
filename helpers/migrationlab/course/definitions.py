"""Show where a guest runs and which host keeps its definition, in a lab or at recorded moments."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import pandas as pd

from migrationlab.course import json_files
from migrationlab.errors import UsageError

if TYPE_CHECKING:
    from migrationlab.lab.guest import Guest

FILE = "definitions"


class Place(msgspec.Struct, frozen=True):
    """What one host knows of a guest.

    Attributes:
        host: The host.
        guest: "running" or "shut off" as `virsh list --all` says, or "unknown".
        definition: Whether the host keeps the guest's definition: "yes" or "no".
    """

    host: str
    guest: str
    definition: str


def look(guest: Guest) -> tuple[Place, ...]:
    """Return what each host of the lab knows of a guest now."""
    places = []
    for host in guest.lab.hosts:
        place = Place(host.name, "unknown", "no")
        for domain in host.connection.listAllDomains():
            if domain.UUIDString() == guest.uuid:
                state = "running" if domain.isActive() else "shut off"
                place = Place(host.name, state, "yes" if domain.isPersistent() else "no")
        places.append(place)
    return tuple(places)


def recorded(moment: str) -> tuple[Place, ...]:
    """Return what each host knew at a moment of the recording.

    Raises:
        UsageError: The recording has no such moment.
    """
    moments = json_files.read(FILE, dict[str, tuple[Place, ...]])
    if moment not in moments:
        raise UsageError(
            f"moment must be one of the recording (got {moment!r})",
            hint=f"Use one of {', '.join(moments)}.",
        )
    return moments[moment]


def save(moments: dict[str, Sequence[Place]], path: Path) -> None:
    """Write the moments of a recording to a file."""
    json_files.write(moments, path)


def table(places: Iterable[Place]) -> pd.DataFrame:
    """Return places as a table with a row for each host."""
    return pd.DataFrame([msgspec.structs.asdict(place) for place in places]).set_index("host")
