"""The order of planned runs, and the estimates of how long they take."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from migrationlab.experiment.design import Design, read
from migrationlab.experiment.schedule import Pace, call_guess_s, guess_s, room_bytes, schedule
from migrationlab.runs.numbers import lasting

CELLS = st.integers(1, 9).map(lambda count: [f"cell {n}" for n in range(count)])
SEEDS = st.integers(0, 1000)


def design(**spec: object) -> Design:
    """Read a design with a question."""
    return read({"question": "Why?", **spec})


@given(cells=CELLS, repeats=st.integers(1, 12), seed=SEEDS)
def test_each_block_has_each_cell_once(cells: list[str], repeats: int, seed: int) -> None:
    """Each shuffled block is complete, and runs are numbered from 1."""
    planned = schedule(cells, repeats, seed)
    assert [run.number for run in planned] == list(range(1, len(cells) * repeats + 1))
    for block in range(1, repeats + 1):
        assert sorted(run.cell for run in planned if run.block == block) == cells


@given(cells=CELLS, pairs=st.integers(1, 6), seed=SEEDS)
def test_each_cell_goes_both_ways_equally_often(cells: list[str], pairs: int, seed: int) -> None:
    """Over each pair of blocks every cell has both directions, and directions alternate."""
    planned = schedule(cells, 2 * pairs, seed)
    assert [run.backwards for run in planned] == [n % 2 == 1 for n in range(len(planned))]
    counted = Counter((run.cell, run.backwards) for run in planned)
    assert counted == {(cell, way): pairs for cell in cells for way in (False, True)}


@given(cells=CELLS, repeats=st.integers(1, 8), more=st.integers(1, 8), seed=SEEDS)
def test_more_repeats_come_after(cells: list[str], repeats: int, more: int, seed: int) -> None:
    """More repeats do not change the runs planned before."""
    before = schedule(cells, repeats, seed)
    assert schedule(cells, repeats + more, seed)[: len(before)] == before


def test_order_is_random_and_follows_the_seed() -> None:
    """Blocks differ in order, seeds differ in order, and one seed always gives the same order."""
    cells = [f"cell {n}" for n in range(8)]
    planned = schedule(cells, 4, 1)
    orders = {tuple(t.cell for t in planned if t.block == block) for block in range(1, 5)}
    assert len(orders) == 4
    assert schedule(cells, 4, 2) != planned
    assert schedule(cells, 4, 1) == planned


def test_every_cell_can_come_first() -> None:
    """Every cell can be the first of a block, in the first and in the second block of a pair."""
    cells = ["a", "b", "c", "d"]
    for block in (1, 2):
        firsts = Counter(
            next(t.cell for t in schedule(cells, 2, seed) if t.block == block)
            for seed in range(400)
        )
        assert min(firsts[cell] for cell in cells) > 60  # 100 each, if it were even


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
def test_guess_depends_on_what_slows_a_migration(
    slower: dict[str, object], faster: dict[str, object]
) -> None:
    """The first guess depends on what slows a migration, and on what ends one."""
    slow, fast = design(**slower), design(**faster)
    assert guess_s(slow.cells[0]) > guess_s(fast.cells[0])
    assert room_bytes(slow) > room_bytes(fast)


def test_endless_migration_is_guessed_at_its_deadline() -> None:
    """If memory changes faster than it is sent, the plan ends the migration."""
    (cell,) = design(workload={"dirty_mib_s": "max"}, plan={"deadline_s": 20}).cells
    assert call_guess_s(cell) == pytest.approx(20, abs=1)


def test_guess_has_the_time_of_a_service() -> None:
    """Clients begin before a migration and stay after it, so that a run takes longer."""
    served, alone = design(workload={"service": ["redis", "default"], "memory_mib": 512}).cells
    assert guess_s(served) > guess_s(alone)
    assert call_guess_s(served) == call_guess_s(alone)


def test_rules_that_count_iterations_bound_the_guess() -> None:
    """A policy that cancels after 10 iterations does not last until its deadline."""
    rules = [{"do": "cancel", "after_iteration": 10}, {"do": "suspend", "after_s": 5}]
    busy = {"memory_mib": 256, "working_set_mib": 60, "dirty_mib_s": "max"}
    wire = {"wire_mbit_s": 1000}  # 100 MiB take 0.84 s
    (cell,) = design(
        workload=busy, wire=wire,
        plans={"a": {"policy": "rules", "policy_options": {"rules": rules}, "deadline_s": 300}},
    ).cells  # fmt: skip
    assert call_guess_s(cell) == pytest.approx(0.7 + 11 * 0.84, rel=0.01)
    (soon,) = design(workload=busy, wire=wire, plan={"suspend_after_iteration": 1}).cells
    assert call_guess_s(soon) == pytest.approx(0.7 + 2 * 0.84, rel=0.01)


def test_measured_times_replace_and_correct_guesses() -> None:
    """A cell's own times replace its guess; they correct the guesses for other cells."""
    found = design(workload={"dirty_mib_s": [10, 40]})
    (a, b) = (cell.name for cell in found.cells)
    pace = Pace(found)
    assert pace.run_s(a) == guess_s(found.cells[0])
    for seconds in (8.0, 12.0):
        pace.note(a, seconds)
    assert pace.run_s(a) == 10.0
    assert pace.run_s(b) == pytest.approx(10.0 * guess_s(found.cells[1]) / guess_s(found.cells[0]))
    assert pace.left_s({a: 3, b: 0}) == pytest.approx(30.0)


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0, "10 s"), (44, "40 s"), (89, "90 s"), (95, "2 min"), (3000, "50 min"), (7200, "2.0 h")],
)
def test_durations_are_rounded(seconds: float, said: str) -> None:
    """A guessed duration has no more digits than are known."""
    assert lasting(seconds) == said
