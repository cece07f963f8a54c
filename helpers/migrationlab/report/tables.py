"""Make tables of runs and experiments for export, and a dictionary of their columns.

A table of runs has each run's summary and the facts in which runs can differ: the guest, the wire,
the plan, the software. The frames recorded during the run stay in the run's own folder.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING

import pandas as pd

from migrationlab.runs.run import Run, Runs
from migrationlab.runs.schema import ESTIMATES, FACTS, METRICS, PLACE, RECORDED, unit_of

if TYPE_CHECKING:
    from migrationlab.experiment.results import Results
    from migrationlab.experiment.warnings import ExperimentWarning

#: The settings of a guest.
GUEST_SETTINGS = (
    *("memory_mib", "working_set_mib", "fill_mib", "dirty_mib_s", "pattern", "phases"),
    *("incompressible", "content", "vcpus", "writers"),
    *("disk", "disk_mib", "disk_mib_s", "disk_cache", "disk_queue_size"),
    *("network_model", "cpu", "persistent"),
)
_MARKS = {
    "warm_up": "a warm-up, which does not count",
    "stopped": "stopped by the user and made again: it does not count",
}
#: The meanings of the columns, by name.
MEANINGS: Mapping[str, str] = MappingProxyType(
    {
        column.name: column.meaning.replace("`", "")
        for columns in (METRICS, FACTS, PLACE, ESTIMATES)
        for column in columns.values()
    }
)
_TYPES = {"int64": "integer", "float64": "number", "str": "text"}
#: The first characters of a cell that a spreadsheet takes for a formula; the last four are the wide
#: forms of the first four, which a Japanese one takes for the same.
FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")


def runs_table(recorded: Runs | Results) -> pd.DataFrame:
    """Return a row per run, oldest first: its summary, its facts, its place in an experiment.

    A table of an experiment has all its runs. It marks warm-ups and stopped runs.
    """
    known = recorded if isinstance(recorded, Runs) else recorded.runs
    table = known.frame() if isinstance(recorded, Runs) else recorded.frame(everything=True)
    facts = pd.DataFrame([_facts(run) for run in known], index=table.index)
    # A factor of the design can have the name of a fact.
    return table.join(facts[[name for name in facts if name not in table]])


def concerns(recorded: Runs | Results) -> tuple[ExperimentWarning, ...]:
    """Return the warnings about the figures of some runs, or of an experiment."""
    if isinstance(recorded, Runs):
        from migrationlab.experiment.warnings import find  # noqa: PLC0415 (scipy is slow to load)

        return find(recorded, recorded.frame())
    return recorded.warnings()


def dictionary(tables: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Return the meaning of each column of some tables, and of the runs' Parquet files.

    Args:
        tables: The tables by the names of their files.

    Returns:
        file, column, type, unit, meaning; a row per column.
    """
    rows = [
        (file, column, _kind(table[column]), unit_of(column).stored, meaning(column))
        for file, table in tables.items()
        for column in map(str, table.columns)
    ]
    rows += [
        (
            f"runs/*/{name}.parquet",
            column.name,
            _TYPES[column.type.lower()],
            column.unit,
            column.meaning.replace("`", ""),
        )
        for name, frame in RECORDED.items()
        for column in frame.columns.values()
    ]
    return pd.DataFrame(rows, columns=["file", "column", "type", "unit", "meaning"])


def to_csv(table: pd.DataFrame) -> str:
    """Return a table as CSV, in which no text is a formula for a spreadsheet.

    A text that begins with = + - @ (or with their wide forms, a tab or a line's end) gets an
    apostrophe before it (OWASP, "CSV injection"). Numbers stay as they are.
    """
    safe = table.rename(columns=_neutral)
    texts = safe.select_dtypes(exclude=["number", "bool", "boolean"]).columns
    return str(
        safe.assign(**{name: safe[name].map(_neutral) for name in texts}).to_csv(index=False)
    )


def _neutral(value: object) -> object:
    return f"'{value}" if isinstance(value, str) and value.startswith(FORMULA) else value


def meaning(column: str) -> str:
    """Return the meaning of a column."""
    # A column that is not in the schema is a factor of the experiment.
    return MEANINGS.get(column, "setting in which the cells of the experiment differ")


def settings_of_guest(run: Run) -> dict[str, object]:
    """Return the settings of a run's guest and its workload."""
    given = {name: run.guest.get(name) for name in GUEST_SETTINGS}
    if run.guest.get("disk") is None:
        # The settings of a disk mean nothing if there is none.
        given = {name: value for name, value in given.items() if not name.startswith("disk")}
    return given | {"accelerator": run.accelerator}


def mark(run: Run) -> str:
    """Return the reason why a run of an experiment does not count; empty if it counts."""
    place = run.experiment or {}
    return next((text for key, text in _MARKS.items() if place.get(key)), "")


def plan_text(run: Run) -> str:
    """Return the settings of a run's plan that are not the default, as JSON."""
    return json.dumps({"mode": str(run.plan.mode)} | run.plan.changed(), ensure_ascii=False)


def _facts(run: Run) -> dict[str, object]:
    known: dict[str, object] = {
        "plan_settings": plan_text(run),
        "error": None if run.error is None else f"{run.error.kind}: {run.error.text}",
        "warnings": "; ".join(run.warnings) or None,
    }
    guest = settings_of_guest(run)
    for name, column in FACTS.items():
        if name not in known:
            group, _, key = column.fact.rpartition(".")
            facts = guest if group == "guest" else getattr(run, group or name) or {}
            known[name] = facts.get(key) if group else facts
    return {name: known[name] for name in FACTS}


def _kind(column: pd.Series) -> str:
    """Return the name of a column's type for readers without pandas."""
    known = column.dropna().infer_objects()
    if not len(known):
        return ""
    return next(_kinds(known), "text")


def _kinds(known: pd.Series) -> Iterator[str]:
    if pd.api.types.is_bool_dtype(known):
        yield "boolean"
    if pd.api.types.is_integer_dtype(known):
        yield "integer"
    if pd.api.types.is_numeric_dtype(known):
        yield "number"
