"""``migrationlab demo``: six migrations in the first minute."""

from __future__ import annotations

from pathlib import Path

import click

from migrationlab.cli.display import StepDisplay
from migrationlab.cli.interrupts import interrupts
from migrationlab.cli.options import Format, answer, format_option, output_option
from migrationlab.cli.runs import table
from migrationlab.cli.terminal import echo


@click.command()
@output_option("The folder for runs, figures and report.", default="demo-output", file_okay=False)
@click.option("--repeats", default=3, show_default=True, help="Migrations in each mode.")
@click.option("--image", default="trixie", show_default=True, help="The hosts' Debian release.")
@format_option
@click.pass_context
def demo(
    context: click.Context, output: Path, repeats: int, image: str, output_format: Format
) -> None:
    """Migrate a real guest between two real hosts, in both modes, and show the measurements.

    Exit status 1 if a migration did not complete.
    """
    from migrationlab.cli.demo_steps import demo as run_demo

    with interrupts() as stop, StepDisplay() as display:
        try:
            result = run_demo(output, repeats=repeats, image=image, on_step=display, stop=stop)
        except KeyboardInterrupt:
            kept = output / "runs"
            if kept.is_dir():
                echo(f"interrupted; the finished runs are in {kept}", err=True)
            raise
    summaries = [run.summary() for run in result.runs]
    record = {
        "runs": summaries,
        "report": str(result.report),
        "runs_directory": str(result.runs_directory),
        "figures": [str(path) for path in result.figures],
    }
    figures = [f"figure   {path}" for path in result.figures]
    places = [f"runs     {result.runs_directory}", *figures, f"report   {result.report}"]
    answer(output_format, record, "\n".join([table(summaries), "", *places]))
    completed = all(summary["outcome"] == "completed" for summary in summaries)
    context.exit(0 if completed else 1)
