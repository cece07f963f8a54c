"""The families of errors: who has to act, and what they can do."""

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
    """Each error has the one root and exactly one family."""
    assert issubclass(kind, MigrationLabError)
    if kind is not MigrationLabError:
        assert sum(issubclass(kind, family) for family in FAMILIES) == 1


@pytest.mark.parametrize("kind", [PlanError, GuestError, StoreError])
def test_bad_input_is_the_callers_mistake(kind: type[MigrationLabError]) -> None:
    """A wrong plan, guest or file is the caller's to fix."""
    assert issubclass(kind, UsageError)


@pytest.mark.parametrize("kind", ALL)
def test_every_error_has_message_and_hint(kind: type[MigrationLabError]) -> None:
    """The message is its text; the hint is empty if there is none."""
    error = kind("it broke", hint="fix it")
    assert (str(error), error.hint) == ("it broke", "fix it")
    assert kind("it broke").hint == ""


def test_host_error_has_libvirts_numbers() -> None:
    """It has libvirt's code and domain, or none if the error is not libvirt's."""
    error = HostError("no", code=42, domain=12)
    assert (error.code, error.domain) == (42, 12)
    assert (HostError("no").code, HostError("no").domain) == (None, None)


def test_host_error_carries_an_explanation() -> None:
    """An explanation that is given stays with the error; without it, message and hint stand."""
    better = explain(CLOSED, opening=True)
    assert HostError(CLOSED, code=38, explanation=better).explanation is better
    assert HostError("no").explanation is None
    assert HostError("no").hint == ""
