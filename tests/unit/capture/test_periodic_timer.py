"""What is done again and again keeps its schedule."""

from __future__ import annotations

import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from migrationlab.capture.periodic_timer import PeriodicTimer, next_due


@pytest.mark.parametrize(
    ("now", "tick"), [(10.0, 10.5), (10.2, 10.5), (10.6, 11.0), (12.1, 12.5), (9.0, 10.5)]
)
def test_late_ticks_move_none_of_those_after_them(now: float, tick: float) -> None:
    """A tick due at 10 that took until now is followed by the next one due, every half second."""
    assert next_due(10.0, now, 0.5) == tick


@given(st.integers(0, 10_000), st.integers(0, 100_000), st.integers(1, 1000))
def test_ticks_stay_on_the_schedule(due: int, late: int, interval: int) -> None:
    """However late, the next tick is a whole number of intervals on, ahead, and the nearest."""
    tick = next_due(due, due + late, interval)
    assert (tick - due) % interval == 0
    assert due + late < tick <= due + late + interval


def test_it_ticks_until_there_is_nothing_to_do() -> None:
    """Work that returns False is not called again; a stop then has nothing to wait for."""
    calls: list[int] = []
    over = threading.Event()

    def work() -> bool:
        calls.append(1)
        if len(calls) == 3:
            over.set()
        return len(calls) < 3

    timer = PeriodicTimer("test", 0.001, work)
    timer.start()
    assert over.wait(10)
    timer.stop()
    timer.stop()
    assert len(calls) == 3


def test_a_stop_waits_for_the_tick_under_way() -> None:
    """When stop returns, nothing is being done any more; with a time limit it may be."""
    begun, let_go, done = threading.Event(), threading.Event(), threading.Event()

    def work() -> bool:
        begun.set()
        let_go.wait(10)
        done.set()
        return True

    timer = PeriodicTimer("test", 0.001, work)
    timer.start()
    assert begun.wait(10)
    timer.stop(timeout_s=0.01)
    assert not done.is_set()
    let_go.set()
    timer.stop()
    assert done.is_set()


def test_one_that_never_started_can_be_stopped() -> None:
    """A timer whose owner gave up before it began is stopped without an error."""
    PeriodicTimer("test", 1, lambda: True).stop()
