"""Runs side by side, as tables; and what a list of runs calls each of them.

Pure: runs in, words and escaped HTML out. Imports neither IPython nor ipywidgets.
"""

from __future__ import annotations

import html
from collections.abc import Iterable, Mapping, Sequence

import pandas as pd

from migrationlab.plots.metrics import spoken
from migrationlab.plots.picture import OUTCOMES
from migrationlab.runs.run import Run

#: The numbers of a summary that are compared, in order.
NUMBERS = (
    "call_ms",
    "iterations",
    "transferred_bytes",
    "throughput_bytes_per_s",
    "downtime_requested_ms",
    "downtime_reported_ms",
    "downtime_event_ms",
    "downtime_network_ms",
    "workload_before_mib_s",
    "workload_sending_mib_s",
)
UNKNOWN = "–"


def label(number: int, run: Run) -> str:
    """Name a run in a list: its number, how it went, and what sets it apart."""
    parts = [f"{number}", str(run.plan.mode), OUTCOMES[run.outcome].lower()]
    if run.guest.get("dirty_mib_s") is not None:
        parts.append(f"{run.guest['dirty_mib_s']} MiB/s written")
    if run.wire is not None:
        parts.append(_wire(run))
    return " · ".join([*parts, f"{(run.returned_ns - run.called_ns) / 1e9:.1f} s"])


def numbers(runs: Mapping[int, Run]) -> str:
    """Give what was set and what was measured, a column a run.

    Args:
        runs: The runs, by their numbers in the list.
    """
    rows: list[tuple[str, list[str]]] = [
        ("mode", [str(run.plan.mode) for run in runs.values()]),
        ("outcome", [OUTCOMES[run.outcome].lower() for run in runs.values()]),
        ("way", [f"{run.source['name']} → {run.destination['name']}" for run in runs.values()]),
        ("guest", [_guest(run) for run in runs.values()]),
        ("wire", [UNKNOWN if run.wire is None else _wire(run) for run in runs.values()]),
    ]
    summaries = [run.summary() for run in runs.values()]
    for metric in NUMBERS:
        words, unit, divisor = spoken(metric)
        values = [_number(summary[metric], divisor, unit) for summary in summaries]
        if any(value != UNKNOWN for value in values):
            rows.append((words, values))
    whole = {True: "yes", False: "NO", None: UNKNOWN}
    rows.append(("memory intact", [whole[summary["guest_intact"]] for summary in summaries]))
    return table("What was set, and what was measured", [_heading(n) for n in runs], rows)


def downtimes(runs: Mapping[int, Run]) -> str:
    """Give each run's downtimes with how far off they may be, a column a run, and where from.

    Args:
        runs: The runs, by their numbers in the list.
    """
    tables = [run.timeline().downtimes.set_index("kind") for run in runs.values()]
    rows = [
        (
            f"{kind}: {_methods(tables, str(kind))}",
            [_downtime(each.loc[kind]) for each in tables],
        )
        for kind in tables[0].index
    ]
    return table("Downtimes, and how far off each may be", [_heading(n) for n in runs], rows)


def _methods(tables: Sequence[pd.DataFrame], kind: str) -> str:
    """Say how a downtime was measured: of runs that differ, each way once."""
    return " or ".join(dict.fromkeys(str(each.loc[kind, "method"]) for each in tables))


def _downtime(row: pd.Series) -> str:
    if pd.isna(row["downtime_ms"]):
        return f"{UNKNOWN} ({row['reason']})"
    value, low, high = row["downtime_ms"], row["low_ms"], row["high_ms"]
    if pd.isna(low) or pd.isna(high):
        return f"{value:.0f} ms ({row['reason']})"
    if low == high:
        return f"{value:.0f} ms"
    digits = 0 if high - low >= 2 else 3
    return f"{value:.{digits}f} ms ({low:.{digits}f} to {high:.{digits}f})"


def _number(value: float | None, divisor: int, unit: str) -> str:
    if value is None or pd.isna(value):
        return UNKNOWN
    if unit == "ms" and value >= 1000:
        return f"{value / 1000:.2f} s"
    return f"{value / divisor:.0f} {unit}".strip()


def _guest(run: Run) -> str:
    guest = run.guest
    if "working_set_mib" not in guest:
        return str(guest["name"])
    rate = guest["dirty_mib_s"]
    return f"{guest['memory_mib']} MiB, {guest['working_set_mib']} of them written at {rate} MiB/s"


def _wire(run: Run) -> str:
    assert run.wire is not None
    rate = run.wire["rate_mbit_s"]
    return "no limit" if rate is None else f"{rate:.0f} Mbit/s"


def _heading(number: int) -> str:
    return f"run {number}"


def table(caption: str, columns: Iterable[str], rows: Iterable[tuple[str, list[str]]]) -> str:
    """Give a table as HTML.

    Args:
        caption: What it says.
        columns: The columns' headings, without that of the rows' own.
        rows: Each row's heading, and its values.
    """
    head = "".join(f'<th scope="col">{html.escape(name)}</th>' for name in columns)
    body = "".join(
        f'<tr><th scope="row" style="text-align:left">{html.escape(name)}</th>'
        + "".join(f"<td>{html.escape(value)}</td>" for value in values)
        + "</tr>"
        for name, values in rows
    )
    # Jupyter's own class for tables.
    return (
        '<div class="jp-RenderedHTMLCommon" style="overflow-x:auto"><table>'
        f'<caption style="text-align:left;font-weight:bold">{html.escape(caption)}</caption>'
        f"<thead><tr><td></td>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )
