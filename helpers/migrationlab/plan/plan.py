"""Describe how to migrate: mode, URIs, flags, parameters and policies, as a value.

A :class:`Plan` knows no host. It can be printed, compared, hashed, stored and varied with
``dataclasses.replace``. It lists its problems (``validation``), the connections of the migration,
and the same migration as a ``virsh migrate`` command (``virsh``). ``settings`` has its fields.

Sources: libvirt's ``docs/migration.rst``, ``docs/manpages/virsh.rst`` (migrate,
migrate-setmaxdowntime), ``src/qemu/qemu_migration.c`` (qemuMigrationSrcPerformNative: who opens the
connection for the memory).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from enum import StrEnum
from typing import Self

from migrationlab.errors import PlanError
from migrationlab.plan import virsh
from migrationlab.plan.options import Options
from migrationlab.plan.policies import catalog
from migrationlab.plan.problem import Problem, require_none
from migrationlab.plan.setting import checked, unknown_names
from migrationlab.plan.settings import AUTO, FLAG_BITS, Settings, settings
from migrationlab.plan.uris import (
    ConnectionUri,
    MigrationUri,
    Mode,
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
        carries: Its content: control, guest memory, disks.
        uri: The URI that it connects to; None if libvirt chooses it.
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
    with its meaning and constraints. A setting that is left out has libvirt's default, except
    that ``live`` is on and ``deadline_s`` is 120. Examples::

        Plan(mode="peer2peer", bandwidth_mib_s=50)
        Plan(postcopy=True, postcopy_after_iteration=2)
        Plan(policy="nova", policy_options={"downtime_ms": 1000})
        Plan(parallel=True, parallel_connections=4, compression=("zstd",), zstd_level=3)

    Raises:
        PlanError: A setting or the mode is unknown, or a value has a wrong type. A value of the
            right type that cannot work is one of :meth:`problems` instead.
    """

    def __new__(cls, *_args: object, **values: object) -> Self:
        """Raise PlanError for unknown settings, and suggest the closest names."""
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
        # What belongs to a named policy, unless the plan itself has something else.
        for name, value in catalog.settings_of(self.policy, self.policy_options).items():
            if getattr(self, name) == settings()[name].default:
                set_field(self, name, value)

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
        source_uri: str | None = None,
    ) -> tuple[Problem, ...]:
        """Return all problems of this plan; empty if it can work.

        A URI that is left out is no problem: see :meth:`filled`. No connection is opened.

        Args:
            source: The source's host name; if given, a plan that leads back to it is a problem.
            destination: The destination's host name, for the same test and for suggestions.
            situation: Facts about the hosts and the domain; without them only the plan itself
                is checked.
            source_uri: How the client connects to the source's libvirtd. A client that is not on
                the source can be on the destination, whose own connection URI then names no host.
        """
        return validate(
            self, source=source, destination=destination, situation=situation,
            source_uri=source_uri,
        )  # fmt: skip

    def require_valid(
        self,
        *,
        source: str | None = None,
        destination: str | None = None,
        situation: Situation | None = None,
        source_uri: str | None = None,
    ) -> None:
        """Raise PlanError, with every problem and its fix, unless the plan can work.

        The arguments are those of :meth:`problems`.
        """
        found = self.problems(
            source=source, destination=destination, situation=situation, source_uri=source_uri
        )
        require_none(found)

    def filled(self, *, destination: str) -> Self:
        """Return this plan with its missing URIs filled in.

        A tunnelled or an offline migration has no migration URI, and gets none; "auto" stays,
        so that the destination's libvirtd chooses.

        Args:
            destination: The destination's host name or address, as the client and the source
                host both see it.

        Raises:
            PlanError: ``destination`` is no host name.
        """
        require_none(validate_host_name(destination, "destination"))
        migration, connection = self.migration_uri, self.connection_uri
        if migration is None and not (self.tunnelled or self.offline):
            migration = str(MigrationUri(host=destination))
        if connection is None:
            connection = str(ConnectionUri(transport="ssh", user="root", host=destination))
        return replace(self, migration_uri=migration, connection_uri=connection)

    def flags(self) -> tuple[str, ...]:
        """Return the flags by libvirt's names without ``VIR_MIGRATE_``, in the order of their bits.

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
        """Return the flags as libvirt's one number."""
        return sum(FLAG_BITS[name] for name in self.flags())

    def parameters(self) -> dict[str, Value]:
        """Return the typed parameters for libvirt, by the values of ``VIR_MIGRATE_PARAM_*``.

        They do not include the connection URI (a separate argument, or a connection), nor what
        migrationlab does during the migration: maximum downtime, deadline, policies.
        """
        values = {
            about.parameter: getattr(self, about.name) for about in settings() if about.parameter
        }
        if self.migration_uri == AUTO:
            del values["migrate_uri"]
        return {name: value for name, value in values.items() if value is not None and value != ()}

    def connections(self, *, source_uri: str = "qemu:///system") -> tuple[Connection, ...]:
        """Return the connections of the migration, in the order in which they are opened.

        The client connects to the source's libvirtd by ``source_uri``.
        """
        source, destination = Endpoint.SOURCE_LIBVIRTD, Endpoint.DESTINATION_LIBVIRTD
        # The only difference between the modes.
        controller = source if self.mode is Mode.PEER2PEER else Endpoint.CLIENT
        control = (
            Connection(Endpoint.CLIENT, source, "control", source_uri),
            Connection(controller, destination, "control", self.connection_uri),
        )
        if self.offline:
            return control
        carries = "guest memory and disks" if self.copy_storage else "guest memory"
        if self.tunnelled:
            return (*control, Connection(source, destination, carries, self.connection_uri))
        uri = None if self.migration_uri == AUTO else self.migration_uri
        # The source's libvirtd connects and hands the socket to its QEMU. With more than one
        # connection, or RDMA, QEMU connects itself; with post-copy in libvirt 11.3, not in 9.0.
        alone = self.parallel or self.postcopy or (uri or "").startswith("rdma:")
        opened_by = Endpoint.SOURCE_QEMU if alone else source
        if self.copy_storage and (uri or "").startswith("rdma:"):
            # QEMU copies disks by NBD, which has TCP only.
            qemus = Endpoint.SOURCE_QEMU, Endpoint.DESTINATION_QEMU
            memory = Connection(*qemus, "guest memory", uri)
            return (*control, memory, Connection(*qemus, "disks", self.disks_uri))
        return (*control, Connection(opened_by, Endpoint.DESTINATION_QEMU, carries, uri))

    def virsh(self, domain: str, *, source_uri: str = "qemu:///system") -> list[str]:
        """Return the ``virsh migrate`` command of this plan, as an argument list.

        It covers every setting that virsh has an option for; :meth:`notes` has the rest.
        ``shlex.join`` makes one line of it.

        Args:
            domain: The guest's name.
            source_uri: How virsh connects to the source's libvirtd; the default is for a virsh
                on the source host.

        Raises:
            PlanError: The plan cannot work, or its connection URI is left out.
        """
        self.require_valid(source_uri=source_uri)
        require_none(validate_domain_name(domain))
        if self.connection_uri is None:
            raise PlanError(
                "connection_uri must be given for a virsh command (got None)",
                hint="Call plan.filled(destination='host-b').virsh(…), or set connection_uri.",
            )
        return virsh.command(self, self.flags(), self.parameters(), domain, source_uri)

    def notes(self, domain: str, *, source_uri: str = "qemu:///system") -> tuple[str, ...]:
        """Return remarks on this valid plan, and the limits of its virsh command.

        The arguments are those of :meth:`virsh`.
        """
        return tuple(virsh.notes(self, domain, source_uri))

    def to_dict(self) -> dict[str, object]:
        """Return the plan as plain values, for JSON."""
        values = {name: getattr(self, name) for name in _NAMES} | {"mode": self.mode.value}
        return {name: _plain(value) for name, value in values.items()}

    @classmethod
    def from_dict(cls, values: Mapping[str, object]) -> Self:
        """Return the plan of a result of :meth:`to_dict`; missing keys take their defaults.

        It raises PlanError as the class does.
        """
        if error := unknown_names(values, _NAMES):
            raise error
        # __post_init__ checks the types, value by value.
        return cls(**values)  # type: ignore[arg-type]


_NAMES = [field.name for field in fields(Plan)]


def _plain(value: object) -> object:
    if isinstance(value, Options):
        return value.plain()
    return list(value) if isinstance(value, tuple) else value


def _shown(value: object) -> str:
    return repr(value.value if isinstance(value, Mode) else value)
