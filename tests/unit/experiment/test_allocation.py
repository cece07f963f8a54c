"""Where the rest of an experiment's time goes after its pilot, and what it may cost."""

from __future__ import annotations

import math
from collections import Counter
from statistics import NormalDist
from typing import Any

import numpy as np
import pytest

from migrationlab.errors import UsageError
from migrationlab.experiment.allocated import allocation_text
from migrationlab.experiment.allocation import detectable, further_runs, moderated, pilot_of
from migrationlab.experiment.design import read
from migrationlab.experiment.schedule import further_schedule, schedule
from migrationlab.experiment.statistics import ALPHA

STEADY, SHAKY = [100.0, 101.0, 99.0, 100.0], [100.0, 140.0, 60.0, 110.0]
SPEC: dict[str, Any] = {
    "question": "What varies?",
    "plan": {"mode": ["normal", "peer2peer"]},
    "repeats": 10,
    "warm_ups": 0,
    "allocate": {"metric": "downtime_event_ms", "pilot": 4, "time_s": 150},
}


def test_more_runs_go_where_the_metric_varies() -> None:
    """Four equal costs and two variances: numbers of runs are as the standard deviations."""
    values = {"a": STEADY, "b": SHAKY}
    added = further_runs(values, {"a": 1.0, "b": 1.0}, 192, pilot=4)
    assert sum(added.values()) == 192
    kept = moderated(values)
    assert (4 + added["b"]) / (4 + added["a"]) == pytest.approx(
        (kept["b"] / kept["a"]) ** 0.5, rel=0.05
    )


def test_costly_runs_are_fewer() -> None:
    """With one variance, numbers of runs are as one over the root of the costs."""
    added = further_runs({"a": SHAKY, "b": SHAKY}, {"a": 1.0, "b": 9.0}, 1200, pilot=4)
    assert (4 + added["a"]) / (4 + added["b"]) == pytest.approx(3, rel=0.05)
    assert added["a"] + 9 * added["b"] <= 1200


def test_allocation_has_the_least_variance() -> None:
    """No other whole numbers of runs within the time have a smaller sum of variances."""
    values, costs = {"a": STEADY, "b": SHAKY}, {"a": 2.0, "b": 3.0}
    kept = moderated(values)
    time_s = 120

    def loss(a: int, b: int) -> float:
        return kept["a"] / (4 + a) + kept["b"] / (4 + b)

    added = further_runs(values, costs, time_s, pilot=4)
    possible = [(a, b) for a in range(2, 60) for b in range(2, 40) if 2 * a + 3 * b <= time_s]
    assert loss(*added.values()) == pytest.approx(min(loss(*each) for each in possible), rel=0.01)


def test_every_median_gets_its_interval_first() -> None:
    """A cell that does not vary has six runs, and one without values no further ones."""
    added = further_runs({"a": STEADY, "b": SHAKY, "c": []}, dict.fromkeys("abc", 1.0), 20, pilot=4)
    assert added["a"] >= 2
    assert added["c"] == 0
    assert further_runs({"a": STEADY}, {"a": 1.0}, -5, pilot=4) == {"a": 0}


def test_equal_values_are_allocated_equally() -> None:
    """Where nothing varies, all cells get equally many runs."""
    same = dict.fromkeys("ab", [7.0] * 4)
    assert further_runs(same, dict.fromkeys("ab", 1.0), 20, pilot=4) == {"a": 10, "b": 10}


@pytest.mark.parametrize(("paid", "pilot"), [(1, None), (5, None), (6, 3), (12, 6), (100, 10)])
def test_pilot_is_half_of_a_budget(paid: int, pilot: int | None) -> None:
    """A pilot has three to ten blocks, and a smaller budget none."""
    assert pilot_of(paid) == pilot


def test_further_runs_are_spread_and_go_both_ways() -> None:
    """Runs are numbered on, a cell has one in a block at most, and directions are balanced."""
    first = schedule("abc", 4, 0)
    added = {"a": 20, "b": 7, "c": 0}
    further = further_schedule(added, first, 0)
    assert [run.number for run in further] == list(range(13, 40))
    assert Counter(run.cell for run in further) == {"a": 20, "b": 7}
    assert max(Counter((run.block, run.cell) for run in further).values()) == 1
    gaps = np.diff([run.block for run in further if run.cell == "b"])
    assert set(gaps) <= {2, 3}
    for cell in "abc":
        ways = Counter(run.backwards for run in first + further if run.cell == cell)
        assert abs(ways[True] - ways[False]) <= 2
    assert all(run.backwards == (run.number % 2 == 0) for run in further)


def test_power_counts_both_sizes() -> None:
    """Noether's formula for unequal sizes: the smaller one limits what is shown."""
    assert detectable(20, 20) == detectable(20)
    assert detectable(10, 10) > detectable(10, 40) > detectable(10, 10_000) > 0.75
    text = allocation_text({"a": 6, "b": 14})
    assert text.startswith("20 runs in all, 6 to 14 of each, most of b; they show differences from")
    assert f"{100 * detectable(6, 14):.0f} %" in text


@pytest.mark.parametrize("spreads", [(1.0, 1.0), (1.0, 4.0)])
def test_rank_test_keeps_its_error(spreads: tuple[float, float]) -> None:
    """Of 2000 pairs of cells with one median, about 5 % seem to differ after an allocation."""
    chance = np.random.default_rng(1)
    both = list(zip("ab", spreads, strict=True))
    different = 0
    for _ in range(2000):
        pilot = {name: list(100 + spread * chance.standard_normal(4)) for name, spread in both}
        added = further_runs(pilot, {"a": 1.0, "b": 1.0}, 16, pilot=4)
        a, b = (
            [*pilot[name], *(100 + spread * chance.standard_normal(added[name]))]
            for name, spread in both
        )
        # The normal approximation of the rank test: quicker than scipy's, for thousands of tests.
        ranks = np.argsort(np.argsort(a + b)) + 1
        n_a, n_b = len(a), len(b)
        u = ranks[:n_a].sum() - n_a * (n_a + 1) / 2
        z = (abs(u - n_a * n_b / 2) - 0.5) / math.sqrt(n_a * n_b * (n_a + n_b + 1) / 12)
        different += z > NormalDist().inv_cdf(1 - ALPHA / 2)
    assert 0.01 < different / 2000 < 0.06


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"allocate": {"pilot": 2, "time_s": 60}}, "pilot must be an integer from 3 to 10"),
        ({"allocate": {"pilot": 4}}, "allocate.time_s must be an integer from 1"),
        ({"allocate": {"pilot": 4, "time_s": 9, "metric": "mode"}}, "must be a number of a run"),
        ({"stop": {"looks": [6]}}, "stop and allocate must not be given together"),
    ],
)  # fmt: skip
def test_wrong_allocation_is_refused(changes: dict[str, Any], why: str) -> None:
    """An allocation that cannot be is refused before anything starts."""
    with pytest.raises(UsageError, match=why):
        read(SPEC | changes)
