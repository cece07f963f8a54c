"""``migrationlab plan``: the effects of a plan, and the virsh line of the same migration.

Nothing is started and no name is resolved: the answer follows from the plan alone.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any

import click

from migrationlab.cli.options import Format, format_option, to_json
from migrationlab.cli.plan_options import (
    PlanCommand,
    in_options,
    option_name,
    plan_options,
    read_options,
)
from migrationlab.cli.terminal import echo
from migrationlab.plan.plan import Endpoint, Plan, Problem, validate_domain_name
from migrationlab.plan.settings import AUTO, settings
from migrationlab.plan.uris import host_of, is_local, same_machine

DEFAULT_DESTINATION = "host-b"
_URIS = ("migration_uri", "connection_uri")


@click.command(cls=PlanCommand)
@click.option("--list", "list_them", is_flag=True, help="List every setting and exit.")
@click.option("--domain", default="guest", show_default=True, help="The guest's name.")
@click.option("--source", default="host-a", show_default=True, help="The source's host name.")
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
    domain: str,
    source: str,
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
    asked, found = read_options(options)
    problems = list(found)
    named = destination or _named_destination(source, asked.connection_uri, asked.migration_uri)
    problems += asked.problems(source=source, destination=named)
    problems += validate_domain_name(domain)
    filled, notes = asked, []
    if not problems:
        filled = asked.filled(destination=named)
        notes = [*filled.notes(domain), *(_other_hosts(asked, named) if destination else ())]
    if output_format == "json":
        record = _record(filled, domain, notes, problems, options["mode"])
        echo(to_json(record, indent=2))
    elif problems:
        echo(_refusal_text(problems), err=True)
    else:
        echo(_answer_text(asked, filled, domain, source, named, notes))
    context.exit(2 if problems else 0)


def _named_destination(source: str, *uris: str | None) -> str:
    """Return the destination's default name: a URI's host, else the lab's host-b."""
    hosts = [
        host
        for uri in uris
        if (host := _host(uri)) and not is_local(host) and not same_machine(host, source)
    ]
    return hosts[0] if hosts else DEFAULT_DESTINATION


def _other_hosts(asked: Plan, destination: str) -> list[str]:
    """Return a note for each URI that names another host than the given destination."""
    hosts = {name: _host(getattr(asked, name)) for name in _URIS}
    return [
        f"{option_name(name)} names {host}, but --destination is {destination}: check that both "
        "are names of the same host."
        for name, host in hosts.items()
        if host is not None and not same_machine(host, destination)
    ]


def _host(uri: str | None) -> str | None:
    return host_of(uri) if uri and uri != AUTO else None


def _refusal_text(problems: list[Problem]) -> str:
    lines = ["This plan cannot work:"]
    for problem in problems:
        reason = in_options(problem.reason)
        if reason.startswith(f"{problem.field} "):  # --source and --domain are no settings
            reason = reason.replace(problem.field, option_name(problem.field), 1)
        lines.append(f"  {reason}")
        lines.append(f"    Hint: {in_options(problem.hint)}")
    return "\n".join(lines)


def _record(
    shown: Plan, domain: str, notes: list[str], problems: Sequence[Problem], mode: str | None
) -> dict[str, object]:
    """Return the answer as plain values.

    The plan is filled in, or unchanged if it has problems. The mode is as given; it can be wrong.
    """
    known = not any(problem.field == "mode" for problem in problems)
    return {
        "valid": not problems,
        "problems": [asdict(problem) for problem in problems],
        "mode": shown.mode.value if known else mode,
        "flags": list(shown.flags()) if known else [],
        "migration_uri": shown.migration_uri,
        "connection_uri": shown.connection_uri,
        "talks": [] if problems else [talk.to_dict() for talk in shown.connections()],
        "virsh": None if problems else shlex.join(shown.virsh(domain)),
        "notes": notes,
        "settings": _changed(shown),
    }


def _changed(asked: Plan) -> dict[str, object]:
    values = asked.to_dict()
    return {name: values[name] for name in asked.changed() if name not in (*_URIS, "mode")}


def _answer_text(
    asked: Plan, filled: Plan, domain: str, source: str, destination: str, notes: list[str]
) -> str:
    at = {"source": source, "destination": destination}

    def named(party: Endpoint) -> str:
        side, _, what = party.partition(" ")
        return f"{what} of {at[side]}" if what else str(party)

    talks = filled.connections()
    control = talks[1]
    opened_by = "the client" if control.opened_by is Endpoint.CLIENT else named(control.opened_by)
    lines = [
        f"{filled.mode.value} migration of {domain} from {source} to {destination}",
        "",
        f"flags            {', '.join(filled.flags())}",
        f"migration URI    {_migration_uri(asked, filled)}",
    ]
    memory = talks[-1]
    if memory.listener is Endpoint.DESTINATION_QEMU:
        lines.append(
            f"                 {named(memory.listener)} listens there; "
            f"{named(memory.opened_by)} connects"
        )
    left_out = "" if asked.connection_uri else "  (filled in)"
    lines += [
        f"connection URI   {filled.connection_uri}{left_out}",
        f"                 {named(control.listener)} listens there; {opened_by} connects",
        "",
        "settings in force (list all with migrationlab plan --list)",
        *_settings(filled),
        "",
        "connections",
    ]
    lines += [
        f"  {named(talk.opened_by):<20} -> {named(talk.listener):<20}  {talk.carries:<12}  "
        f"{talk.uri or 'chosen by the destination'}"
        for talk in talks
    ]
    lines += ["", f"the same with virsh, on {source}", f"  {shlex.join(filled.virsh(domain))}"]
    lines += ["", "notes", *(f"  - {in_options(note)}" for note in notes)]
    return "\n".join(lines)


def _migration_uri(asked: Plan, filled: Plan) -> str:
    if filled.migration_uri is None:
        return f"none: {'tunnelled' if filled.tunnelled else 'offline'}"
    if filled.migration_uri == AUTO:
        return "left to the destination's libvirtd"
    return filled.migration_uri + ("" if asked.migration_uri else "  (filled in)")


def _settings(filled: Plan) -> list[str]:
    """Return a line for the deadline and for each setting that is not the default."""
    shown = replace(filled, migration_uri=None, connection_uri=None).changed()
    shown["deadline_s"] = filled.deadline_s
    return [
        f"  {about.name:<31}  {_words(shown[about.name])} {about.unit}".rstrip()
        for about in settings()
        if about.name in shown and about.name != "mode"
    ]


def _words(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, tuple):
        return ", ".join(value) or "libvirt's default"
    if isinstance(value, float):
        return f"{value:g}"
    text = str(value)
    return f"{len(text)} characters of XML" if text.lstrip().startswith("<") else text
