"""``run.json``: what a run is, its summary, and by what its other files are known to be whole.

Owns the format's version.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from migrationlab.errors import StoreError
from migrationlab.runs.atomic_write import damaged, refused
from migrationlab.runs.run import Run
from migrationlab.runs.schema import FRAMES
from migrationlab.runs.summary import DEFINITION, SUMMARY

FORMAT = "migrationlab-run"
VERSION = 4
MANIFEST = "run.json"


def encode(run: Run, frames: Mapping[str, pd.DataFrame], files: Mapping[str, bytes]) -> bytes:
    """Return the content of a run's ``run.json``.

    Args:
        run: The run.
        frames: Its frames, by their names.
        files: Each frame's file, likewise.
    """
    facts = {
        field.name: getattr(run, field.name)
        for field in dataclasses.fields(run)
        if field.name not in FRAMES
    }
    facts["plan"] = run.plan.to_dict()
    facts["error"] = None if run.error is None else dataclasses.asdict(run.error)
    manifest = {
        "format": FORMAT,
        "version": VERSION,
        "run": facts,
        "summary": _summary(run),
        "files": {
            f"{name}.parquet": {
                "rows": len(frames[name]),
                "bytes": len(content),
                "sha256": hashlib.sha256(content).hexdigest(),
            }
            for name, content in files.items()
        },
    }
    text = json.dumps(manifest, default=dict, indent=2, ensure_ascii=False, allow_nan=False)
    return sealed(f"{text}\n".encode())


def sealed(text: bytes) -> bytes:
    """Return an indented JSON object with one key more: the checksum of all that is before it."""
    before = text.removesuffix(b"\n}\n") + b",\n"
    return before + f'  "sha256": "{hashlib.sha256(before).hexdigest()}"\n}}\n'.encode()


def read(folder: Path) -> dict[str, Any]:
    """Return what the ``run.json`` of a folder says.

    Raises:
        StoreError: There is none, it is damaged, foreign, or of a newer version of the format.
    """
    path = folder / MANIFEST
    try:
        text = path.read_bytes()
        manifest = json.loads(text)
    except OSError as error:
        raise refused(f"there is no run to read in {folder}", error) from error
    except (ValueError, RecursionError) as error:
        raise damaged(path, error) from error
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise StoreError(
            f"{path} is no run of migrationlab",
            hint=f'A run\'s {MANIFEST} says "format": "{FORMAT}".',
        )
    version = manifest.get("version")
    if type(version) is not int or version != VERSION:  # True and 4.0 are no versions
        newer = isinstance(version, int) and version > VERSION
        raise StoreError(
            f"{path} has version {version} of the format; this migrationlab reads {VERSION}",
            hint="Update migrationlab to read it."
            if newer
            else "Record the run again, or read it with the migrationlab that recorded it.",
        )
    if not _is_whole(text, manifest.get("sha256")):
        raise damaged(path, "its checksum differs")
    return manifest


def kept_summary(manifest: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the summary that a ``run.json`` keeps, None where it was worked out otherwise.

    Raises:
        KeyError: It keeps something else; likewise AttributeError and TypeError.
    """
    kept = manifest.get("summary")
    if kept is None or kept["definition"] != DEFINITION or kept["values"].keys() != SUMMARY.keys():
        return None
    # JSON's objects have no order.
    return {key: kept["values"][key] for key in SUMMARY}


def _summary(run: Run) -> dict[str, Any] | None:
    try:
        return {"definition": DEFINITION, "values": run.summary()}
    except StoreError:
        # A recording that nobody can evaluate yet is the one to keep. Whoever asks the run for its
        # summary meets the error.
        return None


def _is_whole(text: bytes, checksum: object) -> bool:
    before, _, _ = text.rpartition(b'  "sha256": ')
    return hashlib.sha256(before).hexdigest() == checksum
