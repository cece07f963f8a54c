"""The reference's table of what compression saves."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

from migrationlab.course.compression import compression_table
from migrationlab.experiment import statistics
from migrationlab.experiment.results import Results

VALUES = {
    ("none", 0): [200.0, 201, 202, 203, 204, 205],
    ("zstd", 0): [50.0, 50, 50, 50, 50, 50],
    ("none", 1): [100.0, 100, 100],
    ("zstd", 1): [90.0, 90, 90],
}


def compare(a: dict[str, Any], b: str, metric: str) -> statistics.Comparison:
    """Compare the values of two cells, which are the same for each metric."""
    assert metric in {"transferred_bytes", "total_ms", "migration_cpu_s"}
    plan, share = b.split()
    return statistics.compare(VALUES[a["plan"], a["incompressible"]], VALUES[plan, int(share)])


def test_parts_are_medians_divided_by_those_without_compression() -> None:
    """Six runs of each have an interval, three have none, and n is told of both."""
    cells = [
        SimpleNamespace(name=f"{plan} {share}", setting={"plan": plan, "incompressible": share})
        for plan, share in VALUES
    ]
    table = compression_table(cast("Results", SimpleNamespace(cells=cells, compare=compare)))
    assert list(table.index) == [(0, "zstd"), (1, "zstd")]
    assert list(table["n"]) == [6, 3]
    part, low, _, high = table.loc[(0, "zstd"), "sent"].replace("(", "").replace(")", "").split()
    assert part == f"{50 / 202.5:.2f}"
    assert low <= part <= high
    assert set(table.loc[(1, "zstd"), ["sent", "time", "CPU"]]) == {"0.90"}
