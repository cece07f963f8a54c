"""``migrationlab matrix``: try which host can migrate a guest to which."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from migrationlab.cli.display import StepDisplay
from migrationlab.cli.options import (
    Columns,
    Format,
    Row,
    answer,
    columns_table,
    format_option,
    output_option,
)

if TYPE_CHECKING:
    from migrationlab.runs.release_matrix import ReleaseMatrix


@click.command()
@click.option(
    "--images", default="bookworm,trixie,trixie-backports,forky", show_default=True,
    help="The images, separated by commas; each is also tried with itself.",
)  # fmt: skip
@output_option(
    "The matrix's folder; a second call continues it.", default="matrix", file_okay=False
)
@click.option(
    "--repeats", type=click.IntRange(min=1), default=3, show_default=True,
    help="How often each cell is tried.",
)  # fmt: skip
@click.option("--machine", help="QEMU's machine type.  [default: the newest that both hosts have]")
@click.option("--show", is_flag=True, help="Only show what the folder has.")
@format_option
def matrix(
    images: str,
    output: Path,
    repeats: int,
    machine: str | None,
    show: bool,
    output_format: Format,
) -> None:
    """Try migrations between hosts of different releases, in both directions and modes.

    Each is tried with a guest booted on either host. The folder gets a line for each migration
    (matrix.jsonl) and a figure (matrix.png). Ctrl-C stops; the same command continues.
    """
    from migrationlab.runs.release_matrix import load_matrix

    if show:
        found = load_matrix(output / "matrix.jsonl")
    else:
        from migrationlab.experiment.release_matrix import run_matrix

        names = [name.strip() for name in images.split(",")]
        with StepDisplay() as display:
            found = run_matrix(names, output, repeats=repeats, machine=machine, on_step=display)
    if found.tries:
        from migrationlab.plots.release_matrix import release_matrix

        release_matrix(found).save(output / "matrix.png")
    answer(output_format, {"cells": [cell.to_dict() for cell in found.cells()]}, _text(found))


def _text(found: ReleaseMatrix) -> str:
    rows = [cell.to_dict() for cell in found.cells()]
    return columns_table(_COLUMNS, rows, left=7) if rows else "nothing was tried yet"


def _causes(row: Row) -> str:
    return ", ".join(row["explanations"]) or "-"


_COLUMNS: Columns = {
    "from": "{source}",
    "to": "{destination}",
    "booted on": "{booted_on}",
    "mode": "{mode}",
    "network": "{network_model}",
    "disk": "{disk}",
    "result": "{result}",
    "worked": "{worked}/{tries}",
    "down ms": lambda row: "-" if row["downtime_ms"] is None else f"{row['downtime_ms']:.0f}",
    "total ms": lambda row: "-" if row["total_ms"] is None else f"{row['total_ms']:.0f}",
    "cause": _causes,
    "machine": "{machine}",
}
