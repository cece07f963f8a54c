"""Check the fields of a run, and keep them unchanged.

The annotations of ``Run`` give the type of each field, and msgspec checks them. Mappings and lists
become read-only copies. A frame can be given as a function, which reads the frame when needed.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Self, get_type_hints, overload

import msgspec

from migrationlab.runs.schema import FRAMES, conform

if TYPE_CHECKING:
    import pandas as pd

#: Keys that a summary needs.
NEEDED: Mapping[str, frozenset[str]] = MappingProxyType(
    {
        "source": frozenset({"name"}),
        "destination": frozenset({"name"}),
        "guest_check": frozenset({"intact"}),
        "domain_states": frozenset({"source", "destination"}),
    }
)
#: Facts that an older run may lack; they are then None.
ADDED = frozenset({"service_check"})
#: The types whose values need no copy and no check.
_UNCHANGED = frozenset({str, int, bool, type(None)})


class FrameField:
    """A field that holds a frame, and copies it at each assignment and each access.

    The field can be set to a function that returns the frame. Each access calls the function.
    """

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    @overload
    def __get__(self, run: None, owner: type) -> Self: ...
    @overload
    def __get__(self, run: object, owner: type) -> pd.DataFrame: ...
    def __get__(self, run: object | None, owner: type) -> Self | pd.DataFrame:
        if run is None:
            # dataclasses asks the class for the field's default: there is none.
            raise AttributeError(self._name)
        value = run.__dict__[f"_{self._name}"]
        return (value() if callable(value) else value).copy()

    def __set__(self, run: object, value: pd.DataFrame | Callable[[], pd.DataFrame]) -> None:
        run.__dict__[f"_{self._name}"] = value if callable(value) else conform(self._name, value)


@functools.cache
def facts_type(owner: type) -> type[msgspec.Struct]:
    """Return a type with the fields of a run that are not frames; a plan is its mapping."""
    hints = get_type_hints(owner, include_extras=True) | {"plan": Mapping[str, Any]}
    fields: list[Any] = [(name, hint) for name, hint in hints.items() if name not in FRAMES]
    fields = [(*field, None) if field[0] in ADDED else field for field in fields]
    return msgspec.defstruct("Facts", fields, kw_only=True, forbid_unknown_fields=True)


def settle(run: Any) -> None:
    """Check the fields of a new run, and replace its mappings and lists by read-only copies.

    Raises:
        ValueError: A field has a wrong type, or a mapping lacks a key.
        TypeError: A mapping or a list has a value that JSON cannot hold.
    """
    kind = facts_type(run.__class__)
    given = {name: getattr(run, name) for name in kind.__struct_fields__}
    try:
        checked = msgspec.convert(given | {"plan": {}}, kind)
    except msgspec.ValidationError as error:
        raise ValueError(str(error)) from error
    for name, keys in NEEDED.items():
        if given[name] is not None and (missing := keys - given[name].keys()):
            raise ValueError(f"{name} must have the key {', '.join(sorted(missing))}")
    for name in given.keys() - {"plan", "error"}:
        object.__setattr__(run, name, frozen(getattr(checked, name)))


def frozen(value: Any) -> Any:
    """Return a read-only copy with JSON types only."""
    if type(value) in _UNCHANGED:  # nearly all values: asking for the types below takes longer
        return value
    if isinstance(value, Mapping):
        return MappingProxyType({str(key): frozen(item) for key, item in value.items()})
    if isinstance(value, (list, tuple)):
        return tuple(frozen(item) for item in value)
    if type(value).__module__ == "numpy":  # a number of numpy, which is slow to import
        return frozen(value.item())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    raise TypeError(f"a run cannot hold a {type(value).__name__}: {value!r}")
