"""Statistics: known results, and properties that hold for all values."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from migrationlab.experiment import statistics
from migrationlab.experiment.comparison import Completion, adjust_for_multiple_comparisons
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
from migrationlab.runs.numbers import amount

VALUES = st.lists(st.floats(0.1, 1e6), min_size=1, max_size=30)
#: Two settings that clearly differ.
SLOW = [310.0, 305.0, 322.0, 318.0, 300.0, 315.0, 309.0, 330.0]
FAST = [210.0, 205.0, 222.0, 218.0, 200.0, 215.0, 209.0, 230.0]


def test_estimate_equals_one_by_hand() -> None:
    """Median, extremes and spread of five values equal those computed by hand."""
    found = estimate([3, 1, 2, 5, 4])
    assert (found.n, found.median, found.min, found.max) == (5, 3, 1, 5)
    # Distances from 3 are 2, 2, 1, 1, 0: their median is 1.
    assert found.relative_mad_percent == pytest.approx(100 * 1.4826 / 3, rel=1e-4)


def test_no_values_give_no_median() -> None:
    """Without values there is no median, and no 0 in its place."""
    found = estimate([])
    assert found.n == 0
    assert (
        found.median is found.low is found.high is found.min is found.relative_mad_percent is None
    )
    assert found.outliers == ()


@pytest.mark.parametrize("n", range(1, 10))
def test_few_values_have_no_interval(n: int) -> None:
    """Below six values there is no 95 % interval of a median, from six on there is one."""
    found = estimate([float(value) for value in range(n)])
    assert (found.low is None) == (found.high is None) == (n < MIN_FOR_INTERVAL)
    # The reason for the limit: the chance that all values lie on one side of the median.
    assert (1 - 2 / 2**n >= 0.95) == (n >= MIN_FOR_INTERVAL)


@given(values=VALUES)
def test_interval_lies_within_the_values(values: list[float]) -> None:
    """The interval contains the median, stays within the values, and is always the same."""
    found = estimate(values)
    assert found.median is not None
    if found.low is not None and found.high is not None:
        assert min(values) <= found.low <= found.median <= found.high <= max(values)
    assert estimate(values) == found
    assert len(found.outliers) == found.n


@pytest.mark.parametrize("n", [6, 10, 20])
def test_interval_covers_the_true_median(n: int) -> None:
    """For skewed values, as durations are, the interval covers the true median in 91 % or more."""
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


def test_outlier_is_marked_by_tukeys_fences() -> None:
    """The fence is 1.5 interquartile ranges beyond the quartiles: 16.5 is outside, 15.9 is not."""
    usual = [10.0, 11.0, 12.0, 13.0]
    # With a fifth value x above, the quartiles are 11 and 13: the fence is at 16.
    assert outliers([*usual, 15.9]) == (False,) * 5
    assert outliers([*usual, 16.5]) == (False, False, False, False, True)
    assert outliers([10.0, 11.0, 12.0, 99.0]) == (False,) * 4


def test_outlier_counts_like_other_values() -> None:
    """A marked value is in n, in the median and in the extremes."""
    found = estimate([1.0, 1.1, 1.2, 1.3, 1.4, 50.0])
    assert found.outliers == (False, False, False, False, False, True)
    assert (found.n, found.median, found.max) == (6, pytest.approx(1.25), 50.0)


@pytest.mark.parametrize("values", [[], [5.0], [0.0, 0.0, 1.0]])
def test_no_relative_mad_for_one_value_or_zero_median(values: list[float]) -> None:
    """One value, or a median of 0, has no relative MAD."""
    assert relative_mad_percent(values) is None


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_missing_value_is_refused(bad: float) -> None:
    """The caller leaves out missing values; a NaN is an error."""
    with pytest.raises(ValueError, match="finite numbers"):
        estimate([1.0, bad])


def test_clear_difference_is_found() -> None:
    """A difference of 100 is found, with the exact p of 8 and 8 values."""
    found = compare(SLOW, FAST)
    assert found.verdict is Verdict.DIFFERENT
    assert found.difference == -100
    assert found.low is not None
    assert found.high is not None
    assert found.low < -100 < found.high < 0
    assert found.percent == pytest.approx(-100 / 312.5 * 100)
    # All values of b are smaller: 2 of all ways to divide 16 values into two groups of 8.
    assert found.p_value == pytest.approx(2 / math.comb(16, 8))
    assert found.superiority == 0
    assert found.more_runs == 0


def test_equal_settings_are_unclear() -> None:
    """Two samples of one setting are unclear, with the number of runs that would decide."""
    found = compare(SLOW, [305.0, 312.0, 308.0, 331.0, 299.0, 320.0, 360.0, 200.0])
    assert found.verdict is Verdict.UNCLEAR
    assert found.p_value is not None
    assert found.p_value > 0.5
    assert found.more_runs is None or found.more_runs > 100


def test_interval_within_5_percent_is_equivalent() -> None:
    """Settings are equivalent where the whole interval lies within 5 %."""
    chance = np.random.default_rng(4)
    a, b = (chance.normal(300, 3, 40).tolist() for _ in range(2))
    found = compare(a, b)
    assert found.verdict is Verdict.EQUIVALENT
    assert found.more_runs == 0


@pytest.mark.parametrize(("n_a", "n_b"), [(1, 1), (3, 3), (2, 6), (1, 30)])
def test_too_few_values_have_no_p(n_a: int, n_b: int) -> None:
    """Where even the clearest order cannot reach p < 0.05 there is no p, but advice."""
    found = compare([float(n) for n in range(n_a)], [100.0 + n for n in range(n_b)])
    assert found.verdict is Verdict.TOO_FEW
    assert found.p_value is None
    assert found.more_runs is not None
    assert found.more_runs >= 4 - min(n_a, n_b)


def test_four_and_four_is_the_minimum() -> None:
    """Two of the 70 ways to divide eight values are 2.9 %: the smallest p of four and four."""
    assert compare([1, 2, 3, 4], [5, 6, 7, 8]).p_value == pytest.approx(2 / 70)


def test_no_values_cannot_be_compared() -> None:
    """A setting without values has no difference, and no 0 in its place."""
    found = compare([], [1.0, 2.0])
    assert found.verdict is Verdict.TOO_FEW
    assert found.difference is found.p_value is found.superiority is None
    assert found.more_runs == 4


def test_ties_have_an_exact_p() -> None:
    """Whole milliseconds tie; equal values have no difference and p = 1."""
    found = compare([5.0] * 6, [5.0] * 6)
    assert found.difference == 0
    assert found.superiority == 0.5
    assert found.p_value == pytest.approx(1)
    tied = compare([5.0, 5.0, 6.0, 6.0, 7.0], [8.0, 8.0, 8.0, 9.0, 9.0])
    assert tied.p_value == pytest.approx(2 / math.comb(10, 5), rel=0.01)


@given(a=VALUES, b=VALUES)
def test_swapped_comparison_is_the_opposite(a: list[float], b: list[float]) -> None:
    """Comparing b with a gives the opposite of comparing a with b, with the same certainty."""
    one, other = compare(a, b), compare(b, a)
    assert one.difference == pytest.approx(-(other.difference or 0.0))
    assert one.superiority == pytest.approx(1 - (other.superiority or 0.0))
    if one.p_value is not None and other.p_value is not None:
        assert one.p_value == pytest.approx(other.p_value, abs=0.05)


def test_advised_n_has_80_percent_power() -> None:
    """With the advised number of runs, the difference is found four times in five."""
    chance = np.random.default_rng(7)

    def draw(n: int) -> tuple[list[float], list[float]]:
        return chance.normal(100, 10, n).tolist(), chance.normal(108, 10, n).tolist()

    # Noether's formula for the true probability that a run of b exceeds one of a.
    superiority = 0.5 * (1 + math.erf(8 / (10 * math.sqrt(2)) / math.sqrt(2)))
    advised = math.ceil((1.96 + 0.8416) ** 2 / (3 * (superiority - 0.5) ** 2) / 2)
    found = sum((compare(*draw(advised)).p_value or 1) < 0.05 for _ in range(100))
    assert 68 <= found <= 92

    # The median of the advice after few runs is of that size.
    advice = [
        12 + found.more_runs
        for _ in range(60)
        if (found := compare(*draw(12))).verdict is not Verdict.DIFFERENT
        and found.more_runs is not None
    ]
    assert advised / 2 < np.median(advice) < 12 * advised


def test_holm_equals_p_values_by_hand() -> None:
    """Holm's procedure: each p times the number left, and never less than the one before."""
    assert holm([0.01, 0.04, None, 0.03, 0.005]) == pytest.approx(
        [0.03, 0.06, None, 0.06, 0.02], nan_ok=True
    )
    assert holm([0.9, 0.8]) == [1.0, 1.0]


def test_same_values_are_bootstrapped_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Table, figure and text of a report use one bootstrapped interval."""
    values = [float(n) ** 1.5 for n in range(1, 13)]
    others = [value + 7 for value in values]
    first, compared = estimate(values), compare(values, others)

    def again(*_: object, **__: object) -> None:
        raise AssertionError

    monkeypatch.setattr(statistics.scipy.stats, "bootstrap", again)
    assert estimate(tuple(values)) == first
    assert compare(values, others) == compared
    with pytest.raises(AssertionError):
        estimate([*values, 99.0])


# --- words --------------------------------------------------------------------------------------


@pytest.fixture
def said() -> Callable[[Comparison], str]:
    """Return a function that returns the comparison of two cells as text."""

    def text(found: Comparison) -> str:
        ends = {
            "pre-copy": Completion(found.n_a, found.n_a),
            "post-copy": Completion(found.n_b, found.n_b),
        }
        (comparison,) = adjust_for_multiple_comparisons(
            {("pre-copy", "post-copy"): found}, "downtime_event_ms", ends
        )
        return comparison.text

    return text


def test_difference_in_words(said: Callable[[Comparison], str]) -> None:
    """The text has both medians, n, the difference, its interval and its certainty."""
    text = said(compare(SLOW, FAST))
    assert text.startswith(
        "downtime_event_ms: 212 ms with post-copy, 312 ms with pre-copy (medians of 8 and 8 runs): "
        "100 ms, 32 % less (95 % interval of the difference -11"
    )
    assert text.endswith("That is hardly chance (p < 0.001).")


def test_one_difference_among_many_in_words() -> None:
    """A difference that twenty comparisons can give by chance is not called a finding."""
    # Two of the 70 orders of four and four: p is 0.029.
    seen = compare([1.0, 2, 3, 4], [5.0, 6, 7, 8])
    found = {("a", f"b{n}"): compare([1.0, 3, 5, 7], [2.0, 4, 6, 8]) for n in range(19)}
    ends = {name: Completion(4, 4) for pair in [*found, ("a", "c")] for name in pair}
    *_, last = adjust_for_multiple_comparisons({**found, ("a", "c"): seen}, "total_ms", ends)
    assert last.verdict is Verdict.DIFFERENT
    assert last.comparisons == 20
    assert last.p_adjusted == pytest.approx(20 * 2 / 70)
    assert last.text.endswith(
        "Alone that is hardly chance (p = 0.029), but it may be as one of 20 comparisons "
        "(adjusted p = 0.57). n is too small to tell: about 8 more runs of each would be enough, "
        "if the difference is as great as it seems."
    )
    assert last.more_runs == 8
    # Alone it needs no more runs.
    (alone,) = adjust_for_multiple_comparisons({("a", "c"): seen}, "total_ms", ends)
    assert alone.more_runs == 0


@pytest.mark.parametrize("tests", [2, 6, 20, 200])
def test_advice_allows_for_the_number_of_comparisons(tests: int) -> None:
    """With the advised runs a clear difference is found among all the other comparisons."""
    n = 4
    more = more_runs(1.0, n, n, tests=tests)
    assert more is not None
    assert more >= (more_runs(1.0, n, n) or 0)
    low, high = list(range(n + more)), list(range(100, 100 + n + more))
    assert (compare(low, high).p_value or 1) * tests < 0.05


def test_advice_counts_the_comparisons_still_to_be_tested() -> None:
    """While all have too few runs, the advice allows for all pairs that will be tested.

    Pairs with a setting that never completes will not be tested.
    """
    found = {("a", f"b{n}"): compare([1.0, 2, 3], [5.0, 6, 7]) for n in range(6)}
    found[("a", "never")] = compare([1.0, 2, 3], [])
    ends = {name: Completion(3, 3) for pair in found for name in pair} | {"never": Completion(3, 0)}
    told = adjust_for_multiple_comparisons(found, "total_ms", ends)
    assert {each.more_runs for each in told[:6]} == {more_runs(1.0, 3, 3, tests=6)}
    assert told[6].more_runs is None
    unmade = adjust_for_multiple_comparisons(
        {("a", f"b{n}"): compare([1.0], []) for n in range(6)}, "total_ms", ends
    )
    # 6 and 6 have 924 orders, 2 / 924 is less than a sixth of 5 %; 5 and 5 have 252, as do these.
    assert {each.more_runs for each in unmade} == {5}


@pytest.mark.parametrize(
    ("ends", "text"),
    [
        (
            (Completion(12, 12), Completion(12, 0)),
            "12 of 12 migrations with a, none of 12 migrations with b completed. That is the diff",
        ),
        (
            (Completion(12, 0), Completion(9, 0)),
            "none of 12 migrations with a, none of 9 migrations with b completed, so neither has",
        ),
        ((Completion(12, 12), Completion(0, 0)), "no value of b, so nothing can be compared."),
        (
            (Completion(0, 0), Completion(3, 0)),
            "none of 0 migrations with a, none of 3 migrations with b completed, so nothing can",
        ),
    ],
)
def test_setting_that_never_completes_in_words(
    ends: tuple[Completion, Completion], text: str
) -> None:
    """The text distinguishes a setting that never completes from an unmeasured one.

    More runs help only with the second.
    """
    a, b = ends
    values = [float(n) for n in range(a.completed)]
    found = {("a", "b"): compare(values, [])}
    (comparison,) = adjust_for_multiple_comparisons(found, "total_ms", {"a": a, "b": b})
    assert comparison.text.startswith(f"total_ms: {text}")
    assert comparison.more_runs == (None if comparison.never_completes else 4)
    assert comparison.to_dict()["ends_b"] == {"made": b.made, "completed": 0}


@pytest.mark.parametrize(
    ("a", "b", "ending"),
    [
        (SLOW[:3], FAST[:3], "n is too small to tell: about 4 more runs of each would be"),
        (SLOW[:1], [], "no value of post-copy, so nothing can be compared."),
        ([5.0] * 6, [5.0] * 6, "They are equivalent for practical purposes"),
        ([0.0] * 6, [0.0] * 6, "They are equivalent for practical purposes"),
        (SLOW, SLOW[::-1], "They are equivalent for practical purposes"),
        ([1.0, 2, 3, 4, 5, 60], [1.0, 2, 3, 4, 5, 60], "no difference (95 % interval"),
        ([1.0, 2, 3, 4, 5, 60], [1.0, 2, 3, 4, 5, 60], "even 1000 more runs of each might not be"),
    ],
)
def test_unclear_comparison_in_words(
    a: list[float], b: list[float], ending: str, said: Callable[[Comparison], str]
) -> None:
    """The text says that the difference is unclear, and how many runs would decide."""
    assert ending in said(compare(a, b))


@pytest.mark.parametrize(
    ("metric", "value", "text"),
    [
        ("total_ms", 1234.5, "1,234 ms"),
        ("total_ms", 12.345, "12.3 ms"),
        ("transferred_bytes", 73.25 * 2**20, "73.2 MiB"),
        ("throughput_bytes_per_s", 110 * 2**20, "110 MiB/s"),
        ("iterations", 4, "4"),
        ("cpu_percent", 41.26, "41.3 %"),
    ],
)
def test_amounts_have_units(metric: str, value: float, text: str) -> None:
    """A value has the unit of its metric, and three digits."""
    assert amount(metric, value) == text


def test_interval_encloses_its_median_in_spite_of_rounding() -> None:
    """Interpolated quantiles of nearly equal values never lie beyond the median."""
    found = estimate([1.0, *[322280.0] * 3, *[322279.8301694792] * 3])
    assert found.low is not None
    assert found.median is not None
    assert found.high is not None
    assert found.low <= found.median <= found.high


@pytest.mark.parametrize("sizes", [(501,), (502,), (501, 520)])
def test_many_values_have_the_interval_of_resampling(
    sizes: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The interval from drawn medians is that of resampled medians, up to the draws' chance."""
    chance = np.random.default_rng(7)
    samples = tuple(chance.lognormal(3, 0.3, size) for size in sizes)
    drawn = statistics._interval(samples)
    monkeypatch.setattr(statistics, "MOST_RESAMPLED", 1000)
    monkeypatch.setattr(statistics, "RESAMPLES", 2000)
    resampled = statistics._interval(samples)
    assert None not in (*drawn, *resampled)
    width = resampled[1] - resampled[0]
    assert drawn == pytest.approx(resampled, abs=0.1 * width)
