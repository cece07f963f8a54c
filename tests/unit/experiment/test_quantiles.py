"""Percentiles, equivalence, and the gate's excess."""

from __future__ import annotations

import numpy as np
import pytest

from migrationlab.experiment.quantiles import equivalence, excess, quantile


def test_percentile_has_an_interval_only_where_n_is_large_enough() -> None:
    """The upper end of p95 needs 72 values: 0.95 to the power of n must be below 2.5 %."""
    few, enough = quantile(range(71), 95), quantile(range(72), 95)
    assert few.high is None
    assert enough.high == 71
    assert enough.low is not None
    assert quantile([], 95).value is None


def test_interval_of_p95_covers_the_true_value() -> None:
    """Of 200 samples of 100 exponential values, the interval misses the true p95 in about 5 %."""
    chance = np.random.default_rng(1)
    true = -np.log(0.05)
    missed = 0
    for _ in range(200):
        found = quantile(chance.exponential(size=100), 95)
        assert found.low is not None
        missed += not found.low <= true <= (found.high or np.inf)
    assert missed <= 20


def test_equal_settings_are_equivalent_within_a_margin() -> None:
    """Two samples of one distribution are equivalent within a wide margin only."""
    chance = np.random.default_rng(2)
    a, b = chance.normal(300, 5, 20), chance.normal(300, 5, 20)
    assert equivalence(a, b, 10).equivalent
    assert not equivalence(a, b, 0.5).equivalent
    assert not equivalence(a, b + 30, 10).equivalent
    assert equivalence([], b, 10).p_value is None


def test_error_of_the_equivalence_test_is_at_most_5_percent() -> None:
    """Where the true difference is the margin, equivalence is found in about 5 % of cases."""
    chance = np.random.default_rng(3)
    pairs = [(chance.normal(0, 1, 15), chance.normal(1, 1, 15)) for _ in range(400)]
    found = sum(equivalence(a, b, 1.0).equivalent for a, b in pairs)
    assert found <= 32


def test_excess_has_no_interval_for_few_values() -> None:
    """p95 needs 20 values, p99 100, the median six."""
    values = [float(value) for value in range(19)]
    assert excess(values, values, 95, 1.1, 0).low is None
    assert excess(values, [*values, 19.0], 50, 1.1, 0).low is not None
    assert excess([], values * 2, 95, 0, 300).high == pytest.approx(18 - 300)
