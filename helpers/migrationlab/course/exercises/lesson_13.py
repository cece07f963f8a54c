"""Check the exercises of lesson 13: a plan for a goal, and the score of forecasts."""

from __future__ import annotations

from collections.abc import Callable

import pandas as pd

from migrationlab.course.answers import need_number, need_places, refuse_mistakes
from migrationlab.course.feedback import Feedback, Texts
from migrationlab.course.plan_answers import need_plan
from migrationlab.forecast.advice import SURE
from migrationlab.forecast.curve import DirtyCurve
from migrationlab.forecast.forecast import forecast
from migrationlab.plan.plan import Plan

#: The database of the exercise: a guest of 4 GiB, of which QEMU sampled 512 pages a GiB.
DATABASE = DirtyCurve.from_points(
    (1000, 2000, 4000, 8000), (60, 100, 150, 200),
    sampled_pages=2048, total_pages=1_048_576, zero_pages=400,
)  # fmt: skip
BANDWIDTH_MBIT_S = 950
#: The goal.
DOWNTIME_MS, WITHIN_S, MOST_SLOWDOWN = 1000, 60, 0.05
PLACES = ("inside", "runs")
COLUMNS = frozenset(
    f"{name}{part}" for name in ("total_s", "downtime_ms") for part in ("", "_low", "_high")
)
say = Texts(__file__, downtime_ms=DOWNTIME_MS, within_s=WITHIN_S)


def check_plan(answer: object) -> Feedback:
    """Check a plan for the database by its forecast."""
    plan = need_plan(answer, "plan")
    if plan.postcopy:
        return say.wrong("postcopy")
    told = forecast(plan, DATABASE, bandwidth_mbit_s=BANDWIDTH_MBIT_S)
    known = forecast(Plan(), DATABASE, bandwidth_mbit_s=BANDWIDTH_MBIT_S, draws=0).not_modelled
    if unknown := [text for text in told.not_modelled if text not in known]:
        return say.wrong("not-modelled", text=unknown[0])
    paused, total = told.downtime_ms.high, told.total_s.high
    if told.ends < SURE or paused is None or total is None:
        return say.wrong("ends", ends=told.ends)
    if paused > DOWNTIME_MS:
        return say.wrong("downtime", high=paused)
    if total > WITHIN_S:
        return say.wrong("time", high=total)
    if (slow := told.slowdown.median or 0) > MOST_SLOWDOWN:
        return say.wrong("slowdown", slow=slow)
    return say.right("plan", total=str(told.total_s), downtime=told.downtime_ms.text(0))


def check_score(answer: object, scored: object = None) -> Feedback:
    """Check in how many completed runs the total time lies in the interval of its forecast."""
    places = need_places(answer, PLACES)
    if not isinstance(scored, pd.DataFrame) or not scored.columns.isin(COLUMNS).any():
        return say.wrong("no-scores")
    if missing := COLUMNS - set(scored.columns):
        return say.wrong("columns", names=", ".join(sorted(missing)))
    runs = need_number(places["runs"], "a number of runs", "Count the rows of the completed runs.")
    inside = need_number(places["inside"], "a number of runs", "Write the number, without %.")
    completed = int(scored["total_s"].notna().sum())
    found = {name: _inside(scored, name) for name in ("total_s", "downtime_ms")}
    if runs != completed:
        refuse_mistakes(runs, [(len(scored), say.wrong("all-runs"))], rel_tol=0)
        return say.wrong("runs", number=runs)
    if inside != found["total_s"]:
        mistakes = (
            (completed - found["total_s"], say.wrong("outside")),
            (found["downtime_ms"], say.wrong("other-metric")),
            (100 * found["total_s"] / completed if completed else None, say.wrong("percent")),
        )
        refuse_mistakes(inside, mistakes, rel_tol=0.02)
        return say.wrong("inside", number=inside)
    return say.right("score", inside=found["total_s"], runs=completed)


def _inside(scored: pd.DataFrame, name: str) -> int:
    """Return the number of rows whose value lies in its interval."""
    return int(scored[name].between(scored[f"{name}_low"], scored[f"{name}_high"]).sum())


CHECKS: dict[str, Callable[..., Feedback]] = {"plan": check_plan, "score": check_score}
