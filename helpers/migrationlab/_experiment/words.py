"""How numbers of an experiment are said. Pure."""

from __future__ import annotations

from migrationlab.units import unit_of

#: Nobody reads milliseconds from so many on.
SECONDS_FROM_MS = 10_000


def amount(metric: str, value: float) -> str:
    """Return a metric's value with the unit that people read it in, three digits of it."""
    unit = unit_of(metric)
    if unit.read == "ms" and abs(value) >= SECONDS_FROM_MS:
        return f"{_digits(value / 1000)} s"
    return f"{_digits(value / unit.divisor)} {unit.read}".strip()


def _digits(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def lasting(seconds: float) -> str:
    """Say how long something takes, to the precision of a guess."""
    if seconds < 90:
        return f"{max(round(seconds, -1), 10):.0f} s"
    if seconds < 90 * 60:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"
