"""``migrationlab runs``, ``report`` and ``export``: runs as a table, a page or an RO-Crate."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from migrationlab.cli.options import (
    Columns,
    Format,
    Row,
    answer,
    columns_table,
    directory_argument,
    format_option,
    output_option,
    to_json,
)
from migrationlab.cli.terminal import echo

if TYPE_CHECKING:
    from migrationlab.experiment.results import Results
    from migrationlab.runs.run import Runs

UNKNOWN = "-"
#: The exit status when an unreadable run was left out.
LEFT_OUT = 3
MIB = 1024 * 1024


@click.command()
@directory_argument
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

    found = read(directory)
    summaries = [run.summary() for run in (found if isinstance(found, Runs) else found.runs)]
    if output_format == "csv":
        from migrationlab.report.tables import runs_table, to_csv

        echo(to_csv(runs_table(found)), nl=False)
    elif output_format == "json":
        echo(to_json({"runs": summaries}))
    elif summaries:
        echo(table(summaries))
    else:
        echo(f"No runs in {directory}.")
    _end(found)


@click.command()
@directory_argument
@output_option(
    "The file to write: .html, or .pdf if a browser such as Chromium is installed.",
    default="report.html",
    dir_okay=False,
)
@format_option
def report(directory: Path, output: Path, output_format: Format) -> None:
    """Write one self-contained report of runs or of an experiment."""
    from migrationlab.report import write

    found = read(directory)
    written = str(write(found, output))
    answer(output_format, {"report": written}, written)
    _end(found)


@click.command()
@directory_argument
@output_option(
    "A new folder, or a file whose name ends in .zip; .prom for Prometheus's text.", required=True
)
@click.option("--license", "licence", metavar="URL", help="The licence of the data.")
@click.option("--author", metavar="NAME", help="Who made the measurements.")
@format_option
def export(
    directory: Path, output: Path, licence: str | None, author: str | None, output_format: Format
) -> None:
    """Write the runs of a folder, or an experiment, as an RO-Crate with CSV tables.

    A file whose name ends in .prom gets the numbers of all runs as Prometheus's text.
    """
    from migrationlab.report import ro_crate

    found = read(directory)
    if output.suffix == ".prom":
        from migrationlab.report.metrics_text import prometheus
        from migrationlab.runs.run import Runs
        from migrationlab.runs.store import write_file

        runs = found if isinstance(found, Runs) else found.runs
        written = str(write_file(output, prometheus(runs).encode()))
        answer(output_format, {"prometheus": written}, written)
        _end(found)
    written = str(ro_crate.export(found, output, license=licence, author=author))
    answer(output_format, {"crate": written}, written)
    _end(found)


def read(folder: Path) -> Results | Runs:
    """Return the experiment of a folder, or else the runs in it.

    An unreadable run is named on standard error and left out. The command then ends with the exit
    status 3.

    Raises:
        StoreError: The folder has neither, or it cannot be read.
    """
    # pandas takes half a second to load: not for --help.
    from migrationlab.experiment.folder import MANIFEST, is_experiment
    from migrationlab.runs.store import load_runs

    place = folder.parent if folder.name == MANIFEST else folder
    found: Results | Runs
    if is_experiment(place):
        # scipy takes longer than to read many runs.
        from migrationlab.experiment.experiment import Experiment

        found = Experiment.load(place, strict=False)
    else:
        found = load_runs(folder, strict=False)
    for reason in _unreadable(found).values():
        echo(f"migrationlab: left out: {reason}", err=True)
    return found


def _unreadable(found: Results | Runs) -> Mapping[str, str]:
    from migrationlab.runs.run import Runs

    return (found if isinstance(found, Runs) else found.runs).unreadable


def _end(found: Results | Runs) -> None:
    """End the command: something was left out, or nothing."""
    click.get_current_context().exit(LEFT_OUT if _unreadable(found) else 0)


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
