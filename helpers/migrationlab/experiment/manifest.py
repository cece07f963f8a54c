"""Read the manifest of a recorded folder: one JSON object that names its format and version."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from migrationlab.errors import StoreError
from migrationlab.runs.safe_files import read_file


@dataclass(frozen=True, slots=True, kw_only=True)
class FolderKind:
    """What a kind of recorded folder has in its manifest.

    Attributes:
        what: Its name in messages, with an article.
        manifest: The name of the file.
        format: The value of ``format``.
        version: The value of ``version``.
        most_bytes: The limit of the file's size.
        missing: The hint if a folder has no such file.
        restore: The hint if the file is damaged.
    """

    what: str
    manifest: str
    format: str
    version: int
    most_bytes: int
    missing: str
    restore: str


def read_manifest_of(kind: FolderKind, folder: Path) -> dict[str, Any]:
    """Return the manifest of a folder of one kind.

    Raises:
        StoreError: The folder has none, or it is damaged, of another kind or of another version.
    """
    path = folder / kind.manifest
    try:
        content = json.loads(read_file(path, kind.most_bytes))
    except OSError as error:
        raise StoreError(
            f"{folder} must hold {kind.what} (reading {kind.manifest} failed: {error.strerror})",
            hint=kind.missing,
        ) from error
    except (ValueError, RecursionError) as error:
        raise StoreError(f"reading {path} failed: {error}", hint=kind.restore) from error
    if not isinstance(content, dict) or content.get("format") != kind.format:
        raise StoreError(
            f"{path} must be {kind.what} of migrationlab",
            hint=f'Choose a {kind.manifest} that says "format": "{kind.format}".',
        )
    if content.get("version") != kind.version:
        raise StoreError(
            f"version of {path} must be {kind.version} (got {content.get('version')})",
            hint="Read it with the migrationlab that made it.",
        )
    return content
