"""Advise how to migrate, from what is wanted: a downtime, a time, and what the guest may lose.

Theory of operation. A handful of plans is forecast: plain pre-copy, compression if its ratio is
known, auto-converge, post-copy. Each has the highest downtime limit that keeps the wanted downtime.
A plan meets the goal if it ends in time with a probability of 90 %, and its downtime and the
guest's slow-down stay within the goal. The plans that do are ranked by what they cost the guest:
post-copy last, because the guest is lost if a host fails meanwhile; then by slow-down, downtime and
time. If none does, the nearest is given, and what would have to change: the link, the limit or the
guest's load, found by bisection.
"""

from __future__ import annotations

import dataclasses
import shlex
from collections.abc import Callable, Iterator
from typing import Any

from migrationlab.errors import UsageError
from migrationlab.forecast.case import Memory
from migrationlab.forecast.curve import DirtyCurve
from migrationlab.forecast.forecast import Bandwidth, forecast
from migrationlab.forecast.numbers import is_number
from migrationlab.forecast.result import Forecast
from migrationlab.plan.plan import Plan
from migrationlab.plan.wording import quote

#: A plan is sure enough with this probability.
SURE = 0.9
#: The share of the wanted downtime that a limit may have, the highest first.
LIMITS = (1.0, 0.9, 0.8, 0.65, 0.5, 0.35, 0.2)
#: The bounds of what would have to change.
MOST_BANDWIDTH, MOST_DOWNTIME_MS, LEAST_LOAD = 64.0, 60_000.0, 0.01
STEPS = 14


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Goal:
    """What is wanted of a migration.

    Attributes:
        downtime_ms: The longest downtime.
        within_s: The longest total time.
        max_slowdown: The largest share of the guest's work that may be prevented, 0 to 1.
    """

    downtime_ms: float
    within_s: float
    max_slowdown: float

    def met(self, told: Forecast) -> bool:
        """Return whether a forecast meets the goal."""
        return bool(told.ends >= SURE and self.excess(told) <= 1)

    def excess(self, told: Forecast) -> float:
        """Return how many times too much a forecast is, by its worst part; 1 is just enough."""
        paused, total, slow = told.downtime_ms.high, told.total_s.high, told.slowdown.median
        if paused is None or total is None or slow is None:
            return float("inf")
        parts = [paused / self.downtime_ms, total / self.within_s]
        if slow > 0:
            parts.append(slow / self.max_slowdown if self.max_slowdown else float("inf"))
        return float(max(parts))


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class AdvisedPlan:
    """A plan with its forecast.

    Attributes:
        plan: The plan.
        forecast: Its forecast.
        meets: Whether it meets the goal.
        cost: What it costs the guest, in words.
        virsh: The same migration as commands of virsh.
    """

    plan: Plan
    forecast: Forecast
    meets: bool
    cost: str
    virsh: tuple[str, ...]

    def __repr__(self) -> str:
        return f"AdvisedPlan({self.plan!r}, {'meets' if self.meets else 'misses'} the goal)"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Advice:
    """The plans for a goal, made by :func:`migrationlab.advise`.

    Attributes:
        goal: The goal.
        plans: The plans that meet it, the cheapest for the guest first.
        nearest: The nearest plan if none meets it; otherwise None.
        changes: What would make plain pre-copy meet it, in sentences; empty if a plan does.
    """

    goal: Goal
    plans: tuple[AdvisedPlan, ...]
    nearest: AdvisedPlan | None
    changes: tuple[str, ...]

    def __repr__(self) -> str:
        count = len(self.plans)
        return f"Advice({count} plan{'' if count == 1 else 's'} for {self.goal.downtime_ms:g} ms)"

    def __str__(self) -> str:
        lines = []
        for number, one in enumerate(self.plans, 1):
            lines += [f"{number}. {_line(one)}", *(f"     {word}" for word in one.virsh)]
        if self.nearest is not None:
            lines += ["No plan meets the goal. The nearest:", f"   {_line(self.nearest)}"]
            lines += [f"     {word}" for word in self.nearest.virsh]
            lines += self.changes
        return "\n".join(lines)

    def to_dict(self) -> dict[str, Any]:
        """Return the advice as plain values, for JSON."""
        return {
            "goal": dataclasses.asdict(self.goal),
            "plans": [_record(one) for one in self.plans],
            "nearest": None if self.nearest is None else _record(self.nearest),
            "changes": list(self.changes),
        }


def advise(
    curve: DirtyCurve,
    memory: Memory | float | None,
    bandwidth_mbit_s: Bandwidth,
    *,
    downtime_ms: float,
    within_s: float,
    max_slowdown: float = 0.5,
    plan: Plan | None = None,
    domain: str = "DOMAIN",
    destination: str = "DESTINATION",
    **known: Any,
) -> Advice:
    """Advise how to migrate a guest so that a goal is met.

    Args:
        curve: How the guest writes its memory.
        memory: Its memory, in MiB or with its pages of zeros; None for the curve's.
        bandwidth_mbit_s: As for :func:`migrationlab.forecast`.
        downtime_ms: The longest downtime that the guest may have.
        within_s: The longest total time.
        max_slowdown: The largest share of the guest's work that auto-converge may prevent.
        plan: The plan to begin with, for example with its mode and URIs.
        domain: The domain's name, for virsh's lines.
        destination: The destination's host name, for virsh's lines.
        **known: What else :func:`migrationlab.forecast` takes: ``compression_ratio``,
            ``vcpu_use``, ``constants``.

    Raises:
        PlanError: The plan to begin with cannot work.
        UsageError: A value is impossible.
    """
    for name, value, most in (
        ("downtime_ms", downtime_ms, 2_000_000), ("within_s", within_s, 604_800)
    ):  # fmt: skip
        if not is_number(value) or not 0 < value <= most:
            raise UsageError(
                f"{name} must be more than 0, and at most {most} (got {quote(str(value))})",
                hint=f"Give what the guest can bear, such as {name}=300.",
            )
    if not is_number(max_slowdown) or not 0 <= max_slowdown <= 1:
        raise UsageError(
            f"max_slowdown must be from 0 to 1 (got {quote(str(max_slowdown))})",
            hint="Write max_slowdown=0.3 for 30 % of the guest's work.",
        )
    goal = Goal(downtime_ms=downtime_ms, within_s=within_s, max_slowdown=max_slowdown)
    base = plan or Plan()
    about = {"memory": memory, "bandwidth_mbit_s": bandwidth_mbit_s, **known}

    def told(candidate: Plan, **changed: Any) -> Forecast:
        return forecast(candidate, **{"curve": curve, "deadline_s": within_s, **about, **changed})

    found = [
        _with_virsh(candidate, told(candidate), goal, domain, destination)
        for candidate in _candidates(base, goal, told, compresses="compression_ratio" in known)
    ]
    good = sorted((one for one in found if one.meets), key=_cost_to_guest)
    if good:
        return Advice(goal=goal, plans=tuple(good), nearest=None, changes=())
    nearest = min(found, key=lambda one: (goal.excess(one.forecast), -one.forecast.ends))
    changes = _changes(curve, bandwidth_mbit_s, goal, base, told)
    return Advice(goal=goal, plans=(), nearest=nearest, changes=tuple(changes))


def _candidates(
    base: Plan, goal: Goal, told: Callable[..., Forecast], *, compresses: bool
) -> Iterator[Plan]:
    """Yield the plans to compare, each with the highest limit that keeps the downtime."""
    changes: list[dict[str, Any]] = [{}, {"auto_converge": True}]
    if compresses:
        compressed = {"compression": ("zstd",), "parallel": True}
        changes += [compressed, {"auto_converge": True, **compressed}]
    changes += [{"postcopy": True, "postcopy_after_iteration": number} for number in (1, 2)]
    for change in changes:
        candidate = dataclasses.replace(base, **change)
        if candidate.problems():
            continue
        yield _limited(candidate, goal, told)


def _limited(candidate: Plan, goal: Goal, told: Callable[..., Forecast]) -> Plan:
    """Return a plan with the highest downtime limit whose downtime stays within the goal."""
    limited = candidate
    for share in LIMITS:
        limit = max(round(share * goal.downtime_ms), 1)
        limited = dataclasses.replace(candidate, max_downtime_ms=limit)
        paused = told(limited).downtime_ms.high
        if paused is None or paused <= goal.downtime_ms:
            break
    return limited


def _with_virsh(
    plan: Plan, told: Forecast, goal: Goal, domain: str, destination: str
) -> AdvisedPlan:
    lines = [shlex.join(plan.filled(destination=destination).virsh(domain))]
    if plan.max_downtime_ms is not None:
        # It can be set once the migration runs.
        lines.append(f"virsh migrate-setmaxdowntime {shlex.quote(domain)} {plan.max_downtime_ms}")
    if plan.postcopy_after_iteration not in {None, 1}:
        # virsh migrate itself can switch after the first iteration only.
        lines.append(f"virsh migrate-postcopy {shlex.quote(domain)}")
    return AdvisedPlan(
        plan=plan, forecast=told, meets=goal.met(told), cost=_cost(plan, told), virsh=tuple(lines)
    )


def _cost(plan: Plan, told: Forecast) -> str:
    found = []
    if plan.postcopy:
        found.append("the guest waits for pages, and is lost if a host fails in post-copy")
    if told.slowdown.median:
        found.append(f"{told.slowdown.median:.0%} of its work is prevented")
    if plan.compression is not None:
        found.append("compression takes processor time of the hosts")
    return "; ".join(found) or "nothing but the downtime"


def _cost_to_guest(one: AdvisedPlan) -> tuple[float, ...]:
    told = one.forecast
    return (
        float(one.plan.postcopy), round(told.slowdown.median or 0, 2),
        float(one.plan.compression is not None), float(one.plan.auto_converge is True),
        told.downtime_ms.median or 0, told.total_s.median or 0,
    )  # fmt: skip


def _changes(
    curve: DirtyCurve,
    bandwidth_mbit_s: Bandwidth,
    goal: Goal,
    base: Plan,
    told: Callable[..., Forecast],
) -> Iterator[str]:
    """Yield what would make plain pre-copy meet the goal, one change at a time."""
    pair = bandwidth_mbit_s if isinstance(bandwidth_mbit_s, tuple) else (bandwidth_mbit_s,) * 2

    def good(downtime_ms: float = goal.downtime_ms, **changed: Any) -> bool:
        aim = dataclasses.replace(goal, downtime_ms=downtime_ms)
        quick: Callable[..., Forecast] = lambda plan: told(plan, draws=12, **changed)  # noqa: E731
        limited = _limited(base, aim, quick)
        return aim.met(quick(limited))

    factor = _least(lambda x: good(bandwidth_mbit_s=(pair[0] * x, pair[1] * x)), MOST_BANDWIDTH)
    if factor is not None:
        yield f"With a link of {factor * max(pair):.0f} Mbit/s plain pre-copy meets the goal."
    more = _least(lambda x: good(goal.downtime_ms * x), MOST_DOWNTIME_MS / goal.downtime_ms)
    if more is not None:
        yield f"With a downtime of {more * goal.downtime_ms:.0f} ms plain pre-copy meets the goal."

    def slower(x: float) -> bool:
        return good(curve=curve.replaced(period_ms=tuple(x * ms for ms in curve.period_ms)))

    load = _least(slower, 1 / LEAST_LOAD)
    if load is not None:
        yield f"If the guest writes {1 - 1 / load:.0%} less, plain pre-copy meets the goal."
    if factor is more is load is None:
        yield "No link, downtime or load alone meets the goal: give it more time."


def _least(good: Callable[[float], bool], most: float) -> float | None:
    """Return the least factor from 1 that is good, to some percent; None if none is."""
    if most <= 1 or not good(most):
        return None
    low, high = 1.0, most
    for _ in range(STEPS):
        if high / low < 1.03:
            break
        middle = (low * high) ** 0.5
        low, high = (low, middle) if good(middle) else (middle, high)
    return high


def _line(one: AdvisedPlan) -> str:
    told = one.forecast
    return (
        f"{one.plan!r}: {told.total_s} s, downtime {told.downtime_ms.text(0)} ms, ends "
        f"{told.ends:.0%}; costs: {one.cost}"
    )


def _record(one: AdvisedPlan) -> dict[str, Any]:
    values = one.plan.to_dict()
    return {
        "plan": {name: values[name] for name in one.plan.changed()},
        "meets": one.meets,
        "cost": one.cost,
        "virsh": list(one.virsh),
        "forecast": one.forecast.to_dict(),
    }
