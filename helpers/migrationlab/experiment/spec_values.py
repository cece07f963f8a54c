"""Plain values from Python, JSON or TOML: made sure of, and told apart by their paths.

Every refusal begins with the path of the key that it is about. Pure.
"""

from __future__ import annotations

import itertools
import math
import re
import typing
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from migrationlab.errors import UsageError
from migrationlab.plan.wording import nearest


def slug(text: str) -> str:
    """Return a name for a folder: the first words of ``text``, in small plain letters."""
    words = re.findall(r"[a-z0-9]+", text.lower())
    lengths = itertools.accumulate(len(word) + 1 for word in words)
    fitting = sum(length <= 41 for length in lengths)
    return "-".join(words[: max(fitting, 1)])[:60] or "experiment"


def known(given: Mapping[str, object], names: Iterable[str], path: str) -> None:
    """Refuse keys that there are not, and name the one that was meant.

    Raises:
        UsageError: There is such a key.
    """
    for key in given:
        if key not in names:
            near = nearest(str(key), names)
            hint = f"did you mean {near}? " if near else ""
            raise UsageError(
                f"{join(path, key)}: there is no such key",
                hint=f"{hint}there are {', '.join(names)}",
            )


def whole(value: object, path: str, least: int, most: int) -> int:
    """Return a whole number of that range.

    Raises:
        UsageError: It is none.
    """
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise UsageError(f"{path}: {value!r} cannot be", hint=f"give {least} to {most}, whole")
    return value


def plain(value: Mapping[str, Any], path: str) -> dict[str, Any]:
    """Return a copy that JSON and TOML can hold, numpy's numbers and tuples turned plain."""
    return {str(key): plain_value(item, join(path, key)) for key, item in value.items()}


def plain_value(value: object, path: str) -> Any:
    if isinstance(value, Mapping):
        return plain(value, path)
    if hasattr(value, "tolist"):  # of numpy and pandas, whose numbers come with sweeps
        value = value.tolist()
    if isinstance(value, (Sequence, range)) and not isinstance(value, (str, bytes)):
        return [plain_value(item, f"{path}[{number}]") for number, item in enumerate(value)]
    if isinstance(value, float) and not math.isfinite(value):
        raise UsageError(f"{path}: {value} is no number to measure with", hint="give a finite one")
    if value is None or isinstance(value, (bool, int, float, str)):
        return str(value) if isinstance(value, str) else value  # a mode is a StrEnum
    raise UsageError(
        f"{path}: a {type(value).__name__} cannot be here",
        hint="give a number, a text, true or false, or a list of these",
    )


def table_at(value: object, path: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise UsageError(f"{path}: a table is wanted", hint=f"[{path}] with its settings beneath")
    return typing.cast("dict[str, Any]", value)


def text_at(value: object, path: str) -> str:
    if not isinstance(value, str):
        raise UsageError(
            f"{path}: a text is wanted, not {value!r}", hint='write it in quotes, as "web1"'
        )
    return value


def join(path: str, key: object) -> str:
    return f"{path}.{key}" if path else str(key)
