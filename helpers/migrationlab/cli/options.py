"""Define the parts that several verbs share: the output format, answers, and tables of text."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar

import click

Command = TypeVar("Command", bound=Callable[..., Any])
Format = Literal["text", "json"]
Row = Mapping[str, Any]
#: For each header a format of a record's values, or a function of the record.
Columns = Mapping[str, str | Callable[[Row], str]]

directory_argument = click.argument(
    "directory", type=click.Path(path_type=Path), metavar="RUNS_DIR|EXPERIMENT_DIR"
)
format_option = click.option(
    "--format",
    "output_format",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    help="Text to read, or one JSON object.",
)


def output_option(
    help_text: str, *, default: str | None = None, required: bool = False, **kind: bool
) -> Callable[[Command], Command]:
    """Return the option for the output path; ``kind`` is the allowed kind of click.Path."""
    return click.option(
        "-o",
        "--output",
        type=click.Path(path_type=Path, **kind),
        default=default,
        required=required,
        show_default=default is not None,
        help=help_text,
    )


def answer(output_format: Format, record: object, text: str) -> None:
    """Print a record as JSON, or as the given text."""
    click.echo(json.dumps(record) if output_format == "json" else text)


def columns_table(columns: Columns, rows: Iterable[Row], *, left: int) -> str:
    """Return records as a :func:`text_table`."""
    cells = (
        [cell.format(**row) if isinstance(cell, str) else cell(row) for cell in columns.values()]
        for row in rows
    )
    return text_table([list(columns), *cells], left=left)


def text_table(rows: Iterable[Sequence[str]], *, left: int) -> str:
    """Return rows, the header first, as lines with aligned columns.

    The first ``left`` columns are text, which is left-aligned; numbers are right-aligned.
    """
    cells = list(rows)
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if index < left else cell.rjust(width)
            for index, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in cells
    )
