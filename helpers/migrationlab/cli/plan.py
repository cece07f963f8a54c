"""``migrationlab plan``: what a migration would do, and the virsh line that does the same.

Owns the command's options and its words; what it says comes from :class:`Plan`. Nothing is
started, resolved or dialled. Imports no libvirt.
"""

from __future__ import annotations

import json
import shlex
from dataclasses import asdict, replace
from typing import TypeVar

import click

from migrationlab.cli.options import Format, format_option
from migrationlab.errors import PlanError
from migrationlab.plan import Mode, Party, Plan, Problem, judge_domain
from migrationlab.uris import host_of, is_local, quote, same_machine

DEFAULT_DESTINATION = "host-b"
Number = TypeVar("Number", int, float)
_NUMBERS: dict[type, str] = {int: "a whole number", float: "a number"}


# Mode and numbers are taken as text, so that a wrong one is a problem among the others, in the
# format that was asked for, rather than click's own message.
@click.command()
@click.option("--mode", default="normal", show_default=True, help="normal or peer2peer.")
@click.option(
    "--migration-uri",
    metavar="URI",
    help="Where the destination's QEMU listens: tcp://HOST[:PORT]. [default: filled in]",
)
@click.option(
    "--connection-uri",
    metavar="URI",
    help="Where the destination's libvirtd is: qemu+ssh://USER@HOST/system, "
    "qemu+tcp://HOST/system. [default: filled in]",
)
@click.option("--bandwidth-mib-s", metavar="N", help="Limit of the transfer, MiB/s.")
@click.option("--max-downtime-ms", metavar="N", help="How long the guest may stand still, ms.")
@click.option("--deadline-s", metavar="S", help="When to cancel the migration, s. [default: 120]")
@click.option("--domain", default="guest", show_default=True, help="The guest's name.")
@click.option("--source", default="host-a", show_default=True, help="The source's host name.")
@click.option(
    "--destination", help="The destination's host name. [default: the URIs' host, or host-b]"
)
@format_option
@click.pass_context
def plan(
    context: click.Context,
    *,
    mode: str,
    migration_uri: str | None,
    connection_uri: str | None,
    bandwidth_mib_s: str | None,
    max_downtime_ms: str | None,
    deadline_s: str | None,
    domain: str,
    source: str,
    destination: str | None,
    output_format: Format,
) -> None:
    """Say what a migration would do: flags, URIs, who talks to whom, the equal virsh line.

    Nothing is started. Exit status 2 and the reasons where the plan cannot work.
    """
    problems: list[Problem] = []
    known_mode = Mode.NORMAL
    try:
        known_mode = Mode(mode)
    except PlanError as error:
        problems.append(Problem("mode", str(error), error.hint))
    if destination is None:
        destination = _named_destination(source, connection_uri, migration_uri)
    deadline = _number("deadline_s", deadline_s, float, problems)
    asked = Plan(
        mode=known_mode,
        migration_uri=migration_uri,
        connection_uri=connection_uri,
        bandwidth_mib_s=_number("bandwidth_mib_s", bandwidth_mib_s, int, problems),
        max_downtime_ms=_number("max_downtime_ms", max_downtime_ms, int, problems),
    )
    if deadline is not None:
        asked = replace(asked, deadline_s=deadline)
    problems += asked.problems(source=source, destination=destination)
    problems += judge_domain(domain)
    if problems:
        if output_format == "json":
            click.echo(_refusal_json(asked, mode, problems))
        else:
            click.echo(_refusal_text(problems), err=True)
        context.exit(2)
    filled = asked.filled(destination=destination)
    if output_format == "json":
        click.echo(_answer_json(filled, domain))
    else:
        click.echo(_answer_text(asked, filled, domain, source, destination))


def _named_destination(source: str, *uris: str | None) -> str:
    """The destination's name where it was not given: a URI's host, else the lab's host-b."""
    for uri in uris:
        host = host_of(uri) if uri else None
        if host is not None and not is_local(host) and not same_machine(host, source):
            return host
    return DEFAULT_DESTINATION


def _number(
    field: str, text: str | None, kind: type[Number], problems: list[Problem]
) -> Number | None:
    """``text`` as a number; a text that is none is added to ``problems``."""
    if text is None:
        return None
    try:
        return kind(text)
    except ValueError:
        wanted = _NUMBERS[kind]
        problems.append(Problem(field, f"{quote(text)} is not {wanted}", f"Give {wanted}."))
        return None


def _refusal_json(asked: Plan, mode: str, problems: list[Problem]) -> str:
    return json.dumps(
        {
            "valid": False,
            "problems": [asdict(problem) for problem in problems],
            "mode": mode,
            "flags": list(asked.flags()) if mode == asked.mode else [],
            "migration_uri": asked.migration_uri,
            "connection_uri": asked.connection_uri,
            "talks": [],
            "virsh": None,
            "notes": [],
        },
        indent=2,
    )


def _refusal_text(problems: list[Problem]) -> str:
    lines = ["This plan cannot work:"]
    for problem in problems:
        lines.append(f"  --{problem.field.replace('_', '-')}: {problem.reason}")
        lines.append(f"    Hint: {problem.hint}")
    return "\n".join(lines)


def _answer_json(filled: Plan, domain: str) -> str:
    return json.dumps(
        {
            "valid": True,
            "problems": [],
            "mode": filled.mode.value,
            "flags": list(filled.flags()),
            "migration_uri": filled.migration_uri,
            "connection_uri": filled.connection_uri,
            "talks": [talk.to_dict() for talk in filled.talks()],
            "virsh": shlex.join(filled.virsh(domain)),
            "notes": list(filled.notes(domain)),
        },
        indent=2,
    )


def _answer_text(asked: Plan, filled: Plan, domain: str, source: str, destination: str) -> str:
    at = {"source": source, "destination": destination}

    def named(party: Party) -> str:
        side, _, what = party.partition(" ")
        return f"{what} of {at[side]}" if what else str(party)

    _, control, memory = filled.talks()
    dialler = "the client" if control.who is Party.CLIENT else named(control.who)
    left_out = "  (filled in)"
    lines = [
        f"{filled.mode.value} migration of {domain} from {source} to {destination}",
        "",
        f"flags            {', '.join(filled.flags())}",
        f"migration URI    {filled.migration_uri}{left_out if not asked.migration_uri else ''}",
        (
            f"                 where {named(memory.to)} listens; dialled by {source}: "
            "its libvirtd connects, its QEMU sends"
        ),
        f"connection URI   {filled.connection_uri}{left_out if not asked.connection_uri else ''}",
        f"                 where {named(control.to)} is; dialled by {dialler}",
    ]
    if filled.bandwidth_mib_s is not None:
        lines.append(f"bandwidth        {filled.bandwidth_mib_s} MiB/s at most")
    if filled.max_downtime_ms is not None:
        lines.append(f"maximum downtime {filled.max_downtime_ms} ms")
    lines += [f"deadline         {filled.deadline_s:g} s, then it is cancelled", ""]
    lines.append("who talks to whom")
    for talk in filled.talks():
        lines.append(
            f"  {named(talk.who):<20} -> {named(talk.to):<20}  {talk.about:<12}  {talk.uri}"
        )
    lines += ["", f"the same with virsh, on {source}", f"  {shlex.join(filled.virsh(domain))}"]
    lines += ["", "notes", *(f"  - {note}" for note in filled.notes(domain))]
    return "\n".join(lines)
