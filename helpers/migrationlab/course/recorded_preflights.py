"""Read and write recorded preflights of two hosts, for lesson 09 without a lab."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from migrationlab.checks.diagnosis import Diagnosis
from migrationlab.course import json_files

#: The faults of the lab that the preflight of lesson 09 looks for.
FAULTS = (
    "host-key-unknown",
    "port-closed",
    "same-host-uuid",
    "disk-not-shared",
    "certificate-wrong-name",
)
#: The preflight of hosts without a fault.
WELL = "well"


def save_preflights(preflights: Mapping[str, Diagnosis], path: Path) -> None:
    """Write preflights, by their faults, to a file."""
    json_files.write(preflights, path)


def load_preflights(name: str = "preflights") -> dict[str, Diagnosis]:
    """Return the preflights of a file of ``data/course``, by their faults."""
    return json_files.read(name, dict[str, Diagnosis])
