"""Check the numbers that a forecast is given."""

from __future__ import annotations

from typing import TypeGuard

import numpy as np

from migrationlab.errors import UsageError
from migrationlab.plan.wording import quote


def is_number(value: object) -> TypeGuard[float]:
    """Return whether a value is a number, numpy's too; True and False are none."""
    return isinstance(value, int | float | np.number) and not isinstance(value, bool)


def require_number(name: str, value: object) -> None:
    """Raise UsageError unless a value is a finite number."""
    require_within(name, value, -1e15, 1e15, "")


def require_within(name: str, value: object, low: float, high: float, unit: str) -> None:
    """Raise UsageError unless a value is a number in a range."""
    if not is_number(value) or not low <= value <= high:
        least = f"{low:g} to {high:g} {unit}".rstrip()
        raise UsageError(
            f"{name} must be a number from {least} (got {quote(str(value))})",
            hint=f"Write {name.rpartition(' ')[2]} as a number without quotes.",
        )
