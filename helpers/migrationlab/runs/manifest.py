"""Write and read ``run.json``: the facts of a run, its summary, and the checksums of its files.

Owns the format's version.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from migrationlab.errors import StoreError
from migrationlab.runs.atomic_write import RESTORE, damaged, refused
from migrationlab.runs.fields import facts_type
from migrationlab.runs.run import Run
from migrationlab.runs.safe_files import MIB, read_file
from migrationlab.runs.schema import DEFINITION, METRICS, SUMMARY

if TYPE_CHECKING:
    import pandas as pd

FORMAT = "migrationlab-run"
VERSION = 4
MANIFEST = "run.json"
#: The largest recorded run.json has 60 KiB.
MAX_MANIFEST_BYTES = 16 * MIB
#: The line before the last one of a ``run.json``.
_SEAL = b'  "sha256": '


class File(msgspec.Struct):
    """One of the other files of a run."""

    rows: int
    bytes: int
    sha256: str


class StoredSummary(msgspec.Struct):
    """A summary, and the number of its definition."""

    definition: int
    values: dict[str, Any]


class Manifest(msgspec.Struct):
    """The content of a ``run.json``. Its ``run`` has the facts of a ``Run`` by their names."""

    format: str
    version: int
    run: dict[str, Any]
    files: dict[str, File]
    summary: StoredSummary | None = None

    @property
    def facts(self) -> dict[str, Any]:
        """Return the run's facts, converted to their types.

        Raises:
            msgspec.ValidationError: A fact is missing, unknown, or has a wrong type.
        """
        return msgspec.structs.asdict(msgspec.convert(self.run, facts_type(Run)))

    @property
    def known_summary(self) -> dict[str, Any] | None:
        """Return the summary; None if there is none with the current definition."""
        if self.summary is None or self.summary.definition != DEFINITION:
            return None
        known = self.summary.values  # noqa: PD011 (no frame)
        # What was added since then was not measured.
        known = {name: None for name, about in METRICS.items() if about.added} | known
        # The keys of a JSON object have no order.
        return {key: known[key] for key in SUMMARY} if known.keys() == SUMMARY.keys() else None


def encode(run: Run, frames: Mapping[str, pd.DataFrame], files: Mapping[str, bytes]) -> bytes:
    """Return the content of a run's ``run.json``.

    Args:
        run: The run.
        frames: Its frames by name.
        files: The content of each frame's file by the frame's name.
    """
    names = facts_type(Run).__struct_fields__
    manifest = {
        "format": FORMAT,
        "version": VERSION,
        "run": {name: getattr(run, name) for name in names} | {"plan": run.plan.to_dict()},
        "summary": _summary(run),
        "files": {
            f"{name}.parquet": File(
                len(frames[name]), len(content), hashlib.sha256(content).hexdigest()
            )
            for name, content in files.items()
        },
    }
    text = msgspec.json.encode(manifest, enc_hook=dict)  # of read-only mappings
    return sealed(msgspec.json.format(text, indent=2) + b"\n")


def sealed(text: bytes) -> bytes:
    """Return an indented JSON object with one more key: the checksum of all lines before it."""
    before = text.removesuffix(b"\n}\n") + b",\n"
    return before + _SEAL + f'"{hashlib.sha256(before).hexdigest()}"\n}}\n'.encode()


def read(folder: Path) -> Manifest:
    """Return the content of a folder's ``run.json``.

    Raises:
        StoreError: The file is missing or damaged, it is not a run's, or its format has another
            version.
    """
    path = folder / MANIFEST
    try:
        text = read_file(path, MAX_MANIFEST_BYTES)
        content = msgspec.json.decode(text)
    except OSError as error:
        raise refused(f"no run could be read from {folder}", error) from error
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise damaged(path, error) from error
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise StoreError(
            f"{path} is no run of migrationlab",
            hint=f'Give a folder whose {MANIFEST} says "format": "{FORMAT}".',
        )
    version = content.get("version")
    if type(version) is not int or version != VERSION:  # True and 4.0 are not versions
        newer = isinstance(version, int) and version > VERSION
        raise StoreError(
            f"{path} has version {version} of the format; this migrationlab reads {VERSION}",
            hint="Update migrationlab to read it."
            if newer
            else "Record the run again, or read it with the migrationlab that recorded it.",
        )
    if not _is_whole(text, content.get("sha256")):
        raise damaged(path, "its checksum differs")
    try:
        return msgspec.convert(content, Manifest)
    except msgspec.ValidationError as error:
        raise no_run(path, error) from error


def no_run(path: Path, why: object) -> StoreError:
    """Return the error for an undamaged file without a run."""
    return StoreError(f"{path} does not describe a run: {why}", hint=RESTORE)


def _summary(run: Run) -> StoredSummary | None:
    try:
        return StoredSummary(DEFINITION, run.summary())
    except StoreError:
        # A recording that cannot be evaluated yet must be stored. A caller that asks for its
        # summary meets the error.
        return None


def _is_whole(text: bytes, checksum: object) -> bool:
    before, _, _ = text.rpartition(_SEAL)
    return hashlib.sha256(before).hexdigest() == checksum
