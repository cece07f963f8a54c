"""Numbers have one format in all texts."""

from __future__ import annotations

import pytest

from migrationlab.runs.numbers import amount, interval, lasting, near, number, spoken


@pytest.mark.parametrize(
    ("value", "metric", "text"),
    [
        (0.0, "", "0"),
        (1.234, "", "1.23"),
        (-12.34, "", "-12.3"),
        (123.4, "", "123"),
        (12345.6, "", "12,346"),
        (0.01234, "", "0.0123"),
        (3 * 2**20, "wire_bytes", "3"),
        (None, "", "–"),
        (float("nan"), "", "–"),
    ],
)
def test_number_has_three_significant_digits(value: float | None, metric: str, text: str) -> None:
    """A number has no more digits than a measurement has; what is not known is a dash."""
    assert near(value, of=metric) == text


def test_number_has_fixed_digits() -> None:
    """In a column of a table all numbers have the same count of digits after the point."""
    assert number(1234.5, digits=1) == "1,234.5"
    assert number(3 * 2**20, of="wire_bytes", digits=1) == "3.0"
    assert number(None) == "–"


def test_interval_needs_both_ends() -> None:
    """An interval with an unknown end is not known."""
    assert interval(1.5, 2.25) == "1.5 to 2.25"
    assert interval(None, 2.25) == interval(1.5, float("nan")) == "–"


@pytest.mark.parametrize(
    ("metric", "value", "text"),
    [
        ("total_ms", 1234.5, "1,234 ms"),
        ("total_ms", 12.345, "12.3 ms"),
        ("total_ms", 12345.6, "12.3 s"),
        ("transferred_bytes", 73.25 * 2**20, "73.2 MiB"),
        ("throughput_bytes_per_s", 110 * 2**20, "110 MiB/s"),
        ("iterations", 4, "4"),
        ("cpu_percent", 41.26, "41.3 %"),
    ],
)
def test_amount_has_its_unit(metric: str, value: float, text: str) -> None:
    """The unit follows from the metric's name."""
    assert amount(metric, value) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "10 s"), (44, "40 s"), (89, "90 s"), (95, "2 min"), (3000, "50 min"), (7200, "2.0 h")],
)
def test_duration_is_as_precise_as_a_guess(seconds: float, text: str) -> None:
    """An estimated duration is rounded."""
    assert lasting(seconds) == text


@pytest.mark.parametrize(
    ("metric", "said"),
    [
        ("downtime_event_ms", ("event downtime", "ms", 1)),
        ("throughput_bytes_per_s", ("throughput", "MiB/s", 2**20)),
        ("transferred_bytes", ("transferred data", "MiB", 2**20)),
        ("cpu_s_per_gib", ("processor time", "s/GiB", 1)),
        ("iterations", ("iterations over memory", "", 1)),
    ],
)
def test_metric_has_a_label_and_a_unit(metric: str, said: tuple[str, str, int]) -> None:
    """Bytes are read in MiB; a name that ends in no unit has none."""
    assert spoken(metric) == said
