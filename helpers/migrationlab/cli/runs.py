"""``migrationlab runs`` and ``migrationlab report``: stored runs as a table or as a page."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Literal

import click

from migrationlab.cli import recorded
from migrationlab.cli.options import Columns, Format, Row, answer, columns_table, format_option

UNKNOWN = "-"
MIB = 1024 * 1024


@click.command()
@click.argument("directory", type=click.Path(path_type=Path), metavar="RUNS_DIR|EXPERIMENT_DIR")
@click.option(
    "--format",
    "output_format",
    type=click.Choice(["text", "json", "csv"]),
    default="text",
    show_default=True,
    help="Text, one JSON object, or CSV with one row a run and all its columns.",
)
def runs(directory: Path, output_format: Literal["text", "json", "csv"]) -> None:
    """List the runs of a directory or of an experiment, oldest first."""
    from migrationlab.runs.run import Runs

    found = recorded.read(directory, strict=False)
    if output_format == "csv":
        from migrationlab.report.tables import runs_table

        click.echo(runs_table(found).to_csv(index=False), nl=False)
        return
    summaries = [run.summary() for run in (found if isinstance(found, Runs) else found.runs)]
    if output_format == "json":
        click.echo(json.dumps({"runs": summaries}))
    elif summaries:
        click.echo(table(summaries))
    else:
        click.echo(f"No runs in {directory}.")


@click.command()
@click.argument("directory", type=click.Path(path_type=Path), metavar="RUNS_DIR|EXPERIMENT_DIR")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    default=Path("report.html"),
    show_default=True,
    help="The file to write: .html, or .pdf if a browser such as Chromium is installed.",
)
@format_option
def report(directory: Path, output: Path, output_format: Format) -> None:
    """Write one self-contained report of runs or of an experiment."""
    from migrationlab.report import write

    written = str(write(recorded.read(directory, strict=False), output))
    answer(output_format, {"report": written}, written)


def table(summaries: Iterable[Mapping[str, object]]) -> str:
    """Return summaries of runs, at least one, as a text table: a header and one line a run."""
    return columns_table(_COLUMNS, summaries, left=4)


def _number(value: object) -> str:
    return f"{value:.0f}" if isinstance(value, (int, float)) else UNKNOWN


def _number_of(column: str) -> Callable[[Row], str]:
    return lambda summary: _number(summary[column])


def _rate(summary: Row) -> str:
    rate = summary["throughput_bytes_per_s"]
    return _number(rate / MIB if isinstance(rate, int) else None)


_COLUMNS: Columns = {
    "run": "{run_id}",
    "mode": "{mode}",
    "outcome": "{outcome}",
    "from → to": "{source} → {destination}",
    "total ms": _number_of("total_ms"),
    "down ms: requested": _number_of("downtime_requested_ms"),
    "reported": _number_of("downtime_reported_ms"),
    "event": _number_of("downtime_event_ms"),
    "network": _number_of("downtime_network_ms"),
    "MiB/s": _rate,
    "iterations": _number_of("iterations"),
    "intact": lambda summary: {True: "yes", False: "NO"}.get(summary["guest_intact"], UNKNOWN),
}
