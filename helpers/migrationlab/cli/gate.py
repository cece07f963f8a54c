"""``migrationlab gate``: judge an experiment against a baseline, with an exit status for CI."""

from __future__ import annotations

from pathlib import Path

import click

from migrationlab.cli.options import (
    Format,
    PathType,
    answer,
    format_option,
    output_option,
    text_table,
)

#: The exit status by the verdict.
STATUS = {"holds": 0, "exceeded": 1, "unclear": 4}


@click.command()
@click.argument("path", type=PathType(path_type=Path), metavar="EXPERIMENT_DIR")
@click.option(
    "--baseline", type=PathType(path_type=Path), required=True, metavar="EXPERIMENT_DIR",
    help="The experiment that it is compared with.",
)  # fmt: skip
@click.option(
    "--max", "limits", multiple=True, required=True, metavar="LIMIT",
    help='A limit, as "downtime_event_ms p95 +10%"; may be given more than once.',
)  # fmt: skip
@click.option("--mixed", is_flag=True, help="Analyse runs of different environments together.")
@click.option(
    "--history", type=PathType(path_type=Path), multiple=True, metavar="EXPERIMENT_DIR",
    help="An older experiment for the figure of -o; may be given more than once.",
)  # fmt: skip
@output_option("Draw the first limit's metric over all these experiments.", dir_okay=False)
@format_option
@click.pass_context
def gate(
    context: click.Context,
    path: Path,
    baseline: Path,
    limits: tuple[str, ...],
    mixed: bool,
    history: tuple[Path, ...],
    output: Path | None,
    output_format: Format,
) -> None:
    """Judge whether an experiment is worse than a baseline.

    A limit is METRIC STATISTIC LIMIT: the statistic is median or p1 to p99; the limit is +10% (of
    the baseline), +20 (more than the baseline, in the metric's unit) or 300 (the value itself).
    It holds if the whole interval is below it, and is exceeded if the whole interval is above it.

    Exit status 0 if all limits hold, 1 if one is exceeded, 4 if n is too small to tell; 2 if the
    call is wrong.
    """
    from migrationlab.experiment.experiment import Experiment
    from migrationlab.experiment.gate import judge, read_limit

    now, before = Experiment.load(path), Experiment.load(baseline)
    found = judge(now, before, limits, mixed=mixed)
    if output is not None:
        from migrationlab.plots.history import history as drawn

        limit = read_limit(limits[0])
        every = [*map(Experiment.load, history), before, now]
        drawn(every, limit.metric, percent=limit.percent, mixed=mixed).save(output)
    record = {
        "verdict": found.verdict.value,
        "experiment": now.id,
        "baseline": before.id,
        "judgements": [each.to_dict() for each in found.judgements],
    }
    rows = [["verdict", "cell", "limit", "n", "baseline n", "why"]]
    rows += [
        [each.verdict.value, each.cell, each.limit, str(each.n), str(each.n_baseline), each.why]
        for each in found.judgements
    ]
    answer(output_format, record, f"{text_table(rows, left=3)}\n\n{found.verdict.value}")
    context.exit(STATUS[found.verdict.value])
