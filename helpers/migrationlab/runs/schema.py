"""The frames of a run: their columns and types, and how one is made.

``data/README.md`` says what each column means, and its unit. Imports no libvirt and touches no
file.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType

import pandas as pd

# Int64 and Float64 (pandas' own types) hold a missing value; int64 has none.
FRAMES: Mapping[str, Mapping[str, str]] = MappingProxyType(
    {
        "events": {
            "time_ns": "int64",
            "received_ns": "int64",
            "side": "str",
            "origin": "str",
            "name": "str",
            "detail": "str",
        },
        "job": {
            "time_ns": "int64",
            "iteration": "Int64",
            "time_elapsed_ms": "Int64",
            "expected_downtime_ms": "Int64",
            "data_total_bytes": "Int64",
            "data_processed_bytes": "Int64",
            "data_remaining_bytes": "Int64",
            "memory_total_bytes": "Int64",
            "memory_processed_bytes": "Int64",
            "memory_remaining_bytes": "Int64",
            "memory_bps": "Int64",
            "dirty_rate_pages_s": "Int64",
            "page_size_bytes": "Int64",
            "constant_pages": "Int64",
            "normal_pages": "Int64",
            "postcopy_requests": "Int64",
            "throttle_percent": "Int64",
            "compression_cache_bytes": "Int64",
            "compression_bytes": "Int64",
            "compression_pages": "Int64",
            "compression_cache_misses": "Int64",
            "compression_overflows": "Int64",
            "disk_total_bytes": "Int64",
            "disk_processed_bytes": "Int64",
            "disk_remaining_bytes": "Int64",
            "disk_bps": "Int64",
        },
        "beats": {
            "arrival_ns": "int64",
            "sequence": "int64",
            "guest_ns": "int64",
            "writes": "int64",
        },
        "echoes": {"sequence": "int64", "sent_ns": "int64", "arrival_ns": "Int64"},
        "wire_bytes": {
            "time_ns": "int64",
            "sent_bytes": "int64",
            "received_bytes": "int64",
            "cable_sent_bytes": "Int64",
            "cable_received_bytes": "Int64",
        },
        "connections": {
            "purpose": "str",
            "local_port": "int64",
            "remote_port": "int64",
            "opened_ns": "Int64",
            "closed_ns": "Int64",
            "sent_bytes": "int64",
            "received_bytes": "int64",
            "sent_segments": "int64",
            "received_segments": "int64",
            "retransmitted_bytes": "int64",
        },
        "processes": {
            "time_ns": "int64",
            "side": "str",
            "process": "str",
            "thread": "str",
            "cpu_ns": "int64",
            "memory_bytes": "Int64",
        },
    }
)


def frame(name: str, rows: Iterable[Mapping[str, object]]) -> pd.DataFrame:
    """Make one of a run's frames out of rows.

    Args:
        name: One of ``FRAMES``.
        rows: A mapping a row. A key left out is a missing value.

    Returns:
        The frame, with the columns and types that ``FRAMES`` gives it.
    """
    given = list(rows)
    # Column by column with its type: by way of floats great whole numbers would be rounded.
    return pd.DataFrame(
        {
            column: pd.Series([row.get(column) for row in given], dtype=kind)
            for column, kind in FRAMES[name].items()
        }
    )


def conform(name: str, given: pd.DataFrame) -> pd.DataFrame:
    """Give a copy of ``given`` with the columns and types of the run's frame ``name``.

    Raises:
        ValueError: A column is missing or unknown, or its values are not of its type.
    """
    columns = FRAMES[name]
    # A frame that comes from here already, as most do: to change its types anew takes longer.
    types = [(column, str(kind)) for column, kind in given.dtypes.items()]
    if types == list(columns.items()) and given.index.equals(pd.RangeIndex(len(given))):
        return given.copy()
    if set(given.columns) != set(columns):
        differing = ", ".join(sorted(set(given.columns) ^ set(columns)))
        raise ValueError(f"columns of {name!r} missing or unknown: {differing}")
    made = given[list(columns)].astype(dict(columns))
    return made.reset_index(drop=True).copy()
