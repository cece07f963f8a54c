"""The panel's fields as plain text, and the plan that they make, or what is wrong with them.

Pure: what is wrong is ``plantext``'s and ``Plan.problems()``'s to say; here a field gets the words
that stand beside it in each mode. Imports neither IPython nor ipywidgets.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

from migrationlab.errors import PlanError
from migrationlab.plan.parsing import plan_of_texts
from migrationlab.plan.plan import Mode, Plan, Problem

#: What the fields beside the URIs are for.
NOTES = {
    "postcopy": "Allows a switch: the guest goes on at the destination, its memory follows.",
    "auto_converge": "Slows the guest's processors down until sending is faster than writing.",
    "parallel_connections": "How many connections send memory at once; empty for the usual one.",
    "compression": "xbzrle goes over one connection, zlib and zstd over parallel ones.",
}


@dataclass(frozen=True, slots=True)
class HostPair:
    """The two hosts of the next migration, by the names and the URI that others use for them."""

    source: str
    destination: str
    connection_uri: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """What stands in the fields; empty, or off, for what is left out."""

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

    def read(self, ends: HostPair) -> Reading:
        """Judge the fields for a migration between ``ends``."""
        texts: dict[str, str | bool | None] = {}
        for field in fields(self):
            value = getattr(self, field.name)
            texts[field.name] = (value.strip() if isinstance(value, str) else value) or None
        # One field for both: who gives a number of connections wants them.
        texts["parallel"] = texts["parallel_connections"] is not None
        plan, wrong = plan_of_texts(texts)
        problems = [*wrong, *plan.problems(source=ends.source, destination=ends.destination)]
        filled = replace(plan, connection_uri=plan.connection_uri or ends.connection_uri)
        return Reading(filled.filled(destination=ends.destination), tuple(problems))


@dataclass(frozen=True, slots=True)
class Reading:
    """What the fields say.

    Attributes:
        plan: The plan, left-out URIs filled in; not to be used while there are problems.
        problems: What is wrong; empty where the plan can work.
    """

    plan: Plan
    problems: tuple[Problem, ...]

    def about(self, field: str) -> tuple[Problem, ...]:
        """Give the problems of one field."""
        return tuple(problem for problem in self.problems if problem.field == field)


def whole_number(field: str, text: str) -> int:
    """Read what is typed to steer by.

    Args:
        field: The setting that it is a value of, which has the unit in its name.
        text: What is typed.

    Raises:
        PlanError: It is no whole number.
    """
    plan, problems = plan_of_texts({field: text.strip()})
    if problems:
        raise PlanError(problems[0].reason, hint=problems[0].hint)
    value = getattr(plan, field)
    assert isinstance(value, int)
    return value


def uri_fields(mode: Mode, ends: HostPair) -> tuple[tuple[str, str], ...]:
    """Give the two URI fields, the one to ask for first at the head, each with its explanation."""
    source, destination = ends.source, ends.destination
    memory = f"Where {destination}'s QEMU listens for the guest's memory. {source} dials it."
    if mode is Mode.PEER2PEER:
        opened_by = f"{source}'s libvirtd dials it, with its own keys and names, not with yours."
        first = ("connection_uri", f"Where {destination}'s libvirtd is. {opened_by}")
        return first, ("migration_uri", memory)
    second = f"Where {destination}'s libvirtd is. The client dials it: this notebook."
    return ("migration_uri", memory), ("connection_uri", second)


def meaning(mode: Mode, ends: HostPair) -> str:
    """Say what a mode is."""
    filled_in = "A URI left empty is filled in as shown."
    if mode is Mode.PEER2PEER:
        return (
            f"The client talks to {ends.source}'s libvirtd only, which controls "
            f"{ends.destination}'s itself. {filled_in}"
        )
    return f"The client talks to both libvirtds and leads each through its part. {filled_in}"
