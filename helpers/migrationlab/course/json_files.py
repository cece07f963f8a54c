"""Read and write the files of ``data/course``: recorded facts about hosts, as JSON."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

import msgspec

from migrationlab.course.lesson import find_data
from migrationlab.errors import StoreError

T = TypeVar("T")


def write(value: object, path: Path) -> None:
    """Write a value as readable JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(msgspec.json.format(msgspec.json.encode(value), indent=1) + b"\n")


def read(name: str, kind: type[T]) -> T:
    """Return the content of a file as a value of a type; ``.json`` is added to the name.

    Raises:
        StoreError: There is no such file, or its content is damaged.
    """
    path = find_data("course") / f"{name}.json"
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except (OSError, msgspec.DecodeError) as error:
        raise StoreError(
            f"reading {path.name} failed: {error!r}", hint="Get the file from the project again."
        ) from error
