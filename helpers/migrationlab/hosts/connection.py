"""The libvirt library in this process: its event loop, its connections, and its errors.

One event loop serves all connections, in a thread of its own, so that a busy notebook cell does
not stall it. No bare error of libvirt's leaves the kit: :func:`refusals` turns each into the
kit's, explained. Imports no other room of the kit than ``errors`` and ``explain``.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import libvirt

from migrationlab.errors import HostError
from migrationlab.explain.explanation import NoticedBy, explain

#: As virsh asks a daemon that says nothing whether it is there (its options -k and -K).
KEEPALIVE_S, KEEPALIVE_COUNT = 5, 6

_library_lock = threading.Lock()
_library_ready = False


@contextmanager
def refusals(hint: str = "", *, opening: bool = False) -> Iterator[None]:
    """Turn a libvirt error raised in the body into a :class:`HostError`.

    Args:
        hint: What the user can do about it.
        opening: Whether the body opens a connection.
    """
    try:
        yield
    except libvirt.libvirtError as error:
        raise refusal(error, hint, opening=opening) from error


def refusal(error: libvirt.libvirtError, hint: str = "", *, opening: bool = False) -> HostError:
    """Return the kit's error for a libvirt error, with code, domain, text and explanation.

    Args:
        error: libvirt's.
        hint: What the user can do about it; by default what the explanation says.
        opening: Whether this process was opening a connection: then it is the one who dialled,
            and the explanation follows the hint.
    """
    text = error.get_error_message() or str(error)
    code, domain = error.get_error_code(), error.get_error_domain()
    opened_by = NoticedBy.CLIENT if opening else None
    explanation = explain(text, code=code, domain=domain, opened_by=opened_by, opening=opening)
    if opening and hint and explanation.known:
        hint = f"{hint}: {explanation.fix}"
    hint = hint or explanation.fix
    return HostError(text, hint=hint, code=code, domain=domain, explanation=explanation)


def version_text(number: int) -> str:
    """Return a version as people write it, from libvirt's 1,000,000 * major + 1,000 * minor."""
    return f"{number // 1_000_000}.{number // 1_000 % 1_000}.{number % 1_000}"


def library_version() -> str:
    """Return the version of the libvirt client library in this process."""
    return version_text(libvirt.getVersion())


def open_connection(uri: str) -> libvirt.virConnect:
    """Open a connection to a libvirt daemon, which breaks when the daemon is heard no more.

    Raises:
        HostError: The daemon could not be reached, or refused.
    """
    _start_library()
    with refusals(f"check that {uri} is where the host's libvirtd listens", opening=True):
        connection = libvirt.open(uri)
        try:
            connection.setKeepAlive(KEEPALIVE_S, KEEPALIVE_COUNT)
        except libvirt.libvirtError as error:
            if error.get_error_code() != libvirt.VIR_ERR_NO_SUPPORT:  # no daemon, no silence
                raise
        return connection


def drain_events(connections: Iterable[libvirt.virConnect], timeout_s: float) -> bool:
    """Wait until what has happened on hosts by now has been told to who listens.

    An answer comes after the events that a daemon sent before it. What came with it is queued: the
    event loop hands it out by a timer of the connection (virObjectEventStateQueueRemote in
    object_event.c), and what a callback that is given back has not heard by then is dropped. Timers
    fire in the order in which they were added (virEventPollDispatchTimeouts in vireventpoll.c), so
    when one that is added now has fired, all that was queued has been heard.

    Args:
        connections: Those that are listened on; of one that is broken nothing more will come.
        timeout_s: How long to wait at most.

    Returns:
        Whether all was told.
    """
    for connection in connections:
        with contextlib.suppress(libvirt.libvirtError):
            connection.getLibVersion()
    told = threading.Event()
    timer = libvirt.virEventAddTimeout(0, lambda _timer, _opaque: told.set(), None)
    try:
        return told.wait(timeout_s)
    finally:
        libvirt.virEventRemoveTimeout(timer)


def _start_library() -> None:
    """Start libvirt's event loop in a thread of its own; before the first connection, once."""
    global _library_ready  # noqa: PLW0603 - a library has one event loop a process
    with _library_lock:
        if _library_ready:
            return
        # Errors are raised; libvirt would print them to standard error besides.
        libvirt.registerErrorHandler(lambda _context, _error: None, None)
        libvirt.virEventRegisterDefaultImpl()
        threading.Thread(target=_run_events, name="libvirt-events", daemon=True).start()
        _library_ready = True


def _run_events() -> None:
    while True:
        # One turn that fails must not end all events of this process.
        with contextlib.suppress(libvirt.libvirtError):
            libvirt.virEventRunDefaultImpl()
