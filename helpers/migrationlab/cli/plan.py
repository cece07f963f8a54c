"""``migrationlab plan``: the effects of a plan, and the virsh line of the same migration.

Nothing is started and no name is resolved: the answer follows from the plan alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from migrationlab.cli.options import Format, format_option, to_json
from migrationlab.cli.plan_call import judge
from migrationlab.cli.plan_options import PlanCommand, option_name, plan_options, read_options
from migrationlab.cli.plan_text import (
    URIS,
    answer_record,
    answer_text,
    named_destination,
    named_host,
    refusal_text,
)
from migrationlab.cli.terminal import echo
from migrationlab.errors import UsageError
from migrationlab.plan.plan import Plan, validate_domain_name
from migrationlab.plan.settings import settings
from migrationlab.plan.uris import same_machine


@click.command(cls=PlanCommand)
@click.option("--list", "list_them", is_flag=True, help="List every setting and exit.")
@click.option(
    "--virsh",
    "call",
    metavar="TEXT",
    help="Judge this virsh migrate line, or the flags of a call of libvirt, instead of options; "
    '"-" reads it from standard input.',
)
@click.option("--domain", help="The guest's name. [default: guest]")
@click.option("--source", help="The source's host name. [default: host-a]")
@click.option(
    "--destination", help="The destination's host name. [default: the URIs' host, or host-b]"
)
@plan_options
@format_option
@click.pass_context
def plan(
    context: click.Context,
    /,
    *,
    list_them: bool,
    call: str | None,
    domain: str | None,
    source: str | None,
    destination: str | None,
    output_format: Format,
    **options: Any,
) -> None:
    """Show what a migration would do: flags, URIs, connections, and the same virsh line.

    Nothing is started. Exit status 2, with the reasons, if the plan cannot work.
    """
    if list_them and output_format == "json":
        echo(to_json([about.to_dict() for about in settings()], indent=2))
    elif list_them:
        click.echo_via_pager(f"{settings()}\n")
    if list_them:
        return
    if call is not None:
        _require_alone(options)
        judged = judge(call, domain=domain, source=source, destination=destination)
        echo(
            to_json(judged.to_dict(), indent=2) if output_format == "json" else judged.text,
            err=output_format != "json" and bool(judged.problems),
        )
        context.exit(2 if judged.problems else 0)
    domain = "guest" if domain is None else domain
    source = "host-a" if source is None else source
    asked, found = read_options(options)
    problems = list(found)
    named = destination or named_destination(source, asked.connection_uri, asked.migration_uri)
    problems += asked.problems(source=source, destination=named)
    problems += validate_domain_name(domain)
    filled, notes = asked, []
    if not problems:
        filled = asked.filled(destination=named)
        notes = [*filled.notes(domain), *(_other_hosts(asked, named) if destination else ())]
    if output_format == "json":
        record = answer_record(filled, domain, notes, problems, options["mode"])
        echo(to_json(record, indent=2))
    elif problems:
        echo(refusal_text(problems), err=True)
    else:
        echo(answer_text(asked, filled, domain, source, named, notes))
    context.exit(2 if problems else 0)


def _other_hosts(asked: Plan, destination: str) -> list[str]:
    """Return a note for each URI that names another host than the given destination."""
    hosts = {name: named_host(getattr(asked, name)) for name in URIS}
    return [
        f"{option_name(name)} names {host}, but --destination is {destination}: check that both "
        "are names of the same host."
        for name, host in hosts.items()
        if host is not None and not same_machine(host, destination)
    ]


def _require_alone(options: Mapping[str, Any]) -> None:
    """Raise UsageError for settings beside the text of a call."""
    if given := [option_name(name) for name, value in options.items() if value is not None]:
        raise UsageError(
            f"--virsh must be given without settings (got {', '.join(given)} besides)",
            hint="Write the settings into the virsh line, or leave out --virsh.",
        )
