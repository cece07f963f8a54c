"""Check the exercises of lesson 12: a budget of slow requests, and a plan that keeps a target."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

from migrationlab.course.answers import need, need_number, need_places, refuse_mistakes
from migrationlab.course.feedback import Feedback, Texts
from migrationlab.runs.run import Run

#: The target of the lesson: this share of the requests of a minute may be slower than the limit.
SLOW_SHARE, LIMIT_MS, MINUTE_MS = 0.001, 100, 60_000
BUDGET_MS = SLOW_SHARE * MINUTE_MS
KEYS = ("plan", "slow")
say = Texts(__file__, limit=LIMIT_MS, budget=f"{BUDGET_MS:g}")


def check_budget(answer: object) -> Feedback:
    """Check for how long all requests of a minute may be slow, in milliseconds."""
    need(answer, "Put a number in the place of the dots: milliseconds.")
    number = need_number(answer, "a length of time", "Write a number, or an expression.")
    if math.isclose(number, BUDGET_MS, rel_tol=1e-6):
        return say.right("budget")
    refuse_mistakes(
        number,
        (
            (BUDGET_MS / 1e3, say.wrong("budget-seconds")),
            (BUDGET_MS * 10, say.wrong("budget-p99")),
            (BUDGET_MS / 10, say.wrong("budget-p9999")),
            (MINUTE_MS - BUDGET_MS, say.wrong("budget-inverted")),
        ),
        rel_tol=1e-6,
    )
    return say.wrong("budget", number=number)


def check_choice(answer: object, runs: object = None) -> Feedback:
    """Check the plan with the fewest slow requests, and their number."""
    places = need_places(answer, KEYS)
    known = _runs(runs)
    if known is None:
        return say.wrong("no-runs")
    slow = {name: slow_requests(run) for name, run in known.items()}
    name = str(places["plan"]).strip().lower()
    if name not in slow:
        return say.wrong("no-plan", plan=places["plan"], plans=", ".join(slow))
    best = min(slow.values())
    if slow[name] > best:
        return say.wrong("plan", plan=name, count=slow[name])
    number = need_number(places["slow"], "a number of requests", "Count them in view.latency.")
    if number != best:
        failed = known[name].service().failed or 0
        if failed and number == best - failed:
            return say.wrong("slow-failed")
        return say.wrong("slow", number=number)
    allowed = SLOW_SHARE * MINUTE_MS / 1e3 * float(known[name].guest["requests_s"])
    kept = "keeps" if best <= allowed else "misses"
    return say.right("choice", plan=name, count=best, kept=kept, allowed=f"{allowed:g}")


def slow_requests(run: Run) -> int:
    """Return the number of requests that took longer than the limit, or failed."""
    return int((~(run.service().latency["latency_ms"] <= LIMIT_MS)).sum())


def _runs(runs: object) -> dict[str, Run] | None:
    """Return the runs by the names of their plans; None if these are not runs with a service."""
    if not isinstance(runs, Mapping) or not runs:
        return None
    known = {str(name): run for name, run in runs.items() if isinstance(run, Run)}
    served = all(len(run.requests) and "requests_s" in run.guest for run in known.values())
    return known if len(known) == len(runs) and served else None


CHECKS: dict[str, Callable[..., Feedback]] = {"budget": check_budget, "choice": check_choice}
