"""The families of errors: whose turn it is, and what they can do."""

from __future__ import annotations

import inspect

import libvirt
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
from migrationlab.explain.explanation import NoticedBy, explain
from migrationlab.hosts.host import open_connection, refusals

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


def test_a_hosts_refusal_is_explained() -> None:
    """A refusal carries what its message means, and what to do about it is its hint."""
    error = HostError(CLOSED, code=38, domain=7)
    assert error.explanation.id == "port-closed"
    assert error.hint == error.explanation.mend
    assert f"hint: {error.hint}" in error.__notes__


def test_a_hint_that_is_given_stays() -> None:
    """Who raises a refusal may know better what to do; the explanation is there all the same."""
    error = HostError(CLOSED, hint="open the port", code=38)
    assert (error.hint, error.explanation.id) == ("open the port", "port-closed")


def test_what_libvirt_says_and_nobody_knows_points_to_the_logs() -> None:
    """An unknown message of libvirt's has a hint; the kit's own words need none."""
    error = HostError("new in 13.0", code=1, domain=10)
    assert not error.explanation.known
    assert "logs" in error.hint
    assert HostError("the kit's own words").hint == ""


def test_an_explanation_can_be_given() -> None:
    """Who knows more than the message says gives the explanation along."""
    better = explain(CLOSED, opening=True)
    assert HostError(CLOSED, code=38, explanation=better).explanation is better


def test_a_real_refusal_is_explained() -> None:
    """What a real libvirt refuses comes with its explanation."""
    connection = open_connection("test:///default")
    domain = connection.listAllDomains()[0]
    with pytest.raises(HostError) as caught, refusals():
        domain.migrate3(connection, {}, libvirt.VIR_MIGRATE_PEER2PEER)
    connection.close()
    assert caught.value.explanation.id == "api-not-for-peer2peer"
    assert caught.value.hint == caught.value.explanation.mend


@pytest.mark.parametrize(
    ("uri", "cause"),
    [
        ("qemu+tcp://127.0.0.1:1/system", "libvirtd-unreachable"),
        ("qemu+unix:///system?socket=/nowhere/sock", "libvirtd-socket-missing"),
        ("qemu+foo://node2/system", "connection-uri-transport-unknown"),
        ("qemu+ssh://node 2/system", "connection-uri-unparsable"),
        ("qemu+unix://node2/system", "connection-uri-unix-with-host"),
    ],
)
def test_a_connection_that_cannot_be_opened_is_explained(uri: str, cause: str) -> None:
    """A real libvirt's answer to a wrong URI is this process's own to mend, and says how."""
    with pytest.raises(HostError) as caught:
        open_connection(uri)
    found = caught.value.explanation
    assert (found.id, found.noticed_by) == (cause, NoticedBy.CLIENT)
    assert uri in caught.value.hint
    assert found.mend in caught.value.hint
