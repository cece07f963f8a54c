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

    Exit status 0 if nothing is in the way, 1 if something is, 2 if the call is wrong.
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
                f"{' and '.join(given)} needs two hosts", hint="Give --from URI and --to URI too."
            )
        return examine()
    if source is None or destination is None:
        raise UsageError("a migration needs two hosts", hint="Give both --from URI and --to URI.")
    require_connection_uri("--from", source)
    require_connection_uri("--to", destination)
    from migrationlab.checks.preflight import preflight

    return preflight(source, destination, domain=domain, plan=plan_from(options))
