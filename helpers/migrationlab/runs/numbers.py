"""Format numbers in one way for figures, reports, tables, messages and the command line.

A number's name ends in its unit (:mod:`migrationlab.runs.schema`). An unknown number is a dash.
"""

from __future__ import annotations

from datetime import UTC, datetime

import pandas as pd

from migrationlab.runs.schema import label_of, unit_of

UNKNOWN = "–"
#: From this value on, a duration is shown in seconds instead of milliseconds.
SECONDS_FROM_MS = 10_000
#: The words for settings whose names say too little.
_SETTINGS = {
    "dirty_mib_s": "writing",
    "guest dirty_mib_s": "guest writing",
    "wire rate_mbit_s": "wire",
}


def spoken(metric: str) -> tuple[str, str, int]:
    """Return a metric's label, the unit that people read it in, and the divisor for that.

    Args:
        metric: A key of a run's summary, for example ``downtime_event_ms``.
    """
    unit = unit_of(metric)
    return label_of(metric), unit.read, unit.divisor


def number(value: float | None, *, of: str = "", digits: int = 0) -> str:
    """Return a number with a fixed count of digits after the point.

    Args:
        value: The number; None or a missing value: not known.
        of: The name of the metric, to convert it to the unit that people read.
        digits: The number of digits.
    """
    if value is None or pd.isna(value):
        return UNKNOWN
    return f"{value / unit_of(of).divisor:,.{digits}f}"


def near(value: float | None, *, of: str = "") -> str:
    """Return a number with three significant digits, or all digits before the point."""
    if value is None or pd.isna(value):
        return UNKNOWN
    scaled = value / unit_of(of).divisor
    return f"{scaled:,.0f}" if abs(scaled) >= 100 else f"{scaled:.3g}"


def interval(low: float | None, high: float | None, *, of: str = "") -> str:
    """Return an interval with three significant digits."""
    if low is None or high is None or pd.isna(low) or pd.isna(high):
        return UNKNOWN
    return f"{near(low, of=of)} to {near(high, of=of)}"


def amount(metric: str, value: float) -> str:
    """Return a metric's value with its unit and three significant digits."""
    unit = unit_of(metric).read
    if unit == "ms" and abs(value) >= SECONDS_FROM_MS:
        return f"{near(value / 1000)} s"
    return f"{near(value, of=metric)} {unit}".strip()


def setting(name: str, value: str) -> str:
    """Return a setting and its value, for example "wire 250 Mbit/s".

    Args:
        name: The setting's name, which ends in its unit.
        value: Its value as text.
    """
    unit = unit_of(name)
    words = _SETTINGS.get(name, name.removesuffix(unit.suffix).replace("_", " "))
    return f"{words} {value} {unit.read}".rstrip()


def probability(value: float | None) -> str:
    """Return a p-value."""
    if value is None:
        return UNKNOWN
    return "< 0.001" if value < 0.001 else f"{value:.2g}"


def lasting(seconds: float) -> str:
    """Return an estimated duration in seconds, minutes or hours."""
    if seconds < 90:
        return f"{max(round(seconds, -1), 10):.0f} s"
    if seconds < 90 * 60:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"


def moment(stamp: str) -> str:
    """Return a moment given in ISO 8601 to the second, in UTC."""
    return f"{datetime.fromisoformat(stamp).astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
