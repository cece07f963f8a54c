"""How numbers of an experiment are said. Pure."""

from __future__ import annotations

from migrationlab.runs.units import unit_of

#: What settings are called whose names say too little by themselves.
SETTINGS = {
    "dirty_mib_s": "writing",
    "guest dirty_mib_s": "guest writing",
    "wire rate_mbit_s": "wire",
}
#: Nobody reads milliseconds from so many on.
SECONDS_FROM_MS = 10_000


def amount(metric: str, value: float) -> str:
    """Return a metric's value with the unit that people read it in, three digits of it."""
    unit = unit_of(metric)
    if unit.read == "ms" and abs(value) >= SECONDS_FROM_MS:
        return f"{_digits(value / 1000)} s"
    return f"{_digits(value / unit.divisor)} {unit.read}".strip()


def setting(name: str, value: str) -> str:
    """Say what a setting is set to, as "wire 250 Mbit/s".

    Args:
        name: Its name, which ends in its unit.
        value: Its value, as it is shown.
    """
    unit = unit_of(name)
    words = SETTINGS.get(name, name.removesuffix(unit.end).replace("_", " "))
    return f"{words} {value} {unit.read}".rstrip()


def _digits(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def lasting(seconds: float) -> str:
    """Say how long something takes, to the precision of a guess."""
    if seconds < 90:
        return f"{max(round(seconds, -1), 10):.0f} s"
    if seconds < 90 * 60:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"
