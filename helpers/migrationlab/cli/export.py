"""``migrationlab export``: publish stored runs or an experiment as an RO-Crate."""

from __future__ import annotations

from pathlib import Path

import click

from migrationlab.cli import recorded
from migrationlab.cli.options import Format, answer, format_option


@click.command()
@click.argument("folder", type=click.Path(path_type=Path), metavar="RUNS_DIR|EXPERIMENT_DIR")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    required=True,
    help="A new folder, or a file whose name ends in .zip.",
)
@click.option("--license", "licence", metavar="URL", help="The licence of the data.")
@click.option("--author", metavar="NAME", help="Who made the measurements.")
@format_option
def export(
    folder: Path, output: Path, licence: str | None, author: str | None, output_format: Format
) -> None:
    """Write the runs of a folder, or an experiment, as an RO-Crate with CSV tables."""
    from migrationlab.report import ro_crate

    written = str(ro_crate.export(recorded.read(folder), output, license=licence, author=author))
    answer(output_format, {"crate": written}, written)
