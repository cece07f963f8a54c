"""``migrationlab experiment``: run the design of a file, stop, and continue later.

Owns the command's options and its output. ``migrationlab.experiment`` does the work.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from migrationlab.cli import say_error
from migrationlab.cli.arena import arena_lines, arena_record
from migrationlab.cli.display import StepDisplay
from migrationlab.cli.interrupts import interrupts
from migrationlab.cli.options import (
    Format,
    PathType,
    answer,
    format_option,
    output_option,
    text_table,
)
from migrationlab.cli.terminal import echo
from migrationlab.errors import UsageError

if TYPE_CHECKING:
    import pandas as pd

    from migrationlab.experiment.experiment import Experiment

UNKNOWN = "-"
#: Number of comparisons in the text; the JSON has all.
MOST_COMPARISONS = 12


def complete_metrics(context: click.Context, parameter: click.Parameter, begun: str) -> list[str]:
    """Return the metrics that start with the typed text, for tab completion."""
    from migrationlab.experiment.results import metrics

    return [name for name in metrics() if name.startswith(begun)]


@click.command()
@click.argument("path", type=PathType(path_type=Path), metavar="FILE.toml|DIR")
@output_option("The experiment's folder. [default: FILE without .toml]", file_okay=False)
@click.option(
    "--dry-run", is_flag=True, help="Print the schedule and the estimated time, and do nothing."
)
@click.option(
    "--allow-programs",
    is_flag=True,
    help="Run the programs that the file names, as ?command= in a URI; --dry-run lists them.",
)
@click.option(
    "--metric",
    default="downtime_event_ms",
    show_default=True,
    shell_complete=complete_metrics,
    help="The metric to compare: a column of the runs' summary.",
)
@click.option(
    "--pairs",
    type=PathType(path_type=Path),
    metavar="INVENTORY.toml",
    help="Share the blocks between the pairs of hosts of this file, with Dask.",
)
@click.option("--scheduler", metavar="ADDRESS", help="Dask's scheduler. [default: on this machine]")
@click.option(
    "--forecast", is_flag=True, help="Before the first run, store a forecast of each setting."
)
@click.option(
    "--constants",
    "constants_file",
    metavar="FILE",
    type=PathType(path_type=Path),
    help="With --forecast: the hosts' constants, from `migrationlab calibrate`.",
)
@click.option("--mixed", is_flag=True, help="Analyse runs of different environments together.")
@format_option
@click.pass_context
def experiment(
    context: click.Context,
    path: Path,
    output: Path | None,
    dry_run: bool,
    allow_programs: bool,
    metric: str,
    pairs: Path | None,
    scheduler: str | None,
    forecast: bool,
    constants_file: Path | None,
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

    Exit status 0 if all runs are measured, also failed ones; 1 if the lab or a host broke, or
    the runs' environments differ; 2 if the design is wrong; 130 if Ctrl-C stopped it.
    """  # noqa: D301 (the backspace is click's mark for lines that are not wrapped)
    from migrationlab.experiment.experiment import Experiment

    if scheduler is not None and pairs is None:
        raise UsageError(
            "--scheduler needs --pairs: without pairs nothing is scheduled",
            hint="Give --pairs INVENTORY.toml.",
        )
    if constants_file is not None and not forecast:
        raise UsageError(
            "--constants needs --forecast: without forecasts no constants are used",
            hint="Add --forecast, or leave out --constants.",
        )
    try:
        known = Experiment.load(path, directory=output)
        known.require_metric(metric)
        if forecast and not dry_run:
            _store_forecasts(known, constants_file)
    except UsageError as error:
        say_error(error, in_file=True)
        context.exit(2)
    if not dry_run:
        # After a Ctrl-C the finished runs are shown.
        with suppress(KeyboardInterrupt), interrupts() as stop, StepDisplay() as display:
            known.run(
                on_step=display,
                stop=stop,
                allow_programs=allow_programs,
                pairs=pairs,
                scheduler=scheduler,
            )
    record = _design(known) if dry_run else results(known, metric, mixed=mixed)
    lines = _design_lines(known) if dry_run else result_lines(record)
    text = "\n".join([known.question, "", *lines, f"folder   {known.directory}"])
    answer(output_format, record, text)
    refused = record.get("refused")
    if refused is not None:
        say_error(UsageError(refused["text"], hint=refused["hint"]))
    if not dry_run and not known.finished:
        echo(f"stopped; `migrationlab experiment {known.directory}` continues", err=True)
        context.exit(130)
    if refused is not None:
        context.exit(1)


def _store_forecasts(known: Experiment, constants_file: Path | None) -> None:
    """Store forecasts, unless the experiment has them and is continued."""
    from dataclasses import asdict

    from migrationlab.cli.forecast import constants_of
    from migrationlab.experiment.forecasts import has_forecasts, read_forecasts, store_forecasts

    constants = constants_of(constants_file)
    if not has_forecasts(known.directory):
        store_forecasts(known, constants=constants)
    elif constants and asdict(constants) != read_forecasts(known.directory).constants:
        raise UsageError(
            f"--constants must be those of {known.directory / 'forecasts.json'} "
            f"(got {constants_file}, which has others)",
            hint="Leave out --constants to continue, or choose another directory (-o).",
        )


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
    return _facts(known) | {"schedule": schedule, "programs": list(known.design.programs)}


def results(known: Experiment, metric: str, *, mixed: bool) -> dict[str, Any]:
    """Return the results of an experiment as plain values."""
    record = _facts(known) | {
        "outcomes": _records(known.outcomes()),
        "concerns": [concern.to_dict() for concern in known.warnings()],
        "forecasts": _scores(known),
    }
    try:
        comparisons = known.comparisons(metric, mixed=mixed)
        summary = known.summary(mixed=mixed)
        policies = arena_record(known, mixed=mixed)
    except UsageError as error:
        # The environments differ. The outcomes are shown anyway.
        refused = {"text": str(error), "hint": error.hint}
        return record | {"summary": [], "comparisons": [], "arena": None, "refused": refused}
    return record | {
        "summary": _records(summary),
        "comparisons": [each.to_dict() for each in comparisons],
        "arena": policies,
        "refused": None,
    }


def _scores(known: Experiment) -> dict[str, Any] | None:
    """Return how good the stored forecasts are; None if there are none."""
    from migrationlab.experiment.forecasts import has_forecasts, held_forecasts
    from migrationlab.forecast.scores import score

    if not has_forecasts(known.directory):
        return None
    held = held_forecasts(known)
    return score(held).to_dict() if len(held) else None


def _score_lines(found: dict[str, Any] | None) -> list[str]:
    if found is None:
        return []
    ends = f"{found['ends_right']} of {found['runs']} ended as forecast"
    lines = [f"forecast {ends}, Brier score {found['brier']:.3f}"]
    if found["time_percent"] is not None:
        lines.append(
            f"         total time off by {found['time_percent'][0]:.1f} % (median), downtime by "
            f"{found['downtime_ms'][0]:.0f} ms; {found['time_covered']:.0%} and "
            f"{found['downtime_covered']:.0%} within their intervals"
        )
    return [*lines, ""]


def _records(table: pd.DataFrame) -> list[dict[str, Any]]:
    plain = table.astype(object)
    records: list[dict[str, Any]] = plain.where(plain.notna(), None).to_dict(orient="records")
    return records


def _design_lines(known: Experiment) -> list[str]:
    from migrationlab.runs.numbers import lasting

    repeats, warm_ups, left = known.design.repeats, known.design.warm_ups, len(known.left)
    return [
        *(f"  {cell.name}" for cell in known.cells),
        "",
        f"runs     {len(known.planned)}: {repeats} of each cell, after {warm_ups} warm-ups",
        *(f"program  {program}" for program in known.design.programs),
        *([f"left     {left}"] if left < len(known.planned) else []),
        f"takes    about {lasting(known.estimate_s)}, {1 + (known.room_bytes >> 20)} MiB of disk",
    ]


def result_lines(record: dict[str, Any]) -> list[str]:
    """Return these results as lines of text."""
    compared = [comparison["text"] for comparison in record["comparisons"]]
    if more := len(compared[MOST_COMPARISONS:]):
        compared[MOST_COMPARISONS:] = [f"… and {more} more comparisons, with --format json."]
    warnings = [f"warning  {concern['text']} {concern['advice']}" for concern in record["concerns"]]
    scores = _score_lines(record.get("forecasts"))
    policies = arena_lines(record["arena"]) if record["arena"] else []
    return [_table(record), *policies, "", *compared, "", *scores, *warnings]


def _table(record: dict[str, Any]) -> str:
    """Return medians and their intervals, a line a cell."""
    from migrationlab.experiment.results import MAIN_METRICS

    found = {(row["cell"], row["metric"]): row for row in record["summary"]}
    metrics = [name for name in MAIN_METRICS if any(key[1] == name for key in found)]
    rows = [["setting", "completed", *metrics]]
    for ends in record["outcomes"]:
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
