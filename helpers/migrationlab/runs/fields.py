"""The fields of a run: each keeps what it is given to itself, and refuses what it cannot be.

Imports no libvirt and touches no file: a frame that is read later is read by who gives it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from types import MappingProxyType, UnionType
from typing import Any, Self, overload

import numpy as np
import pandas as pd

from migrationlab.runs.schema import conform

#: What the fields that hold neither mappings nor frames can be.
PLAIN: Mapping[str, type | UnionType] = MappingProxyType(
    {
        **dict.fromkeys(("run_id", "created", "migrationlab_version", "accelerator"), str),
        **dict.fromkeys(("called_ns", "returned_ns"), int),
        "downtime_requested_ms": int | None,
        "warnings": list | tuple,
        "instruments": list | tuple | None,
    }
)
MAPPINGS = ("guest", "source", "destination", "environment", "completed_job")
#: Those that can be None.
OPTIONAL_MAPPINGS = ("wire", "guest_check", "domain_states", "clock", "experiment")
#: Without what no summary can be made.
NEEDED: Mapping[str, frozenset[str]] = MappingProxyType(
    {
        "source": frozenset({"name"}),
        "destination": frozenset({"name"}),
        "guest_check": frozenset({"intact"}),
        "domain_states": frozenset({"source", "destination"}),
    }
)


class FrameField:
    """A field that keeps a frame to itself: it copies what goes in and what comes out.

    Given a function instead, it keeps that, and calls it at each access.
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
        kept = run.__dict__[f"_{self._name}"]
        return (kept() if callable(kept) else kept).copy()

    def __set__(self, run: object, value: pd.DataFrame | Callable[[], pd.DataFrame]) -> None:
        run.__dict__[f"_{self._name}"] = value if callable(value) else conform(self._name, value)


def settle(run: object) -> None:
    """Check the fields of a new run, and replace its mappings and lists by read-only copies.

    Raises:
        TypeError: A field is of a wrong type, or holds what JSON cannot.
        ValueError: A mapping lacks a key.
    """
    for name, kind in PLAIN.items():
        # A bool is an int to Python; here it is a mistake.
        if not isinstance(value := getattr(run, name), kind) or isinstance(value, bool):
            raise TypeError(f"{name} of a run cannot be {value!r}")
    for name in MAPPINGS:
        if not isinstance(getattr(run, name), Mapping):
            raise TypeError(f"{name} of a run is a mapping")
    for name in OPTIONAL_MAPPINGS:
        if not isinstance(getattr(run, name), Mapping | None):
            raise TypeError(f"{name} of a run is a mapping, or None")
    for name, keys in NEEDED.items():
        if missing := keys - (keys if (given := getattr(run, name)) is None else given.keys()):
            raise ValueError(f"{name} of a run lacks {', '.join(sorted(missing))}")
    for name in (*MAPPINGS, *OPTIONAL_MAPPINGS, "warnings", "instruments"):
        object.__setattr__(run, name, _frozen(getattr(run, name)))


def _frozen(value: Any) -> Any:
    """Give a read-only copy, of plain Python types only: what JSON can hold."""
    if isinstance(value, Mapping):
        return MappingProxyType({str(key): _frozen(item) for key, item in value.items()})
    if isinstance(value, (list, tuple)):
        return tuple(_frozen(item) for item in value)
    if isinstance(value, np.generic):
        return _frozen(value.item())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    raise TypeError(f"a run cannot hold a {type(value).__name__}: {value!r}")
