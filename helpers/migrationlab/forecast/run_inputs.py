"""Find what the forecast of a migration in the lab needs, and compare forecasts with runs.

The inputs are those known before the migration: what the guest's workload was asked to write and
with which content, the wire's rate, the plan. See :mod:`migrationlab.forecast.lab_guest` for the
rules that give the rest. Nothing is read from what a run measured.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from migrationlab.forecast.case import Constants, Memory
from migrationlab.forecast.curve import DirtyCurve
from migrationlab.forecast.forecast import Ratio, forecast
from migrationlab.forecast.lab_guest import (
    compression_of_guest,
    compressor_of_guest,
    curve_of_guest,
    memory_of_guest,
    vcpu_use_of_guest,
)
from migrationlab.forecast.precopy import PAYLOAD_SHARE
from migrationlab.forecast.result import Forecast
from migrationlab.plan.plan import Plan
from migrationlab.runs.run import Outcome, Run

#: The outcomes that say whether a migration ends.
_JUDGED = (Outcome.COMPLETED, Outcome.TIMED_OUT)
#: What a forecast tells, as a run's summary has it: its name there, and how many make one here.
_MEASURED = {
    "total_s": ("total_ms", 1000),
    "call_s": ("call_ms", 1000),
    "downtime_ms": ("downtime_event_ms", 1),
    "downtime_network_ms": ("downtime_network_ms", 1),
    "iterations": ("iterations", 1),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class RunInputs:
    """What a forecast of a run needs: the arguments of ``forecast``."""

    plan: Plan
    curve: DirtyCurve
    memory: Memory
    bandwidth_mbit_s: float
    compression_ratio: Ratio | None = None
    compressor_mib_s: Ratio | None = None
    vcpu_use: float = 1.0

    def to_dict(self) -> dict[str, Any]:
        """Return the inputs as plain values, for JSON."""
        plain = self.plan.to_dict()
        return {
            "plan": {name: plain[name] for name in self.plan.changed()},
            "period_ms": list(self.curve.period_ms),
            "dirty_pages": list(self.curve.dirty_pages),
            "memory": dataclasses.asdict(self.memory),
            "bandwidth_mbit_s": self.bandwidth_mbit_s,
            "compression_ratio": self.compression_ratio,
            "compressor_mib_s": self.compressor_mib_s,
            "vcpu_use": self.vcpu_use,
        }

    def forecast(self, constants: Constants | None = None, *, draws: int) -> Forecast:
        """Return the forecast, with the plan's deadline."""
        return _cached(self, constants, draws)


@functools.lru_cache(maxsize=256)
def _cached(given: RunInputs, constants: Constants | None, draws: int) -> Forecast:
    speed = given.compressor_mib_s
    if isinstance(speed, tuple) and constants is not None:
        first, again = speed
        speed = first * constants.compressor_speed, again * constants.compressor_speed
    return forecast(
        given.plan, given.curve, memory=given.memory, bandwidth_mbit_s=given.bandwidth_mbit_s,
        compression_ratio=given.compression_ratio, compressor_mib_s=speed,
        vcpu_use=given.vcpu_use, constants=constants,
        deadline_s=given.plan.deadline_s, draws=draws,
    )  # fmt: skip


def inputs_of_lab(
    plan: Plan, guest: Mapping[str, Any], wire: Mapping[str, Any]
) -> RunInputs | None:
    """Return what the forecast of a migration in the lab needs; None if it is not known.

    Args:
        plan: How to migrate.
        guest: The guest by the names of :class:`migrationlab.plan.guest_spec.GuestSpec`.
        wire: ``rate_mbit_s``, and ``measured_mbit_s`` if a stream was measured on it.
    """
    rate, measured = wire.get("rate_mbit_s"), wire.get("measured_mbit_s")
    if not isinstance(guest.get("memory_mib"), int | float) or not isinstance(rate, int | float):
        return None
    curve = curve_of_guest(guest)
    if curve is None:
        return None
    memory = memory_of_guest(guest)
    ratio = speed = None
    if plan.compression:
        ratio = compression_of_guest(guest, plan.compression[0], memory)
        speed = compressor_of_guest(guest, plan.compression[0], memory)
    # URIs and the like do not matter, and equal inputs are forecast once.
    plan = dataclasses.replace(plan, migration_uri=None, connection_uri=None)
    return RunInputs(
        plan=plan, curve=curve, memory=memory,
        bandwidth_mbit_s=measured or rate * PAYLOAD_SHARE,
        compression_ratio=ratio, compressor_mib_s=speed,
        vcpu_use=vcpu_use_of_guest(guest),
    )  # fmt: skip


def inputs_of(run: Run) -> RunInputs | None:
    """Return what a forecast of a run needs; None if the run does not show it.

    It does not if the guest's workload or the wire is not known or has no limit, if the curve of
    the workload is not known before it is measured (a rate that changes), or if somebody changed
    the migration while it ran.
    """
    if run.wire is None or (run.timeline().steering["by"] == "user").any():
        return None
    plan = run.plan
    # The limit can be the domain's own, unless the plan changes it while the migration runs.
    if plan.max_downtime_ms is None and plan.policy is None and plan.downtime_steps is None:
        plan = dataclasses.replace(plan, max_downtime_ms=run.downtime_requested_ms)
    return inputs_of_lab(plan, run.guest, run.wire)


def compare(
    runs: Iterable[Run], *, constants: Constants | None = None, draws: int = 0
) -> pd.DataFrame:
    """Compare forecasts with runs, except runs whose inputs are not known.

    Args:
        runs: Recorded runs of the lab.
        constants: The constants of the hosts.
        draws: The number of simulations for the intervals; without them intervals have no width.

    Returns:
        One row a run that completed or reached its deadline: ``run_id``, ``kind`` (what the plan
        has beside plain pre-copy), ``ends`` and ``ended`` (a probability, and whether it did), and
        for ``total_s``, ``call_s``, ``downtime_ms``, ``downtime_network_ms`` and ``iterations``
        the measured value, and ``_low``, ``_median`` and ``_high`` of the forecast; missing where
        there is none.
    """
    rows = []
    for run in runs:
        given = inputs_of(run) if run.outcome in _JUDGED else None
        if given is not None:
            rows.append(compared(run, given.forecast(constants, draws=draws).to_dict()))
    return pd.DataFrame(rows)


def compared(run: Run, told: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return a row of :func:`compare`; None for a run that neither completed nor timed out.

    Args:
        run: The run.
        told: Its forecast, as ``Forecast.to_dict`` gives it.
    """
    if run.outcome not in _JUDGED:
        return None
    summary, ended = run.summary(), run.outcome is Outcome.COMPLETED
    row: dict[str, Any] = {
        "run_id": run.run_id, "kind": _kind(run.plan), "ends": told["ends"], "ended": ended
    }  # fmt: skip
    for name, (metric, per) in _MEASURED.items():
        value = summary[metric]
        row[name] = value / per if ended and value is not None else None
        row |= {f"{name}_{part}": number for part, number in told[name].items()}
    return row


def _kind(plan: Plan) -> str:
    if plan.postcopy:
        return "post-copy"
    if plan.auto_converge:
        return "auto-converge"
    if plan.compression is not None:
        return "compression"
    return "multifd" if plan.parallel else "plain"
