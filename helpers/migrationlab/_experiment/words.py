"""How numbers of an experiment are said. Pure."""

from __future__ import annotations

#: A metric's unit, by the end of its name; the first that fits.
UNITS = {
    "_mib_s": "MiB/s",
    "_mbit_s": "Mbit/s",
    "_s_per_gib": "s/GiB",
    "_ms": "ms",
    "_s": "s",
    "_mib": "MiB",
    "_percent": "%",
}
_MIB = 1024 * 1024


def amount(metric: str, value: float) -> str:
    """Return a metric's value with its unit, three digits of it."""
    if metric.endswith("_bytes_per_s"):
        return f"{_digits(value / _MIB)} MiB/s"
    if metric.endswith("_bytes"):
        return f"{_digits(value / _MIB)} MiB"
    unit = next((unit for end, unit in UNITS.items() if metric.endswith(end)), "")
    return f"{_digits(value)} {unit}".strip()


def _digits(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def lasting(seconds: float) -> str:
    """Say how long something takes, to the precision of a guess."""
    if seconds < 90:
        return f"{max(round(seconds, -1), 10):.0f} s"
    if seconds < 90 * 60:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"
