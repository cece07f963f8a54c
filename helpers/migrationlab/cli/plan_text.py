"""Write the answer of ``migrationlab plan``: as text, and as the values of its JSON object."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace

from migrationlab.cli.plan_options import in_options, option_name
from migrationlab.plan.plan import Endpoint, Plan, Problem
from migrationlab.plan.settings import AUTO, settings
from migrationlab.plan.uris import host_of, is_local, same_machine

DEFAULT_DESTINATION = "host-b"
DEFAULT_SOURCE_URI = "qemu:///system"
URIS = ("migration_uri", "connection_uri")


def named_destination(source: str, *uris: str | None) -> str:
    """Return the destination's default name: a URI's host, else the lab's host-b."""
    hosts = [
        host
        for uri in uris
        if (host := named_host(uri)) and not is_local(host) and not same_machine(host, source)
    ]
    return hosts[0] if hosts else DEFAULT_DESTINATION


def named_host(uri: str | None) -> str | None:
    """Return the host of a URI, or None."""
    return host_of(uri) if uri and uri != AUTO else None


def refusal_text(
    problems: Sequence[Problem],
    *,
    title: str = "This plan cannot work:",
    worded: Callable[[str], str] = in_options,
) -> str:
    """Return the reasons and fixes of problems; ``worded`` writes the names of settings."""
    lines = [title]
    for problem in problems:
        reason = worded(problem.reason)
        if reason.startswith(f"{problem.field} "):  # --source and --domain are no settings
            reason = reason.replace(problem.field, option_name(problem.field), 1)
        lines.append(f"  {reason}")
        lines.append(f"    Hint: {worded(problem.hint)}")
    return "\n".join(lines)


def answer_record(
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
        "settings": changed(shown),
    }


def changed(asked: Plan) -> dict[str, object]:
    """Return the settings that differ from their defaults, without mode and URIs."""
    values = asked.to_dict()
    return {name: values[name] for name in asked.changed() if name not in (*URIS, "mode")}


def answer_text(
    asked: Plan,
    filled: Plan,
    domain: str,
    source: str,
    destination: str,
    notes: Sequence[str],
    *,
    source_uri: str = DEFAULT_SOURCE_URI,
    virsh: Sequence[str] = (),
    deadline: bool = True,
) -> str:
    """Return what a valid plan does, its connections, and its virsh line.

    A call that somebody wrote down has its own virsh line, and no deadline.
    """
    at = {"source": source, "destination": destination}

    def named(party: Endpoint) -> str:
        side, _, what = party.partition(" ")
        return f"{what} of {at[side]}" if what else str(party)

    talks = filled.connections(source_uri=source_uri)
    control = talks[1]
    opened_by = "the client" if control.opened_by is Endpoint.CLIENT else named(control.opened_by)
    lines = [
        f"{filled.mode.value} migration of {domain} from {source} to {destination}",
        "",
        f"flags            {', '.join(filled.flags())}",
        f"migration URI    {_migration_uri(asked, filled)}",
    ]
    memory = talks[2] if len(talks) > 2 else control  # an offline migration sends none
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
        *_settings(filled, deadline=deadline),
        "",
        "connections",
    ]
    lines += [
        f"  {named(talk.opened_by):<20} -> {named(talk.listener):<20}  {talk.carries:<12}  "
        f"{talk.uri or 'chosen by the destination'}"
        for talk in talks
    ]
    where = f", on {source}" if deadline else ""
    line = shlex.join(virsh or filled.virsh(domain, source_uri=source_uri))
    lines += ["", f"the same with virsh{where}", f"  {line}"]
    if notes:
        lines += ["", "notes", *(f"  - {in_options(note)}" for note in notes)]
    return "\n".join(lines)


def _migration_uri(asked: Plan, filled: Plan) -> str:
    if filled.migration_uri is None:
        return f"none: {'tunnelled' if filled.tunnelled else 'offline'}"
    if filled.migration_uri == AUTO:
        return "left to the destination's libvirtd"
    return filled.migration_uri + ("" if asked.migration_uri else "  (filled in)")


def _settings(filled: Plan, *, deadline: bool) -> list[str]:
    """Return a line for the deadline, if asked for, and for each setting that is not default."""
    shown = replace(filled, migration_uri=None, connection_uri=None).changed()
    if deadline:
        shown["deadline_s"] = filled.deadline_s
    rows = [
        f"  {about.name:<31}  {_words(shown[about.name])} {about.unit}".rstrip()
        for about in settings()
        if about.name in shown and about.name != "mode"
    ]
    return rows or ["  libvirt's defaults"]


def _words(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, tuple):
        return ", ".join(value) or "libvirt's default"
    if isinstance(value, float):
        return f"{value:g}"
    text = str(value)
    return f"{len(text)} characters of XML" if text.lstrip().startswith("<") else text
