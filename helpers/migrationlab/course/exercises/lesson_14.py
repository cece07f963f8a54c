"""Check the exercises of lesson 14: a regret, and the rule that the arena supports."""

from __future__ import annotations

import math
from collections.abc import Callable

import pandas as pd

from migrationlab.course.answers import need, need_number, need_places, refuse_mistakes
from migrationlab.course.feedback import Feedback, Texts
from migrationlab.experiment.arena import Arena

#: The policy and the guest of the first exercise.
POLICY, SCENE = "nova", "hot-cold"
METRIC = "total_ms"
#: A policy counts as the best one if it is best in this share of the resamples.
CERTAIN = 0.95
#: The guests of the rule; the last one is not in the arena.
PLACES = ("sequential", "hot-cold", "redis", "64 GiB")
NOT_CERTAIN, NOT_MEASURED = "not certain", "not measured"
say = Texts(
    __file__, policy=POLICY, scene=SCENE, not_certain=NOT_CERTAIN, not_measured=NOT_MEASURED
)


def check_regret(answer: object, found: object = None) -> Feedback:
    """Check the regret of a policy on one guest, by the total time."""
    need(answer, "Put a number of ms in the place of the three dots.")
    if not _has(found, POLICY, SCENE):
        return say.wrong("no-arena")
    assert isinstance(found, Arena)
    number = need_number(answer, "a number of ms", "Write it as 1500.")
    mine = _standing(found, POLICY, METRIC)
    medians = _standings(found, METRIC)["median"].astype("float64")
    true = float(mine["regret"])
    if math.isclose(number, true, rel_tol=0.005, abs_tol=1):
        return say.right("regret", best=_best(found, SCENE))
    last = medians[medians.map(math.isfinite)].max()
    mistakes = (
        (-true, say.wrong("sign")),
        (true / 1000, say.wrong("seconds")),
        (float(mine["median"]), say.wrong("median")),
        (float(last - mine["median"]), say.wrong("to-last")),
        (float(_standing(found, POLICY, "downtime_event_ms")["regret"]), say.wrong("downtime")),
    )
    finite = [(value, text) for value, text in mistakes if math.isfinite(value)]
    refuse_mistakes(number, finite, rel_tol=0.005, abs_tol=0.01)
    return say.wrong("regret", number=number)


def check_rule(answer: object, found: object = None) -> Feedback:
    """Check which policy the arena supports for each guest, by the total time."""
    places = need_places(answer, PLACES, "a policy for ")
    if not isinstance(found, Arena) or not set(PLACES[:-1]) <= set(found.scenes):
        return say.wrong("no-arena")
    given = {place: " ".join(str(value).lower().split()) for place, value in places.items()}
    known = {*found.contestants, NOT_CERTAIN, NOT_MEASURED}
    for word in given.values():
        if word not in known:
            return say.wrong("word", word=word, known=", ".join(sorted(known)))
    if given[PLACES[-1]] != NOT_MEASURED:
        return say.wrong("beyond", place=PLACES[-1])
    for place in PLACES[:-1]:
        best = _best(found, place)
        true = best if _share(found, place, best) >= CERTAIN else NOT_CERTAIN
        if given[place] == true:
            continue
        if given[place] == NOT_MEASURED:
            return say.wrong("measured", place=place)
        if true == NOT_CERTAIN:
            return say.wrong("unsure", place=place, share=_share(found, place, best))
        if given[place] == NOT_CERTAIN:
            return say.wrong("sure", place=place)
        return say.wrong("policy", place=place, word=given[place])
    return say.right("rule")


def _has(found: object, policy: str, scene: str) -> bool:
    return isinstance(found, Arena) and policy in found.contestants and scene in found.scenes


def _standings(found: Arena, metric: str, scene: str = SCENE) -> pd.DataFrame:
    table = found.standings
    return table[(table["metric"] == metric) & (table["scene"] == scene)].set_index("contestant")


def _standing(found: Arena, policy: str, metric: str) -> pd.Series:
    return _standings(found, metric).loc[policy]


def _best(found: Arena, scene: str) -> str:
    return str(_standings(found, METRIC, scene)["median"].astype("float64").idxmin())


def _share(found: Arena, scene: str, policy: str) -> float:
    share = _standings(found, METRIC, scene).loc[policy, "best_share"]
    return 0.0 if pd.isna(share) else float(share)


CHECKS: dict[str, Callable[..., Feedback]] = {"regret": check_regret, "rule": check_rule}
