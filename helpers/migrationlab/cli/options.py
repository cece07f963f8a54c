"""The options that several verbs have."""

from __future__ import annotations

from typing import Literal

import click

Format = Literal["text", "json"]

format_option = click.option(
    "--format",
    "output_format",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    help="Text to read, or one JSON object.",
)
