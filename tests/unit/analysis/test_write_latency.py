"""How long the guest's writes took: percentiles of counts, by part of the time."""

from __future__ import annotations

import pandas as pd

from migrationlab.analysis.switchover import Moments
from migrationlab.analysis.write_latency import write_latency
from migrationlab.runs.schema import frame

MS = 1_000_000
START = 1_800_000_000_000 * MS
CALLED, ACTIVE, STOPPED, RESUMED, RETURNED = 0, 100, 1000, 1300, 1320
MOMENTS = Moments(
    called_ns=START, returned_ns=START + RETURNED * MS, active_ns=START + ACTIVE * MS,
    completed_ns=START + 1290 * MS, stop_ns=START + STOPPED * MS, resume_ns=START + RESUMED * MS,
    postcopy_ns=None,
)  # fmt: skip
ITERATIONS = pd.DataFrame(
    {
        "iteration": [1, 2, 3],
        "start_ns": [START + ms * MS for ms in (ACTIVE, 600, STOPPED)],
        "end_ns": [START + ms * MS for ms in (600, STOPPED, 1290)],
        "guest_running": [True, True, False],
    }
)


def writes(*reports: tuple[int, dict[int, int]]) -> pd.DataFrame:
    """Return the frame of reports: when each arrived, in ms, and how many writes took how long."""
    rows = [
        {"since_ns": START + (ms - 20) * MS, "arrival_ns": START + ms * MS, "guest_ns": ms * MS,
         "latency_ns": took, "writes": count}
        for ms, counts in reports
        for took, count in counts.items()
    ]  # fmt: skip
    return frame("memory_writes", rows)


def test_parts_have_percentiles_of_their_own_writes() -> None:
    """Counts of several reports add up, and the time after lasts until the last report."""
    found = write_latency(
        writes(
            (-20, {1000: 990}),
            (-10, {9000: 10}),
            (300, {50_000: 2, 2000: 98}),
            (700, {3000: 1000}),
            (1310, {400_000: 1, 1000: 99}),
            (1500, {1000: 100}),
        ),
        ITERATIONS,
        MOMENTS,
    )
    parts = found.parts.set_index("part")
    assert list(parts.index) == ["before", "iteration 1", "iteration 2", "after"]
    assert list(parts["writes"]) == [1000, 100, 1000, 200]
    assert list(parts["p50_us"]) == [1, 2, 3, 1]
    assert list(parts["p99_us"]) == [1, 50, 3, 1]
    assert list(parts["max_us"]) == [9, 50, 3, 400]
    assert (found.before_p99_us, found.sending_p99_us, found.sending_max_us) == (1, 3, 50)
    assert (found.after_p99_us, found.after_max_us) == (1, 400)
    assert list(found.curve["max_us"]) == [1, 9, 50, 3, 400, 1]
    assert repr(found) == "WriteLatency(p99 1 µs before, 3 µs while sending, 1 µs after)"


def test_percentile_of_too_few_writes_is_unknown() -> None:
    """Less than one of 99 writes decides their 99th percentile, and so with the median of one."""
    parts = write_latency(writes((-10, {1000: 99}), (300, {1000: 1})), ITERATIONS, MOMENTS).parts
    assert parts["p99_us"].isna().all()
    assert list(parts["p50_us"].isna()) == [False, True]
    assert list(parts["max_us"]) == [1, 1]


def test_migration_without_a_switchover_has_nothing_after_it() -> None:
    """A cancelled migration has its iterations; no number says what did not happen."""
    moments = Moments(
        called_ns=START, returned_ns=START + RETURNED * MS, active_ns=START + ACTIVE * MS,
        completed_ns=None, stop_ns=None, resume_ns=None, postcopy_ns=None,
    )  # fmt: skip
    found = write_latency(writes((300, {2000: 200})), ITERATIONS, moments)
    assert found.sending_p99_us == 2
    assert (found.before_p99_us, found.after_p99_us, found.after_max_us) == (None, None, None)


def test_run_without_reports_has_no_numbers() -> None:
    """An older run, or a guest outside of a lab."""
    found = write_latency(writes(), ITERATIONS, MOMENTS)
    assert found.parts.empty
    assert found.curve.empty
    assert found.sending_p99_us is None
