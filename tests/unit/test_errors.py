"""The families of errors: whose turn it is, and what they can do."""

from __future__ import annotations

import inspect

import pytest

from migrationlab import errors
from migrationlab.errors import (
    GuestError,
    HostError,
    LabError,
    MigrationLabError,
    PlanError,
    StoreError,
    UsageError,
)
from migrationlab.explain.explanation import explain

FAMILIES = (UsageError, HostError, LabError)
ALL = [
    kind
    for _, kind in inspect.getmembers(errors, inspect.isclass)
    if kind.__module__ == errors.__name__
]
CLOSED = "unable to connect to server at 'host-b:49152': No route to host"


@pytest.mark.parametrize("kind", ALL)
def test_every_error_is_of_one_family(kind: type[MigrationLabError]) -> None:
    """Each error has the one root, and is of exactly one family: it is one person's turn."""
    assert issubclass(kind, MigrationLabError)
    if kind is not MigrationLabError:
        assert sum(issubclass(kind, family) for family in FAMILIES) == 1


@pytest.mark.parametrize("kind", [PlanError, GuestError, StoreError])
def test_bad_input_is_the_callers(kind: type[MigrationLabError]) -> None:
    """A plan, a guest or a file that will not do is the caller's to mend."""
    assert issubclass(kind, UsageError)


@pytest.mark.parametrize("kind", ALL)
def test_every_error_says_what_and_what_now(kind: type[MigrationLabError]) -> None:
    """Each error has its message as its text, and its hint beside it, empty if there is none."""
    error = kind("it broke", hint="mend it")
    assert (str(error), error.hint) == ("it broke", "mend it")
    assert kind("it broke").hint == ""


def test_a_hosts_refusal_has_libvirts_numbers() -> None:
    """A refusal has libvirt's code and domain; where it isn't libvirt's, it has none."""
    error = HostError("no", code=42, domain=12)
    assert (error.code, error.domain) == (42, 12)
    assert (HostError("no").code, HostError("no").domain) == (None, None)


def test_host_error_carries_an_explanation() -> None:
    """An explanation that is given stays with the error; without it, message and hint stand."""
    better = explain(CLOSED, opening=True)
    assert HostError(CLOSED, code=38, explanation=better).explanation is better
    assert HostError("no").explanation is None
    assert HostError("no").hint == ""
