"""The order of an experiment's migrations, and how long they take.

Randomised complete blocks: each block has every cell once, in an order of its own, so that what
changes slowly (a machine that warms up, a neighbour's load) meets all cells alike. A guest that
has arrived goes back where it came from, so directions alternate; blocks come in pairs, in the
second of which each cell has the other direction than in the first. So no cell is measured in one
direction more often than in the other, but for once where repeats are odd.

A block depends on nothing but the cells, the seed and its number: an experiment that gets more
repeats later goes on as if it had had them from the start. Pure.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from migrationlab.experiment.design import Cell, Design

#: What a trial takes besides the migration: the guest's start or change, the pause before, the
#: check of its memory and the run's way to the disk. Measured in labs of two cores.
OVERHEAD_S = 3.5
#: What a lab takes to come up.
LAB_S = 3.0
#: A migration of nothing, from the call to its return.
LEAST_CALL_S = 0.7
#: What QEMU sends where the wire has no limit: with TCG on two cores, and on the safe side.
UNLIMITED_MIB_S = 300.0
#: What a run takes on disk: what it is, and what is recorded each second.
RUN_BYTES, RUN_BYTES_PER_S = 100_000, 60_000


@dataclass(frozen=True, slots=True)
class Trial:
    """One migration that is to be made and counted.

    Attributes:
        number: Its number, from 1.
        block: The number of its block, from 1.
        cell: The name of its cell.
        backwards: Whether the guest goes from the second host to the first.
    """

    number: int
    block: int
    cell: str
    backwards: bool


def schedule(cells: Sequence[str], repeats: int, seed: int) -> tuple[Trial, ...]:
    """Return the trials of an experiment, in order.

    Args:
        cells: The cells' names.
        repeats: How many blocks.
        seed: Of their order.
    """
    orders = itertools.islice(_blocks(cells, seed), repeats)
    placed = ((block, cell) for block, order in enumerate(orders, 1) for cell in order)
    return tuple(
        Trial(number, block, cell, backwards=number % 2 == 0)
        for number, (block, cell) in enumerate(placed, 1)
    )


def _blocks(cells: Sequence[str], seed: int) -> Iterator[list[str]]:
    for pair in itertools.count():
        # Python's own generator, seeded by a text: the same order on every machine.
        chance = random.Random(f"{seed}/{pair}")  # noqa: S311 (an order is no secret)
        first = list(cells)
        chance.shuffle(first)
        yield first
        # The cells that went forwards are to go backwards. With an even number of cells the second
        # block begins forwards as the first did, so they change places with the others; with an
        # odd number it begins backwards, and they keep to their places.
        sides = [first[0::2], first[1::2]]
        for side in sides:
            chance.shuffle(side)
        if len(cells) % 2 == 0:
            sides.reverse()
        second = [""] * len(cells)
        second[0::2], second[1::2] = sides
        yield second


class Pace:
    """How long trials take: a guess from the design at first, and then what was measured.

    Args:
        design: What is to be measured.
    """

    def __init__(self, design: Design) -> None:
        self._cells = {cell.name: cell for cell in design.cells}
        self._took: dict[str, list[float]] = {}

    def note(self, cell: str, seconds: float) -> None:
        """Hear how long a trial of a cell took as a whole."""
        self._took.setdefault(cell, []).append(seconds)

    def trial_s(self, cell: str) -> float:
        """Return how long a trial of a cell takes, as far as is known."""
        if took := self._took.get(cell):
            return fmean(took)
        # How far off the guesses were for other cells says how far off this one is.
        guessed = sum(guess_s(self._cells[name]) * len(took) for name, took in self._took.items())
        measured = sum(sum(took) for took in self._took.values())
        return guess_s(self._cells[cell]) * (measured / guessed if guessed else 1.0)

    def left_s(self, counts: Mapping[str, int]) -> float:
        """Return how long what is left takes.

        Args:
            counts: How many trials are left of each cell.
        """
        return sum(self.trial_s(cell) * count for cell, count in counts.items())


def guess_s(cell: Cell) -> float:
    """Guess how long a trial of a cell takes, before one was made.

    The working set is sent once, and again for as long as pre-copy takes: a geometric series of
    passes, each as long as the share of the rate at which memory is dirtied (Clark et al., "Live
    Migration of Virtual Machines", NSDI 2005, section 5). One that cannot end so ends at its
    deadline, or when post-copy takes over.
    """
    return OVERHEAD_S + call_guess_s(cell)


def call_guess_s(cell: Cell) -> float:
    """Guess how long the migration of a cell takes, likewise."""
    deadline_s = cell.plan.deadline_s
    workload, wire = cell.workload, cell.wire
    if workload is None or wire is None:
        return min(30.0, deadline_s)
    # A guest's system and its empty pages are some 40 MiB on the wire.
    size_mib = workload.working_set_mib + 40
    rate_mib_s = UNLIMITED_MIB_S
    if wire.rate_mbit_s is not None:
        rate_mib_s = min(rate_mib_s, wire.rate_mbit_s * 1e6 / 8 / 2**20)
    if cell.plan.bandwidth_mib_s:
        rate_mib_s = min(rate_mib_s, cell.plan.bandwidth_mib_s)
    once_s = size_mib / rate_mib_s
    dirty = rate_mib_s if workload.dirty_mib_s == "max" else workload.dirty_mib_s
    share = min(dirty / rate_mib_s, 1.0)
    if cell.plan.postcopy:
        return LEAST_CALL_S + min(2 * once_s, deadline_s)
    if share >= 0.95:
        return LEAST_CALL_S + deadline_s
    return LEAST_CALL_S + min(once_s / (1 - share), deadline_s)


def room_bytes(design: Design) -> int:
    """Return about how much the runs of an experiment take on disk."""
    return sum(
        round(RUN_BYTES + RUN_BYTES_PER_S * call_guess_s(cell)) * design.repeats
        for cell in design.cells
    )
