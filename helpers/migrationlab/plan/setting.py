"""What one setting of a migration is, and how its value is checked.

The material that ``settings`` is made of: the record of one setting, the function that puts it
into a dataclass's field, and the check of a value's type.

Imports of the kit only ``errors`` and ``_uris.parts``; no libvirt.
"""

from __future__ import annotations

import math
import numbers
import operator
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple, TypeVar

from migrationlab.errors import PlanError
from migrationlab.plan.uri_parser import nearest, quote

T = TypeVar("T")


class Kind(StrEnum):
    """Who acts on a setting, and by what."""

    FLAG = "flag"
    PARAMETER = "parameter"
    ARGUMENT = "argument"
    POLICY = "policy"
    KIT = "kit"


class Shape(StrEnum):
    """What a setting's value looks like, in the words of an error message."""

    MODE = "a mode"
    SWITCH = "True or False"
    WHOLE = "a whole number, or None"
    SECONDS = "a number of seconds, or None"
    DEADLINE = "a number of seconds"
    TEXT = "text, or None"
    NAMES = "a tuple of names"
    OPTIONAL_NAMES = "a tuple of names, or None"


class Group(StrEnum):
    """What a setting is about; the order is that of the printed table."""

    WAY = "Who talks to whom"
    DOMAIN = "The domain, here and there"
    TRANSFER = "How memory is sent"
    CONVERGENCE = "How it comes to an end"
    POSTCOPY = "Post-copy"
    STORAGE = "Disks"
    SAFETY = "Safety"
    POLICY = "What the kit does while it runs"


class Flag(NamedTuple):
    """A flag of libvirt's ``virDomainMigrateFlags``, set where a setting has a certain state.

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
    """What is known of one setting.

    Attributes:
        name: The plan's field.
        default: Its value where it is left out.
        kind: Who acts on it.
        shape: What its value looks like.
        group: What it is about.
        meaning: What it does.
        flags: The flags that it sets.
        parameter: libvirt's name of the typed parameter, the value of a ``VIR_MIGRATE_PARAM_*``.
        typed: libvirt's type of that parameter; ``strings`` may be given more than once.
        virsh: The option of ``virsh migrate`` that takes the value.
        unit: The unit of the value.
        low: The least value that makes sense; seconds must be more than that.
        high: The greatest.
        choices: The values, or names, that there are.
        since: The first libvirt that has it.
        qemu: The first QEMU that has it.
        constraints: What it needs, and what it does not go with.
    """

    name: str = ""
    default: object = None
    kind: Kind
    shape: Shape
    group: Group
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
    constraints: str = ""

    @property
    def libvirt(self) -> str:
        """Return what libvirt calls it; empty where libvirt has no part in it."""
        words = [f"VIR_MIGRATE_{flag.name}" for flag in self.flags]
        return ", ".join([*words, *([self.parameter] if self.parameter else [])])

    @property
    def virsh_options(self) -> tuple[str, ...]:
        """Return the options of ``virsh migrate`` that say it."""
        return (*(flag.virsh for flag in self.flags), *([self.virsh] if self.virsh else []))

    @property
    def takes(self) -> str:
        """Return what can be given, in few words."""
        if self.choices:
            return ", ".join(self.choices)
        if self.low is not None and self.high is not None:
            least = f"more than {self.low}" if "seconds" in self.shape else str(self.low)
            return f"{least} to {self.high} {self.unit}".strip()
        return {Shape.SWITCH: "yes or no", Shape.NAMES: "names"}.get(self.shape, "text")

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


def setting(
    default: T,
    *,
    kind: Kind,
    shape: Shape,
    group: Group,
    meaning: str,
    flags: tuple[Flag, ...] = (),
    parameter: str | None = None,
    typed: str | None = None,
    virsh: str | None = None,
    unit: str = "",
    low: int | None = None,
    high: int | None = None,
    choices: tuple[str, ...] = (),
    since: str | None = None,
    qemu: str | None = None,
    constraints: str = "",
) -> T:
    """Return a dataclass's field that carries what is known of it; see :class:`Setting`."""
    about = Setting(
        kind=kind,
        shape=shape,
        group=group,
        meaning=meaning,
        flags=flags,
        parameter=parameter,
        typed=typed,
        virsh=virsh,
        unit=unit,
        low=low,
        high=high,
        choices=choices,
        since=since,
        qemu=qemu,
        constraints=constraints,
    )
    return field(default=default, metadata={"setting": about})


def switch(
    *,
    flag: Flag,
    group: Group,
    meaning: str,
    since: str,
    qemu: str | None = None,
    constraints: str = "",
    default: bool = False,
) -> bool:
    """Return the field of a setting that is one flag of libvirt's, on or off."""
    return setting(
        default,
        kind=Kind.FLAG,
        shape=Shape.SWITCH,
        group=group,
        meaning=meaning,
        flags=(flag,),
        since=since,
        qemu=qemu,
        constraints=constraints,
    )


def amount(
    *,
    parameter: str,
    typed: str,
    virsh: str,
    group: Group,
    meaning: str,
    low: int,
    high: int,
    since: str,
    unit: str = "",
    qemu: str | None = None,
    constraints: str = "",
) -> int | None:
    """Return the field of a setting that is a whole number for libvirt."""
    return setting(
        None,
        kind=Kind.PARAMETER,
        shape=Shape.WHOLE,
        group=group,
        meaning=meaning,
        parameter=parameter,
        typed=typed,
        virsh=virsh,
        unit=unit,
        low=low,
        high=high,
        since=since,
        qemu=qemu,
        constraints=constraints,
    )


def text(
    *, parameter: str, virsh: str, group: Group, meaning: str, since: str, constraints: str = ""
) -> str | None:
    """Return the field of a setting that is a text for libvirt."""
    return setting(
        None,
        kind=Kind.PARAMETER,
        shape=Shape.TEXT,
        group=group,
        meaning=meaning,
        parameter=parameter,
        typed="string",
        virsh=virsh,
        since=since,
        constraints=constraints,
    )


def checked(about: Setting, value: object) -> object:
    """Return ``value`` as a plan keeps it.

    Raises:
        PlanError: It is of a wrong type.
    """
    shape = about.shape
    if value is None:
        if "None" not in shape and shape is not Shape.MODE:
            raise wrong_type(about.name, value, shape)
        return None
    if shape is Shape.SWITCH:
        good = isinstance(value, bool)
    elif shape is Shape.TEXT:
        good = isinstance(value, str)
    elif shape is Shape.WHOLE:
        # numpy's integers come with sweeps; a bool is an int by accident only.
        good = isinstance(value, numbers.Integral) and not isinstance(value, bool)
        return operator.index(value) if good else _refuse(about, value)  # type: ignore[arg-type]
    elif shape in (Shape.SECONDS, Shape.DEADLINE):
        if isinstance(value, bool) or not isinstance(value, numbers.Real):
            raise wrong_type(about.name, value, shape)
        return _as_float(value)
    elif shape in (Shape.NAMES, Shape.OPTIONAL_NAMES):
        if not isinstance(value, list | tuple) or not all(isinstance(word, str) for word in value):
            raise wrong_type(about.name, value, shape)
        return tuple(value)
    else:
        return value
    return value if good else _refuse(about, value)


def wrong_type(name: str, value: object, wanted: str) -> PlanError:
    """Return the error for a value of a wrong type."""
    return PlanError(
        f"{name} cannot be of type {type(value).__name__}", hint=f"It must be {wanted}."
    )


def unknown_names(given: Mapping[str, object], known: list[str]) -> PlanError | None:
    """Return the error for names that a plan has not, all of them; None where it has them."""
    wrong = [str(name) for name in given if name not in known]
    if not wrong:
        return None
    hints = []
    for name in wrong:
        near = nearest(name, known)
        hints.append(f"Did you mean {near}?" if near else "mig.settings() lists what a plan has.")
    return PlanError(
        f"a plan has no {', no '.join(quote(name) for name in wrong)}",
        hint=" ".join(dict.fromkeys(hints)),
    )


def _refuse(about: Setting, value: object) -> object:
    raise wrong_type(about.name, value, about.shape)


def _as_float(number: numbers.Real) -> float:
    """``number`` as a float; an integer too great for one is infinite."""
    try:
        return float(number)
    except OverflowError:
        return math.inf
