"""``migrationlab recover``: who has a guest after a migration that broke, and what to do."""

from __future__ import annotations

from typing import Literal

import click

from migrationlab.cli.display import StepDisplay
from migrationlab.cli.options import Format, answer, format_option
from migrationlab.plan.uris import require_connection_uri


@click.command()
@click.argument("domain")
@click.option("--from", "source", metavar="URI", required=True, help="The source host.")
@click.option("--to", "destination", metavar="URI", required=True, help="The destination host.")
@click.option("--yes", is_flag=True, help="Carry the steps out, one at a time.")
@click.option(
    "--confirm-dead",
    type=click.Choice(["source", "destination"]),
    help="The side whose machine you have fenced: nothing runs there.",
)
@click.option(
    "--keep",
    type=click.Choice(["source", "destination"]),
    help="The copy to keep if DOMAIN runs on both hosts; --yes destroys the other.",
)
@click.option(
    "--patience-s",
    type=click.FloatRange(0, 600, min_open=True),
    default=15.0,
    show_default=True,
    help="How long a host may take to answer.",
)
@format_option
@click.pass_context
def recover(
    context: click.Context,
    /,
    domain: str,
    source: str,
    destination: str,
    *,
    yes: bool,
    confirm_dead: Literal["source", "destination"] | None,
    keep: Literal["source", "destination"] | None,
    patience_s: float,
    output_format: Format,
) -> None:
    """Say who has DOMAIN after a migration that broke, and how to recover it.

    Without --yes it only looks, and prints the commands. With --yes it runs them, one at a
    time, and looks again after each. It never makes a second running copy: where it cannot be
    sure, it refuses and says what to do.

    Exit status 0 if the guest runs on one host; 1 if not, or not yet; 2 if the call is wrong.
    """
    from migrationlab.migrate.recovery_steps import Kind
    from migrationlab.migrate.recovery_steps import recover as recovered

    require_connection_uri("--from", source)
    require_connection_uri("--to", destination)
    with StepDisplay() as display:
        found = recovered(
            domain,
            source=source,
            destination=destination,
            confirm_dead=confirm_dead,
            keep=keep,
            patience_s=patience_s,
            carry_out=yes,
            on_step=display,
        )
    answer(output_format, found.to_dict(), str(found))
    context.exit(0 if found.verdict.kind is Kind.WELL else 1)
