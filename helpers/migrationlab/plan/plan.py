"""How to migrate: mode, URIs, flags, parameters, policies; as a value, before anything happens.

A :class:`Plan` knows no host. It can be printed, compared, hashed, stored, swept over with
``dataclasses.replace``, and asked what is wrong with it, who would talk to whom, and which
``virsh migrate`` would do the same. What can be set is the table of ``settings``; what can work,
``judgement``'s to say.

Sources: libvirt's ``docs/migration.rst``, ``docs/manpages/virsh.rst`` (migrate,
migrate-setmaxdowntime), ``src/qemu/qemu_migration.c`` (qemuMigrationSrcPerformNative: the
source's libvirtd opens the TCP connection that its QEMU sends the memory through).

Imports of the kit only ``settings``, ``judgement``, ``uris``, ``errors`` and ``_plan.virsh``; no
libvirt.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from enum import StrEnum
from typing import Self

from migrationlab.errors import PlanError
from migrationlab.plan import virsh as as_virsh
from migrationlab.plan.setting import checked, unknown_names, wrong_type
from migrationlab.plan.settings import AUTO, FLAG_BITS, Settings, settings
from migrationlab.plan.uris import (
    ConnectionUri,
    MigrationUri,
    Mode,
    Problem,
    validate_domain_name,
    validate_host_name,
)
from migrationlab.plan.validation import Situation, validate

__all__ = ["Connection", "Endpoint", "Mode", "Plan", "Problem", "validate_domain_name"]

Value = int | str | bool | tuple[str, ...]


class Endpoint(StrEnum):
    """A program that opens or accepts a connection of a migration."""

    CLIENT = "client"
    SOURCE_LIBVIRTD = "source libvirtd"
    DESTINATION_LIBVIRTD = "destination libvirtd"
    SOURCE_QEMU = "source QEMU"
    DESTINATION_QEMU = "destination QEMU"


@dataclass(frozen=True, slots=True)
class Connection:
    """One network connection of a migration.

    Attributes:
        opened_by: The endpoint that connects.
        listener: The endpoint that accepts.
        carries: What goes over it: control, guest memory, disks.
        uri: The URI that it connects to; None where libvirt chooses it.
    """

    opened_by: Endpoint
    listener: Endpoint
    carries: str
    uri: str | None

    def to_dict(self) -> dict[str, str | None]:
        """Return the connection as plain values, for JSON."""
        return {
            "who": self.opened_by.value,
            "to": self.listener.value,
            "about": self.carries,
            "uri": self.uri,
        }


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Plan(Settings):
    """How to migrate a guest.

    Each setting is a field, by the name, type and unit that :func:`migrationlab.settings` lists
    with its meaning and constraints; what is left out has libvirt's default. The usual ones::

        Plan(mode="peer2peer", bandwidth_mib_s=50)
        Plan(postcopy=True, postcopy_after_iteration=2)
        Plan(parallel=True, parallel_connections=4, compression=("zstd",), zstd_level=3)

    Raises:
        PlanError: There is no such setting, a value is of a wrong type, or the mode is unknown.
            A value of the right type that cannot work is among :meth:`problems` instead.
    """

    def __new__(cls, *_args: object, **values: object) -> Self:
        """Refuse names that there are not, with those that were meant, and not by a TypeError."""
        if error := unknown_names(values, _NAMES):
            raise error
        return object.__new__(cls)

    def __post_init__(self) -> None:
        set_field = object.__setattr__  # the dataclass is frozen
        set_field(self, "mode", Mode(self.mode))
        for about in settings():
            value = getattr(self, about.name)
            if value is not about.default:
                set_field(self, about.name, checked(about, value))

    def __repr__(self) -> str:
        changed = (f"{name}={_shown(value)}" for name, value in self.changed().items())
        return f"Plan({', '.join(changed)})"

    def changed(self) -> dict[str, object]:
        """Return the settings that differ from their defaults."""
        return {
            about.name: value
            for about in settings()
            if (value := getattr(self, about.name)) != about.default
        }

    def problems(
        self,
        *,
        source: str | None = None,
        destination: str | None = None,
        situation: Situation | None = None,
    ) -> tuple[Problem, ...]:
        """Say everything that is wrong with this plan; empty when it can work.

        A URI left out is no problem: see :meth:`filled`. Nothing is resolved or dialled.

        Args:
            source: The source's host name; if given, a plan that leads back to it is a problem.
            destination: The destination's host name, for the same test and for suggestions.
            situation: What is known of the hosts and the domain; without it only what is wrong
                with the plan itself is said.
        """
        return validate(self, source=source, destination=destination, situation=situation)

    def require_valid(
        self,
        *,
        source: str | None = None,
        destination: str | None = None,
        situation: Situation | None = None,
    ) -> None:
        """Do nothing if the plan can work.

        Args:
            source: As for :meth:`problems`.
            destination: As for :meth:`problems`.
            situation: As for :meth:`problems`.

        Raises:
            PlanError: It cannot; the message lists every problem, the hint what to do.
        """
        problems = self.problems(source=source, destination=destination, situation=situation)
        if problems:
            raise PlanError(
                "\n".join(f"{problem.field}: {problem.reason}" for problem in problems),
                hint="\n".join(dict.fromkeys(problem.hint for problem in problems)),
            )

    def filled(self, *, destination: str) -> Self:
        """The same plan with the URIs that were left out.

        A tunnelled or an offline migration dials no migration URI, and gets none; "auto" stays,
        so that the destination's libvirtd chooses.

        Args:
            destination: The destination's host name or address, as the client and the source
                host both see it.

        Raises:
            PlanError: ``destination`` cannot be a host name.
        """
        if problems := validate_host_name(destination, "destination"):
            raise PlanError(problems[0].reason, hint=problems[0].hint)
        connection = ConnectionUri(transport="ssh", user="root", host=destination)
        migration = None
        if not (self.tunnelled or self.offline):
            migration = str(MigrationUri(host=destination))
        return replace(
            self,
            migration_uri=migration if self.migration_uri is None else self.migration_uri,
            connection_uri=_or_else(self.connection_uri, str(connection)),
        )

    def flags(self) -> tuple[str, ...]:
        """The flags, by libvirt's names without their ``VIR_MIGRATE_``, in the order of their bits.

        An offline migration has no LIVE: it moves no running guest, and virsh refuses the two
        together (cmdMigrate in ``tools/virsh-domain.c``).
        """
        names = {
            flag.name
            for about in settings()
            if about.flags
            for flag in about.in_force(getattr(self, about.name))
        }
        if self.offline:
            names.discard("LIVE")
        return tuple(sorted(names, key=FLAG_BITS.__getitem__))

    def flag_bits(self) -> int:
        """The flags as libvirt's one number, by the kit's own table of them."""
        return sum(FLAG_BITS[name] for name in self.flags())

    def parameters(self) -> dict[str, Value]:
        """The typed parameters for libvirt, by the values of its ``VIR_MIGRATE_PARAM_*``.

        The connection URI is none of them (it is an argument of its own, or a connection), nor
        is what the kit does while the migration runs: maximum downtime, deadline, policies.
        """
        parameters: dict[str, Value] = {}
        for about in settings():
            value = getattr(self, about.name)
            if about.parameter is None or value is None or value == ():
                continue
            if about.name == "migration_uri" and value == AUTO:
                continue
            parameters[about.parameter] = value
        return parameters

    def connections(self, *, source_uri: str = "qemu:///system") -> tuple[Connection, ...]:
        """Who talks to whom, who dials, and what for.

        Args:
            source_uri: How the client connects to the source's libvirtd.
        """
        controller = (
            Endpoint.SOURCE_LIBVIRTD if self.mode is Mode.PEER2PEER else Endpoint.CLIENT
        )  # the one difference between the modes
        control = (
            Connection(Endpoint.CLIENT, Endpoint.SOURCE_LIBVIRTD, "control", source_uri),
            Connection(controller, Endpoint.DESTINATION_LIBVIRTD, "control", self.connection_uri),
        )
        if self.offline:
            return control
        about = "guest memory and disks" if self.copy_storage else "guest memory"
        if self.tunnelled:
            inside = Connection(
                Endpoint.SOURCE_LIBVIRTD, Endpoint.DESTINATION_LIBVIRTD, about, self.connection_uri
            )
            return (*control, inside)
        uri = None if self.migration_uri == AUTO else self.migration_uri
        return (*control, Connection(Endpoint.SOURCE_QEMU, Endpoint.DESTINATION_QEMU, about, uri))

    def virsh(self, domain: str, *, source_uri: str = "qemu:///system") -> list[str]:
        """The ``virsh migrate`` that does the same, as an argument list.

        It says all of the plan that virsh has an option for; :meth:`notes` says the rest.
        ``shlex.join`` makes one line of it.

        Args:
            domain: The guest's name.
            source_uri: How virsh connects to the source's libvirtd; the default is for a virsh
                on the source host.

        Raises:
            PlanError: The plan cannot work, or its connection URI is left out.
        """
        self.require_valid()
        if problems := validate_domain_name(domain):
            raise PlanError(problems[0].reason, hint=problems[0].hint)
        if self.connection_uri is None:
            raise PlanError(
                "virsh needs the destination's connection URI, and the plan has none",
                hint="Ask plan.filled(destination=HOST).virsh(…), or give connection_uri.",
            )
        return as_virsh.line(self, self.flags(), self.parameters(), domain, source_uri)

    def notes(self, domain: str, *, source_uri: str = "qemu:///system") -> tuple[str, ...]:
        """What to know about this good plan, and what its virsh line cannot say.

        Args:
            domain: The guest's name.
            source_uri: As for :meth:`virsh`.
        """
        return tuple(as_virsh.notes(self, domain, source_uri))

    def to_dict(self) -> dict[str, object]:
        """The plan as plain values, for JSON."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in values.items()
        } | {"mode": self.mode.value}

    @classmethod
    def from_dict(cls, values: Mapping[str, object]) -> Self:
        """The plan that :meth:`to_dict` made ``values`` of; keys left out take their defaults.

        Raises:
            PlanError: A key is unknown, a value is of a wrong type, or the mode is unknown.
        """
        if not isinstance(values, Mapping):
            raise wrong_type("a plan", values, "a mapping")
        if error := unknown_names(values, _NAMES):
            raise error
        # The types are __post_init__'s to judge, value by value.
        return cls(**values)  # type: ignore[arg-type]


_NAMES = [field.name for field in fields(Plan)]


def _shown(value: object) -> str:
    return repr(value.value if isinstance(value, Mode) else value)


def _or_else(value: str | None, default: str) -> str:
    return default if value is None else value
