"""libvirt's call to migrate, each parameter with the type that libvirt wants.

The binding turns a Python value into the type that its own table gives for the parameter. What
that table lacks it guesses, and every whole number becomes an unsigned long long; the daemon
then refuses it: ``invalid type 'ullong' for parameter 'compression.zlib.level', expected 'int'``.
Which parameters the table has depends on the binding's release and on the headers that it was
built with. So the binding makes the call where its guess is right, and else this module makes it
itself, in the same libvirt library, by way of ``ctypes``.

Sources: libvirt's ``src/qemu/qemu_migration.h`` (QEMU_MIGRATION_PARAMETERS: the types),
``include/libvirt/libvirt-common.h`` (virTypedParamsAdd*); libvirt-python's
``libvirt-utils.c`` (virPyDictToTypedParams) and ``typewrappers.c`` (the capsules' names).

Imports libvirt, and of the kit only ``settings`` and ``errors``.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache, partial
from typing import NamedTuple

import libvirt
import libvirtmod

from migrationlab.errors import PlanError
from migrationlab.plan.settings import settings

Value = int | str | bool | tuple[str, ...]

#: The type of each parameter, by libvirt's name of it.
TYPES = {about.parameter: about.typed for about in settings() if about.parameter}
#: The types that the binding finds by itself, whatever it knows of the parameter.
GUESSED = frozenset({"ullong", "string", "strings"})
_BOUNDS = {"int": (-(1 << 31), (1 << 31) - 1), "ullong": (0, (1 << 64) - 1)}


class Parameters(NamedTuple):
    """An array of libvirt's typed parameters, as C sees it."""

    array: ctypes.c_void_p
    length: int


def migration_call(
    domain: libvirt.virDomain,
    destination: libvirt.virConnect | str,
    parameters: Mapping[str, Value],
    flags: int,
) -> Callable[[], None]:
    """Return the call that migrates a domain, with all that can be checked before checked.

    The call blocks until the migration is over, with the interpreter free for other threads,
    and raises libvirt's own error.

    Args:
        domain: The domain.
        destination: A connection to the destination (normal mode), or its connection URI
            (peer2peer).
        parameters: The typed parameters, by libvirt's names.
        flags: The flags, as one number.

    Raises:
        PlanError: A value does not fit into the type that libvirt has for it.
    """
    for name, value in parameters.items():
        _require_fit(name, value)
    if all(TYPES[name] in GUESSED for name in parameters):
        return _by_binding(domain, destination, parameters, flags)
    return partial(_by_ctypes, domain, destination, dict(parameters), flags)


def _by_binding(
    domain: libvirt.virDomain,
    destination: libvirt.virConnect | str,
    parameters: Mapping[str, Value],
    flags: int,
) -> Callable[[], None]:
    values = {
        name: list(value) if isinstance(value, tuple) else value
        for name, value in parameters.items()
    }
    call = domain.migrateToURI3 if isinstance(destination, str) else domain.migrate3

    def migrate() -> None:
        call(destination, values, flags)

    return migrate


def _by_ctypes(
    domain: libvirt.virDomain,
    destination: libvirt.virConnect | str,
    parameters: Mapping[str, Value],
    flags: int,
) -> None:
    library = _library()
    pointer = _pointer(domain, b"virDomainPtr")
    with _typed(parameters) as typed:
        if isinstance(destination, str):
            done = library.virDomainMigrateToURI3(
                pointer, destination.encode(), typed.array, typed.length, flags
            )
            if done < 0:
                raise libvirt.libvirtError("virDomainMigrateToURI3() failed")
        else:
            there = library.virDomainMigrate3(
                pointer, _pointer(destination, b"virConnectPtr"), typed.array, typed.length, flags
            )
            if not there:
                raise libvirt.libvirtError("virDomainMigrate3() failed")
            library.virDomainFree(there)


@contextmanager
def _typed(parameters: Mapping[str, Value]) -> Iterator[Parameters]:
    """Give the parameters as libvirt's array of them, freed again on leaving."""
    library = _library()
    array, count, room = ctypes.c_void_p(), ctypes.c_int(), ctypes.c_int()
    head = ctypes.byref(array), ctypes.byref(count), ctypes.byref(room)
    try:
        for name, value in parameters.items():
            add, key = getattr(library, _ADDERS[TYPES[name] or ""]), name.encode()
            # A parameter of many values is added once for each.
            for one in value if isinstance(value, tuple) else (value,):
                if add(*head, key, one.encode() if isinstance(one, str) else one) < 0:
                    raise libvirt.libvirtError(f"{add.__name__}() failed")
        yield Parameters(array, count.value)
    finally:
        library.virTypedParamsFree(array, count)


_ADDERS = {
    "int": "virTypedParamsAddInt",
    "ullong": "virTypedParamsAddULLong",
    "string": "virTypedParamsAddString",
    "strings": "virTypedParamsAddString",
}


@cache
def _library() -> ctypes.CDLL:
    """The libvirt library that the binding uses: a second one would know none of its objects."""
    # Symbols are looked for in what the binding's own module was linked with.
    library = ctypes.CDLL(libvirtmod.__file__)
    adding = [ctypes.POINTER(ctypes.c_void_p)] + [ctypes.POINTER(ctypes.c_int)] * 2
    migrating = [ctypes.c_void_p, ctypes.c_uint, ctypes.c_uint]
    for function, arguments, answer in (
        ("virTypedParamsAddInt", [*adding, ctypes.c_char_p, ctypes.c_int], ctypes.c_int),
        ("virTypedParamsAddULLong", [*adding, ctypes.c_char_p, ctypes.c_ulonglong], ctypes.c_int),
        ("virTypedParamsAddString", [*adding, ctypes.c_char_p, ctypes.c_char_p], ctypes.c_int),
        ("virTypedParamsFree", [ctypes.c_void_p, ctypes.c_int], None),
        ("virDomainMigrate3", [ctypes.c_void_p, ctypes.c_void_p, *migrating], ctypes.c_void_p),
        ("virDomainMigrateToURI3", [ctypes.c_void_p, ctypes.c_char_p, *migrating], ctypes.c_int),
        ("virDomainFree", [ctypes.c_void_p], ctypes.c_int),
    ):
        symbol = getattr(library, function)
        symbol.argtypes, symbol.restype = arguments, answer
    return library


def _pointer(wrapped: libvirt.virDomain | libvirt.virConnect, kind: bytes) -> int | None:
    """The C pointer inside one of the binding's objects."""
    unwrap = ctypes.pythonapi.PyCapsule_GetPointer
    unwrap.argtypes, unwrap.restype = [ctypes.py_object, ctypes.c_char_p], ctypes.c_void_p
    pointer: int | None = unwrap(wrapped._o, kind)  # noqa: SLF001 - the binding has no other way
    return pointer


def _require_fit(name: str, value: Value) -> None:
    """See that C can hold a value: it would be cut short in silence."""
    if isinstance(value, int):
        least, most = _BOUNDS[TYPES[name] or ""]
        if not least <= value <= most:
            raise PlanError(
                f"libvirt's {name} cannot hold {value if abs(value) < 10**30 else 'that number'}",
                hint=f"give {least} to {most}",
            )
        return
    for text in value if isinstance(value, tuple) else (value,):
        try:
            good = b"\0" not in text.encode()
        except UnicodeEncodeError:
            good = False
        if not good:
            raise PlanError(
                f"libvirt's {name} cannot hold {text!a}",
                hint="leave out what is no plain text",
            )
