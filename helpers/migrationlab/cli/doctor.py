"""``migrationlab doctor``: what this machine, or two hosts, can do, and how to mend the rest.

Prints what :mod:`migrationlab.checks.doctor` or :mod:`migrationlab.checks.preflight` found and adds nothing to
it. Imports no libvirt unless two hosts are named.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import click

from migrationlab.checks.diagnosis import Diagnosis
from migrationlab.checks.doctor import doctor as examine
from migrationlab.cli.options import Format, format_option
from migrationlab.cli.plan_options import (
    PlanCommand,
    in_options,
    option_name,
    plan_from,
    plan_options,
)
from migrationlab.errors import UsageError
from migrationlab.plan.uris import require_connection_uri


@click.command(cls=PlanCommand)
@click.option("--from", "source", metavar="URI", help="The host that a guest would leave.")
@click.option("--to", "destination", metavar="URI", help="The host that it would go to.")
@click.option("--domain", metavar="NAME", help="Look also whether this domain of the source can.")
@plan_options
@format_option
@click.pass_context
def doctor(
    context: click.Context,
    /,
    *,
    source: str | None,
    destination: str | None,
    domain: str | None,
    output_format: Format,
    **options: Any,
) -> None:
    """Check what the lab needs here, or, with --from and --to, what a migration needs.

    What a plan has besides, as --mode or --copy-storage, is about the migration.

    Exit status 0 when nothing stands in the way, else 1; 2 where the call itself cannot be.
    """
    diagnosis = _diagnosis(source, destination, domain, options)
    if output_format == "json":
        click.echo(json.dumps(diagnosis.to_dict()))
    else:
        click.echo(in_options(str(diagnosis)))
    context.exit(0 if diagnosis.ok else 1)


def _diagnosis(
    source: str | None, destination: str | None, domain: str | None, options: Mapping[str, Any]
) -> Diagnosis:
    if source is None and destination is None:
        given = [option_name(name) for name, value in options.items() if value is not None]
        if given := [*(["--domain"] if domain else []), *given]:
            raise UsageError(
                f"{' and '.join(given)} is said of two hosts", hint="give --from and --to besides"
            )
        return examine()
    if source is None or destination is None:
        raise UsageError("a migration has two hosts", hint="give both --from and --to")
    require_connection_uri("--from", source)
    require_connection_uri("--to", destination)
    from migrationlab.checks.preflight import preflight  # noqa: PLC0415 (libvirt: not for --help)

    return preflight(source, destination, domain=domain, plan=plan_from(options))
