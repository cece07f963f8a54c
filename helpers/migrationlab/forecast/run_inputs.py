"""Read from a recorded run of the lab what a forecast of it needs, and compare the two.

The inputs are those known before the migration: what the guest's workload was asked to write, the
wire's rate, the plan. Only the compression ratio and the use of the virtual processors are from
the run. The memory in use is a rule for the lab's guests, see :func:`lab_memory`.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterable
from dataclasses import dataclass
from typing import get_args

import pandas as pd

from migrationlab.forecast.case import Constants, Memory
from migrationlab.forecast.curve import DirtyCurve, Pattern
from migrationlab.forecast.forecast import forecast
from migrationlab.forecast.precopy import PAYLOAD_SHARE
from migrationlab.forecast.result import Forecast, Interval
from migrationlab.plan.plan import Plan
from migrationlab.runs.run import Outcome, Run

#: A lab's guest uses so much memory beside its working set: this, and a share of the whole.
KERNEL_MIB, KERNEL_SHARE = 44.0, 0.039
#: So much of it lies behind the free memory, which is all zeros.
BEHIND_ZEROS_MIB = 12.5


def lab_memory(memory_mib: float, working_set_mib: float) -> Memory:
    """Return the memory of a lab's guest, by a rule from recorded runs of 128 and 256 MiB."""
    used = min(KERNEL_MIB + KERNEL_SHARE * memory_mib + working_set_mib, memory_mib)
    behind = min(BEHIND_ZEROS_MIB / used, 1.0)
    return Memory(total_mib=memory_mib, zero_mib=memory_mib - used, before_zeros=1 - behind)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunInputs:
    """What a forecast of a run needs: the arguments of ``forecast``."""

    plan: Plan
    curve: DirtyCurve
    memory: Memory
    bandwidth_mbit_s: float
    compression_ratio: float | None = None
    vcpu_use: float = 1.0

    def forecast(self, constants: Constants | None = None, *, draws: int) -> Forecast:
        """Return the forecast, with the plan's deadline."""
        return _cached(self, constants, draws)


@functools.lru_cache(maxsize=256)
def _cached(given: RunInputs, constants: Constants | None, draws: int) -> Forecast:
    return forecast(
        given.plan, given.curve, memory=given.memory, bandwidth_mbit_s=given.bandwidth_mbit_s,
        compression_ratio=given.compression_ratio, vcpu_use=given.vcpu_use, constants=constants,
        deadline_s=given.plan.deadline_s, draws=draws,
    )  # fmt: skip


def inputs_of(run: Run) -> RunInputs | None:
    """Return what a forecast of a run needs; None if the run does not show it.

    It does not if the guest's workload or the wire is not known or has no limit, if the curve of
    the workload is not known before it is measured (hot-cold, zipf, phases), or if somebody changed
    the migration while it ran.
    """
    about = run.guest
    known = [about.get("dirty_mib_s"), about.get("working_set_mib"), about.get("memory_mib")]
    known.append(None if run.wire is None else run.wire["rate_mbit_s"])
    if not all(isinstance(value, int | float) for value in known):
        return None  # a workload can write as fast as possible ("max"), a wire have no limit
    rate, working_set, memory, wire = (float(value) for value in known if value is not None)
    if (run.timeline().steering["by"] == "user").any():
        return None
    pattern: Pattern = about.get("pattern", "sequential")
    if pattern not in get_args(Pattern) or about.get("phases"):
        return None
    plan = run.plan
    if plan.max_downtime_ms is None:  # the limit can be the domain's own
        plan = dataclasses.replace(plan, max_downtime_ms=run.downtime_requested_ms)
    # URIs and the like do not matter, and equal inputs are forecast once.
    plan = dataclasses.replace(plan, migration_uri=None, connection_uri=None)
    return RunInputs(
        plan=plan, curve=DirtyCurve.constant(rate, working_set, pattern),
        memory=lab_memory(memory, working_set),
        bandwidth_mbit_s=wire * PAYLOAD_SHARE, compression_ratio=_ratio(run),
        vcpu_use=_vcpu_use(run) if plan.auto_converge else 1.0,
    )  # fmt: skip


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
        if run.outcome not in (Outcome.COMPLETED, Outcome.TIMED_OUT):
            continue
        if (given := inputs_of(run)) is None:
            continue
        told, summary = given.forecast(constants, draws=draws), run.summary()
        ended = run.outcome is Outcome.COMPLETED
        measured = {
            "total_s": summary["total_ms"] / 1000, "call_s": summary["call_ms"] / 1000,
            "downtime_ms": summary["downtime_event_ms"],
            "downtime_network_ms": summary["downtime_network_ms"],
            "iterations": summary["iterations"],
        }  # fmt: skip
        row: dict[str, object] = {
            "run_id": run.run_id, "kind": _kind(run.plan), "ends": told.ends, "ended": ended
        }  # fmt: skip
        for name, value in measured.items():
            row[name] = value if ended else None
            interval: Interval = getattr(told, name)
            row |= {f"{name}_{part}": number for part, number in interval.to_dict().items()}
        rows.append(row)
    return pd.DataFrame(rows)


def _kind(plan: Plan) -> str:
    if plan.postcopy:
        return "post-copy"
    if plan.auto_converge:
        return "auto-converge"
    if plan.compression is not None:
        return "compression"
    return "multifd" if plan.parallel else "plain"


def _ratio(run: Run) -> float | None:
    """Return the bytes sent for each byte of memory, if a run compressed."""
    job = run.completed_job
    if run.plan.compression is None or not job.get("memory_normal_bytes"):
        return None
    return float(job["memory_processed"]) / float(job["memory_normal_bytes"])


def _vcpu_use(run: Run) -> float:
    """Return the use of the guest's virtual processors before memory was sent; 1 if unknown."""
    line, used = run.timeline(), run.processes
    began_ns = line.active_ns or line.returned_ns
    early = used[
        (used["side"] == "source") & used["thread"].str.startswith("vCPU")
        & (used["time_ns"] < began_ns)
    ]  # fmt: skip
    shares = []
    for _, thread in early.groupby("thread"):
        span_ns = int(thread["time_ns"].iloc[-1]) - int(thread["time_ns"].iloc[0])
        if span_ns > 0:
            spent_ns = int(thread["cpu_ns"].iloc[-1]) - int(thread["cpu_ns"].iloc[0])
            shares.append(spent_ns / span_ns)
    return min(max(sum(shares) / len(shares), 0.01), 1.0) if shares else 1.0
