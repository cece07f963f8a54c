"""Recorded preflights of two hosts: what lesson 09 shows without a lab."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from migrationlab.checks.diagnosis import Check, Diagnosis, Messages, Status
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
    json_files.write({fault: asdict(found) for fault, found in preflights.items()}, path)


def load_preflights(name: str = "preflights") -> dict[str, Diagnosis]:
    """Return the preflights of a file of ``data/course``, by their faults.

    Raises:
        StoreError: There is no such file, or its content is damaged.
    """
    return json_files.read(name, lambda saved: {fault: _read(one) for fault, one in saved.items()})


def _read(saved: dict[str, Any]) -> Diagnosis:
    checks = (Check(**check | {"status": Status(check["status"])}) for check in saved["checks"])
    return Diagnosis(tuple(checks), Messages(**saved["messages"]))
