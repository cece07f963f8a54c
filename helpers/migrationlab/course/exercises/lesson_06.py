"""Check the exercises of lesson 06: which migrations end in the model, and a fix."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from types import MappingProxyType

from migrationlab.course.answers import need_places, yes_or_no
from migrationlab.course.feedback import Feedback, Texts
from migrationlab.course.plan_answers import need_plan
from migrationlab.experiment.experiment import Experiment
from migrationlab.forecast.precopy import MIB, PAYLOAD_SHARE, Precopy
from migrationlab.plan.plan import Plan
from migrationlab.runs.run import Outcome

NIGHT_LIMIT_MIB_S = 50
_WEB = Precopy(dirty_mib_s=30, wire_mbit_s=1000, memory_mib=6144, working_set_mib=1024)
#: Exercise 1: the guests of the question. One has a limit of libvirt's, which works like a wire of
#: that rate.
GUESTS: Mapping[str, Precopy] = MappingProxyType(
    {
        "web": _WEB,
        "database": dataclasses.replace(_WEB, dirty_mib_s=150, working_set_mib=2048),
        "counter": dataclasses.replace(_WEB, dirty_mib_s=400, working_set_mib=24),
        "night": dataclasses.replace(
            _WEB, dirty_mib_s=60, wire_mbit_s=NIGHT_LIMIT_MIB_S * MIB * 8 / 1e6 / PAYLOAD_SHARE
        ),
    }
)

#: Exercise 2: the goals of the fix.
WITHIN_S, MAX_DOWNTIME_MS = 15, 500
#: The recorded fixes that an answer is compared with.
FIXES = {"post-copy", "auto-converge"}
#: The guest and the wire of the recorded experiment.
BUSY = Precopy(dirty_mib_s=80, wire_mbit_s=500)
#: The time to send the working set.
_ITERATION_S = BUSY.working_set_mib / BUSY.bandwidth_mib_s
say = Texts(
    __file__,
    guests=", ".join(GUESTS),
    max_downtime_ms=MAX_DOWNTIME_MS,
    within_s=WITHIN_S,
    dirty=BUSY.dirty_mib_s,
    wire=BUSY.bandwidth_mib_s,
)


def check_ends(answer: object) -> Feedback:
    """Check the choice of guests whose migration ends by itself."""
    places = need_places(answer, tuple(GUESTS), "True or False for ")
    if unknown := [str(name) for name in places if name not in GUESTS]:
        return say.wrong("unknown", name=unknown[0])
    for name, guest in GUESTS.items():
        if (given := yes_or_no(places[name])) is None:
            return say.wrong("not-bool", name=name, answer=places[name])
        if given is not guest.forecast().ends:
            truth = "it does not end" if given else "it ends"
            return say.wrong(f"ends-{name}", truth=truth)
    return say.right("ends")


def check_fix(answer: object, fixes: object = None) -> Feedback:
    """Check a plan for a guest that writes faster than its wire carries."""
    plan = need_plan(answer, "fix")
    if not (isinstance(fixes, Experiment) and {c.name for c in fixes.cells} >= FIXES):
        return say.wrong("no-fixes")
    if plan.postcopy:
        return _check_postcopy(plan, fixes)
    if (limit := _slowest(plan)) < BUSY.bandwidth_mib_s:
        return say.wrong("bandwidth", limit=limit)
    return _check_long_downtime(plan) or _check_other(plan, fixes)


def _slowest(plan: Plan) -> float:
    """Return the lowest rate at which the plan sends memory, in MiB/s."""
    limits = (plan.bandwidth_mib_s, plan.postcopy_bandwidth_mib_s, BUSY.bandwidth_mib_s)
    return min(limit for limit in limits if limit is not None)


def _check_postcopy(plan: Plan, fixes: Experiment) -> Feedback:
    after_iteration, after_s = plan.postcopy_after_iteration, plan.postcopy_after_s
    if after_iteration is None and after_s is None:
        return say.wrong("no-switch")
    if plan.parallel:
        return say.wrong("postcopy-parallel")
    if (limit := plan.max_downtime_ms) is not None and limit > MAX_DOWNTIME_MS:
        return say.wrong("ends-before", limit=limit)
    total_s, downtime_ms = _recorded(fixes, "post-copy")
    slower = BUSY.bandwidth_mib_s / _slowest(plan)
    # One more iteration sends the working set once more over the wire.
    times = [] if after_s is None else [after_s]
    if after_iteration is not None:
        times.append(after_iteration * _ITERATION_S * slower)
    if plan.abort_when_diverging_s is not None and plan.abort_when_diverging_s <= min(times):
        return say.wrong("diverging")
    needed_s = max(min(times) + 2 * _ITERATION_S * slower, total_s * slower)
    if (most := min(WITHIN_S, plan.deadline_s)) < needed_s:
        if slower > 1:
            return say.wrong("bandwidth", limit=_slowest(plan))
        return say.wrong("too-late", most=most, total_s=total_s)
    return say.right("postcopy", total_s=total_s, downtime_ms=downtime_ms)


def _check_long_downtime(plan: Plan) -> Feedback | None:
    """Return the feedback on a plan that ends by a long downtime; None for other plans."""
    suspends = (plan.suspend_after_iteration, plan.suspend_after_s) != (None, None)
    limit = plan.max_downtime_ms
    if limit is None and not suspends:
        return None
    needed_ms = 1000 * _ITERATION_S
    if suspends or (limit is not None and _ends_with(limit)):
        return say.wrong("paused", needed_ms=needed_ms)
    return say.wrong("downtime-limit", limit=limit, needed_ms=needed_ms)


def _check_other(plan: Plan, fixes: Experiment) -> Feedback:
    if plan.auto_converge:
        total_s, _ = _recorded(fixes, "auto-converge")
        if plan.auto_converge_initial_percent or plan.auto_converge_increment_percent:
            return say.wrong("throttling-values")
        return say.wrong("auto-converge", total_s=total_s)
    if plan.compression is not None:
        return say.wrong("compression")
    if plan.parallel:
        return say.wrong("parallel")
    return say.wrong("no-fix")


def _ends_with(max_downtime_ms: int) -> bool:
    """Return whether the guest's migration ends by itself with a downtime limit."""
    return dataclasses.replace(BUSY, max_downtime_ms=max_downtime_ms).forecast().ends


def _recorded(fixes: Experiment, cell: str) -> tuple[float, float]:
    """Return a fix's medians: total time in seconds, downtime in ms."""
    frame = fixes.frame()
    ended = frame[(frame["cell"] == cell) & (frame["outcome"] == str(Outcome.COMPLETED))]
    return (
        float(ended["total_ms"].median()) / 1000,
        float(ended["downtime_event_ms"].median()),
    )


CHECKS: dict[str, Callable[..., Feedback]] = {"ends": check_ends, "fix": check_fix}
