"""Say in a command's answer how policies compare: as plain values, and as lines of text."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from migrationlab.cli.options import text_table

if TYPE_CHECKING:
    import pandas as pd

    from migrationlab.experiment.results import Results


def arena_record(known: Results, *, mixed: bool) -> dict[str, Any] | None:
    """Return the arena of an experiment as plain values; None if it compares no named policies.

    A median or regret of None belongs to a policy that completed at most half of its migrations.
    """
    from migrationlab.experiment.contest import arena, is_arena

    if not is_arena(known) or not known.measured:
        return None
    found = arena(known, mixed=mixed)
    return {
        "blocks": found.blocks,
        "completed": _records(found.completed),
        "standings": _records(found.standings),
        "worst": _records(found.worst),
        "duels": _records(found.duels),
    }


def arena_lines(record: dict[str, Any]) -> list[str]:
    """Return the arena as a table of text: each policy's total time, downtime and lost work."""
    from migrationlab.plots.arena import COLUMNS

    names = [name for name in COLUMNS if record["standings"]]
    heads = [f"{COLUMNS[name][0]} (regret)" for name in names]
    rows = [["guest", "policy", "completed", *heads]]
    found = {
        (each["metric"], each["scene"], each["contestant"]): each for each in record["standings"]
    }
    for ends in record["completed"]:
        place = ends["scene"], ends["contestant"]
        said = [_said(name, found[name, *place]) for name in names]
        rows.append([*place, f"{ends['completed']} of {ends['made']}", *said])
    words = "regret: the median less the lowest one on that guest, which is the best in hindsight"
    return ["", text_table(rows, left=2), words]


def _said(metric: str, row: dict[str, Any]) -> str:
    from migrationlab.runs.numbers import UNKNOWN, amount

    if row["median"] is None:
        return UNKNOWN
    regret = "best" if row["regret"] == 0 else f"+{amount(metric, row['regret'])}"
    return f"{amount(metric, row['median'])} ({regret})"


def _records(table: pd.DataFrame) -> list[dict[str, Any]]:
    plain = table.astype(object)
    records: list[dict[str, Any]] = plain.where(plain.notna(), None).to_dict(orient="records")
    return [{name: _finite(value) for name, value in row.items()} for row in records]


def _finite(value: object) -> object:
    return None if isinstance(value, float) and math.isinf(value) else value
