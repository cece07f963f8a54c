"""Choose the cells of an experiment from its full grid: all, some, or one change at a time.

A full grid grows with the product of its alternatives. Two smaller layouts:

- *one-at-a-time*: the first value of each factor is the base; each other cell changes one factor.
  It shows each change alone, and no interaction.
- *fractional*: a part of the grid in which the values of each factor still meet those of the
  others about equally often (generalised subset designs: Surowiec, Vikström, Hector, Johansson,
  Vikström, *Analytical Chemistry* 89, 2017; pyDOE3's ``gsd``). It shows main effects, which
  ``Results.effects`` estimates, mixed with interactions.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from migrationlab.errors import UsageError
from migrationlab.plan.wording import nearest

FULL, ONE_AT_A_TIME, FRACTIONAL = "full", "one-at-a-time", "fractional"
LAYOUTS = (FULL, ONE_AT_A_TIME, FRACTIONAL)
MAX_FRACTION = 64


def require_layout(name: object) -> str:
    """Return the name of a layout; refuse an unknown one."""
    if name in LAYOUTS:
        return str(name)
    near = nearest(str(name), LAYOUTS)
    raise UsageError(
        f"layout must be {', '.join(LAYOUTS)} (got {name!r})",
        hint=f'Write layout = "{near or FULL}".',
    )


def chosen(layout: str, fraction: int, settings: Sequence[dict[str, Any]]) -> list[int]:
    """Return the indices of the cells of a layout, out of the settings of the full grid.

    Args:
        layout: One of :data:`LAYOUTS`.
        fraction: How many times smaller a fractional layout is, about.
        settings: The varying settings of each cell of the full grid.
    """
    if layout == FULL or len(settings) == 1:
        return list(range(len(settings)))
    if layout == ONE_AT_A_TIME:
        base = settings[0]
        changes = [sum(each[key] != base[key] for key in base) for each in settings]
        return [index for index, count in enumerate(changes) if count <= 1]
    return _fractional(fraction, settings)


def _fractional(fraction: int, settings: Sequence[dict[str, Any]]) -> list[int]:
    factors = list(settings[0])
    levels: dict[str, list[Any]] = {}
    for name in factors:
        values: list[Any] = []
        values += [each[name] for each in settings if each[name] not in values]
        levels[name] = list(dict.fromkeys(values))
    counts = [len(levels[name]) for name in factors]
    if math.prod(counts) != len(settings) or len(counts) < 2:
        raise UsageError(
            "layout fractional needs a full grid of two or more factors",
            hint="Give lists of values in plan, workload and wire, not lists of tables; "
            'or write layout = "one-at-a-time".',
        )
    from pyDOE3 import gsd  # noqa: PLC0415 - it loads scipy, and few designs need it

    try:
        rows = gsd(counts, fraction)
    except ValueError as error:
        raise UsageError(
            f"fraction must leave cells of each factor (got {fraction}: {error})",
            hint="Write fraction = 2.",
        ) from error
    wanted = {tuple(int(value) for value in row) for row in rows}
    return [
        index
        for index, each in enumerate(settings)
        if tuple(levels[name].index(each[name]) for name in factors) in wanted
    ]
