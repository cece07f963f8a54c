"""``migrationlab experiment``: run the design of a file, stop, and continue later.

Owns the command's options and its output. ``migrationlab.experiment`` does the work.
"""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from migrationlab.cli import say_error
from migrationlab.cli.display import StepDisplay
from migrationlab.cli.interrupts import interrupts
from migrationlab.cli.options import Format, format_option, text_table
from migrationlab.errors import UsageError

if TYPE_CHECKING:
    import pandas as pd

    from migrationlab.experiment.experiment import Experiment

UNKNOWN = "-"
#: Number of comparisons in the text; the JSON has all.
MOST_COMPARISONS = 12


def complete_metrics(context: click.Context, parameter: click.Parameter, begun: str) -> list[str]:
    """Return the metrics that start with what was typed, for tab completion."""
    from migrationlab.experiment.results import metrics

    return [name for name in metrics() if name.startswith(begun)]


@click.command()
@click.argument("path", type=click.Path(path_type=Path), metavar="FILE.toml|DIR")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, file_okay=False),
    help="The experiment's folder. [default: FILE without .toml]",
)
@click.option(
    "--dry-run", is_flag=True, help="Print the schedule and the estimated time, and do nothing."
)
@click.option(
    "--metric",
    default="downtime_event_ms",
    show_default=True,
    shell_complete=complete_metrics,
    help="The metric to compare: a column of the runs' summary.",
)
@click.option("--mixed", is_flag=True, help="Pool runs of different machines or software.")
@format_option
@click.pass_context
def experiment(
    context: click.Context,
    path: Path,
    output: Path | None,
    dry_run: bool,
    metric: str,
    mixed: bool,
    output_format: Format,
) -> None:
    """Run the experiment of FILE.toml, or continue the one in a folder.

    A list in the file is a factor: its values are compared.

    \b
        question = "Does peer2peer take longer?"
        repeats = 10
        [plan]
        mode = ["normal", "peer2peer"]
        [workload]
        dirty_mib_s = [10, 40]
        [wire]
        wire_mbit_s = 1000

    Each run is stored when it is over. Ctrl-C cancels the running migration; the same command
    continues later, also after a crash. Raise repeats in the file for more runs.

    Exit status 0 if all was measured, whatever the outcomes; 1 if the lab or a host broke, or
    the runs' environments differ; 2 if the design is wrong; 130 if Ctrl-C stopped it.
    """  # noqa: D301 (the backspace is click's mark for lines that are not wrapped)
    from migrationlab.experiment.experiment import Experiment

    try:
        known = Experiment.load(path, directory=output)
        known.require_metric(metric)
    except UsageError as error:
        say_error(error, in_file=True)
        context.exit(2)
    if not dry_run:
        # After a Ctrl-C the finished runs are shown.
        with suppress(KeyboardInterrupt), interrupts() as stop, StepDisplay() as display:
            known.run(on_step=display, stop=stop)
    answer = _design(known) if dry_run else _results(known, metric, mixed=mixed)
    if output_format == "json":
        click.echo(json.dumps(answer))
    elif dry_run:
        _print_design(known)
    else:
        _print_results(known, answer)
    refused = answer.get("refused")
    if refused is not None:
        say_error(UsageError(refused["text"], hint=refused["hint"]))
    if not dry_run and not known.finished:
        click.echo(f"stopped; `migrationlab experiment {known.directory}` continues", err=True)
        context.exit(130)
    if refused is not None:
        context.exit(1)


def _facts(known: Experiment) -> dict[str, Any]:
    return {
        "experiment": known.id,
        "name": known.name,
        "question": known.question,
        "directory": str(known.directory),
        "trials": len(known.planned),
        "left": len(known.left),
        "cut_short": known.cut_short,
        "estimate_s": round(known.estimate_s),
        "room_bytes": known.room_bytes,
        "cells": [{"name": cell.name, "setting": dict(cell.setting)} for cell in known.cells],
    }


def _design(known: Experiment) -> dict[str, Any]:
    schedule = [
        {"trial": planned.number, "block": planned.block, "cell": planned.cell}
        for planned in known.planned
    ]
    return _facts(known) | {"schedule": schedule}


def _results(known: Experiment, metric: str, *, mixed: bool) -> dict[str, Any]:
    answer = _facts(known) | {
        "outcomes": _records(known.outcomes()),
        "concerns": [concern.to_dict() for concern in known.warnings()],
    }
    try:
        comparisons = known.comparisons(metric, mixed=mixed)
        summary = known.summary(mixed=mixed)
    except UsageError as error:
        # The environments differ. The outcomes are shown anyway.
        refused = {"text": str(error), "hint": error.hint}
        return answer | {"summary": [], "comparisons": [], "refused": refused}
    return answer | {
        "summary": _records(summary),
        "comparisons": [each.to_dict() for each in comparisons],
        "refused": None,
    }


def _records(table: pd.DataFrame) -> list[dict[str, Any]]:
    plain = table.astype(object)
    records: list[dict[str, Any]] = plain.where(plain.notna(), None).to_dict(orient="records")
    return records


def _print_design(known: Experiment) -> None:
    from migrationlab.runs.numbers import lasting

    click.echo(known.question)
    click.echo()
    for cell in known.cells:
        click.echo(f"  {cell.name}")
    click.echo()
    repeats, warm_ups = known.design.repeats, known.design.warm_ups
    click.echo(f"runs     {len(known.planned)}: {repeats} of each cell, after {warm_ups} warm-ups")
    if len(known.left) < len(known.planned):
        click.echo(f"left     {len(known.left)}")
    click.echo(
        f"takes    about {lasting(known.estimate_s)}, {1 + (known.room_bytes >> 20)} MiB of disk"
    )
    click.echo(f"folder   {known.directory}")


def _print_results(known: Experiment, answer: dict[str, Any]) -> None:
    click.echo(known.question)
    click.echo()
    click.echo(_table(known, answer))
    click.echo()
    for comparison in answer["comparisons"][:MOST_COMPARISONS]:
        click.echo(comparison["text"])
    if len(answer["comparisons"]) > MOST_COMPARISONS:
        more = len(answer["comparisons"]) - MOST_COMPARISONS
        click.echo(f"… and {more} more comparisons, with --format json.")
    click.echo()
    for concern in answer["concerns"]:
        click.echo(f"warning  {concern['text']} {concern['advice']}")
    click.echo(f"folder   {known.directory}")


def _table(known: Experiment, answer: dict[str, Any]) -> str:
    """Return medians and their intervals, a line a cell."""
    from migrationlab.experiment.results import MAIN_METRICS

    found = {(row["cell"], row["metric"]): row for row in answer["summary"]}
    metrics = [name for name in MAIN_METRICS if any(key[1] == name for key in found)]
    rows = [["setting", "completed", *metrics]]
    for ends in answer["outcomes"]:
        cells = [_interval(found[ends["cell"], metric]) for metric in metrics]
        rows.append([ends["cell"], f"{ends['completed']} of {ends['made']}", *cells])
    return text_table(rows, left=1)


def _interval(row: dict[str, Any]) -> str:
    from migrationlab.runs.numbers import amount

    if row["median"] is None:
        return UNKNOWN
    median = amount(row["metric"], row["median"])
    if row["low"] is None:
        return median
    ends = [amount(row["metric"], row[end]).split(" ")[0] for end in ("low", "high")]
    return f"{median} ({ends[0]} to {ends[1]})"
