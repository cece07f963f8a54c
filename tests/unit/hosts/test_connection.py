"""libvirt's errors become migrationlab's, with code, domain, text, explanation and hint."""

from __future__ import annotations

import socket
import tempfile
import threading
from concurrent.futures import Future
from pathlib import Path

import libvirt
import pytest

from migrationlab.errors import HostError
from migrationlab.explain.explanation import NoticedBy
from migrationlab.hosts import connection
from migrationlab.hosts.connection import (
    ask,
    call_later,
    close_connection,
    open_connection,
    refusal,
    refusals,
    waits_on,
)

CLOSED = "unable to connect to server at 'host-b:49152': No route to host"


def libvirt_error(text: str, code: int, domain: int) -> libvirt.libvirtError:
    """Make an error as libvirt-python raises it (libvirtError in libvirt-override.py)."""
    error = libvirt.libvirtError(text)
    error.err = (code, domain, text, libvirt.VIR_ERR_ERROR, None, None, None, -1, -1)
    return error


def test_refusal_is_explained() -> None:
    """A refusal has libvirt's numbers and an explanation, and its hint is the explanation's fix."""
    error = refusal(libvirt_error(CLOSED, 38, 7))
    assert (str(error), error.code, error.domain) == (CLOSED, 38, 7)
    assert error.explanation.id == "port-closed"
    assert error.hint == error.explanation.fix
    assert f"hint: {error.hint}" in error.__notes__


def test_given_hint_stays() -> None:
    """A given hint replaces the fix of the explanation, and the explanation stays."""
    error = refusal(libvirt_error(CLOSED, 38, 7), "open the port")
    assert (error.hint, error.explanation.id) == ("open the port", "port-closed")


def test_unknown_refusal_points_to_the_logs() -> None:
    """The hint of an unknown message points to the logs."""
    error = refusal(libvirt_error("new in 13.0", 1, 10))
    assert not error.explanation.known
    assert "QEMU driver" in error.explanation.cause
    assert "logs" in error.hint


def test_real_refusal_is_explained() -> None:
    """An error of a real libvirt has its explanation."""
    connection = open_connection("test:///default")
    domain = connection.listAllDomains()[0]
    with pytest.raises(HostError) as caught, refusals():
        domain.migrate3(connection, {}, libvirt.VIR_MIGRATE_PEER2PEER)
    connection.close()
    assert caught.value.explanation.id == "api-not-for-peer2peer"
    assert caught.value.hint == caught.value.explanation.fix


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
def test_failed_opening_is_explained(uri: str, cause: str) -> None:
    """A wrong connection URI is explained as an error of the client, and the hint has the fix."""
    with pytest.raises(HostError) as caught:
        open_connection(uri)
    found = caught.value.explanation
    assert (found.id, found.noticed_by) == (cause, NoticedBy.CLIENT)
    assert uri in caught.value.hint
    assert found.fix in caught.value.hint


def test_silent_daemon_is_a_refusal_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """A daemon that accepts a connection and says nothing does not block the caller for ever."""
    monkeypatch.setattr(connection, "OPEN_TIMEOUT_S", 0.2)
    # Not in pytest's own folder, whose path can be too long for a socket.
    with (
        tempfile.TemporaryDirectory(dir="/tmp", prefix="mlab-") as folder,
        socket.socket(socket.AF_UNIX) as silent,
    ):
        silent.bind(str(Path(folder, "sock")))
        silent.listen()
        uri = f"qemu+unix:///system?socket={folder}/sock"
        with pytest.raises(HostError, match=r"no answer within 0\.2 s") as caught:
            open_connection(uri)
    assert "virsh --connect" in caught.value.hint


class Silent:
    """A connection whose daemon answers nothing before :attr:`answered`."""

    def __init__(self) -> None:
        self.answered = threading.Event()
        self.closed = threading.Event()

    def getLibVersion(self) -> int:  # noqa: N802 - libvirt's name
        """Wait for the answer."""
        self.answered.wait(10)
        return 0

    def close(self) -> None:
        """Note that it was closed."""
        self.closed.set()


def test_connection_in_use_is_closed_after_its_user(monkeypatch: pytest.MonkeyPatch) -> None:
    """If the daemon does not answer, a call of another thread may wait: it is closed after that."""
    monkeypatch.setattr(connection, "CLOSE_TIMEOUT_S", 0.05)
    silent = Silent()
    close_connection(silent)
    assert not silent.closed.is_set()
    with pytest.raises(TimeoutError):  # at once: libvirt's client can crash under a second call
        ask(silent, silent.close, 5.0)
    assert not silent.closed.is_set()
    silent.answered.set()
    assert silent.closed.wait(10)
    monkeypatch.setattr(connection, "CLOSE_TIMEOUT_S", 5.0)
    ready = Silent()
    ready.answered.set()
    close_connection(ready)
    assert ready.closed.is_set()


def test_later_calls_keep_their_order() -> None:
    """They are made one after the other when the call that waits has returned, in any case."""
    silent, made, over = Silent(), list[str](), threading.Event()
    waiting: Future[None] = Future()
    waits_on(silent, waiting)

    def fail() -> None:
        made.append("fails")
        raise libvirt.libvirtError("refused")

    for work in (fail, lambda: made.append("works"), over.set):
        call_later(silent, work)
    assert made == []
    waiting.set_exception(libvirt.libvirtError("the connection is broken"))
    assert over.wait(10)
    assert made == ["fails", "works"]
