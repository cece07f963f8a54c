"""Whether a plan can work: every rule that binds its settings, and what is known of both sides.

Owns the records of what is known (:class:`Side`, :class:`DomainFacts`, :class:`Situation`) and
:func:`validate`, which lists all problems of a plan at once: ranges and words from the table of
settings, the two URIs, and the rules of ``_plan.rules`` (between settings) and
``_plan.situationrules`` (with the hosts and the domain). What is not known is not judged.

Pure: nothing is resolved, dialled or read. Imports no libvirt, and of the kit only ``settings``,
``uris``, ``errors`` and its own private rooms.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from migrationlab.plan.abi import xml_problems
from migrationlab.plan.facts import DiskFacts, DomainFacts, Side, Situation, domain_facts
from migrationlab.plan.host_rules import OWN, situation_problems
from migrationlab.plan.rules import RULES
from migrationlab.plan.settings import AUTO, Setting, Settings, Shape, settings
from migrationlab.plan.uri_parser import bracketed, host_fault
from migrationlab.plan.uris import (
    Mode,
    Problem,
    nearest,
    quote,
    validate_connection_uri,
    validate_disks_uri,
    validate_domain_name,
    validate_graphics_uri,
    validate_hosts,
    validate_migration_uri,
)

__all__ = [
    "ACCEPTED_BY_LIBVIRT", "RULES", "DiskFacts", "DomainFacts", "Side", "Situation", "domain_facts",
    "validate",
]  # fmt: skip

#: The rules that are the kit's own: libvirt would take such a plan.
ACCEPTED_BY_LIBVIRT = (
    OWN | {rule.name for rule in RULES if rule.own} | {"value-range-own", "text-own"}
)
#: Whole numbers that libvirt takes though they make no sense, as a bandwidth of 2^50 MiB/s.
_TAKEN = frozenset(
    {"bandwidth_mib_s", "postcopy_bandwidth_mib_s", "switchover_bandwidth_mib_s", "disks_port"}
)


def validate(
    plan: Settings,
    *,
    source: str | None = None,
    destination: str | None = None,
    situation: Situation | None = None,
) -> tuple[Problem, ...]:
    """Say everything that is wrong with a plan; empty when it can work.

    Args:
        plan: The plan.
        source: The source's host name; a plan that leads back to it is a problem.
        destination: The destination's host name, for the same test and for suggestions.
        situation: What is known of the hosts and the domain; names in it stand for the two
            arguments before where those are left out.
    """
    if situation is not None:
        source = situation.source.name if source is None else source
        destination = situation.destination.name if destination is None else destination
    return (
        *validate_hosts(source, destination),
        *_uri_problems(plan, source, destination),
        *_text_problems(plan),
        *_value_problems(plan),
        *(
            Problem(rule.shown_at(plan), rule.reason, rule.mend, rule=rule.name)
            for rule in RULES
            if rule.applies(plan)
        ),
        *(() if situation is None else situation_problems(plan, situation)),
    )


def _uri_problems(
    plan: Settings, source: str | None, destination: str | None
) -> tuple[Problem, ...]:
    migration, connection = plan.migration_uri, plan.connection_uri
    if migration == AUTO:
        migration = None
    if migration and connection and _are_swapped(migration, connection, plan.mode):
        hint = "The two URIs stand in each other's place: swap them."
        return (
            *_with_hint(validate_migration_uri(migration, plan.mode), hint, connection),
            *_with_hint(validate_connection_uri(connection, plan.mode), hint, migration),
        )
    found: list[Problem] = []
    if migration is not None:
        found += validate_migration_uri(
            migration, plan.mode, source=source, destination=destination
        )
    if connection is not None:
        found += validate_connection_uri(
            connection, plan.mode, source=source, destination=destination
        )
    return tuple(found)


def _are_swapped(migration: str, connection: str, mode: Mode) -> bool:
    return not validate_migration_uri(connection, mode) and not validate_connection_uri(
        migration, mode
    )


def _with_hint(problems: tuple[Problem, ...], hint: str, uri: str) -> tuple[Problem, ...]:
    return tuple(replace(problem, hint=hint, suggestion=uri) for problem in problems)


def _text_problems(plan: Settings) -> Iterator[Problem]:
    """What is wrong with each text by itself."""
    if plan.listen_address is not None and (fault := host_fault(bracketed(plan.listen_address))):
        yield Problem(
            "listen_address",
            f"{quote(plan.listen_address)} is no address: {fault.reason}",
            "Give an address or a name of the destination host.",
            rule="text-own",
        )
    if plan.disks_uri is not None and plan.copy_storage is not None:  # else nobody reads it
        yield from validate_disks_uri(plan.disks_uri)
    if plan.graphics_uri is not None:
        yield from validate_graphics_uri(plan.graphics_uri)
    if plan.destination_name is not None:
        for problem in validate_domain_name(plan.destination_name):
            yield replace(
                problem,
                field="destination_name",
                hint="Give a name of plain letters, digits and hyphens.",
                rule="text-own",
            )
    if plan.tls_destination is not None and (fault := host_fault(bracketed(plan.tls_destination))):
        yield Problem(
            "tls_destination",
            f"{quote(plan.tls_destination)} is no name of a host: {fault.reason}",
            "Give the name in the destination's certificate.",
            rule="text-own",
        )
    if plan.destination_xml is not None:
        yield from xml_problems("destination_xml", plan.destination_xml)
    if plan.persistent_xml is not None and plan.persistent:  # likewise
        yield from xml_problems("persistent_xml", plan.persistent_xml)


def _value_problems(plan: Settings) -> Iterator[Problem]:
    """What is wrong with each value by itself: out of range, or no word that there is."""
    for about in settings():
        value = getattr(plan, about.name)
        if value is None or value == about.default or about.shape is Shape.MODE:
            continue
        if about.choices:
            for word in value if isinstance(value, tuple) else (value,):
                if word not in about.choices:
                    yield _unknown_word(about, word)
        elif about.low is not None and about.high is not None:
            if about.shape is Shape.WHOLE:
                good = about.low <= value <= about.high
            else:
                good = about.low < value <= about.high
            if not good:
                yield _out_of_range(about, value, offline=plan.offline)


def _unknown_word(about: Setting, word: str) -> Problem:
    near = nearest(word, about.choices)
    return Problem(
        about.name,
        f"{quote(word)} is none of {', '.join(about.choices)}",
        f"Did you mean {near}?" if near else f"Give {' or '.join(about.choices)}.",
        rule="value-unknown",
    )


def _out_of_range(about: Setting, value: float, *, offline: bool) -> Problem:
    unit = f" {about.unit}" if about.unit else ""
    shown = f"{value:g}" if abs(value) < 10**18 else "so large a number of"
    # Most ranges are QEMU's, and an offline migration starts none.
    own = about.parameter is None or about.name in _TAKEN or offline
    least = f"{about.low}" if about.shape is Shape.WHOLE else f"more than {about.low}"
    return Problem(
        about.name,
        f"{shown}{unit} is out of range",
        f"Give {least} to {about.high}{unit}, or leave it out.",
        rule="value-range-own" if own else "value-range",
    )
