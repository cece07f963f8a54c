"""Run the field's standard comparisons by name: each is a design as data, with a price.

``batteries/NAME.toml`` holds a design (see ``design``) and four keys more: ``about`` (one line),
``source`` (where its scenarios are from), ``left_out`` (the scenarios that cannot be measured, each
with its reason) and ``small`` (what to replace on a machine without KVM). It is not run without
saying first what it takes: see :class:`Cost`.
"""

from __future__ import annotations

import math
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from statistics import NormalDist
from typing import Any

from migrationlab.errors import UsageError
from migrationlab.experiment.design import Design, read
from migrationlab.experiment.schedule import LAB_S, guess_s, room_bytes, traffic_bytes
from migrationlab.experiment.statistics import ALPHA, POWER
from migrationlab.plan.wording import nearest, quote

_KEYS = ("about", "source", "left_out", "small")
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
    """

    name: str
    about: str
    source: str
    left_out: Mapping[str, str]
    spec: Mapping[str, Any]


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
    return Battery(name, table["about"], table["source"], table.get("left_out", {}), spec)


def design(
    battery: Battery, *, repeats: int | None = None, budget_s: float | None = None
) -> Design:
    """Return the design of a battery, with as many repeats as are asked for or as a budget pays.

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
    return read({**battery.spec, "repeats": min(paid, repeats or paid)})


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


def detectable(repeats: int) -> float:
    """Return the smallest superiority that so many runs of each cell show (power 80 %).

    Noether 1987, equation 3, solved for P; 1.0 if so few runs show none.
    """
    quantiles = NormalDist().inv_cdf(1 - ALPHA / 2) + NormalDist().inv_cdf(POWER)
    return min(0.5 + quantiles / math.sqrt(6 * repeats), 1.0)


def read_budget(text: str) -> float:
    """Return the seconds that a text such as 20m, 1h30m or 90s means."""
    found = _BUDGET.fullmatch(text.strip())
    parts = {} if found is None else {k: int(v) for k, v in found.groupdict().items() if v}
    seconds = 3600 * parts.get("h", 0) + 60 * parts.get("m", 0) + parts.get("s", 0)
    if not 0 < seconds <= 30 * 86_400:
        raise UsageError(
            f"budget must be a time of at most 30 days (got {quote(text)})",
            hint="Give --budget 20m, 2h or 90s.",
        )
    return float(seconds)
