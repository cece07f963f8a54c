"""What some values say, and how sure that is: known results, and what must hold for all values."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from migrationlab.experiment import statistics
from migrationlab.experiment.comparison import Ends, together
from migrationlab.experiment.statistics import (
    MIN_FOR_INTERVAL,
    Comparison,
    Verdict,
    compare,
    estimate,
    holm,
    more_runs,
    outliers,
    relative_mad_percent,
)

VALUES = st.lists(st.floats(0.1, 1e6), min_size=1, max_size=30)
#: Two settings that differ for sure, and two that do not.
SLOW = [310.0, 305.0, 322.0, 318.0, 300.0, 315.0, 309.0, 330.0]
FAST = [210.0, 205.0, 222.0, 218.0, 200.0, 215.0, 209.0, 230.0]


def test_an_estimate_by_hand() -> None:
    """Median, extremes and spread of a few values are those worked out with a pencil."""
    found = estimate([3, 1, 2, 5, 4])
    assert (found.n, found.median, found.least, found.greatest) == (5, 3, 1, 5)
    # Distances from 3 are 2, 2, 1, 1, 0: their median is 1.
    assert found.relative_mad_percent == pytest.approx(100 * 1.4826 / 3, rel=1e-4)


def test_nothing_measured_says_nothing() -> None:
    """Without values there is no median, and no 0 in its place."""
    found = estimate([])
    assert found.n == 0
    assert (
        found.median is found.low is found.high is found.least is found.relative_mad_percent is None
    )
    assert found.outliers == ()


@pytest.mark.parametrize("n", range(1, 10))
def test_few_values_have_no_interval(n: int) -> None:
    """Below six values there is no 95 % interval of a median, from six on there is one."""
    found = estimate([float(value) for value in range(n)])
    assert (found.low is None) == (found.high is None) == (n < MIN_FOR_INTERVAL)
    # What the limit rests on: the chance that all values lie on one side of the median.
    assert (1 - 2 / 2**n >= 0.95) == (n >= MIN_FOR_INTERVAL)


@given(values=VALUES)
def test_an_estimate_lies_among_its_values(values: list[float]) -> None:
    """The interval holds the median, and reaches no further than the values; always the same."""
    found = estimate(values)
    assert found.median is not None
    if found.low is not None and found.high is not None:
        assert min(values) <= found.low <= found.median <= found.high <= max(values)
    assert estimate(values) == found
    assert len(found.outliers) == found.n


@pytest.mark.parametrize("n", [6, 10, 20])
def test_intervals_hold_what_they_promise(n: int) -> None:
    """Of skewed values, as durations are, the interval holds the true median in 91 % or more."""
    chance = np.random.default_rng(n)
    tries = 150
    hits = 0
    for _ in range(tries):
        found = estimate(chance.lognormal(5, 0.3, n).tolist())
        assert found.low is not None
        assert found.high is not None
        hits += found.low <= math.exp(5) <= found.high
    # 93 % are known of 6 values; three standard errors of 150 tries are 6 %.
    assert hits / tries >= 0.87


def test_an_outlier_is_marked_by_the_rule() -> None:
    """1.5 times the quartiles' distance beyond these: 16.5 is one, 15.9 is none."""
    usual = [10.0, 11.0, 12.0, 13.0]
    # With a fifth value x above, the quartiles are 11 and 13: the fence is at 16.
    assert outliers([*usual, 15.9]) == (False,) * 5
    assert outliers([*usual, 16.5]) == (False, False, False, False, True)
    assert outliers([10.0, 11.0, 12.0, 99.0]) == (False,) * 4


def test_an_outlier_counts_like_all_others() -> None:
    """A marked value is in n, in the median and in the extremes."""
    found = estimate([1.0, 1.1, 1.2, 1.3, 1.4, 50.0])
    assert found.outliers == (False, False, False, False, False, True)
    assert (found.n, found.median, found.greatest) == (6, pytest.approx(1.25), 50.0)


@pytest.mark.parametrize("values", [[], [5.0], [0.0, 0.0, 1.0]])
def test_a_spread_that_cannot_be_told(values: list[float]) -> None:
    """One value, or a median of 0, has no relative spread."""
    assert relative_mad_percent(values) is None


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_missing_value_is_no_value(bad: float) -> None:
    """What is missing is left out by who knows why, and never slips in."""
    with pytest.raises(ValueError, match="missing or infinite"):
        estimate([1.0, bad])


def test_a_difference_that_is_there() -> None:
    """Settings 100 apart are told apart, by that much, with the exact p of 8 and 8 values."""
    found = compare(SLOW, FAST)
    assert found.verdict is Verdict.DIFFERENT
    assert found.difference == -100
    assert found.low is not None
    assert found.high is not None
    assert found.low < -100 < found.high < 0
    assert found.percent == pytest.approx(-100 / 312.5 * 100)
    # Every value of the one is less: 2 of all ways to deal 16 values into two hands of 8.
    assert found.p_value == pytest.approx(2 / math.comb(16, 8))
    assert found.superiority == 0
    assert found.more_runs == 0


def test_no_difference_to_be_seen() -> None:
    """Settings of one kind are not told apart, and it is said how many runs it would take."""
    found = compare(SLOW, [305.0, 312.0, 308.0, 331.0, 299.0, 320.0, 360.0, 200.0])
    assert found.verdict is Verdict.UNCLEAR
    assert found.p_value is not None
    assert found.p_value > 0.5
    assert found.more_runs is None or found.more_runs > 100


def test_settings_that_are_alike_for_sure() -> None:
    """Where the whole interval lies within 5 % that is said, however many runs there are."""
    chance = np.random.default_rng(4)
    a, b = (chance.normal(300, 3, 40).tolist() for _ in range(2))
    found = compare(a, b)
    assert found.verdict is Verdict.ALIKE
    assert found.more_runs == 0


@pytest.mark.parametrize(("n_a", "n_b"), [(1, 1), (3, 3), (2, 6), (1, 30)])
def test_so_few_that_nothing_can_be_told(n_a: int, n_b: int) -> None:
    """Where even the clearest order would not reach 5 %, there is no p, but advice."""
    found = compare([float(n) for n in range(n_a)], [100.0 + n for n in range(n_b)])
    assert found.verdict is Verdict.TOO_FEW
    assert found.p_value is None
    assert found.more_runs is not None
    assert found.more_runs >= 4 - min(n_a, n_b)


def test_four_and_four_are_the_least() -> None:
    """Two of the 70 ways to deal four and four are 2.9 %: the least p of so few values."""
    assert compare([1, 2, 3, 4], [5, 6, 7, 8]).p_value == pytest.approx(2 / 70)


def test_nothing_to_compare_with() -> None:
    """A setting that never completed leaves nothing to compare, and no 0."""
    found = compare([], [1.0, 2.0])
    assert found.verdict is Verdict.TOO_FEW
    assert found.difference is found.p_value is found.superiority is None
    assert found.more_runs == 4


def test_ties_are_dealt_with() -> None:
    """Whole milliseconds tie; values that are all the same have no difference and no p below 1."""
    found = compare([5.0] * 6, [5.0] * 6)
    assert found.difference == 0
    assert found.superiority == 0.5
    assert found.p_value == pytest.approx(1)
    tied = compare([5.0, 5.0, 6.0, 6.0, 7.0], [8.0, 8.0, 8.0, 9.0, 9.0])
    assert tied.p_value == pytest.approx(2 / math.comb(10, 5), rel=0.01)


@given(a=VALUES, b=VALUES)
def test_a_comparison_turned_round(a: list[float], b: list[float]) -> None:
    """b against a says the opposite of a against b, and is as sure."""
    one, other = compare(a, b), compare(b, a)
    assert one.difference == pytest.approx(-(other.difference or 0.0))
    assert one.superiority == pytest.approx(1 - (other.superiority or 0.0))
    if one.p_value is not None and other.p_value is not None:
        assert one.p_value == pytest.approx(other.p_value, abs=0.05)


def test_the_advice_on_n_is_worth_following() -> None:
    """With as many runs as were advised, the same difference is found four times in five."""
    chance = np.random.default_rng(7)

    def draw(n: int) -> tuple[list[float], list[float]]:
        return chance.normal(100, 10, n).tolist(), chance.normal(108, 10, n).tolist()

    # Noether's formula for the true probability that a run of b exceeds one of a.
    superiority = 0.5 * (1 + math.erf(8 / (10 * math.sqrt(2)) / math.sqrt(2)))
    advised = math.ceil((1.96 + 0.8416) ** 2 / (3 * (superiority - 0.5) ** 2) / 2)
    found = sum((compare(*draw(advised)).p_value or 1) < 0.05 for _ in range(100))
    assert 68 <= found <= 92

    # And what is advised after few runs is of that size, in the middle.
    advice = [
        12 + found.more_runs
        for _ in range(60)
        if (found := compare(*draw(12))).verdict is not Verdict.DIFFERENT
        and found.more_runs is not None
    ]
    assert advised / 2 < np.median(advice) < 12 * advised


def test_holm_by_hand() -> None:
    """The example of Holm's procedure: each p times how many are left, never less than before."""
    assert holm([0.01, 0.04, None, 0.03, 0.005]) == pytest.approx(
        [0.03, 0.06, None, 0.06, 0.02], nan_ok=True
    )
    assert holm([0.9, 0.8]) == [1.0, 1.0]


def test_the_same_question_is_answered_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A report asks for an interval in table, figure and words: it is bootstrapped once for all."""
    values = [float(n) ** 1.5 for n in range(1, 13)]
    others = [value + 7 for value in values]
    first, compared = estimate(values), compare(values, others)

    def again(*_: object, **__: object) -> None:
        raise AssertionError

    monkeypatch.setattr(statistics.stats, "bootstrap", again)
    assert estimate(tuple(values)) == first
    assert compare(values, others) == compared
    with pytest.raises(AssertionError):
        estimate([*values, 99.0])


# --- words --------------------------------------------------------------------------------------


@pytest.fixture
def said() -> Callable[[Comparison], str]:
    """Give what says a comparison of two cells in words."""

    def text(found: Comparison) -> str:
        ends = {"pre-copy": Ends(found.n_a, found.n_a), "post-copy": Ends(found.n_b, found.n_b)}
        (comparison,) = together({("pre-copy", "post-copy"): found}, "downtime_event_ms", ends)
        return comparison.text

    return text


def test_a_difference_in_words(said: Callable[[Comparison], str]) -> None:
    """The sentence has both medians, n, the difference, its interval and how sure it is."""
    text = said(compare(SLOW, FAST))
    assert text.startswith(
        "downtime_event_ms: 212 ms with post-copy, 312 ms with pre-copy (medians of 8 and 8 runs): "
        "100 ms, 32 % less (95 % interval of the difference -11"
    )
    assert text.endswith("That is hardly chance (p < 0.001).")


def test_one_difference_among_many_in_words() -> None:
    """What twenty comparisons turn up by chance alone is not told as a finding."""
    # Two of the 70 orders of four and four: p is 0.029.
    seen = compare([1.0, 2, 3, 4], [5.0, 6, 7, 8])
    found = {("a", f"b{n}"): compare([1.0, 3, 5, 7], [2.0, 4, 6, 8]) for n in range(19)}
    ends = {name: Ends(4, 4) for pair in [*found, ("a", "c")] for name in pair}
    *_, last = together({**found, ("a", "c"): seen}, "total_ms", ends)
    assert last.verdict is Verdict.DIFFERENT
    assert last.comparisons == 20
    assert last.p_adjusted == pytest.approx(20 * 2 / 70)
    assert last.text.endswith(
        "That is hardly chance by itself (p = 0.029), but may be as one of 20 comparisons "
        "(adjusted p = 0.57), and n is too small to tell: about 8 more runs of each would, if the "
        "difference is as great as it seems."
    )
    assert last.more_runs == 8
    # By itself it needs none.
    (alone,) = together({("a", "c"): seen}, "total_ms", ends)
    assert alone.more_runs == 0


@pytest.mark.parametrize("tests", [2, 6, 20, 200])
def test_more_runs_of_many_comparisons_are_worth_making(tests: int) -> None:
    """With the runs that are advised, a difference that clear is told among all the others."""
    n = 4
    more = more_runs(1.0, n, n, tests=tests)
    assert more is not None
    assert more >= (more_runs(1.0, n, n) or 0)
    low, high = list(range(n + more)), list(range(100, 100 + n + more))
    assert (compare(low, high).p_value or 1) * tests < 0.05


def test_the_advice_for_several_comparisons_is_one_for_all_of_them() -> None:
    """While all have too few runs the number that is advised allows for all that will be tested.

    Those of a setting that never completes will not be.
    """
    found = {("a", f"b{n}"): compare([1.0, 2, 3], [5.0, 6, 7]) for n in range(6)}
    found[("a", "never")] = compare([1.0, 2, 3], [])
    ends = {name: Ends(3, 3) for pair in found for name in pair} | {"never": Ends(3, 0)}
    told = together(found, "total_ms", ends)
    assert {each.more_runs for each in told[:6]} == {more_runs(1.0, 3, 3, tests=6)}
    assert told[6].more_runs is None
    unmade = together({("a", f"b{n}"): compare([1.0], []) for n in range(6)}, "total_ms", ends)
    # 6 and 6 have 924 orders, 2 / 924 is less than a sixth of 5 %; 5 and 5 have 252, as do these.
    assert {each.more_runs for each in unmade} == {5}


@pytest.mark.parametrize(
    ("ends", "text"),
    [
        (
            (Ends(12, 12), Ends(12, 0)),
            "12 of 12 migrations with a, none of 12 migrations with b completed. That is the diff",
        ),
        (
            (Ends(12, 0), Ends(9, 0)),
            "none of 12 migrations with a, none of 9 migrations with b completed, so neither has",
        ),
        ((Ends(12, 12), Ends(0, 0)), "no value of b, so nothing can be compared."),
        (
            (Ends(0, 0), Ends(3, 0)),
            "none of 0 migrations with a, none of 3 migrations with b completed, so nothing can",
        ),
    ],
)
def test_what_never_completes_in_words(ends: tuple[Ends, Ends], text: str) -> None:
    """A setting that never completed is told from one that was not measured yet, with the shares.

    No number of runs would tell more of it; of the other it would.
    """
    a, b = ends
    values = [float(n) for n in range(a.completed)]
    found = {("a", "b"): compare(values, [])}
    (comparison,) = together(found, "total_ms", {"a": a, "b": b})
    assert comparison.text.startswith(f"total_ms: {text}")
    assert comparison.more_runs == (None if comparison.never_completes else 4)
    assert comparison.to_dict()["ends_b"] == {"made": b.made, "completed": 0}


@pytest.mark.parametrize(
    ("a", "b", "ending"),
    [
        (SLOW[:3], FAST[:3], "n is too small to tell: about 4 more runs of each would, if the"),
        (SLOW[:1], [], "no value of post-copy, so nothing can be compared."),
        ([5.0] * 6, [5.0] * 6, "For practical purposes they are alike"),
        ([0.0] * 6, [0.0] * 6, "For practical purposes they are alike"),
        (SLOW, SLOW[::-1], "For practical purposes they are alike"),
        ([1.0, 2, 3, 4, 5, 60], [1.0, 2, 3, 4, 5, 60], "no difference (95 % interval"),
        ([1.0, 2, 3, 4, 5, 60], [1.0, 2, 3, 4, 5, 60], "even 1000 more runs of each might not."),
    ],
)
def test_doubt_in_words(
    a: list[float], b: list[float], ending: str, said: Callable[[Comparison], str]
) -> None:
    """What cannot be told is said so, with what it would take."""
    assert ending in said(compare(a, b))
