"""How a metric of a summary is spoken of: its words, and the unit that people read it in."""

from __future__ import annotations

from migrationlab.runs.units import unit_of

#: Names that say too little by themselves.
NAMES = {
    "cable": "carried by the wire",
    "call": "time of the call",
    "cpu": "processor time",
    "downtime_event_error": "error of the event downtime",
    "downtime_guest": "downtime by the guest's clock",
    "downtime_network_high": "network downtime at most",
    "downtime_network_low": "network downtime at least",
    "guest_behind": "lag of the guest's clock",
    "iterations": "passes over memory",
    "migration_cpu": "processor time of the migration",
    "postcopy": "time in post-copy",
    "recovery": "time to recover",
    "total": "total time",
    "transferred": "transferred data",
    "wire": "sent over the wire",
    "workload_before": "workload's rate before",
    "workload_sending": "workload's rate until it stopped",
}


def spoken(metric: str) -> tuple[str, str, int]:
    """Give a metric's name in words, its unit, and what its values are divided by for that.

    Args:
        metric: A key of a run's summary, as ``downtime_event_ms``.
    """
    unit = unit_of(metric)
    return _words(metric.removesuffix(unit.end)), unit.read, unit.divisor


def _words(name: str) -> str:
    if name in NAMES:
        return NAMES[name]
    kind = name.removeprefix("downtime_")
    return name.replace("_", " ") if kind == name else f"{kind} downtime"
