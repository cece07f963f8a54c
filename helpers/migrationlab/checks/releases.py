"""Say what is known of the versions of two hosts: recorded migrations, and settings they lack."""

from __future__ import annotations

from pathlib import Path

from migrationlab.hosts.facts import HostFacts
from migrationlab.plan.host_rules import settings_beyond
from migrationlab.plan.validation import Side
from migrationlab.runs.release_matrix import Cell, load_matrix

#: The recorded matrix of a checkout; an installed package has none.
RECORD = Path(__file__).parents[3] / "data" / "matrix" / "matrix.jsonl"


def known(source: HostFacts, destination: HostFacts) -> str:
    """Return what a recorded matrix says of these versions, as a part of a sentence; else empty."""
    versions = [(host.libvirt_version, host.qemu_version) for host in (source, destination)]
    cells = [
        cell for cell in load_matrix(RECORD).between(*versions)
        if cell.key.plain
    ]  # fmt: skip
    if not cells:
        return ""
    found = [_ended(cells, on) for on in dict.fromkeys(cell.key.booted_on for cell in cells)]
    return f"; recorded with an emulated guest ({RECORD.name}): {'; '.join(found)}"


def lacking(source: Side, destination: Side) -> str:
    """Return the settings that these versions cannot use, as a part of a sentence; else empty."""
    names = settings_beyond(source, destination)
    return f"; they cannot use {', '.join(names)}" if names else ""


def _ended(cells: list[Cell], booted_on: str) -> str:
    own = [cell for cell in cells if cell.key.booted_on == booted_on]
    tries = [each for cell in own for each in cell.tries]
    causes = dict.fromkeys(cause for cell in own for cause in cell.explanations)
    why = f" ({', '.join(causes)})" if causes else ""
    return f"booted on {booted_on}, {sum(each.works for each in tries)} of {len(tries)} worked{why}"
