"""Files of ``data/course``: what was once seen of hosts, kept as JSON and read again.

Knows nothing of what is in them. Imports neither libvirt nor ``lab``.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from migrationlab.course.lesson import find_data
from migrationlab.errors import StoreError

T = TypeVar("T")


def write(told: object, path: Path) -> None:
    """Write what JSON can say to a file, so that a person can read it too."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(told, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def read(name: str, make: Callable[[Any], T]) -> T:
    """Return what is made of a file's content.

    Args:
        name: The file, without its ending.
        make: Makes it.

    Raises:
        StoreError: There is no such file, or nothing can be made of it.
    """
    path = find_data("course") / f"{name}.json"
    try:
        return make(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise StoreError(
            f"{path.name} cannot be read: {error!r}", hint="Take it from the project again."
        ) from error
