"""Preflights of two hosts, kept and read again: what lesson 09 shows without a lab.

Pure: findings in, JSON out, and back. Imports neither libvirt nor ``lab``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from migrationlab.checks.diagnosis import Check, Diagnosis, Messages, Status
from migrationlab.course import json_files

#: The broken cases of the lab that lesson 09 lets the preflight look for.
FAULTS = (
    "host-key-unknown",
    "port-closed",
    "same-host-uuid",
    "disk-not-shared",
    "certificate-wrong-name",
)
#: The preflight of hosts where nothing is broken.
WELL = "well"


def save_preflights(findings: Mapping[str, Diagnosis], path: Path) -> None:
    """Write preflights to a file.

    Args:
        findings: By what was broken.
        path: The file.
    """
    json_files.write({name: asdict(diagnosis) for name, diagnosis in findings.items()}, path)


def load_preflights(name: str = "preflights") -> dict[str, Diagnosis]:
    """Return the preflights of a file of ``data/course``, by what was broken.

    Args:
        name: The file, without its ending.

    Raises:
        StoreError: There is none, or it cannot be read.
    """
    return json_files.read(name, _diagnoses)


def _diagnoses(told: Any) -> dict[str, Diagnosis]:
    return {
        broken: Diagnosis(
            tuple(Check(**check | {"status": Status(check["status"])}) for check in one["checks"]),
            Messages(**one["messages"]),
        )
        for broken, one in told.items()
    }
