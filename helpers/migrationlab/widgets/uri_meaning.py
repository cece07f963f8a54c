"""What a text means as each of the two URIs, in each of the two modes: the explorer's facts.

Pure: a text in, records and escaped HTML out. Whether it works is ``Plan.problems()``'s to say,
who would dial it ``Plan.connections()``'s, and what else there is to know ``uris``'. Imports
neither libvirt nor IPython nor ipywidgets.
"""

from __future__ import annotations

import html
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from migrationlab.plan.plan import Connection, Endpoint, Mode, Plan, Problem
from migrationlab.plan.uris import connection_notes, migration_notes, quote
from migrationlab.widgets import markup


class Place(StrEnum):
    """The field of a plan that a URI stands in."""

    MIGRATION = "migration_uri"
    CONNECTION = "connection_uri"


class Example(NamedTuple):
    """A text that is worth a look, and why."""

    text: str
    about: str


#: For a destination host-b.
EXAMPLES = (
    Example("qemu+ssh://root@host-b/system", "a libvirtd, by ssh"),
    Example("tcp://host-b", "a QEMU, on a port that libvirt chooses"),
    Example("tcp://host-b:49200", "a QEMU, on a port of your choice"),
    Example("qemu:///system", "a libvirtd, but whose?"),
    Example("host-b", "a name and nothing else"),
    Example("tcp:host-b:49200", "the old form"),
    Example("qemu+tls://host-b/system", "a libvirtd, by TLS"),
    Example("tls://host-b", "a transport and no driver"),
    Example("qemu+tcp://host-b/system", "a libvirtd, by plain TCP"),
    Example("rdma://host-b", "a QEMU, by RDMA"),
    Example("unix:///var/lib/libvirt/qemu/migrate.sock", "a QEMU, behind a socket"),
    Example("tcp://localhost", "a name that each machine has"),
    Example("tcp://host-a", "the source itself"),
)

_NAMES = {Place.MIGRATION: "migration URI", Place.CONNECTION: "connection URI"}
_LISTENERS = {
    Place.MIGRATION: Endpoint.DESTINATION_QEMU,
    Place.CONNECTION: Endpoint.DESTINATION_LIBVIRTD,
}
_JOBS = {
    Place.MIGRATION: "to send the guest's memory to {}'s QEMU",
    Place.CONNECTION: "to control {}'s libvirtd",
}


@dataclass(frozen=True, slots=True)
class Meaning:
    """What a text is in one place of a plan of one mode.

    Attributes:
        mode: The plan's mode.
        place: Where in the plan the text stands.
        text: The text, without blanks around it; empty for a URI that is left out.
        problems: Why it does not work there; empty where it does.
        notes: What to know of one that works.
        instead: What would do; None where the text works, or where nothing can be derived.
        plan: A plan that works: with the text, or else with what would do; what is left out is
            filled in.
        talk: Who dials it, in that plan.
        hosts: The names of source and destination.
    """

    mode: Mode
    place: Place
    text: str
    problems: tuple[Problem, ...]
    notes: tuple[str, ...]
    instead: str | None
    plan: Plan
    talk: Connection
    hosts: tuple[str, str]

    @property
    def works(self) -> bool:
        """Return whether a plan with the text in this place can work."""
        return not self.problems

    @property
    def where(self) -> str:
        """Return the place and the mode in words."""
        return f"as the {_NAMES[self.place]} of a {self.mode} migration"

    @property
    def opened_by(self) -> str:
        """Return in a sentence who would dial it, and what for."""
        source, destination = self.hosts
        names = {
            Endpoint.CLIENT: "The client (this notebook, or virsh)",
            Endpoint.SOURCE_LIBVIRTD: f"{source}'s libvirtd",
            Endpoint.SOURCE_QEMU: f"{source}'s QEMU",
        }
        what = "it" if self.works else "what stands here"
        return (
            f"{names[self.talk.opened_by]} dials {what}, {_JOBS[self.place].format(destination)}."
        )


def meanings(
    text: str, *, source: str = "host-a", destination: str = "host-b"
) -> tuple[Meaning, ...]:
    """Say what any text means in each mode and place; normal first, the migration URI first.

    Args:
        text: Any text; blanks around it do not count.
        source: The source host's name.
        destination: The destination host's name.

    Raises:
        PlanError: A host's name cannot be one.
    """
    text = text.strip()
    hosts = (source, destination)
    return tuple(_meaning(text, mode, place, hosts) for mode in Mode for place in Place)


def _meaning(text: str, mode: Mode, place: Place, hosts: tuple[str, str]) -> Meaning:
    source, destination = hosts
    plan = _plan(mode, place, text)
    problems = plan.problems(source=source, destination=destination)
    instead = next((problem.suggestion for problem in problems if problem.suggestion), None)
    if problems:
        plan = _plan(mode, place, instead or "")
    plan = plan.filled(destination=destination)
    return Meaning(
        mode=mode,
        place=place,
        text=text,
        problems=problems,
        notes=() if problems or not text else _notes(text, mode, place),
        instead=instead,
        plan=plan,
        talk=next(talk for talk in plan.connections() if talk.listener is _LISTENERS[place]),
        hosts=hosts,
    )


def _plan(mode: Mode, place: Place, text: str) -> Plan:
    uri = text or None
    if place is Place.MIGRATION:
        return Plan(mode=mode, migration_uri=uri)
    return Plan(mode=mode, connection_uri=uri)


def _notes(text: str, mode: Mode, place: Place) -> tuple[str, ...]:
    return migration_notes(text) if place is Place.MIGRATION else connection_notes(text, mode)


def verdict(found: tuple[Meaning, ...]) -> str:
    """Say in one sentence where a text works."""
    text = found[0].text
    if not text:
        return "Nothing is given: a URI that is left out is filled in."
    said = quote(text)
    good = [meaning for meaning in found if meaning.works]
    if not good:
        return f"{said} works in none of the four places."
    if len(good) == len(found):
        return f"{said} works in each of the four places."
    places = {meaning.place for meaning in good}
    modes = {meaning.mode for meaning in good}
    if len(places) == 1 and len(good) == len(Mode):
        return f"{said} works as a {_NAMES[places.pop()]}, in both modes, and as nothing else."
    if len(modes) == 1 and len(good) == len(Place):
        return f"{said} works in both places of a {modes.pop()} migration, and in no other."
    return f"{said} works {' and '.join(meaning.where for meaning in good)}, and nowhere else."


def drawn(meaning: Meaning) -> str:
    """Say whether the drawing of a meaning's plan shows the text, or what would do."""
    if meaning.works:
        return f"A {meaning.mode} migration with {meaning.text or 'no URI given'}:"
    would_do = meaning.instead or meaning.talk.uri
    return f"It does not work {meaning.where}. Drawn with {would_do} in its place:"


def suggestions(found: tuple[Meaning, ...]) -> tuple[str, ...]:
    """Give each URI that would do instead somewhere, once."""
    return tuple(dict.fromkeys(meaning.instead for meaning in found if meaning.instead))


def table(found: tuple[Meaning, ...]) -> str:
    """Give a table with a row for each place and a column for each mode."""
    heads = "".join(
        f'<th scope="col" style="text-align:left">{mode} migration</th>' for mode in Mode
    )
    rows = "".join(
        f'<tr><th scope="row" style="text-align:left">as the {_NAMES[place]}</th>'
        + "".join(_cell(meaning) for meaning in found if meaning.place is place)
        + "</tr>"
        for place in Place
    )
    return (
        '<div class="jp-RenderedHTMLCommon" style="overflow-x:auto">'
        '<table style="width:100%;table-layout:fixed">'
        '<caption style="text-align:left">What it means in each place and mode</caption>'
        f'<thead><tr><td style="width:9em"></td>{heads}</tr></thead><tbody>{rows}</tbody></table>'
        "</div>"
    )


def _cell(meaning: Meaning) -> str:
    lines = []
    if meaning.works:
        lines.append(markup.good("works" if meaning.text else "left out"))
        if not meaning.text:
            lines.append(f"The kit fills in <code>{html.escape(str(meaning.talk.uri))}</code>.")
    else:
        lines.append(markup.bad("does not work"))
        lines += [html.escape(problem.reason) for problem in meaning.problems]
        if meaning.instead:
            lines.append(f"Instead: <code>{html.escape(meaning.instead)}</code>")
        else:
            lines += [html.escape(problem.hint) for problem in meaning.problems]
    lines.append(html.escape(meaning.opened_by))
    lines += [html.escape(note) for note in meaning.notes]
    inner = "".join(f'<div style="margin-bottom:0.3em">{line}</div>' for line in lines)
    return (
        '<td style="text-align:left;vertical-align:top;overflow-wrap:anywhere;'
        f'white-space:normal">{inner}</td>'
    )
