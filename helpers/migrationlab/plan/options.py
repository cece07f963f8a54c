"""Hold options by name inside a plan, as those of a policy: plain values that cannot change."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from migrationlab.errors import PlanError

#: A table of rules has three levels: the options, the list, the rule.
DEEPEST = 4


class Options(Mapping[str, Any]):
    """Options by name. It can be hashed, and equals a dict of the same values.

    Args:
        given: The options.
        field: The setting that has them, for error messages.

    Raises:
        PlanError: A value is not plain, or nested too deeply.
    """

    __slots__ = ("_values",)

    def __init__(self, given: Mapping[str, object], field: str, depth: int = 1) -> None:
        self._values = {
            str(name): _frozen(value, f"{field}.{name}", depth) for name, value in given.items()
        }

    def __getitem__(self, name: str) -> Any:
        return self._values[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __hash__(self) -> int:
        return hash(frozenset(self._values.items()))

    def __repr__(self) -> str:
        return repr(self.plain())

    def plain(self) -> dict[str, Any]:
        """Return the options as dicts and lists, for JSON and TOML."""
        return {name: _plain(value) for name, value in self._values.items()}


def _frozen(value: object, path: str, depth: int) -> object:
    if hasattr(value, "tolist"):  # numpy's numbers come with sweeps
        value = value.tolist()
    if isinstance(value, Mapping) and depth < DEEPEST:
        return Options(value, path, depth + 1)
    if isinstance(value, list | tuple) and depth < DEEPEST:
        return tuple(_frozen(item, path, depth + 1) for item in value)
    finite = not isinstance(value, float) or math.isfinite(value)
    small = not isinstance(value, int) or abs(value) < 1 << 63
    if value is None or (isinstance(value, bool | int | float | str) and finite and small):
        return value
    raise PlanError(
        f"{path} must be a plain value (got a {type(value).__name__})",
        hint="Give a number, a text, True or False, or a list of these.",
    )


def _plain(value: Any) -> Any:
    if isinstance(value, Options):
        return value.plain()
    return [_plain(item) for item in value] if isinstance(value, tuple) else value
