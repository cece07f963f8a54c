"""Check values that anybody can have stored: types, ranges, and a summary's agreement with its run.

A file with a right checksum can still be forged. A value that a frame of summaries cannot hold
would end a command for all runs, so each run is checked by itself.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from migrationlab.runs.record import RunRecord, summary_facts
from migrationlab.runs.schema import SUMMARY

MAX_INTEGER = 2**63 - 1
#: Larger than any number of a run: 10^18 bytes are an exabyte.
MAX_NUMBER = 1e18
#: The year 2200, in nanoseconds since 1970.
LATEST_NS = 7_258_118_400 * 10**9
#: The numbers of a summary that can be below 0; all others count or measure something.
SIGNED = frozenset({"guest_behind_ms", "vcpu_extra_cpu_s", "downtime_event_ms"})
_NO_INTEGERS = frozenset({str, float, bool, type(None)})
_TYPES: Mapping[str, tuple[type, ...]] = {
    "str": (str,),
    "Int64": (int,),
    "Float64": (int, float),
    "boolean": (bool,),
}


def require_summary(summary: Mapping[str, Any], run: RunRecord) -> None:
    """Raise a ValueError unless a summary has the types of the schema, and agrees with its run."""
    if list(summary) != list(SUMMARY):
        raise ValueError("a summary must have the keys of SUMMARY")
    for key, kind in SUMMARY.items():
        if summary[key] is not None:
            _require_value(key, summary[key], kind)
    same = {**summary_facts(run), "downtime_requested_ms": run.downtime_requested_ms}
    for key, value in same.items():
        if summary[key] != value:
            raise ValueError(f"{key} of its summary must be {value!r} (got {summary[key]!r})")


def require_facts(run: RunRecord) -> None:
    """Raise a ValueError unless the numbers and times of a run's facts can be those of a run."""
    if not 0 <= run.called_ns <= run.returned_ns <= LATEST_NS:
        times = f"{run.called_ns} and {run.returned_ns}"
        raise ValueError(f"called_ns and returned_ns must be times, in this order (got {times})")
    if datetime.fromisoformat(run.created).tzinfo is None:
        raise ValueError(f"created must have a time zone (got {run.created!r})")
    for name, value in vars(run).items():
        if not name.startswith("_"):
            _require_numbers(name, value)


def _require_value(key: str, value: Any, kind: str) -> None:
    right: bool = isinstance(value, _TYPES[kind])
    if not right or (isinstance(value, bool) and kind != "boolean"):
        raise ValueError(f"{key} of its summary must be a {kind} (got {value!r})")
    if kind in ("Int64", "Float64"):
        low = -MAX_NUMBER if key in SIGNED else 0
        if not (math.isfinite(value) and low <= value <= MAX_NUMBER):
            raise ValueError(f"{key} of its summary must be from {low:g} to {MAX_NUMBER:g}")


def _require_numbers(name: str, value: Any) -> None:
    kind = type(value)
    if kind in _NO_INTEGERS:  # nearly all values: asking for the types below takes longer
        return
    if kind is not int and isinstance(value, Mapping):
        for key, item in value.items():
            if type(item) not in _NO_INTEGERS:
                _require_numbers(f"{name}.{key}", item)
    elif isinstance(value, tuple):
        for item in value:
            _require_numbers(name, item)
    elif isinstance(value, int) and abs(value) > MAX_INTEGER:
        raise ValueError(f"{name} must be an integer of at most 64 bits")
