"""The order of an experiment's trials, and how long they are said to take."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from migrationlab.experiment.design import Design, read
from migrationlab.experiment.schedule import Pace, call_guess_s, guess_s, room_bytes, schedule

CELLS = st.integers(1, 9).map(lambda count: [f"cell {n}" for n in range(count)])
SEEDS = st.integers(0, 1000)


def design(**spec: object) -> Design:
    """Read a design that asks something."""
    return read({"question": "Why?", **spec})


@given(cells=CELLS, repeats=st.integers(1, 12), seed=SEEDS)
def test_each_block_has_each_cell_once(cells: list[str], repeats: int, seed: int) -> None:
    """However it is shuffled, a block is complete, and trials are numbered through."""
    trials = schedule(cells, repeats, seed)
    assert [trial.number for trial in trials] == list(range(1, len(cells) * repeats + 1))
    for block in range(1, repeats + 1):
        assert sorted(trial.cell for trial in trials if trial.block == block) == cells


@given(cells=CELLS, pairs=st.integers(1, 6), seed=SEEDS)
def test_each_cell_goes_both_ways_alike(cells: list[str], pairs: int, seed: int) -> None:
    """Over each pair of blocks every cell has both directions, and directions alternate."""
    trials = schedule(cells, 2 * pairs, seed)
    assert [trial.backwards for trial in trials] == [n % 2 == 1 for n in range(len(trials))]
    counted = Counter((trial.cell, trial.backwards) for trial in trials)
    assert counted == {(cell, way): pairs for cell in cells for way in (False, True)}


@given(cells=CELLS, repeats=st.integers(1, 8), more=st.integers(1, 8), seed=SEEDS)
def test_more_repeats_come_after(cells: list[str], repeats: int, more: int, seed: int) -> None:
    """More repeats leave what was laid down as it was."""
    before = schedule(cells, repeats, seed)
    assert schedule(cells, repeats + more, seed)[: len(before)] == before


def test_the_order_is_one_of_chance_and_of_the_seed() -> None:
    """Blocks differ in their order, other seeds give others, and one seed always the same."""
    cells = [f"cell {n}" for n in range(8)]
    trials = schedule(cells, 4, 1)
    orders = {tuple(t.cell for t in trials if t.block == block) for block in range(1, 5)}
    assert len(orders) == 4
    assert schedule(cells, 4, 2) != trials
    assert schedule(cells, 4, 1) == trials


def test_every_cell_can_come_first() -> None:
    """No place in a block is kept for a cell, in first blocks and in second ones."""
    cells = ["a", "b", "c", "d"]
    for block in (1, 2):
        firsts = Counter(
            next(t.cell for t in schedule(cells, 2, seed) if t.block == block)
            for seed in range(400)
        )
        assert min(firsts[cell] for cell in cells) > 60  # 100 each, were it quite even


@pytest.mark.parametrize(
    ("slower", "faster"),
    [
        ({"wire": {"wire_mbit_s": 100}}, {}),
        ({"workload": {"memory_mib": 512, "working_set_mib": 256}}, {}),
        ({"workload": {"dirty_mib_s": 100}}, {}),
        ({"workload": {"dirty_mib_s": "max"}}, {"workload": {"dirty_mib_s": 100}}),
        ({"plan": {"bandwidth_mib_s": 50}}, {}),
        (
            {"workload": {"dirty_mib_s": "max"}},
            {"workload": {"dirty_mib_s": "max"}, "plan": {"postcopy": True}},
        ),
        (
            {"workload": {"dirty_mib_s": "max"}},
            {"workload": {"dirty_mib_s": "max"}, "plan": {"deadline_s": 5}},
        ),
    ],
)
def test_what_takes_longer_is_guessed_to(
    slower: dict[str, object], faster: dict[str, object]
) -> None:
    """Before anything is measured the guess knows what slows a migration, and what ends one."""
    slow, fast = design(**slower), design(**faster)
    assert guess_s(slow.cells[0]) > guess_s(fast.cells[0])
    assert room_bytes(slow) > room_bytes(fast)


def test_a_migration_without_end_is_guessed_at_its_deadline() -> None:
    """Memory that changes faster than it is sent goes on until the plan ends it."""
    (cell,) = design(workload={"dirty_mib_s": "max"}, plan={"deadline_s": 20}).cells
    assert call_guess_s(cell) == pytest.approx(20, abs=1)


def test_what_was_measured_counts_more_than_guesses() -> None:
    """A cell's own times are its pace; others are guessed by as much off as these were."""
    found = design(workload={"dirty_mib_s": [10, 40]})
    (a, b) = (cell.name for cell in found.cells)
    pace = Pace(found)
    assert pace.trial_s(a) == guess_s(found.cells[0])
    for seconds in (8.0, 12.0):
        pace.note(a, seconds)
    assert pace.trial_s(a) == 10.0
    assert pace.trial_s(b) == pytest.approx(
        10.0 * guess_s(found.cells[1]) / guess_s(found.cells[0])
    )
    assert pace.left_s({a: 3, b: 0}) == pytest.approx(30.0)
