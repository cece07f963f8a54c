"""``migrationlab calibrate``: fit the model's constants to one's own hosts."""

from __future__ import annotations

from pathlib import Path

import click

from migrationlab.cli.options import (
    Format,
    answer,
    directory_argument,
    format_option,
    output_option,
    text_table,
    to_json,
)
from migrationlab.cli.runs import read


@click.command()
@directory_argument
@output_option("The file to write the constants to.", dir_okay=False)
@format_option
def calibrate(directory: Path, output: Path | None, output_format: Format) -> None:
    """Fit the constants of forecasts to the runs of a folder or of an experiment.

    It says from how many runs each constant is; 0 means that it keeps its default. Give the file
    to `migrationlab forecast --constants FILE`.
    """
    from migrationlab.forecast.calibration import calibrate as fitted
    from migrationlab.runs.run import Runs
    from migrationlab.runs.store import write_file

    found = read(directory)
    told = fitted(found if isinstance(found, Runs) else found.runs)
    record = told.to_dict()
    if output is not None:
        write_file(output, to_json(record, indent=1).encode())
    rows = [["constant", "value", "runs"]]
    rows += [[name, f"{one['value']:g}", str(one["runs"])] for name, one in record.items()]
    answer(output_format, record, text_table(rows, left=1))
