"""``migrationlab doctor``: what this machine can do, and how to mend the rest.

Prints what :mod:`migrationlab.doctor` found and adds nothing to it. Imports no libvirt.
"""

from __future__ import annotations

import json
from typing import Literal

import click

from migrationlab.doctor import doctor as examine


@click.command()
@click.option(
    "--format",
    "output_format",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    help="A table to read, or one JSON object.",
)
@click.pass_context
def doctor(context: click.Context, output_format: Literal["text", "json"]) -> None:
    """Check what the lab needs here; exit 0 when it can run, else 1."""
    diagnosis = examine()
    click.echo(json.dumps(diagnosis.to_dict()) if output_format == "json" else str(diagnosis))
    context.exit(0 if diagnosis.ok else 1)
