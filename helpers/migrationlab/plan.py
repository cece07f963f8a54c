"""How to migrate: mode, URIs, flags, parameters, deadline; as a value, before anything happens.

A :class:`Plan` knows no host. It can be printed, compared, hashed, stored, swept over with
``dataclasses.replace``, and asked what is wrong with it, who would talk to whom, and which
``virsh migrate`` would do the same.

Sources: libvirt's ``include/libvirt/libvirt-domain.h`` (VIR_MIGRATE_* and VIR_MIGRATE_PARAM_*),
``docs/migration.rst``, ``docs/manpages/virsh.rst`` (migrate, migrate-setmaxdowntime),
``src/qemu/qemu_migration.c`` (qemuMigrationSrcPerformNative: the source's libvirtd opens the
TCP connection that its QEMU sends the memory through); QEMU's ``migration/options.c`` (the limit
of the downtime, and its default of 300 ms).

Imports of the kit only ``uris`` and ``errors``; no libvirt.
"""

from __future__ import annotations

import math
import numbers
import operator
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from enum import StrEnum
from typing import Self

from migrationlab.errors import PlanError
from migrationlab.uris import (
    ConnectionUri,
    MigrationUri,
    Mode,
    Problem,
    connection_notes,
    judge_connection_uri,
    judge_host_name,
    judge_hosts,
    judge_migration_uri,
    migration_notes,
    nearest,
    quote,
)

__all__ = ["Mode", "Party", "Plan", "Problem", "Talk"]

# libvirt takes any bandwidth in silence; no wire today carries a TiB/s.
MAX_BANDWIDTH_MIB_S = 1_048_576
# QEMU refuses more: MAX_MIGRATE_DOWNTIME in migration/options.c.
MAX_DOWNTIME_MS = 2_000_000
MAX_DEADLINE_S = 7 * 86_400.0


class Party(StrEnum):
    """One of those who talk in a migration."""

    CLIENT = "client"
    SOURCE_LIBVIRTD = "source libvirtd"
    DESTINATION_LIBVIRTD = "destination libvirtd"
    SOURCE_QEMU = "source QEMU"
    DESTINATION_QEMU = "destination QEMU"


@dataclass(frozen=True, slots=True)
class Talk:
    """One connection of a migration.

    Attributes:
        who: The one who dials.
        to: The one who listens.
        about: What goes over it.
        uri: What is dialled; None where libvirt chooses it.
    """

    who: Party
    to: Party
    about: str
    uri: str | None

    def to_dict(self) -> dict[str, str | None]:
        """The talk as plain values, for JSON."""
        return {"who": self.who.value, "to": self.to.value, "about": self.about, "uri": self.uri}


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Plan:
    """How to migrate a guest.

    Args:
        mode: ``normal`` or ``peer2peer``; the text will do.
        migration_uri: Where the destination's QEMU listens: ``tcp://host[:port]``. None leaves
            it to the destination's libvirtd.
        connection_uri: Where the destination's libvirtd is: ``qemu+ssh://root@host/system``,
            ``qemu+tcp://host/system``; as the client sees it in normal mode, as the source's
            libvirtd sees it in peer2peer. None where the plan is to be filled in.
        bandwidth_mib_s: Limit of the transfer; None for none.
        max_downtime_ms: How long the guest may stand still; None for QEMU's default, 300 ms.
        deadline_s: When to cancel a migration that is still not done.
        allow_unsafe_tcg: Let a TCG guest leave a QEMU before 9.0, although that can corrupt its
            memory.

    Raises:
        PlanError: A value is of a wrong type, or the mode is unknown. A value of the right type
            that cannot work is among :meth:`problems` instead.
    """

    mode: Mode = Mode.NORMAL
    migration_uri: str | None = None
    connection_uri: str | None = None
    bandwidth_mib_s: int | None = None
    max_downtime_ms: int | None = None
    deadline_s: float = 120.0
    allow_unsafe_tcg: bool = False

    def __post_init__(self) -> None:
        set_field = object.__setattr__  # the dataclass is frozen
        set_field(self, "mode", Mode(self.mode))
        for name in ("migration_uri", "connection_uri"):
            value = getattr(self, name)
            if value is not None and not isinstance(value, str):
                raise _wrong_type(name, value, "text, or None")
        for name in ("bandwidth_mib_s", "max_downtime_ms"):
            value = getattr(self, name)
            if value is not None:
                # numpy's integers come with sweeps; a bool is an int by accident only.
                if isinstance(value, bool) or not isinstance(value, numbers.Integral):
                    raise _wrong_type(name, value, "a whole number, or None")
                set_field(self, name, operator.index(value))
        deadline_s: object = self.deadline_s
        if isinstance(deadline_s, bool) or not isinstance(deadline_s, numbers.Real):
            raise _wrong_type("deadline_s", deadline_s, "a number of seconds")
        set_field(self, "deadline_s", _as_float(deadline_s))
        if not isinstance(self.allow_unsafe_tcg, bool):
            raise _wrong_type("allow_unsafe_tcg", self.allow_unsafe_tcg, "True or False")

    def __repr__(self) -> str:
        changed = (
            f"{field.name}={_shown(getattr(self, field.name))}"
            for field in fields(self)
            if getattr(self, field.name) != field.default
        )
        return f"Plan({', '.join(changed)})"

    def problems(
        self, *, source: str | None = None, destination: str | None = None
    ) -> tuple[Problem, ...]:
        """Say everything that is wrong with this plan; empty when it can work.

        A URI left out is no problem: see :meth:`filled`. Nothing is resolved or dialled.

        Args:
            source: The source's host name; if given, a plan that leads back to it is a problem.
            destination: The destination's host name, for the same test and for suggestions.
        """
        found = [*judge_hosts(source, destination)]
        found += self._uri_problems(source, destination)
        found += _range_problems(
            "bandwidth_mib_s", self.bandwidth_mib_s, MAX_BANDWIDTH_MIB_S, "MiB/s", "no limit"
        )
        found += _range_problems(
            "max_downtime_ms", self.max_downtime_ms, MAX_DOWNTIME_MS, "ms", "QEMU's 300 ms"
        )
        if not 0 < self.deadline_s <= MAX_DEADLINE_S:
            found.append(
                Problem(
                    "deadline_s",
                    f"a deadline of {self.deadline_s:g} s cannot be kept",
                    f"Give more than 0 s and at most {MAX_DEADLINE_S:.0f} s (a week).",
                )
            )
        return tuple(found)

    def require_valid(self, *, source: str | None = None, destination: str | None = None) -> None:
        """Do nothing if the plan can work.

        Args:
            source: As for :meth:`problems`.
            destination: As for :meth:`problems`.

        Raises:
            PlanError: It cannot; the message lists every problem, the hint what to do.
        """
        problems = self.problems(source=source, destination=destination)
        if problems:
            raise PlanError(
                "\n".join(f"{problem.field}: {problem.reason}" for problem in problems),
                hint="\n".join(dict.fromkeys(problem.hint for problem in problems)),
            )

    def filled(self, *, destination: str) -> Self:
        """The same plan with the URIs that were left out.

        Args:
            destination: The destination's host name or address, as the client and the source
                host both see it.

        Raises:
            PlanError: ``destination`` cannot be a host name.
        """
        if problems := judge_host_name(destination, "destination"):
            raise PlanError(problems[0].reason, hint=problems[0].hint)
        connection = ConnectionUri(transport="ssh", user="root", host=destination)
        return replace(
            self,
            migration_uri=_or_else(self.migration_uri, str(MigrationUri(host=destination))),
            connection_uri=_or_else(self.connection_uri, str(connection)),
        )

    def flags(self) -> tuple[str, ...]:
        """The flags, by libvirt's names without their ``VIR_MIGRATE_``."""
        return ("LIVE", "PEER2PEER") if self.mode is Mode.PEER2PEER else ("LIVE",)

    def parameters(self) -> dict[str, int | str]:
        """The typed parameters for libvirt, by the values of its ``VIR_MIGRATE_PARAM_*``.

        The connection URI is none of them (it is an argument of its own, or a connection), nor
        are the maximum downtime and the deadline: both are kept while the migration runs.
        """
        parameters: dict[str, int | str] = {}
        if self.migration_uri is not None:
            parameters["migrate_uri"] = self.migration_uri
        if self.bandwidth_mib_s is not None:
            parameters["bandwidth"] = self.bandwidth_mib_s
        return parameters

    def talks(self, *, source_uri: str = "qemu:///system") -> tuple[Talk, ...]:
        """Who talks to whom, who dials, and what for.

        Args:
            source_uri: How the client connects to the source's libvirtd.
        """
        controller = (
            Party.SOURCE_LIBVIRTD if self.mode is Mode.PEER2PEER else Party.CLIENT
        )  # the one difference between the modes
        return (
            Talk(Party.CLIENT, Party.SOURCE_LIBVIRTD, "control", source_uri),
            Talk(controller, Party.DESTINATION_LIBVIRTD, "control", self.connection_uri),
            Talk(Party.SOURCE_QEMU, Party.DESTINATION_QEMU, "guest memory", self.migration_uri),
        )

    def virsh(self, domain: str, *, source_uri: str = "qemu:///system") -> list[str]:
        """The ``virsh migrate`` that does the same, as an argument list.

        It says all of the plan but the maximum downtime and the deadline, for which virsh's
        ``migrate`` has no option (``--timeout`` suspends the guest and goes on, it does not
        cancel): :meth:`notes` says how to have these. ``shlex.join`` makes one line of it.

        Args:
            domain: The guest's name.
            source_uri: How virsh connects to the source's libvirtd; the default is for a virsh
                on the source host.

        Raises:
            PlanError: The plan cannot work, or its connection URI is left out.
        """
        self.require_valid()
        if problems := judge_domain(domain):
            raise PlanError(problems[0].reason, hint=problems[0].hint)
        if self.connection_uri is None:
            raise PlanError(
                "virsh needs the destination's connection URI, and the plan has none",
                hint="Ask plan.filled(destination=HOST).virsh(…), or give connection_uri.",
            )
        argv = ["virsh", "--connect", source_uri, "migrate", "--live"]
        if self.mode is Mode.PEER2PEER:
            argv += ["--p2p"]
        argv += ["--domain", domain, "--desturi", self.connection_uri]
        if self.migration_uri is not None:
            argv += ["--migrateuri", self.migration_uri]
        if self.bandwidth_mib_s is not None:
            argv += ["--bandwidth", str(self.bandwidth_mib_s)]
        return argv

    def notes(self, domain: str, *, source_uri: str = "qemu:///system") -> tuple[str, ...]:
        """What to know about this good plan, and what its virsh line cannot say.

        Args:
            domain: The guest's name.
            source_uri: As for :meth:`virsh`.
        """
        notes: list[str] = []
        if self.migration_uri is not None:
            notes += migration_notes(self.migration_uri)
        if self.connection_uri is not None:
            notes += connection_notes(self.connection_uri, self.mode)
        if self.max_downtime_ms is not None:
            command = [
                "virsh", "--connect", source_uri,
                "migrate-setmaxdowntime", domain, str(self.max_downtime_ms),
            ]  # fmt: skip
            notes.append(
                "virsh migrate cannot set the maximum downtime; while it runs, in a second "
                f"shell: {shlex.join(command)}"
            )
        notes.append(
            f"virsh migrate has no deadline (--timeout suspends the guest): to cancel after "
            f"{self.deadline_s:g} s put timeout --signal=INT {self.deadline_s:g} before it."
        )
        return tuple(notes)

    def to_dict(self) -> dict[str, str | int | float | bool | None]:
        """The plan as plain values, for JSON."""
        return {
            **{field.name: getattr(self, field.name) for field in fields(self)},
            "mode": self.mode.value,
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, object]) -> Self:
        """The plan that :meth:`to_dict` made ``values`` of; keys left out take their defaults.

        Raises:
            PlanError: A key is unknown, a value is of a wrong type, or the mode is unknown.
        """
        if not isinstance(values, Mapping):
            raise _wrong_type("a plan", values, "a mapping")
        names = [field.name for field in fields(cls)]
        for key in values:
            if key not in names:
                near = nearest(str(key), names)
                raise PlanError(
                    f"a plan has no {quote(str(key))}",
                    hint=f"Did you mean {near}?" if near else f"A plan has {', '.join(names)}.",
                )
        # The types are __post_init__'s to judge, value by value.
        return cls(**values)  # type: ignore[arg-type]

    def _uri_problems(self, source: str | None, destination: str | None) -> tuple[Problem, ...]:
        migration, connection = self.migration_uri, self.connection_uri
        if migration and connection and _are_swapped(migration, connection, self.mode):
            hint = "The two URIs stand in each other's place: swap them."
            return (
                *_with_hint(judge_migration_uri(migration, self.mode), hint, connection),
                *_with_hint(judge_connection_uri(connection, self.mode), hint, migration),
            )
        found: list[Problem] = []
        if migration is not None:
            found += judge_migration_uri(
                migration, self.mode, source=source, destination=destination
            )
        if connection is not None:
            found += judge_connection_uri(
                connection, self.mode, source=source, destination=destination
            )
        return tuple(found)


def judge_domain(name: str) -> tuple[Problem, ...]:
    """Say what is wrong with ``name`` as a guest's name; empty when nothing is."""
    if name.strip() and name.isprintable() and "/" not in name:
        return ()
    return (
        Problem(
            "domain",
            f"{quote(name)} cannot be a guest's name",
            "Give the name that virsh list shows.",
        ),
    )


def _are_swapped(migration: str, connection: str, mode: Mode) -> bool:
    return not judge_migration_uri(connection, mode) and not judge_connection_uri(migration, mode)


def _with_hint(problems: tuple[Problem, ...], hint: str, uri: str) -> tuple[Problem, ...]:
    return tuple(replace(problem, hint=hint, suggestion=uri) for problem in problems)


def _range_problems(
    field: str, value: int | None, most: int, unit: str, default: str
) -> tuple[Problem, ...]:
    if value is None or 1 <= value <= most:
        return ()
    return (
        Problem(
            field,
            f"{value if abs(value) < 10**18 else 'so large a number of'} {unit} is out of range",
            f"Give 1 to {most} {unit}, or leave it out for {default}.",
        ),
    )


def _wrong_type(name: str, value: object, wanted: str) -> PlanError:
    return PlanError(
        f"{name} cannot be of type {type(value).__name__}", hint=f"It must be {wanted}."
    )


def _shown(value: object) -> str:
    return repr(value.value if isinstance(value, Mode) else value)


def _as_float(number: numbers.Real) -> float:
    """``number`` as a float; an integer too great for one is infinite."""
    try:
        return float(number)
    except OverflowError:
        return math.inf


def _or_else(value: str | None, default: str) -> str:
    return default if value is None else value
