"""Define the parts that several verbs share: the output format, answers, and tables of text."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar

import click

from migrationlab.cli.terminal import echo
from migrationlab.plan.wording import quote

#: NAME_MAX of Linux.
LONGEST_NAME = 255

Command = TypeVar("Command", bound=Callable[..., Any])
Format = Literal["text", "json"]
Row = Mapping[str, Any]
#: For each header a format of a record's values, or a function of the record.
Columns = Mapping[str, str | Callable[[Row], str]]


class PathType(click.Path):
    """A path that a file system can have: not empty, no NUL, no part of more than 255 bytes."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the path, or refuse it."""
        text = os.fspath(value)
        # What is no UTF-8 in a name counts as bytes; another lone surrogate is in no file's name.
        longest = max(len(part.encode(errors="replace")) for part in text.split("/"))
        if not text or "\0" in text or longest > LONGEST_NAME or _surrogates(text):
            self.fail(
                f"must be a path: not empty, no NUL, no part of more than {LONGEST_NAME} bytes "
                f"(got {quote(text)})",
                param,
                ctx,
            )
        return super().convert(value, param, ctx)


def _surrogates(text: str) -> bool:
    return any("\ud800" <= sign <= "\udfff" and not "\udc80" <= sign <= "\udcff" for sign in text)


directory_argument = click.argument(
    "directory", type=PathType(path_type=Path), metavar="RUNS_DIR|EXPERIMENT_DIR"
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
        type=PathType(path_type=Path, **kind),
        # For click a default of None is a value too, also of a required option.
        **({"required": required} if default is None else {"default": default}),
        show_default=default is not None,
        help=help_text,
    )


def answer(output_format: Format, record: object, text: str) -> None:
    """Print a record as JSON, or as the given text."""
    echo(to_json(record) if output_format == "json" else text)


def to_json(record: object, **layout: Any) -> str:
    """Return plain values as JSON. A number that JSON has no word for is null."""
    return json.dumps(_finite(record), allow_nan=False, **layout)


def _finite(value: object) -> object:
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


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
