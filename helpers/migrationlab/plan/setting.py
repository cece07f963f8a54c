"""Describe one setting of a migration, and check the type of its value."""

from __future__ import annotations

import math
import numbers
import operator
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple, TypeGuard

from migrationlab.errors import PlanError
from migrationlab.plan.options import Options
from migrationlab.plan.wording import nearest, quote


class SettingKind(StrEnum):
    """The program that acts on a setting, and its way to do so."""

    FLAG = "flag"
    PARAMETER = "parameter"
    ARGUMENT = "argument"
    POLICY = "policy"
    MIGRATIONLAB = "migrationlab"


class Shape(StrEnum):
    """The form of a setting's value, in the words of an error message."""

    MODE = "a mode"
    SWITCH = "True or False"
    WHOLE = "a whole number or None"
    SECONDS = "a number of seconds or None"
    DEADLINE = "a number of seconds"
    TEXT = "a text or None"
    NAMES = "a tuple of names"
    OPTIONAL_NAMES = "a tuple of names or None"
    OPTIONS = "a mapping of options or None"


#: How to write a value of each shape.
_EXAMPLES = {
    Shape.MODE: "Write {name}='peer2peer'.",
    Shape.SWITCH: "Write {name}=True or {name}=False.",
    Shape.WHOLE: "Write a whole number without quotes, such as {name}=10.",
    Shape.SECONDS: "Write a number without quotes, such as {name}=2.5.",
    Shape.DEADLINE: "Write a number without quotes, such as {name}=120.",
    Shape.TEXT: "Write a text in quotes, or leave out {name}.",
    Shape.NAMES: "Write a tuple, such as {name}=('vda',).",
    Shape.OPTIONAL_NAMES: "Write a tuple, such as {name}=('xbzrle',).",
    Shape.OPTIONS: "Write a mapping, such as {name}={{'NAME': 1000}}.",
}


class Group(StrEnum):
    """The subject of a setting, in the order of the printed table."""

    CONNECTIONS = "Connections"
    DOMAIN = "The domain on both hosts"
    TRANSFER = "How memory is sent"
    CONVERGENCE = "Convergence and downtime"
    POSTCOPY = "Post-copy"
    STORAGE = "Disks"
    SAFETY = "Safety"
    POLICY = "What migrationlab does during the migration"


class Effect(StrEnum):
    """What a setting changes, compared with moving one running guest and nothing else.

    A plan asked for in words may have any setting of a definition, of protection and of pace,
    unless the words are about it.
    """

    #: Who connects to whom, and by which addresses.
    ROUTE = "route"
    #: Whether the migration moves the guest, and whether the guest runs.
    GUEST = "guest"
    #: The guest's disks.
    DISKS = "disks"
    #: A safeguard is given up, or a definition.
    RISK = "risk"
    #: The definition that the destination has.
    DEFINITION = "definition"
    #: What makes the migration fail instead of going on unprotected.
    PROTECTION = "protection"
    #: How fast memory is sent, and how the migration comes to an end.
    PACE = "pace"


class Flag(NamedTuple):
    """A flag of libvirt's ``virDomainMigrateFlags``, set by one value of a setting.

    Attributes:
        name: libvirt's name, without its ``VIR_MIGRATE_``.
        bit: Its value.
        virsh: The option of ``virsh migrate``.
        state: The setting's value, or True for any value but None and False.
    """

    name: str
    bit: int
    virsh: str
    state: bool | str = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """One setting, with all its properties.

    Attributes:
        name: The plan's field.
        default: Its value if it is left out.
        shape: The form of its value.
        group: Its subject.
        effect: What it changes.
        harmless_with: The setting with which it is no risk; empty if there is none.
        meaning: Its description.
        flags: The flags that it sets.
        parameter: libvirt's name of the typed parameter, the value of a ``VIR_MIGRATE_PARAM_*``.
        typed: libvirt's type of that parameter; ``strings`` may be given more than once.
        virsh: The option of ``virsh migrate`` that takes the value.
        unit: The unit of the value.
        low: The smallest value that makes sense; seconds must be more than that.
        high: The largest.
        choices: The values, or names, that exist.
        since: The first libvirt that has it.
        qemu: The first QEMU that has it.
        since_value: The first libvirt that has a value of it, by that value.
        constraints: Its needs and exclusions.
    """

    name: str
    default: object
    shape: Shape
    group: Group
    effect: Effect
    harmless_with: str = ""
    meaning: str
    flags: tuple[Flag, ...] = ()
    parameter: str | None = None
    typed: str | None = None
    virsh: str | None = None
    unit: str = ""
    low: int | None = None
    high: int | None = None
    choices: tuple[str, ...] = ()
    since: str | None = None
    qemu: str | None = None
    since_value: Mapping[str, str]
    constraints: str = ""

    @property
    def kind(self) -> SettingKind:
        """Return its kind: libvirt acts on it, in one of three ways, or migrationlab."""
        if self.parameter:
            return SettingKind.PARAMETER
        if self.flags:
            return SettingKind.FLAG
        if self.group is Group.POLICY:
            return SettingKind.POLICY
        return SettingKind.ARGUMENT if self.since else SettingKind.MIGRATIONLAB

    @property
    def libvirt(self) -> str:
        """Return libvirt's name of it; empty if libvirt has no part in it."""
        words = [f"VIR_MIGRATE_{flag.name}" for flag in self.flags]
        return ", ".join([*words, *([self.parameter] if self.parameter else [])])

    @property
    def virsh_options(self) -> tuple[str, ...]:
        """Return the options of ``virsh migrate`` that set it."""
        return (*(flag.virsh for flag in self.flags), *([self.virsh] if self.virsh else []))

    @property
    def limits(self) -> str:
        """Return its range with the unit; empty if it has none."""
        if self.low is None:
            return ""
        more = "seconds" in self.shape
        smallest = f"more than {self.low} and at most" if more else f"{self.low} to"
        return f"{smallest} {self.high} {self.unit}".strip()

    @property
    def takes(self) -> str:
        """Return the possible values, in few words."""
        words = {
            Shape.SWITCH: "yes or no",
            Shape.NAMES: "names",
            Shape.OPTIONS: "options by name",
        }
        return ", ".join(self.choices) or self.limits or words.get(self.shape, "text")

    def in_force(self, value: object) -> tuple[Flag, ...]:
        """Return the flags that ``value`` sets."""
        state = value if isinstance(value, bool | str) else value is not None
        return tuple(flag for flag in self.flags if flag.state == state)

    def to_dict(self) -> dict[str, object]:
        """Return the record as plain values, for JSON."""
        default = self.default
        return {
            "name": self.name,
            "default": list(default) if isinstance(default, tuple) else default,
            "kind": self.kind.value,
            "group": self.group.value,
            "libvirt": self.libvirt or None,
            "flags": {flag.name: flag.bit for flag in self.flags},
            "parameter": self.parameter,
            "type": self.typed,
            "virsh": list(self.virsh_options),
            "unit": self.unit or None,
            "low": self.low,
            "high": self.high,
            "choices": list(self.choices),
            "since_libvirt": self.since,
            "since_qemu": self.qemu,
            "meaning": self.meaning,
            "constraints": self.constraints or None,
        }


def checked(about: Setting, value: object) -> object:
    """Return ``value`` in the form that a plan keeps; PlanError for a wrong type."""
    shape = about.shape
    if shape is Shape.MODE or (value is None and shape.endswith("None")):
        return value  # Mode itself has refused what is none
    if isinstance(value, bool):  # an int by accident only
        if shape is Shape.SWITCH:
            return value
    elif shape is Shape.TEXT and isinstance(value, str):
        return value
    elif shape is Shape.WHOLE and isinstance(value, numbers.Integral):
        return operator.index(value)  # numpy's integers come with sweeps
    elif shape in (Shape.SECONDS, Shape.DEADLINE) and isinstance(value, numbers.Real):
        return _as_float(value)
    elif shape in (Shape.NAMES, Shape.OPTIONAL_NAMES) and _is_names(value):
        return tuple(value)
    elif shape is Shape.OPTIONS and isinstance(value, Mapping):
        return Options(value, about.name) if value else None
    raise PlanError(
        f"{about.name} must be {about.shape} (got {_short(value)})",
        hint=_EXAMPLES[about.shape].format(name=about.name),
    )


def unknown_names(given: object, known: list[str]) -> PlanError | None:
    """Return the error for unknown names of settings, or for no mapping; None if all are known."""
    if not isinstance(given, Mapping):
        return PlanError(
            f"a plan must be a mapping of settings (got {_short(given)})",
            hint="Write the settings by name, such as {'mode': 'peer2peer'}.",
        )
    wrong = [str(name) for name in given if name not in known]
    if not wrong:
        return None
    near = [name for name in (nearest(word, known) for word in wrong) if name]
    hints = [f"Use {', '.join(dict.fromkeys(near))}."] if near else []
    if len(near) < len(wrong):
        hints.append("List the settings with print(mig.settings()).")
    names = ", ".join(quote(name) for name in wrong)
    return PlanError(f"a plan has no setting {names}", hint=" ".join(hints))


def _is_names(value: object) -> TypeGuard[list[str] | tuple[str, ...]]:
    return isinstance(value, list | tuple) and all(isinstance(word, str) for word in value)


def _short(value: object) -> str:
    shown = ascii(value)
    return shown if len(shown) <= 60 else f"{shown[:57]}..."


def _as_float(number: numbers.Real) -> float:
    """Return ``number`` as a float; an integer too large for one is infinite."""
    try:
        return float(number)
    except OverflowError:
        return math.inf
