"""A periodic timer keeps its schedule."""

from __future__ import annotations

import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from migrationlab.capture.periodic_timer import PeriodicTimer, next_due


@pytest.mark.parametrize(
    ("now", "tick"), [(10.0, 10.5), (10.2, 10.5), (10.6, 11.0), (12.1, 12.5), (9.0, 10.5)]
)
def test_late_call_does_not_shift_the_schedule(now: float, tick: float) -> None:
    """The call after a late one is on the original schedule."""
    assert next_due(10.0, now, 0.5) == tick


@given(st.integers(0, 10_000), st.integers(0, 100_000), st.integers(1, 1000))
def test_next_call_is_on_the_schedule(due: int, late: int, interval: int) -> None:
    """The next call is at the nearest future time on the schedule."""
    tick = next_due(due, due + late, interval)
    assert (tick - due) % interval == 0
    assert due + late < tick <= due + late + interval


def test_false_ends_the_calls() -> None:
    """A function that returns False is not called again, and stop returns at once."""
    calls: list[int] = []
    over = threading.Event()

    def work() -> bool:
        calls.append(1)
        if len(calls) == 3:
            over.set()
        return len(calls) < 3

    timer = PeriodicTimer("test", 0.001, work, [])
    timer.start()
    assert over.wait(10)
    timer.stop()
    timer.stop()
    assert len(calls) == 3


def test_stop_waits_for_the_call_under_way() -> None:
    """The method stop waits for the running call, unless its time limit is shorter."""
    begun, let_go, done = threading.Event(), threading.Event(), threading.Event()

    def work() -> bool:
        begun.set()
        let_go.wait(10)
        done.set()
        return True

    timer = PeriodicTimer("test", 0.001, work, [])
    timer.start()
    assert begun.wait(10)
    timer.stop(timeout_s=0.01)
    assert not done.is_set()
    let_go.set()
    timer.stop()
    assert done.is_set()


def test_timer_that_never_started_can_be_stopped() -> None:
    """The method stop of a timer that never started does nothing."""
    PeriodicTimer("test", 1, lambda: True, []).stop()
