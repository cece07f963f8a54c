"""Forecast a migration, with intervals.

Theory of operation. The most likely course is one simulation with the measured curve and the mean
of the link. The intervals are from :data:`DRAWS` simulations more. Each has another sample of the
guest's pages, another link within its bounds, another course of the curve before its first and
beyond its last point (as far as concavity allows), and QEMU's looks at other moments; its results
are spread by what the recorded runs leave unexplained. The draws are the same for each plan, so
plans can be compared.

The most likely course counts most: where it ends, the probability is more than a half.
"""

from __future__ import annotations

import dataclasses
import math

import numpy as np

from migrationlab.errors import UsageError
from migrationlab.forecast.case import Case, Constants, Memory, Path, StopRule, case_of
from migrationlab.forecast.curve import MIB, DirtyCurve
from migrationlab.forecast.numbers import is_number
from migrationlab.forecast.per_iteration import simulate_per_iteration
from migrationlab.forecast.qemu_rule import simulate_qemu
from migrationlab.forecast.result import Forecast, interval
from migrationlab.forecast.words import not_modelled, reasons
from migrationlab.plan.plan import Plan
from migrationlab.plan.wording import quote

DRAWS = 40
SEED = 20220401
#: The golden ratio's part: moments that never repeat.
PHASE_STEP = (math.sqrt(5) - 1) / 2
#: A normal distribution has 90 % of its values within so many standard deviations.
DEVIATIONS = 1.645
#: Nobody has a link beyond these, in Mbit/s.
SLOWEST, FASTEST = 1e-3, 1e8

Bandwidth = float | tuple[float, float]
#: A number of all memory, or one of all and one of what the guest writes.
Ratio = float | tuple[float, float]


def forecast(
    plan: Plan,
    curve: DirtyCurve,
    *,
    bandwidth_mbit_s: Bandwidth,
    memory: Memory | float | None = None,
    stop_rule: StopRule = "qemu",
    deadline_s: float | None = None,
    compression_ratio: Ratio | None = None,
    compressor_mib_s: Ratio | None = None,
    vcpu_use: float = 1.0,
    constants: Constants | None = None,
    draws: int = DRAWS,
) -> Forecast:
    """Forecast the migration of a guest before it starts.

    Args:
        plan: How to migrate.
        curve: How the guest writes its memory.
        bandwidth_mbit_s: What the migration's data gets, headers of packets not counted; or its
            lowest and highest value.
        memory: The guest's memory, in MiB or with its pages of zeros; by default the curve's.
        stop_rule: "qemu" for QEMU's own rules; "per-iteration" to compare with other tools:
            see :mod:`migrationlab.forecast.per_iteration`.
        deadline_s: When the migration is cancelled; by default the plan's, unless that is the
            one of every plan (120 s).
        compression_ratio: The bytes sent for each byte of memory, if the plan compresses: measure
            it with a run of the guest. Or two of them: for all memory, and for what is written.
        compressor_mib_s: The memory that the compressor takes in a second; or two, as above.
        vcpu_use: How much of its virtual processors' time the guest uses, 0 to 1. Auto-converge
            slows a guest only when its spare time is used up.
        constants: The constants of the hosts; by default those of this project's lab.
        draws: The number of simulations for the intervals; 0 for none.

    Returns:
        The forecast. Its median is deterministic; so are its intervals.

    Raises:
        PlanError: The plan cannot work.
        UsageError: A value is impossible.
    """
    plan.require_valid()
    low, high = _bandwidth(bandwidth_mbit_s)
    if stop_rule not in ("qemu", "per-iteration"):
        raise UsageError(
            f"stop_rule must be 'qemu' or 'per-iteration' (got {quote(str(stop_rule))})",
            hint="Write stop_rule='qemu'.",
        )
    _require_share("vcpu_use", vcpu_use, 1.0)
    ratios = _pair("compression_ratio", 1.0 if compression_ratio is None else compression_ratio, 2)
    speeds = None if compressor_mib_s is None else _pair("compressor_mib_s", compressor_mib_s, 1e7)
    if memory is not None and not isinstance(memory, Memory):
        memory = Memory(total_mib=memory)
    if deadline_s is None and "deadline_s" in plan.changed():
        deadline_s = plan.deadline_s
    case = case_of(
        plan, curve, memory, math.sqrt(low * high),
        constants=constants or Constants(), compression_ratios=ratios,
        compressors_mib_s=speeds, vcpu_use=vcpu_use,
    )  # fmt: skip
    simulate = simulate_qemu if stop_rule == "qemu" else simulate_per_iteration
    nominal = simulate(case)
    outcomes = _draw(case, curve, (low, high), stop_rule, nominal, draws)
    return _result(plan, stop_rule, deadline_s, case, nominal, outcomes, ratio=compression_ratio)


@dataclasses.dataclass(frozen=True, slots=True)
class _Outcome:
    """What a simulation means in libvirt's terms; None where it does not end."""

    total_s: float | None
    call_s: float | None
    downtime_ms: float | None
    network_ms: float | None
    path: Path


def _draw(  # noqa: PLR0917 (each once, from one place)
    case: Case,
    curve: DirtyCurve,
    bandwidth: tuple[float, float],
    stop_rule: StopRule,
    nominal: Path,
    draws: int,
) -> list[_Outcome]:
    """Return the outcomes of the most likely course, and of the draws."""
    about = case.constants
    exact = stop_rule == "per-iteration"
    found = [_outcome(case, nominal, 0.0, 0.0, 0.0, exact=exact)]
    random = np.random.default_rng(SEED)
    for _ in range(draws):
        mbit_s = random.uniform(*bandwidth)
        share = mbit_s / math.sqrt(bandwidth[0] * bandwidth[1])
        noise = (random.normal(size=3) / DEVIATIONS).tolist()
        place = random.random() if case.before_zeros is None else None
        written = curve.written(
            dirty_pages=curve.resampled(random),
            # Most guests write some pages more often than others.
            early=1 - random.random() / 2,
            beyond=random.random(),
            most=case.written.most,
        )
        drawn = dataclasses.replace(
            case, written=written, rate_bytes_s=_scaled(case, share),
            link_bytes_s=case.link_bytes_s * share, phase=random.random(), phase_step=PHASE_STEP,
            before_zeros=case.before_zeros if place is None or place < 0.5 else 2 * place - 1,
        )  # fmt: skip
        path = simulate_per_iteration(drawn) if exact else simulate_qemu(drawn)
        spread = (
            noise[0] * (about.before_late_s if noise[0] > 0 else about.before_spread_s),
            noise[1] * (about.compressor_spread if case.compresses else about.time_spread),
            noise[2] * (about.parallel_spread_s if case.plan.parallel else about.downtime_spread_s),
        )
        found.append(_outcome(case, path, *spread, exact=exact))
    return found


def _scaled(case: Case, share: float) -> float:
    """Return the rate of sending over another link; a limit of the plan stays."""
    limit = case.plan.bandwidth_mib_s
    link = case.link_bytes_s * share
    return link if limit is None else min(link, limit * MIB)


def _outcome(
    case: Case, path: Path, before_s: float, longer: float, paused_s: float, *, exact: bool
) -> _Outcome:
    if path.downtime_s is None or path.network_s is None:
        return _Outcome(None, None, None, None, path)
    if exact:
        downtime_ms = 1000 * path.downtime_s
        return _Outcome(path.sending_s, path.sending_s, downtime_ms, downtime_ms, path)
    # What is spread cannot become negative.
    total_s = max(case.before_s + before_s, 0.0) + path.sending_s * (1 + longer)
    downtime_s = max(path.downtime_s + paused_s, path.downtime_s / 2)
    return _Outcome(
        total_s, total_s + case.constants.after_s, 1000 * downtime_s,
        1000 * (downtime_s + path.network_s - path.downtime_s), path,
    )  # fmt: skip


def _result(  # noqa: PLR0917 (each is one fact of the result)
    plan: Plan,
    stop_rule: StopRule,
    deadline_s: float | None,
    case: Case,
    nominal: Path,
    outcomes: list[_Outcome],
    *,
    ratio: Ratio | None,
) -> Forecast:
    likely, others = outcomes[0], outcomes[1:] or outcomes

    def within(one: _Outcome) -> bool:
        return one.total_s is not None and (deadline_s is None or one.total_s <= deadline_s)

    ends = sum(map(within, others)) / len(others)
    if len(outcomes) > 1:  # the most likely course decides on which side of a half it is
        least = 0.5 + 0.5 / len(others)
        ends = max(ends, least) if within(likely) else min(ends, 1 - least)
    paths = [one.path for one in others]
    ended = [one.ends for one in paths]
    return Forecast(
        plan=plan, stop_rule=stop_rule, ends=round(ends, 4), deadline_s=deadline_s,
        total_s=interval(likely.total_s, [one.total_s for one in others]),
        call_s=interval(likely.call_s, [one.call_s for one in others]),
        downtime_ms=interval(likely.downtime_ms, [one.downtime_ms for one in others]),
        downtime_network_ms=interval(likely.network_ms, [one.network_ms for one in others]),
        sent_mib=interval(
            nominal.sent_bytes / MIB if nominal.ends else None,
            [one.sent_bytes / MIB if one.ends else None for one in paths],
        ),
        iterations=interval(
            nominal.count if nominal.ends else None,
            [one.count if end else None for one, end in zip(paths, ended, strict=True)], 0,
        ),
        slowdown=interval(
            nominal.slowdown if nominal.ends else None,
            [one.slowdown if end else None for one, end in zip(paths, ended, strict=True)], 4,
        ),
        reasons=reasons(case, nominal, likely.total_s, deadline_s, stop_rule),
        not_modelled=not_modelled(plan, stop_rule, compression_ratio=ratio), path=nominal,
    )  # fmt: skip


def _bandwidth(given: Bandwidth) -> tuple[float, float]:
    """Return the lowest and the highest bandwidth."""
    pair = given if isinstance(given, tuple) else (given, given)
    if len(pair) != 2:
        raise UsageError(
            f"bandwidth_mbit_s must be a number, or its lowest and highest value (got {given})",
            hint="Write bandwidth_mbit_s=1000, or bandwidth_mbit_s=(900, 1000).",
        )
    values: tuple[object, ...] = pair
    for value in values:
        if not is_number(value) or not SLOWEST <= value <= FASTEST:
            raise UsageError(
                f"bandwidth_mbit_s must be from {SLOWEST:g} to {FASTEST:g} Mbit/s "
                f"(got {quote(str(value))})",
                hint="Give what the migration's data gets, such as bandwidth_mbit_s=950.",
            )
    return float(min(pair)), float(max(pair))


def _pair(name: str, given: Ratio, most: float) -> tuple[float, float]:
    """Return the number of all memory, and that of what is written."""
    pair = given if isinstance(given, tuple) else (given, given)
    if len(pair) != 2:
        raise UsageError(
            f"{name} must be a number, or two (got {given})",
            hint=f"Write {name}=0.4, or {name}=(0.4, 0.5) for all memory and what is written.",
        )
    for value in pair:
        _require_share(name, value, most)
    return float(pair[0]), float(pair[1])


def _require_share(name: str, value: object, most: float) -> None:
    if not is_number(value) or not 0 < value <= most:
        raise UsageError(
            f"{name} must be more than 0, and at most {most:g} (got {quote(str(value))})",
            hint=f"Leave out {name} if it is not known.",
        )
