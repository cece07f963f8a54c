"""Check whether a plan can work, by its settings and the known facts about both hosts.

Owns :func:`validate`, which lists all problems of a plan at once: ranges and words from the table
of settings, the URIs, the ``rules`` between settings, and the ``host_rules`` about the hosts and
the domain. Unknown facts are not checked.

No name is resolved, no connection is opened, and no file is read.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from migrationlab.errors import PlanError
from migrationlab.plan.abi import xml_problems
from migrationlab.plan.facts import DiskFacts, DomainFacts, Side, Situation, domain_facts
from migrationlab.plan.host_rules import ACCEPTED, situation_problems
from migrationlab.plan.policies import catalog
from migrationlab.plan.problem import Problem
from migrationlab.plan.qemu_parameters import parameter_problems
from migrationlab.plan.rules import RULES
from migrationlab.plan.settings import AUTO, Setting, Settings, Shape, settings
from migrationlab.plan.uri_parser import name_problem
from migrationlab.plan.uris import (
    Mode,
    client_at,
    validate_connection_uri,
    validate_domain_name,
    validate_hosts,
    validate_migration_uri,
    validate_other_uri,
)
from migrationlab.plan.wording import in_words, nearest, quote

__all__ = [
    "ACCEPTED_BY_LIBVIRT", "RULES", "DiskFacts", "DomainFacts", "Side", "Situation",
    "accepted_by", "domain_facts", "validate",
]  # fmt: skip

#: Every libvirt accepts a plan that breaks one of these rules.
ACCEPTED_BY_LIBVIRT = (
    ACCEPTED
    | {rule.name for rule in RULES if rule.accepted}
    | {"value-range-own", "text-own", "policy-unknown", "policy-options"}
    | {"qemu-parameter-unknown", "qemu-parameter-value", "qemu-parameter-needs"}
)
#: Whole numbers that libvirt accepts though they make no sense, as a bandwidth of 2^50 MiB/s.
_UNCHECKED = frozenset(
    {"bandwidth_mib_s", "postcopy_bandwidth_mib_s", "switchover_bandwidth_mib_s", "disks_port"}
)
#: The largest bandwidth with which libvirt copies disks (qemuMigrationSrcNBDStorageCopy).
_LARGEST_COPY_MIB_S = (2**63 - 1) >> 20


def accepted_by(libvirt: tuple[int, ...]) -> frozenset[str]:
    """Return the rules that a plan can break although a libvirt of that version accepts it."""
    later = {each.name for each in RULES if each.refused_since and libvirt < each.refused_since}
    return ACCEPTED_BY_LIBVIRT | later


def validate(
    plan: Settings,
    *,
    source: str | None = None,
    destination: str | None = None,
    situation: Situation | None = None,
    source_uri: str | None = None,
) -> tuple[Problem, ...]:
    """Return all problems of a plan; empty if it can work.

    The arguments are those of ``Plan.problems``. The names of the hosts in ``situation`` count
    if ``source`` or ``destination`` is left out.
    """
    if situation is not None:
        source = situation.source.name if source is None else source
        destination = situation.destination.name if destination is None else destination
    return (
        *validate_hosts(source, destination),
        *_uri_problems(plan, source, destination, client_at_source=client_at(source_uri)),
        *_text_problems(plan),
        *_value_problems(plan),
        *_policy_problems(plan),
        *parameter_problems(plan, plan.qemu_parameters or {}),
        *(rule.problem(plan) for rule in RULES if rule.broken(plan)),
        *(() if situation is None else situation_problems(plan, situation)),
    )


def _uri_problems(
    plan: Settings, source: str | None, destination: str | None, *, client_at_source: bool
) -> tuple[Problem, ...]:
    migration = None if plan.migration_uri == AUTO else plan.migration_uri
    connection, mode = plan.connection_uri, plan.mode
    if migration and connection and _fit(connection, migration, mode):
        hint = "Swap the two URIs: each stands in the place of the other."
        wrong = (
            *validate_migration_uri(migration, mode),
            *validate_connection_uri(connection, mode),
        )
        other = {"migration_uri": connection, "connection_uri": migration}
        return tuple(replace(each, hint=hint, suggestion=other[each.field]) for each in wrong)
    found: tuple[Problem, ...] = ()
    if migration is not None:
        found += validate_migration_uri(migration, mode, source=source, destination=destination)
    if connection is not None:
        found += validate_connection_uri(
            connection, mode, source=source, destination=destination,
            client_at_source=client_at_source,
        )  # fmt: skip
    return found


def _fit(migration: str, connection: str, mode: Mode) -> bool:
    wrong = validate_migration_uri(migration, mode) or validate_connection_uri(connection, mode)
    return not wrong


def _text_problems(plan: Settings) -> Iterator[Problem]:
    """Yield the problems of each text by itself."""
    hosts = {
        "listen_address": "Give an address or name of the destination host, such as 0.0.0.0.",
        "tls_destination": "Give the name in the destination's certificate, such as host-b.",
    }
    for field, hint in hosts.items():
        value = getattr(plan, field)
        if value is not None and (reason := name_problem(value, field)):
            yield Problem(field, reason, hint, rule="text-own")
    if plan.disks_uri is not None and plan.copy_storage is not None:  # else nobody reads it
        yield from validate_other_uri("disks_uri", plan.disks_uri)
    if plan.graphics_uri is not None:
        yield from validate_other_uri("graphics_uri", plan.graphics_uri)
    if plan.destination_name is not None:
        hint = "Give a name of plain letters, digits and hyphens, such as web2."
        for problem in validate_domain_name(plan.destination_name, "destination_name"):
            yield replace(problem, hint=hint, rule="text-own")
    if plan.destination_xml is not None:
        yield from xml_problems("destination_xml", plan.destination_xml)
    if plan.persistent_xml is not None and plan.persistent:  # else nobody reads it
        yield from xml_problems("persistent_xml", plan.persistent_xml)


def _value_problems(plan: Settings) -> Iterator[Problem]:
    """Yield the problems of each value by itself: out of range, or an unknown word."""
    for about in settings():
        value = getattr(plan, about.name)
        if value is None or value == about.default or about.shape is Shape.MODE:
            continue
        if about.choices:
            words = value if isinstance(value, tuple) else (value,)
            yield from (_unknown_word(about, word) for word in words if word not in about.choices)
        elif about.low is not None and about.high is not None:
            whole = about.shape is Shape.WHOLE
            if not (about.low <= value if whole else about.low < value) or not value <= about.high:
                copied = about.name == "bandwidth_mib_s" and plan.copy_storage is not None
                refused = copied and value > _LARGEST_COPY_MIB_S
                yield _out_of_range(about, value, offline=plan.offline, refused=refused)


def _policy_problems(plan: Settings) -> Iterator[Problem]:
    """Yield the problem of an unknown policy, or of its options."""
    if plan.policy is None:
        return
    try:
        catalog.find(plan.policy)
    except PlanError as error:
        yield Problem("policy", str(error), error.hint, rule="policy-unknown")
        return
    try:
        catalog.make(plan.policy, plan.policy_options)
    except PlanError as error:
        yield Problem("policy_options", str(error), error.hint, rule="policy-options")


def _unknown_word(about: Setting, word: str) -> Problem:
    near = nearest(word, about.choices) or about.choices[0]
    example = f"('{near}',)" if about.shape is Shape.OPTIONAL_NAMES else f"'{near}'"
    return Problem(
        about.name,
        f"{about.name} must be {in_words(about.choices)} (got {quote(word)})",
        f"Set {about.name}={example}, or leave it out.",
        rule="value-unknown",
    )


def _out_of_range(about: Setting, value: float, *, offline: bool, refused: bool) -> Problem:
    got = f"{value:g}" if abs(value) < 10**18 else "a much larger number"
    # Most ranges are QEMU's, and an offline migration starts no QEMU.
    own = about.parameter is None or (about.name in _UNCHECKED and not refused) or offline
    return Problem(
        about.name,
        f"{about.name} must be {about.limits} (got {got})",
        f"Give {about.limits}, or leave it out.",
        rule="value-range-own" if own else "value-range",
    )
