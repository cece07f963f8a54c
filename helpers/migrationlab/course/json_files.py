"""The files of ``data/course``: recorded facts about hosts, as JSON."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from migrationlab.course.lesson import find_data
from migrationlab.errors import StoreError

T = TypeVar("T")


def write(value: object, path: Path) -> None:
    """Write a value as JSON that people can read too."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def read(name: str, make: Callable[[Any], T]) -> T:
    """Return what ``make`` makes of a file's content.

    Args:
        name: The file, without its ending.
        make: Makes the result.

    Raises:
        StoreError: There is no such file, or its content is damaged.
    """
    path = find_data("course") / f"{name}.json"
    try:
        return make(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise StoreError(
            f"reading {path.name} failed: {error!r}", hint="Get the file from the project again."
        ) from error
