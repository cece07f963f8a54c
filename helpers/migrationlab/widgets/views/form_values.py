"""Read the panel's fields, which are plain text, as a plan or as a list of problems.

``plan.parsing`` and ``Plan.problems()`` find the problems. This module owns the texts beside the
fields in each mode.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

from migrationlab.plan.parsing import plan_of_texts
from migrationlab.plan.plan import Mode, Plan, Problem
from migrationlab.plan.problem import require_none

#: The purposes of the fields beside the URIs.
NOTES = {
    "postcopy": "Allows a switch: the guest continues at the destination, its memory follows.",
    "auto_converge": "Slows the guest's processors until it writes at most half of what is sent.",
    "parallel_connections": "How many connections send memory at once; empty: QEMU's default, 2.",
    "compression": "xbzrle goes over one connection, zlib and zstd over parallel ones.",
}


@dataclass(frozen=True, slots=True)
class HostPair:
    """The two hosts of the next migration: the names and the URI that others use for them."""

    source: str
    destination: str
    connection_uri: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FormValues:
    """The content of the fields; a left-out value is empty, or off."""

    mode: Mode
    migration_uri: str = ""
    connection_uri: str = ""
    bandwidth_mib_s: str = ""
    max_downtime_ms: str = ""
    deadline_s: str = ""
    postcopy: bool = False
    auto_converge: bool = False
    parallel_connections: str = ""
    compression: str = ""

    def read(self, hosts: HostPair) -> Reading:
        """Return the plan for a migration between two hosts, with its problems."""
        texts: dict[str, str | bool | None] = {}
        for field in fields(self):
            value = getattr(self, field.name)
            texts[field.name] = (value.strip() if isinstance(value, str) else value) or None
        # One field stands for both settings: a number of connections asks for parallel ones.
        texts["parallel"] = texts["parallel_connections"] is not None
        plan, wrong = plan_of_texts(texts)
        problems = [*wrong, *plan.problems(source=hosts.source, destination=hosts.destination)]
        filled = replace(plan, connection_uri=plan.connection_uri or hosts.connection_uri)
        return Reading(filled.filled(destination=hosts.destination), tuple(problems))


@dataclass(frozen=True, slots=True)
class Reading:
    """The plan of the fields, and its problems.

    Attributes:
        plan: The plan, with left-out URIs filled in; unusable while there are problems.
        problems: The problems; empty if the plan can work.
    """

    plan: Plan
    problems: tuple[Problem, ...]

    def problems_of(self, field: str) -> tuple[Problem, ...]:
        """Return the problems of one field."""
        return tuple(problem for problem in self.problems if problem.field == field)


def whole_number(field: str, text: str) -> int:
    """Return the whole number in a text as the value of a setting, or raise PlanError."""
    plan, problems = plan_of_texts({field: text.strip()})
    require_none(problems)
    value = getattr(plan, field)
    assert isinstance(value, int)
    return value


def uri_fields(mode: Mode, hosts: HostPair) -> tuple[tuple[str, str], ...]:
    """Return the two URI fields with their notes, the more important field first."""
    source, destination = hosts.source, hosts.destination
    memory = (
        "migration_uri",
        f"Where {destination}'s QEMU listens for the guest's memory. {source} connects to it.",
    )
    if mode is Mode.PEER2PEER:
        who = f"{source}'s libvirtd connects to it, with its own keys and names, not with yours."
        return ("connection_uri", f"Where {destination}'s libvirtd is. {who}"), memory
    who = "The client connects to it: this notebook."
    return memory, ("connection_uri", f"Where {destination}'s libvirtd is. {who}")


def meaning(mode: Mode, hosts: HostPair) -> str:
    """Return the meaning of a mode."""
    if mode is Mode.PEER2PEER:
        text = (
            f"The client talks only to {hosts.source}'s libvirtd, which controls "
            f"{hosts.destination}'s libvirtd."
        )
    else:
        text = "The client talks to both libvirtds and leads each through its part."
    return f"{text} A URI left empty is filled in as shown."
