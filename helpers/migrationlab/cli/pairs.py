"""``migrationlab pairs``: what an inventory has, and whether its pairs disturb each other."""

from __future__ import annotations

from pathlib import Path

import click

from migrationlab.cli.display import StepDisplay
from migrationlab.cli.interrupts import interrupts
from migrationlab.cli.options import Format, PathType, answer, format_option, text_table


@click.command()
@click.argument("inventory", type=PathType(path_type=Path), metavar="INVENTORY.toml")
@click.option("--check", is_flag=True, help="Measure each pair alone, and all at once.")
@click.option(
    "--allow-programs",
    is_flag=True,
    help="Run the programs that the file names, as ?command= in a URI; the list has them.",
)
@click.option("--repeats", type=click.IntRange(4, 1000), default=6, show_default=True,
              help="The runs of each pair in each case of --check.")  # fmt: skip
@click.option("--scheduler", metavar="ADDRESS", help="Dask's scheduler. [default: on this machine]")
@format_option
@click.pass_context
def pairs(
    context: click.Context,
    inventory: Path,
    check: bool,
    allow_programs: bool,
    repeats: int,
    scheduler: str | None,
    output_format: Format,
) -> None:
    """List the pairs of hosts of INVENTORY.toml; with --check, compare them alone and together.

    Exit status 0; 1 if a pair is disturbed by the others; 2 if the inventory is wrong.
    """
    from migrationlab.experiment.inventory import read_inventory
    from migrationlab.experiment.pair_check import check_pairs
    from migrationlab.experiment.statistics import Verdict

    found = read_inventory(inventory)
    if not check:
        rows = [
            ["pair", "hosts"],
            *([each.name, " and ".join(each.hosts) or "a lab"] for each in found),
        ]
        programs = [program for each in found for program in each.programs]
        record = {
            "pairs": [{"name": each.name, **each.place} for each in found],
            "programs": programs,
        }
        answer(output_format, record, "\n".join([text_table(rows, left=2), *programs]))
        return
    with interrupts() as stop, StepDisplay() as display:
        checks = check_pairs(
            found,
            repeats=repeats,
            scheduler=scheduler,
            on_step=display,
            stop=stop,
            allow_programs=allow_programs,
        )
    answer(
        output_format,
        {"checks": [each.to_dict() for each in checks]},
        "\n".join(each.text for each in checks),
    )
    disturbed = any(each.comparison.verdict is Verdict.DIFFERENT for each in checks)
    context.exit(1 if disturbed else 0)
