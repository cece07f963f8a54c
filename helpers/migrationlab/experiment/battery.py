"""Run the field's standard comparisons by name: each is a design as data, with a price.

``batteries/NAME.toml`` holds a design (see ``design``) and five keys more: ``about`` (one line),
``source`` (where its scenarios are from), ``left_out`` (the scenarios that cannot be measured, each
with its reason), ``small`` (what to replace on a machine without KVM) and ``whole_blocks`` (true
where its evaluation needs each scenario in each block). It is not run without saying first what it
takes: see :class:`Cost`.
"""

from __future__ import annotations

import math
import re
import tomllib
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from typing import TYPE_CHECKING, Any

from migrationlab.errors import UsageError
from migrationlab.experiment.allocation import detectable, pilot_of
from migrationlab.experiment.design import Design, read
from migrationlab.experiment.schedule import LAB_S, guess_s, room_bytes, traffic_bytes
from migrationlab.experiment.stored import placement
from migrationlab.plan.wording import nearest, quote
from migrationlab.runs.run import Outcome

if TYPE_CHECKING:
    from migrationlab.experiment.results import Results

_KEYS = ("about", "source", "left_out", "small", "whole_blocks")
_BUDGET = re.compile(r"(?:(?P<h>\d+)h)?(?:(?P<m>\d+)m)?(?:(?P<s>\d+)s?)?")


@dataclass(frozen=True, slots=True)
class Battery:
    """A standard comparison.

    Attributes:
        name: Its name.
        about: Its purpose, in one line.
        source: Where its scenarios are from.
        left_out: The scenarios that cannot be measured, each with the reason.
        spec: The spec of its design.
        whole_blocks: Whether each block must have each scenario, so that repeats are equal.
    """

    name: str
    about: str
    source: str
    left_out: Mapping[str, str]
    spec: Mapping[str, Any]
    whole_blocks: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What a design takes, estimated before its first run.

    Attributes:
        block_s: The time of one block: one run of each cell.
        total_s: The time of all runs and warm-ups.
        traffic_bytes: What is sent over the wire.
        disk_bytes: What is stored.
        shows: The probability that a run of one cell exceeds a run of another, from which on that
            many repeats show the difference (power 80 %); 0.5 would be no difference.
    """

    block_s: float
    total_s: float
    traffic_bytes: int
    disk_bytes: int
    shows: float


@dataclass(frozen=True, slots=True)
class Scenario:
    """A scenario of a battery, and what was measured of it.

    Attributes:
        name: Its name.
        planned: The number of planned runs so far.
        made: How many were made.
        completed: How many of those completed.
        why: Why it cannot be measured; None if it can be.
    """

    name: str
    planned: int = 0
    made: int = 0
    completed: int = 0
    why: str | None = None

    @property
    def text(self) -> str:
        """Return what was measured, in words."""
        if self.why is not None:
            return f"not available: {self.why}"
        runs = "run" if self.planned == 1 else "runs"
        if not self.made:
            return f"{self.planned} {runs} planned, none made yet"
        return f"measured in {self.made} of {self.planned} {runs}, {self.completed} completed"


def scenarios(battery: Battery, results: Results) -> tuple[Scenario, ...]:
    """Return every scenario of a battery: those of its design, then those that are left out."""
    made, completed = Counter[str](), Counter[str]()
    for run in results.measured:
        cell = str(placement(run)["cell"])
        made[cell] += 1
        completed[cell] += run.outcome is Outcome.COMPLETED
    planned = results.repeats()
    return (
        *(Scenario(name, planned[name], made[name], completed[name]) for name in planned),
        *(Scenario(name, why=why) for name, why in battery.left_out.items()),
    )


def battery_of(results: Results) -> Battery | None:
    """Return the battery that an experiment measures; None if it is of no battery."""
    if results.name not in names():
        return None
    mine = {cell.name for cell in results.cells}
    found = find(results.name)
    return found if mine == {cell.name for cell in read(found.spec).cells} else None


def names() -> tuple[str, ...]:
    """Return the names of all batteries."""
    folder = resources.files(__package__).joinpath("batteries")
    return tuple(sorted(each.name[:-5] for each in folder.iterdir() if each.name.endswith(".toml")))


def find(name: str, *, small: bool = False) -> Battery:
    """Return a battery; UsageError, with the nearest name, if there is none.

    ``small`` replaces what it says for a machine without KVM.
    """
    if name not in names():
        near = nearest(name, names())
        raise UsageError(
            f"battery must be the name of a battery (got {quote(name)})",
            hint=f"{f'Use {near}. ' if near else ''}List them with `migrationlab battery`.",
        )
    file = resources.files(__package__).joinpath("batteries", f"{name}.toml")
    table = tomllib.loads(file.read_text("utf-8"))
    spec = {key: value for key, value in table.items() if key not in _KEYS} | {"name": name}
    if small:
        for key, values in table.get("small", {}).items():
            spec[key] = spec.get(key, {}) | values
    return Battery(
        name, table["about"], table["source"], table.get("left_out", {}), spec,
        whole_blocks=table.get("whole_blocks", False),
    )  # fmt: skip


def design(
    battery: Battery,
    *,
    repeats: int | None = None,
    budget_s: float | None = None,
    metric: str = "total_ms",
) -> Design:
    """Return the design of a battery, with as many repeats as are asked for or as a budget pays.

    Where a budget pays enough, and ``repeats`` is not given, half of it goes to whole blocks. The
    rest goes where ``metric`` varies most: see ``allocation``.

    Raises:
        UsageError: The budget does not pay one block.
    """
    if budget_s is None:
        return read({**battery.spec, "repeats": repeats or 10})
    once = cost(read({**battery.spec, "repeats": 1}))
    if once.total_s > budget_s:
        raise UsageError(
            f"budget must pay one block of {battery.name}: about {once.total_s:.0f} s "
            f"(got {budget_s:.0f} s)",
            hint=f"Give --budget {math.ceil(once.total_s / 60)}m, or --small.",
        )
    paid = 1 + int((budget_s - once.total_s) / once.block_s)
    spec = {**battery.spec, "repeats": min(paid, repeats or paid)}
    pilot = None if repeats or battery.whole_blocks else pilot_of(paid)
    if pilot is not None:
        spec["allocate"] = {"metric": metric, "pilot": pilot, "time_s": int(budget_s)}
    return read(spec)


def cost(made: Design) -> Cost:
    """Estimate what a design takes."""
    guesses = [guess_s(cell) for cell in made.cells]
    block_s = sum(guesses)
    warm_ups_s = made.warm_ups * block_s / len(guesses)
    lab_s = LAB_S if made.hosts is None else 0.0
    return Cost(
        block_s=block_s,
        total_s=lab_s + warm_ups_s + block_s * made.repeats,
        traffic_bytes=sum(traffic_bytes(cell) for cell in made.cells) * made.repeats,
        disk_bytes=room_bytes(made),
        shows=detectable(made.repeats),
    )


def read_budget(text: str) -> float:
    """Return the seconds that a text such as 20m, 1h30m or 90s means."""
    found = _BUDGET.fullmatch(text.strip())
    # A float takes any number of digits.
    parts = {} if found is None else {k: float(v) for k, v in found.groupdict().items() if v}
    seconds = 3600 * parts.get("h", 0) + 60 * parts.get("m", 0) + parts.get("s", 0)
    if not 0 < seconds <= 30 * 86_400:
        raise UsageError(
            f"budget must be a time of at most 30 days (got {quote(text)})",
            hint="Give --budget 20m, 2h or 90s.",
        )
    return seconds
