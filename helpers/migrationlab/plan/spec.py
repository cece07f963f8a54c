"""Describe the fields of a spec once: type, default, range, unit and meaning.

A spec is a frozen dataclass. :func:`option` makes its fields. All other places follow from
it: :func:`arguments_of` gives a method the fields as its own arguments, :func:`require_valid`
checks the values, :func:`factors` and :func:`of_factors` give and read the values of an experiment,
and the command line makes its options from :func:`options`.
"""

from __future__ import annotations

import dataclasses
import functools
import inspect
import re
import types
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Concatenate, Literal, ParamSpec, TypeVar

from migrationlab.errors import MigrationLabError

_ABOUT = "migrationlab"
_SAME = object()

P = ParamSpec("P")
S = TypeVar("S")
Owner = TypeVar("Owner")
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """One field of a spec, with all its properties.

    Attributes:
        name: The field's name.
        default: The field's default.
        kind: The type of its values besides ``choices``; None if only ``choices`` are allowed.
        choices: Words that are allowed.
        optional: Whether None is allowed.
        help: Its meaning, in one line.
        unit: The unit of a number.
        minimum: The smallest number.
        maximum: The largest number.
        matches: The regular expression that a whole text must match.
        allowed_text: The same for people, in words.
        absent: The meaning of None, for messages and for the command line.
        factor: The name in an experiment, if the field's own name would say too little.
        before: The value of records from before the field existed, if it is not the default.
    """

    name: str = ""
    default: Any = None
    kind: type | None = None
    choices: tuple[str, ...] = ()
    optional: bool = False
    help: str
    unit: str = ""
    minimum: float | None = None
    maximum: float | None = None
    matches: str = ""
    allowed_text: str = ""
    absent: str = ""
    factor: str = ""
    before: Any = _SAME

    @property
    def allowed(self) -> str:
        """Return the allowed values, in words."""
        parts = [self._numbers] if self.kind in (int, float) else []
        parts += [self.allowed_text] if self.allowed_text else []
        parts += [repr(choice) for choice in self.choices]
        if self.optional:
            parts.append(f"None ({self.absent})" if self.absent else "None")
        return " or ".join([", ".join(parts[:-1]), parts[-1]] if len(parts) > 1 else parts)

    @property
    def _numbers(self) -> str:
        what = "a whole number" if self.kind is int else "a number"
        if self.minimum is not None:
            what += f" from {self.minimum:g}"
        if self.maximum is not None:
            what += f" to {self.maximum:.15g}"
        return f"{what} {self.unit}".rstrip()

    def accepts(self, value: object) -> bool:
        """Return whether the field may have this value."""
        if value is None:
            return self.optional
        if isinstance(value, str) and value in self.choices:
            return True
        if isinstance(value, bool) or self.kind is bool:
            return isinstance(value, bool) and self.kind is bool
        if self.kind in (int, float):
            if not isinstance(value, int if self.kind is int else int | float):
                return False
            # Written so that a NaN is refused.
            return (self.minimum is None or value >= self.minimum) and (
                self.maximum is None or value <= self.maximum
            )
        return (
            self.kind is str and isinstance(value, str) and bool(re.fullmatch(self.matches, value))
        )


def option(default: Any, help: str, **about: Any) -> Any:  # noqa: A002 (the usual name)
    """Return a dataclass field with the properties of an :class:`Option`.

    ``help`` is one line that ends with a full stop. Type and choices follow from the annotation.
    """
    return dataclasses.field(default=default, metadata={_ABOUT: Option(help=help, **about)})


def options(kind: type) -> tuple[Option, ...]:
    """Return the options of a spec's class, in the order of its fields."""
    return _options(typing.cast("Any", kind))


@functools.cache  # an experiment checks thousands of specs
def _options(kind: Any) -> tuple[Option, ...]:
    hints = typing.get_type_hints(kind)
    return tuple(
        dataclasses.replace(
            field.metadata[_ABOUT],
            name=field.name,
            default=field.default,
            factor=field.metadata[_ABOUT].factor or field.name,
            **_typed(hints[field.name]),
        )
        for field in dataclasses.fields(kind)
        if _ABOUT in field.metadata
    )


def _typed(hint: Any) -> dict[str, Any]:
    """Return the type and the words of an annotation, and whether it allows None."""
    union = typing.get_origin(hint) in (typing.Union, types.UnionType)
    parts = typing.get_args(hint) if union else (hint,)
    words = [part for part in parts if typing.get_origin(part) is Literal]
    plain = [part for part in parts if part not in words and part is not type(None)]
    return {
        "kind": plain[0] if plain else None,
        "choices": tuple(word for part in words for word in typing.get_args(part)),
        "optional": type(None) in parts,
    }


def require_valid(spec: Any, error: type[MigrationLabError]) -> None:
    """Raise ``error`` for the first field whose value is not allowed."""
    for each in options(type(spec)):
        value = getattr(spec, each.name)
        if not each.accepts(value):
            raise error(
                f"{each.name} must be {each.allowed} (got {value!r})",
                hint=f"Give {each.allowed}, or leave {each.name} out for {each.default!r}.",
            )


def factors(spec: Any) -> dict[str, Any]:
    """Return a spec's values by their names in an experiment."""
    return {each.factor: getattr(spec, each.name) for each in options(type(spec))}


def of_factors(kind: Callable[..., S], values: Mapping[str, Any]) -> S:
    """Return the spec of some values, by their names in an experiment; the rest are defaults."""
    names = {each.factor: each.name for each in options(typing.cast("type", kind))}
    return kind(**{names[factor]: value for factor, value in values.items()})


def of_record(kind: Callable[..., S], record: Mapping[str, Any]) -> S:
    """Return the spec that a record has the values of; keys that are no field do not matter.

    A field that the record does not have is younger: it has its value from before it existed.
    """
    cls = typing.cast("Any", kind)
    values = {each.name: each.before for each in options(cls) if each.before is not _SAME}
    values |= {
        each.name: record[each.name] for each in dataclasses.fields(cls) if each.name in record
    }
    return kind(**values)


def arguments_of(
    kind: Callable[P, S],
) -> Callable[[Callable[[Owner, S], Result]], Callable[Concatenate[Owner, P], Result]]:
    """Let a method that takes a spec take the spec's fields as its own arguments.

    The signature and the Args of the docstring follow from the spec's class.
    """

    def decorate(method: Callable[[Owner, S], Result]) -> Callable[Concatenate[Owner, P], Result]:
        @functools.wraps(method)
        def call(self: Owner, /, *args: P.args, **kwargs: P.kwargs) -> Result:
            return method(self, kind(*args, **kwargs))

        made, own = inspect.signature(kind), inspect.signature(method)
        own_self = next(iter(own.parameters.values()))
        call.__signature__ = own.replace(  # type: ignore[attr-defined]
            parameters=[own_self, *made.parameters.values()]
        )
        lines = [
            f"            {each.name}: {each.help} {each.allowed[0].upper()}{each.allowed[1:]}."
            for each in options(typing.cast("type", kind))
        ]
        head, raises, rest = (call.__doc__ or "").partition("        Raises:")
        call.__doc__ = "\n".join([f"{head}        Args:", *lines, "", f"{raises}{rest}"])
        return call

    return decorate
