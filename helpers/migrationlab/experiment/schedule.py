"""Order the migrations of an experiment, and estimate how long they take.

The schedule uses randomised complete blocks. Each block has every cell once, in random order. So a
slow change (the machine warms up, a neighbour's load rises) affects all cells equally. A guest that
has arrived goes back to its first host, so directions alternate. Blocks come in pairs: in the
second block of a pair each cell has the direction that it did not have in the first. So each cell
is measured equally often in both directions, except for one run where repeats are odd.

A block depends only on the cells, the seed and its own number. An experiment that gets more repeats
later has the same schedule as one with these repeats from the start. Where repeats are not equal,
:func:`further_schedule` orders those after a pilot.
"""

from __future__ import annotations

import itertools
import random
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from migrationlab.experiment.cells import Cell
from migrationlab.experiment.design import Design
from migrationlab.plan.policies import catalog

#: The time of a run besides the migration: to start or change the guest, to wait before the call,
#: to check the guest's memory, and to write the run to disk. Measured in labs of two cores.
OVERHEAD_S = 3.5
#: More of it for a guest with a service: its clients begin 2 s before the call, stay 2 s longer,
#: and read back what they wrote (medians of 16 runs with Redis against 23 without).
SERVICE_S = 5.0
#: The time that a lab takes to start.
LAB_S = 3.0
#: The shortest migration, from the call to its return.
MIN_CALL_S = 0.7
#: QEMU's sending rate over a wire without a limit: a cautious figure for TCG on two cores.
UNLIMITED_MIB_S = 300.0
#: The size of a run on disk: a fixed part, and what is recorded each second.
RUN_BYTES, RUN_BYTES_PER_S = 100_000, 60_000


@dataclass(frozen=True, slots=True)
class PlannedRun:
    """One planned migration that counts.

    It and its block are numbered from 1. ``backwards``: from the second host to the first.
    """

    number: int
    block: int
    cell: str
    backwards: bool


def schedule(cells: Sequence[str], repeats: int, seed: int) -> tuple[PlannedRun, ...]:
    """Return the planned runs of an experiment, in order."""
    orders = itertools.islice(_blocks(cells, seed), repeats)
    placed = ((block, cell) for block, order in enumerate(orders, 1) for cell in order)
    return tuple(
        PlannedRun(number, block, cell, backwards=number % 2 == 0)
        for number, (block, cell) in enumerate(placed, 1)
    )


def _blocks(cells: Sequence[str], seed: int) -> Iterator[list[str]]:
    for pair in itertools.count():
        # Python's own generator, seeded by a text, gives the same order on every machine.
        chance = random.Random(f"{seed}/{pair}")  # noqa: S311 (an order is no secret)
        first = list(cells)
        chance.shuffle(first)
        yield first
        # The cells that went forwards must now go backwards. With an even number of cells the
        # second block begins forwards, as the first did, so the two halves change places. With an
        # odd number it begins backwards, and they keep their places.
        sides = [first[0::2], first[1::2]]
        for side in sides:
            chance.shuffle(side)
        if len(cells) % 2 == 0:
            sides.reverse()
        second = [""] * len(cells)
        second[0::2], second[1::2] = sides
        yield second


def further_schedule(
    added: Mapping[str, int], before: Sequence[PlannedRun], seed: int
) -> tuple[PlannedRun, ...]:
    """Return the further runs in order, after those of the pilot.

    There are as many blocks as the cell with most runs needs; those of each other cell are spread
    evenly over them. Within a block the order is random, but a cell that went in one direction more
    often goes in the other.
    """
    blocks = max(added.values(), default=0)
    ways: dict[str, Counter[bool]] = defaultdict(Counter)
    for run in before:
        ways[run.cell][run.backwards] += 1
    numbers, first = (
        itertools.count(len(before) + 1),
        max((run.block for run in before), default=0) + 1,
    )
    planned = []
    for index in range(blocks):
        cells = [cell for cell, n in added.items() if _is_due(index, n, blocks)]
        random.Random(f"{seed}/further/{index}").shuffle(cells)  # noqa: S311 (an order is no secret)
        while cells:
            number = next(numbers)
            backwards = number % 2 == 0
            cell = max(cells, key=lambda each: ways[each][not backwards] - ways[each][backwards])
            cells.remove(cell)
            ways[cell][backwards] += 1
            planned.append(PlannedRun(number, first + index, cell, backwards=backwards))
    return tuple(planned)


def _is_due(index: int, runs: int, blocks: int) -> bool:
    """Return whether a cell with so many runs, spread over blocks, has one in this block."""
    return (index + 1) * runs // blocks > index * runs // blocks


class Pace:
    """Estimates the durations of runs: from the design at first, then from measured durations."""

    def __init__(self, design: Design) -> None:
        self._cells = {cell.name: cell for cell in design.cells}
        self._took: dict[str, list[float]] = {}

    def note(self, cell: str, seconds: float) -> None:
        """Record the duration of a whole run of a cell."""
        self._took.setdefault(cell, []).append(seconds)

    def run_s(self, cell: str) -> float:
        """Return the estimated duration of a run of a cell."""
        if took := self._took.get(cell):
            return fmean(took)
        # The error of the guesses for other cells corrects the guess for this one.
        guessed = sum(guess_s(self._cells[name]) * len(took) for name, took in self._took.items())
        measured = sum(sum(took) for took in self._took.values())
        return guess_s(self._cells[cell]) * (measured / guessed if guessed else 1.0)

    def left_s(self, counts: Mapping[str, int]) -> float:
        """Return the estimated duration of the remaining runs."""
        return sum(self.run_s(cell) * count for cell, count in counts.items())


def guess_s(cell: Cell) -> float:
    """Guess the duration of a run of a cell, before the first one."""
    return overhead_s(cell) + call_guess_s(cell)


def overhead_s(cell: Cell) -> float:
    """Return the time of a run besides the migration."""
    served = cell.workload is not None and cell.workload.service is not None
    return OVERHEAD_S + (SERVICE_S if served else 0.0)


def call_guess_s(cell: Cell) -> float:
    """Guess the duration of a migration of a cell, before the first one.

    The memory is sent once, and then again for as long as pre-copy takes. The iterations form a
    geometric series: each is as long as the one before, times the dirty rate over the sending rate
    (Clark et al., "Live Migration of Virtual Machines", NSDI 2005, section 5). A migration that
    does not end in this way ends at its deadline, after as many iterations as its policy allows, or
    when post-copy takes over.
    """
    deadline_s = cell.plan.deadline_s
    workload, wire = cell.workload, cell.wire
    if workload is None or wire is None:
        return min(30.0, deadline_s)
    # A guest's system and its empty pages are some 40 MiB on the wire.
    size_mib = workload.working_set_mib + workload.fill_mib + 40
    rate_mib_s = _rate_mib_s(cell)
    once_s = size_mib / rate_mib_s
    dirty = rate_mib_s if workload.dirty_mib_s == "max" else workload.dirty_mib_s
    share = min(dirty / rate_mib_s, 1.0)
    most, most_s = _most_iterations(cell), deadline_s
    if most is not None:
        # No iteration sends more than all memory, and the rest is sent once more.
        most_s = min(most_s, (most + 1) * once_s)
    return MIN_CALL_S + (most_s if share >= 0.95 else min(once_s / (1 - share), most_s))


def _most_iterations(cell: Cell) -> int | None:
    """Return how many iterations a plan allows; None if their number ends none."""
    plan = cell.plan
    known = [plan.suspend_after_iteration, plan.postcopy_after_iteration]
    if plan.policy is not None:
        known.append(catalog.make(plan.policy, plan.policy_options).most_iterations)
    # Where nobody counts iterations, post-copy is taken to begin after the first one.
    otherwise = 1 if plan.postcopy else None
    return min((most for most in known if most is not None), default=otherwise)


def traffic_bytes(cell: Cell) -> int:
    """Guess the bytes that a migration of a cell sends: its rate, for as long as it lasts."""
    return round(call_guess_s(cell) * _rate_mib_s(cell) * 2**20)


def _rate_mib_s(cell: Cell) -> float:
    """Return the rate at which memory is sent: the least of QEMU's, the wire's and the plan's."""
    rate_mib_s = UNLIMITED_MIB_S
    if cell.wire is not None and cell.wire.rate_mbit_s is not None:
        rate_mib_s = min(rate_mib_s, cell.wire.rate_mbit_s * 1e6 / 8 / 2**20)
    if cell.plan.bandwidth_mib_s:
        rate_mib_s = min(rate_mib_s, cell.plan.bandwidth_mib_s)
    return rate_mib_s


def room_bytes(design: Design) -> int:
    """Estimate the disk space that the runs of an experiment need."""
    return sum(
        round(RUN_BYTES + RUN_BYTES_PER_S * call_guess_s(cell)) * design.repeats
        for cell in design.cells
    )
