"""Check the plain values of a design, and read and write them as TOML.

A *spec* is plain values from Python, JSON or TOML: see ``design``. A TOML file holds a spec without
changes. TOML has no null, so two words replace it: "default" for a setting that is left out, and
"unlimited" for a wire without a limit. Each error begins with the path of the key.
"""

from __future__ import annotations

import itertools
import math
import re
import tomllib
import typing
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import tomli_w

from migrationlab.errors import UsageError
from migrationlab.plan.wording import nearest
from migrationlab.runs.safe_files import MIB, read_file

#: TOML has no larger one.
MAX_INTEGER = 2**63 - 1
#: The limit of a TOML file.
MAX_BYTES = MIB
#: The word for a setting that is left out, in a list of alternatives.
DEFAULT = "default"
#: The word for a wire without a limit.
UNLIMITED = "unlimited"


def slug(text: str) -> str:
    """Return a name for a folder: the first words of ``text``, in plain lower case."""
    words = re.findall(r"[a-z0-9]+", text.lower())
    lengths = itertools.accumulate(len(word) + 1 for word in words)
    fitting = sum(length <= 41 for length in lengths)
    return "-".join(words[: max(fitting, 1)])[:60] or "experiment"


def require_known(given: Mapping[str, object], names: Iterable[str], path: str) -> None:
    """Refuse unknown keys, and suggest the closest name."""
    for key in given:
        if key not in names:
            near = nearest(str(key), names)
            raise UsageError(
                f"{join(path, key)}: no such key",
                hint=f"{f'Did you mean {near}? ' if near else ''}Use one of: {', '.join(names)}.",
            )


def integer_at(value: object, path: str, low: int, high: int) -> int:
    """Return a value that must be an integer of a range."""
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise UsageError(
            f"{path} must be an integer from {low} to {high} (got {value!r})",
            hint=f"Give an integer, for example {path} = {max(low, min(10, high))}.",
        )
    return value


def plain(value: Mapping[str, Any], path: str) -> dict[str, Any]:
    """Return a copy that JSON and TOML can hold: numpy's numbers and tuples become plain."""
    try:
        return {str(key): _plain_value(item, join(path, key)) for key, item in value.items()}
    except RecursionError:
        if path:
            raise
        raise UsageError(
            "the design must not be nested as deeply", hint="Give tables of values, and lists."
        ) from None


def _plain_value(value: object, path: str) -> Any:
    if isinstance(value, Mapping):
        return plain(value, path)
    if hasattr(value, "tolist"):  # of numpy and pandas, whose numbers come with sweeps
        value = value.tolist()
    if isinstance(value, (Sequence, range)) and not isinstance(value, (str, bytes)):
        return [_plain_value(item, f"{path}[{number}]") for number, item in enumerate(value)]
    if isinstance(value, int) and abs(value) > MAX_INTEGER:
        raise UsageError(
            f"{path} must be an integer of at most 64 bits", hint="Give a number, for example 40."
        )
    if isinstance(value, float) and not math.isfinite(value):
        raise UsageError(
            f"{path} must be a finite number (got {value})", hint="Give a number, for example 40."
        )
    if value is None or isinstance(value, (bool, int, float, str)):
        return str(value) if isinstance(value, str) else value  # a mode is a StrEnum
    raise UsageError(
        f"{path} must be a number, a text, a boolean or a list of these "
        f"(got a {type(value).__name__})",
        hint='Give a plain value, for example 40, "normal", true, or [10, 40].',
    )


def table_at(value: object, path: str) -> dict[str, Any]:
    """Return a value that must be a table."""
    if not isinstance(value, dict):
        raise UsageError(
            f"{path} must be a table (got {value!r})", hint=f"Write its settings below [{path}]."
        )
    return typing.cast("dict[str, Any]", value)


def text_at(value: object, path: str) -> str:
    """Return a value that must be a text."""
    if not isinstance(value, str):
        raise UsageError(
            f"{path} must be a text (got {value!r})", hint='Write it in quotes, as "web1".'
        )
    return value


def join(path: str, key: object) -> str:
    """Return the path of a key in the table at ``path``."""
    return f"{path}.{key}" if path else str(key)


def read_toml(path: Path) -> dict[str, Any]:
    """Return the content of a TOML file."""
    try:
        content = read_file(path, MAX_BYTES, follow=True)
        return tomllib.loads(content.decode())
    except OSError as error:
        raise UsageError(f"reading failed: {error.strerror}", hint="Check the path.") from error
    except UnicodeDecodeError as error:
        raise UsageError("the file must be text in UTF-8", hint="Save it as UTF-8.") from error
    # An integer of thousands of digits, and nested values, are no errors of TOML to tomllib.
    except (ValueError, RecursionError) as error:
        raise UsageError(
            f"the file must be TOML: {error}",
            hint='Write TOML (https://toml.io), as in question = "Does …?"',
        ) from error


def to_toml(spec: Mapping[str, Any]) -> str:
    """Return a spec as the text of a TOML file, which reads as the same design."""
    return tomli_w.dumps({key: _without_null(key, value) for key, value in spec.items()})


def _without_null(key: str, value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _without_null(name, item) for name, item in value.items()}
    if isinstance(value, list):
        return [_without_null(key, item) for item in value]
    if value is None:
        return UNLIMITED if key == "wire_mbit_s" else DEFAULT
    return value
