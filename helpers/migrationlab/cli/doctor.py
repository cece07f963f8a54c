"""``migrationlab doctor``: what this machine can do, and how to mend the rest.

Prints what :mod:`migrationlab.doctor` found and adds nothing to it. Imports no libvirt.
"""

from __future__ import annotations

import json

import click

from migrationlab.cli.options import Format, format_option
from migrationlab.doctor import doctor as examine


@click.command()
@format_option
@click.pass_context
def doctor(context: click.Context, output_format: Format) -> None:
    """Check what the lab needs here; exit 0 when it can run, else 1."""
    diagnosis = examine()
    click.echo(json.dumps(diagnosis.to_dict()) if output_format == "json" else str(diagnosis))
    context.exit(0 if diagnosis.ok else 1)
