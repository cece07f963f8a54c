"""The units of numbers, which stand at the end of their names: what is stored, what people read.

Pure; imports nothing of the kit.
"""

from __future__ import annotations

from dataclasses import dataclass

MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Unit:
    """The unit of a number.

    Attributes:
        end: How names of such numbers end; empty where there is no unit.
        stored: What the number counts.
        read: What people read it in.
        divisor: What it is divided by for that.
    """

    end: str
    stored: str
    read: str
    divisor: int = 1


#: The longest end that fits is the one that counts.
UNITS = (
    Unit("_bytes_per_s", "byte/s", "MiB/s", MIB),
    Unit("_bps", "byte/s", "MiB/s", MIB),
    Unit("_bytes", "byte", "MiB", MIB),
    Unit("_mib", "MiB (1,048,576 byte)", "MiB"),
    Unit("_mib_s", "MiB/s", "MiB/s"),
    Unit("_mbit_s", "Mbit/s", "Mbit/s"),
    Unit("_pages_s", "pages/s", "pages/s"),
    Unit("_s_per_gib", "s/GiB", "s/GiB"),
    Unit("_percent", "%", "%"),
    Unit("_ns", "ns", "ns"),
    Unit("_ms", "ms", "ms"),
    Unit("_s", "s", "s"),
)
_NONE = Unit("", "", "")


def unit_of(name: str) -> Unit:
    """Return the unit that a name ends in.

    Args:
        name: Of a column, a setting, or a number of a summary, as ``downtime_event_ms``.
    """
    fitting = [unit for unit in UNITS if name.endswith(unit.end)]
    return max(fitting, key=lambda unit: len(unit.end), default=_NONE)
