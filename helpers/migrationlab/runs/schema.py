"""Hold the schema: every column that a run records, and every number computed from it.

``schema.toml`` is the table: name, type, unit, meaning, label, source. The frames' types, the keys
of the summary, the descriptions in exported tables, the words of figures and reports, and the
tables of ``data/README.md`` all follow from it.

A number's unit stands at the end of its name. Numbers are stored in one unit (bytes), and people
read some of them in another (MiB): ``UNITS`` has both.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib import resources
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

MIB = 1024 * 1024
#: The number of the definition of all numbers. Raise it when the meaning of a number changes, so
#: that stored summaries are computed again. ``tests/unit/runs/test_summary.py`` notices a change.
DEFINITION = 1
DOWNTIMES = ("requested", "reported", "event", "network")


@dataclass(frozen=True, slots=True)
class Unit:
    """The unit of a number.

    Attributes:
        suffix: The end of such a number's name.
        stored: The unit that the number is stored in.
        read: The unit that people read it in.
        divisor: The stored number divided by this is in the unit that people read.
    """

    suffix: str
    stored: str
    read: str
    divisor: int = 1


UNITS = (
    Unit("_bytes_per_s", "byte/s", "MiB/s", MIB),
    Unit("_bps", "byte/s", "MiB/s", MIB),
    Unit("_bytes", "byte", "MiB", MIB),
    Unit("_mib", "MiB (1,048,576 byte)", "MiB"),
    Unit("_mib_s", "MiB/s", "MiB/s"),
    Unit("_mbit_s", "Mbit/s", "Mbit/s"),
    Unit("_pages_s", "pages/s", "pages/s"),
    Unit("_s_per_gib", "s/GiB", "s/GiB"),
    Unit("_percent", "%", "%"),
    Unit("_ns", "ns", "ns"),
    Unit("_us", "µs", "µs"),
    Unit("_ms", "ms", "ms"),
    Unit("_s", "s", "s"),
)
_NO_UNIT = Unit("", "", "")


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a frame or table, or a number of the summary.

    Attributes:
        name: Its name.
        type: Its type in a frame, as pandas names it; empty where none is fixed.
        unit: The unit that it is stored in; empty where it has none.
        meaning: The meaning, in Markdown.
        label: The words for it in figures and reports.
        source: The source of the values; empty if it is the frame's source.
        fact: For a fact of ``run.json`` the object and the key, as "guest.memory_mib".
        added: Whether an older run may lack it.
    """

    name: str
    meaning: str
    type: str = ""
    unit: str = ""
    label: str = ""
    source: str = ""
    fact: str = ""
    added: bool = False


@dataclass(frozen=True, slots=True)
class Frame:
    """One of the frames of a run.

    Attributes:
        about: The meaning of a row.
        source: The source of the rows.
        columns: Its columns by name.
        added: Whether an older run may lack it.
    """

    about: str
    source: str
    columns: Mapping[str, Column]
    added: bool = False


def unit_of(name: str) -> Unit:
    """Return the unit that a name ends in.

    Args:
        name: The name of a column, of a setting, or of a number of a summary.
    """
    fitting = [unit for unit in UNITS if name.endswith(unit.suffix)]
    # "_mib_s" ends in "_s", too: the longest suffix counts.
    return max(fitting, key=lambda unit: len(unit.suffix), default=_NO_UNIT)


def label_of(name: str) -> str:
    """Return the label of a column in figures and reports, without its unit."""
    if name in METRICS:
        return METRICS[name].label
    return _label(name)


def frame(name: str, rows: Iterable[Mapping[str, object]]) -> pd.DataFrame:
    """Make one of a run's frames from rows.

    Args:
        name: A key of ``FRAMES``.
        rows: A mapping per row. A missing key is a missing value.

    Returns:
        The frame, with the columns and types of ``FRAMES``.
    """
    import pandas as pd  # noqa: PLC0415 (takes half a second or more to import; the schema itself needs none)

    given = list(rows)
    # Each column gets its type at once: a detour by floats would round large integers.
    return pd.DataFrame(
        {
            column: pd.Series([row.get(column) for row in given], dtype=kind)
            for column, kind in FRAMES[name].items()
        }
    )


def conform(name: str, given: pd.DataFrame) -> pd.DataFrame:
    """Return a copy of a frame with the columns and types of the run's frame ``name``.

    Raises:
        ValueError: A column is missing or unknown, or its values are not of its type.
    """
    import pandas as pd  # noqa: PLC0415 (as above)

    columns = FRAMES[name]
    # Most frames have the right types already, and a copy is faster than a conversion.
    types = [(column, str(kind)) for column, kind in given.dtypes.items()]
    if types == list(columns.items()) and given.index.equals(pd.RangeIndex(len(given))):
        return given.copy()
    if set(given.columns) != set(columns):
        differing = ", ".join(sorted(set(given.columns) ^ set(columns)))
        raise ValueError(f"columns of {name!r} missing or unknown: {differing}")
    return given[list(columns)].astype(dict(columns)).reset_index(drop=True).copy()


def _columns(table: Mapping[str, Mapping[str, Any]]) -> Mapping[str, Column]:
    return MappingProxyType(
        {
            name: Column(
                name, **{"unit": unit_of(name).stored, "label": _label(name)} | dict(about)
            )
            for name, about in table.items()
        }
    )


def _label(name: str) -> str:
    words = name.removesuffix(unit_of(name).suffix)
    kind = words.removeprefix("downtime_")
    return words.replace("_", " ") if kind == words else f"{kind} downtime"


def _types(columns: Mapping[str, Column]) -> Mapping[str, str]:
    return MappingProxyType({name: column.type for name, column in columns.items()})


_TABLE = tomllib.loads(resources.files(__package__).joinpath("schema.toml").read_text("utf-8"))

#: The frames of a run.
RECORDED: Mapping[str, Frame] = MappingProxyType(
    {
        name: Frame(**{**about, "columns": _columns(about["columns"])})
        for name, about in _TABLE["frames"].items()
    }
)
#: The numbers of a run's summary.
METRICS = _columns(_TABLE["summary"])
#: Further columns of a table of runs.
FACTS = _columns(_TABLE["facts"])
#: A run's place in its experiment.
PLACE = _columns(_TABLE["experiment"])
#: The columns of an experiment's summary, for each cell and metric.
ESTIMATES = _columns(_TABLE["estimates"])

#: For each frame the types of its columns. Int64 and Float64 can hold a missing value.
FRAMES: Mapping[str, Mapping[str, str]] = MappingProxyType(
    {name: _types(recorded.columns) for name, recorded in RECORDED.items()}
)
#: The types of the numbers of a summary.
SUMMARY = _types(METRICS)
