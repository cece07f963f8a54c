"""Make libvirt's call to migrate, with each parameter in the type that libvirt expects.

Theory of operation. The binding converts a Python value to the type of the parameter in its own
table. For a parameter that is not in the table it guesses: every integer becomes an unsigned
long long. The daemon then refuses it: ``invalid type 'ullong' for parameter
'compression.zlib.level', expected 'int'``. The table depends on the binding's release and on the
headers that it was built with. So the binding makes the call if its guess is right. Otherwise
this module makes the call itself, in the same libvirt library, through ``ctypes``.

Sources: libvirt's ``src/qemu/qemu_migration.h`` (QEMU_MIGRATION_PARAMETERS: the types),
``include/libvirt/libvirt-common.h`` (virTypedParamsAdd*); libvirt-python's
``libvirt-utils.c`` (virPyDictToTypedParams) and ``typewrappers.c`` (the capsules' names).
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache, partial

import libvirt
import libvirtmod

from migrationlab.errors import PlanError
from migrationlab.plan.settings import settings

Value = int | str | bool | tuple[str, ...]

#: The type of each parameter, by libvirt's name of it.
TYPES = {about.parameter: about.typed for about in settings() if about.parameter}
#: The types that the binding guesses right in any case.
GUESSED = frozenset({"ullong", "string", "strings"})
_BOUNDS = {"int": (-(1 << 31), (1 << 31) - 1), "ullong": (0, (1 << 64) - 1)}
_ADDERS = {
    "int": "virTypedParamsAddInt",
    "ullong": "virTypedParamsAddULLong",
    "string": "virTypedParamsAddString",
    "strings": "virTypedParamsAddString",
}


def migration_call(
    domain: libvirt.virDomain,
    destination: libvirt.virConnect | str,
    parameters: Mapping[str, Value],
    flags: int,
) -> Callable[[], object]:
    """Check the arguments, and return the call that migrates a domain.

    The call blocks until the migration is over; other threads run meanwhile. It raises libvirt's
    own error. The destination is a connection (normal mode) or a connection URI
    (peer2peer). The parameters have libvirt's names, the flags are one number.

    Raises:
        PlanError: A value does not fit into libvirt's type of the parameter.
    """
    for name, value in parameters.items():
        _require_fit(name, value)
    if any(TYPES[name] not in GUESSED for name in parameters):
        return partial(_by_ctypes, domain, destination, dict(parameters), flags)
    call = domain.migrateToURI3 if isinstance(destination, str) else domain.migrate3
    values = {
        name: list(value) if isinstance(value, tuple) else value
        for name, value in parameters.items()
    }
    return partial(call, destination, values, flags)


def _by_ctypes(
    domain: libvirt.virDomain,
    destination: libvirt.virConnect | str,
    parameters: Mapping[str, Value],
    flags: int,
) -> None:
    library = _library()
    pointer = _pointer(domain, b"virDomainPtr")
    with _typed(parameters) as (array, count):
        if isinstance(destination, str):
            uri = destination.encode()
            if library.virDomainMigrateToURI3(pointer, uri, array, count, flags) < 0:
                raise libvirt.libvirtError("virDomainMigrateToURI3() failed")
        else:
            to = _pointer(destination, b"virConnectPtr")
            migrated = library.virDomainMigrate3(pointer, to, array, count, flags)
            if not migrated:
                raise libvirt.libvirtError("virDomainMigrate3() failed")
            library.virDomainFree(migrated)


@contextmanager
def _typed(parameters: Mapping[str, Value]) -> Iterator[tuple[ctypes.c_void_p, int]]:
    """Give libvirt's array of the parameters and its length; free the array on leaving."""
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
        yield array, count.value
    finally:
        library.virTypedParamsFree(array, count)


@cache
def _library() -> ctypes.CDLL:
    """Return the libvirt library of the binding: another copy would not know its objects."""
    # ctypes looks for symbols in the libraries of the binding's own module.
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


def _pointer(wrapped: libvirt.virDomain | libvirt.virConnect, capsule: bytes) -> int | None:
    """Return the C pointer inside one of the binding's objects."""
    unwrap = ctypes.pythonapi.PyCapsule_GetPointer
    unwrap.argtypes, unwrap.restype = [ctypes.py_object, ctypes.c_char_p], ctypes.c_void_p
    pointer: int | None = unwrap(wrapped._o, capsule)  # noqa: SLF001 - the binding has no other way
    return pointer


def _require_fit(name: str, value: Value) -> None:
    """Refuse a value that does not fit into its C type: it would be cut silently."""
    if isinstance(value, int):
        low, high = _BOUNDS[TYPES[name] or ""]
        if not low <= value <= high:
            given = value if abs(value) < 10**30 else "a larger number"
            raise PlanError(
                f"libvirt's {name} must be from {low} to {high} (got {given})",
                hint=f"Give a number from {low} to {high}.",
            )
        return
    for text in value if isinstance(value, tuple) else (value,):
        try:
            good = b"\0" not in text.encode()
        except UnicodeEncodeError:
            good = False
        if not good:
            raise PlanError(
                f"libvirt's {name} must be plain text (got {text!a})",
                hint="Remove the NUL bytes and the characters that UTF-8 cannot encode.",
            )
