"""Explain the meaning of a text as each of the two URIs, in each of the two modes.

``Plan.problems()`` says whether the URI works, ``Plan.connections()`` who would connect to it, and
``plan.uris`` gives further notes.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from migrationlab.plan.plan import Connection, Endpoint, Mode, Plan, Problem
from migrationlab.plan.uris import connection_notes, migration_notes
from migrationlab.plan.wording import quote
from migrationlab.widgets.views.template import fill


class Place(StrEnum):
    """A field of a plan that holds a URI."""

    MIGRATION = "migration_uri"
    CONNECTION = "connection_uri"

    @property
    def words(self) -> str:
        """Return the field's name in words."""
        return str(self).replace("_uri", " URI")


#: Texts to try, for a destination host-b, and their meanings.
EXAMPLES: dict[str, str] = tomllib.loads(
    Path(__file__).with_name("uri_examples.toml").read_text(encoding="utf-8")
)
_LISTENERS = {
    Place.MIGRATION: Endpoint.DESTINATION_QEMU,
    Place.CONNECTION: Endpoint.DESTINATION_LIBVIRTD,
}
_PURPOSES = {
    Place.MIGRATION: "for {source}'s QEMU to send the guest's memory to {destination}'s QEMU",
    Place.CONNECTION: "to control {destination}'s libvirtd",
}


@dataclass(frozen=True, slots=True)
class Meaning:
    """The meaning of a text in one place of a plan of one mode.

    Attributes:
        mode: The plan's mode.
        place: The text's place in the plan.
        text: The text, without blanks around it; empty for a URI that is left out.
        problems: The reasons why the text does not work there; empty if it works.
        notes: Facts to know about a text that works.
        instead: A URI that works there; None if the text works, or if none can be derived.
        plan: A plan that works: with the text, or else with ``instead``; other URIs are filled in.
        connection: The connection to the URI in that plan.
        hosts: The names of source and destination.
    """

    mode: Mode
    place: Place
    text: str
    problems: tuple[Problem, ...]
    notes: tuple[str, ...]
    instead: str | None
    plan: Plan
    connection: Connection
    hosts: tuple[str, str]

    @property
    def works(self) -> bool:
        """Return whether a plan with the text in this place can work."""
        return not self.problems

    @property
    def where(self) -> str:
        """Return the place and the mode in words."""
        return f"as the {self.place.words} of a {self.mode} migration"

    @property
    def opened_by(self) -> str:
        """Return a sentence with the side that would connect to the URI, and the reason."""
        source, destination = self.hosts
        names = {
            Endpoint.CLIENT: "The client (this notebook, or virsh)",
            Endpoint.SOURCE_LIBVIRTD: f"{source}'s libvirtd",
            Endpoint.SOURCE_QEMU: f"{source}'s QEMU",
        }
        to = "to it" if self.works else "to the URI in this place"
        purpose = _PURPOSES[self.place].format(source=source, destination=destination)
        return f"{names[self.connection.opened_by]} connects {to}, {purpose}."


def meanings(
    text: str, *, source: str = "host-a", destination: str = "host-b"
) -> tuple[Meaning, ...]:
    """Return the meaning of a text, without blanks around it, in each mode and place."""
    hosts = (source, destination)
    return tuple(_meaning(text.strip(), mode, place, hosts) for mode in Mode for place in Place)


def _meaning(text: str, mode: Mode, place: Place, hosts: tuple[str, str]) -> Meaning:
    source, destination = hosts
    plan = _plan(mode, place, text)
    problems = plan.problems(source=source, destination=destination)
    instead = next((problem.suggestion for problem in problems if problem.suggestion), None)
    if problems:
        plan = _plan(mode, place, instead or "")
    plan = plan.filled(destination=destination)
    notes: tuple[str, ...] = ()
    if text and not problems:
        of_migration = place is Place.MIGRATION
        notes = migration_notes(text) if of_migration else connection_notes(text, mode)
    return Meaning(
        mode=mode,
        place=place,
        text=text,
        problems=problems,
        notes=notes,
        instead=instead,
        plan=plan,
        connection=next(one for one in plan.connections() if one.listener is _LISTENERS[place]),
        hosts=hosts,
    )


def _plan(mode: Mode, place: Place, text: str) -> Plan:
    uri = text or None
    if place is Place.MIGRATION:
        return Plan(mode=mode, migration_uri=uri)
    return Plan(mode=mode, connection_uri=uri)


def verdict(found: tuple[Meaning, ...]) -> str:
    """Return one sentence about the places where a text works."""
    text = found[0].text
    if not text:
        return "Nothing is given: a URI that is left out is filled in."
    quoted = quote(text)
    good = [meaning for meaning in found if meaning.works]
    if not good:
        return f"{quoted} works in none of the four places."
    if len(good) == len(found):
        return f"{quoted} works in each of the four places."
    places = {meaning.place for meaning in good}
    modes = {meaning.mode for meaning in good}
    if len(places) == 1 and len(good) == len(Mode):
        return f"{quoted} works as a {places.pop().words}, in both modes, and as nothing else."
    if len(modes) == 1 and len(good) == len(Place):
        return f"{quoted} works in both places of a {modes.pop()} migration, and in no other."
    return f"{quoted} works {' and '.join(meaning.where for meaning in good)}, and nowhere else."


def drawn(meaning: Meaning) -> str:
    """Return the caption of the drawing of a meaning's plan, with the URI in that plan."""
    if meaning.works:
        return f"A {meaning.mode} migration with {meaning.text or 'no URI given'}:"
    instead = meaning.instead or meaning.connection.uri
    return f"It does not work {meaning.where}. Drawn with {instead} in its place:"


def suggestions(found: tuple[Meaning, ...]) -> tuple[str, ...]:
    """Return the URIs that would work instead in some place, without repeats."""
    return tuple(dict.fromkeys(meaning.instead for meaning in found if meaning.instead))


def table(found: tuple[Meaning, ...]) -> str:
    """Return a table with a row for each place and a column for each mode."""
    return fill(
        "uri_table.html",
        heads=[f"{mode} migration" for mode in Mode],
        rows=[
            (f"as the {place.words}", [one for one in found if one.place is place])
            for place in Place
        ],
    )
