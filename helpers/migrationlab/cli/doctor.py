"""``migrationlab doctor``: the abilities of this machine or of two hosts, with fixes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from migrationlab.checks.diagnosis import Diagnosis
from migrationlab.checks.doctor import doctor as examine
from migrationlab.cli.options import Format, answer, format_option
from migrationlab.cli.plan_options import (
    PlanCommand,
    in_options,
    option_name,
    plan_from,
    plan_options,
)
from migrationlab.errors import UsageError
from migrationlab.plan.uris import require_connection_uri

ADD_HOSTS = "Add --from URI --to URI, for example qemu+ssh://root@node1/system"


@click.command(cls=PlanCommand)
@click.option("--from", "source", metavar="URI", help="The source host.")
@click.option("--to", "destination", metavar="URI", help="The destination host.")
@click.option("--domain", metavar="NAME", help="Also check this domain of the source.")
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
    """Check what the lab needs here or, with --from and --to, what a migration needs.

    Options of a plan, such as --mode or --copy-storage, describe the migration.

    Exit status 0 if no check failed, 1 if a check failed, 2 if an option is wrong.
    """
    diagnosis = _diagnosis(source, destination, domain, options)
    answer(output_format, diagnosis.to_dict(), in_options(str(diagnosis)))
    context.exit(0 if diagnosis.ok else 1)


def _diagnosis(
    source: str | None, destination: str | None, domain: str | None, options: Mapping[str, Any]
) -> Diagnosis:
    if source is None and destination is None:
        given = [option_name(name) for name, value in options.items() if value is not None]
        if given := [*(["--domain"] if domain else []), *given]:
            raise UsageError(
                f"--from and --to must be given with {' and '.join(given)} (got neither)",
                hint=ADD_HOSTS,
            )
        return examine()
    if source is None or destination is None:
        given_side = "--from" if source else "--to"
        raise UsageError(
            f"--from and --to must be given together (got only {given_side})", hint=ADD_HOSTS
        )
    require_connection_uri("--from", source)
    require_connection_uri("--to", destination)
    from migrationlab.checks.preflight import preflight

    return preflight(source, destination, domain=domain, plan=plan_from(options))
