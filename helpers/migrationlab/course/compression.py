"""Make the reference's table of what compression saves, from the experiment ``content``."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from migrationlab.experiment.results import Results

#: The table's columns and their metrics.
PARTS = {"sent": "transferred_bytes", "time": "total_ms", "CPU": "migration_cpu_s"}
#: The plan that the others are compared with.
WITHOUT = "none"


def compression_table(content: Results) -> pd.DataFrame:
    """Return what migrations with compression needed, as parts of those without.

    Args:
        content: An experiment whose factors are ``plan``, of which one is ``none``, and
            ``incompressible``.

    Returns:
        A row for each share of a page that does not compress, and each method: ``n`` (runs with
        that method), and for bytes, time and processor time a text: the median divided by the
        median without compression, and the 95 % interval of the difference, divided by the same.
    """
    table = pd.DataFrame(_rows(content)).sort_values("share", kind="stable")
    return table.set_index(["share", "method"])


def _rows(content: Results) -> Iterator[dict[str, object]]:
    for cell in content.cells:
        if (method := cell.setting["plan"]) == WITHOUT:
            continue
        share = cell.setting["incompressible"]
        row: dict[str, object] = {"share": share, "method": method}
        for name, metric in PARTS.items():
            found = content.compare({"plan": WITHOUT, "incompressible": share}, cell.name, metric)
            row["n"] = found.n_b
            row[name] = _part(found.percent, found.low_percent, found.high_percent)
        yield row


def _part(*percents: float | None) -> str:
    """Return a difference and its interval as parts; only n of six and more have an interval."""
    part, *ends = [f"{1 + percent / 100:.2f}" for percent in percents if percent is not None]
    return f"{part} ({' to '.join(ends)})" if ends else part
