"""A design as a TOML file: read, and written.

The file holds a spec (see ``design``) as it is; only what TOML has no word for has one here:
"default" for a setting left out, "unlimited" for a wire without a limit. Imports no libvirt.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tomli_w

from migrationlab.errors import PlanError, UsageError
from migrationlab.experiment.design import DEFAULT, UNLIMITED, Design, read

EXAMPLE = 'question = "Does …?"'


def read_toml(path: Path) -> Design:
    """Read a design from a TOML file.

    Raises:
        PlanError: A plan in it cannot work, or is none.
        UsageError: There is no such file, it is no TOML, or something else in it cannot be; the
            message begins with the file, and the key's path in it.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}", hint="Check the path.") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{path}: no text in UTF-8", hint="Save it as UTF-8.") from error
    try:
        return read(tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        raise UsageError(
            f"{path}: {error}", hint=f"It must be TOML (https://toml.io), as in {EXAMPLE}"
        ) from error
    except PlanError as error:
        raise PlanError(f"{path}: {error}", hint=error.hint) from error
    except UsageError as error:
        raise UsageError(f"{path}: {error}", hint=error.hint) from error


def written(spec: Mapping[str, Any]) -> str:
    """Return a spec as the text of a TOML file, which reads as the same design."""
    return tomli_w.dumps(_without_null(spec))


def _without_null(table: Mapping[str, Any]) -> dict[str, Any]:
    made: dict[str, Any] = {}
    for key, value in table.items():
        if isinstance(value, Mapping):
            made[key] = _without_null(value)
        elif isinstance(value, list):
            made[key] = [
                _without_null(item) if isinstance(item, Mapping) else _word(key, item)
                for item in value
            ]
        else:
            made[key] = _word(key, value)
    return made


def _word(key: str, value: Any) -> Any:
    if value is not None:
        return value
    return UNLIMITED if key == "wire_mbit_s" else DEFAULT
