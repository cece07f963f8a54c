"""Use the libvirt library in this process: its event loop, its connections and its errors.

One event loop in its own thread serves all connections, so that a busy notebook cell does not stall
it. No libvirtError leaves the package: :func:`refusals` turns each into a :class:`HostError` with
an explanation.
"""

from __future__ import annotations

import contextlib
import shlex
import threading
from collections.abc import Callable, Collection, Iterable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

import libvirt

from migrationlab.errors import HostError
from migrationlab.explain.explanation import NoticedBy, explain
from migrationlab.hosts.time_limit import start_call, within

T = TypeVar("T")

#: Like virsh's options -k and -K: how often to ask a silent daemon whether it is there.
KEEPALIVE_S, KEEPALIVE_COUNT = 5, 6
#: How long a daemon may take to accept a connection. A user may have to type a password.
OPEN_TIMEOUT_S = 60.0
#: How long to wait until a daemon has closed a connection: usually a millisecond.
CLOSE_TIMEOUT_S = 0.3
#: How long to wait for a daemon's answer to a question that needs no work.
ANSWER_TIMEOUT_S = 1.0

#: The calls that may wait on a connection.
_waiting: WeakKeyDictionary[libvirt.virConnect, list[Future[Any]]] = WeakKeyDictionary()
_library_lock = threading.Lock()
_library_ready = False


@contextmanager
def refusals(hint: str = "", *, opening: bool = False) -> Iterator[None]:
    """Turn a libvirt error raised in the body into a HostError, as :func:`refusal` does."""
    try:
        yield
    except libvirt.libvirtError as error:
        raise refusal(error, hint, opening=opening) from error


def answer_or_none(work: Callable[[], T], codes: Collection[int], hint: str = "") -> T | None:
    """Return the result of ``work``, or None if libvirt refuses it with one of these codes.

    Args:
        work: Calls libvirt.
        codes: ``VIR_ERR_*`` numbers.
        hint: The fix of any other refusal, which is raised as a HostError.
    """
    try:
        return work()
    except libvirt.libvirtError as error:
        if error.get_error_code() in codes:
            return None
        raise refusal(error, hint) from error


def refusal(error: libvirt.libvirtError, hint: str = "", *, opening: bool = False) -> HostError:
    """Return the HostError for a libvirt error, with code, domain, text and explanation.

    Args:
        error: libvirt's error.
        hint: The fix; by default that of the explanation.
        opening: Whether this process was opening a connection; then the fix follows the hint.
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
    """Return a version such as "11.3.0" from libvirt's 1,000,000 * major + 1,000 * minor."""
    return f"{number // 1_000_000}.{number // 1_000 % 1_000}.{number % 1_000}"


def library_version() -> str:
    """Return the version of the libvirt client library in this process."""
    return version_text(libvirt.getVersion())


def open_connection(uri: str) -> libvirt.virConnect:
    """Open a connection to a libvirt daemon. It breaks if the daemon stops answering.

    Raises:
        HostError: It could not be opened, or not within :data:`OPEN_TIMEOUT_S`.
    """
    _start_library()

    def opened() -> libvirt.virConnect:
        with refusals(f"check that {uri} is where the host's libvirtd listens", opening=True):
            connection = libvirt.open(uri)
            # A driver without a daemon has no keepalive.
            answer_or_none(
                lambda: connection.setKeepAlive(KEEPALIVE_S, KEEPALIVE_COUNT),
                (libvirt.VIR_ERR_NO_SUPPORT,),
            )
            return connection

    try:
        return within(OPEN_TIMEOUT_S, opened, "migration-open")
    except TimeoutError:
        raise HostError(
            f"connecting to {uri} failed: no answer within {OPEN_TIMEOUT_S:g} s",
            hint=f"Check that its libvirtd answers: virsh --connect {shlex.quote(uri)} version",
        ) from None


def waits_on(connection: libvirt.virConnect, call: Future[Any]) -> None:
    """Say that a call may wait on a connection: until it has returned, no other is made there.

    libvirt's client lets two threads wait on one connection. When a frozen daemon then answers
    both at once, the client library 9.0 can crash (virNetClientIOEventLoop).
    """
    waiting = [each for each in _waiting.get(connection, ()) if not each.done()]
    _waiting[connection] = [*waiting, call]


def is_waited_on(connection: libvirt.virConnect) -> bool:
    """Return whether a call that :func:`waits_on` was told of has not returned."""
    return any(not call.done() for call in _waiting.get(connection, ()))


def begin_call(connection: libvirt.virConnect, work: Callable[[], T]) -> Future[T]:
    """Begin a call on a connection on which nobody else waits; TimeoutError if somebody does."""
    if is_waited_on(connection):
        raise TimeoutError
    call = start_call(work, "migration-question")
    waits_on(connection, call)
    return call


def ask(connection: libvirt.virConnect, work: Callable[[], T], timeout_s: float) -> T:
    """Return the answer to one call on a connection on which nobody else waits.

    Raises:
        TimeoutError: There is no answer within ``timeout_s``, or an earlier call still waits.
    """
    return begin_call(connection, work).result(timeout_s)


def call_later(connection: libvirt.virConnect, work: Callable[[], object]) -> None:
    """Make a call as soon as nobody waits on a connection, at once if nobody does.

    Several such calls are made in their order. An error is dropped: nobody waits for it.
    """
    while True:
        waiting = [call for call in _waiting.get(connection, ()) if not call.done()]
        if waiting:
            waiting[-1].add_done_callback(lambda _: call_later(connection, work))
            return
        with contextlib.suppress(TimeoutError):  # another thread has just begun to wait
            begin_call(connection, work)
            return


def close_connection(connection: libvirt.virConnect) -> None:
    """Close a connection, also if its daemon is gone.

    If the daemon does not answer, another thread may wait in a call on this connection. libvirt
    would free the connection under that call. So it is closed when that call has returned.
    """
    with contextlib.suppress(libvirt.libvirtError):
        try:
            with contextlib.suppress(libvirt.libvirtError):
                ask(connection, connection.getLibVersion, CLOSE_TIMEOUT_S)
        except TimeoutError:
            call_later(connection, connection.close)
            return
        with contextlib.suppress(TimeoutError):  # it is being closed
            ask(connection, connection.close, CLOSE_TIMEOUT_S)


def drain_events(connections: Iterable[libvirt.virConnect], timeout_s: float) -> bool:
    """Wait until callbacks have received all events up to now; return whether they have.

    An answer arrives after the events that the daemon sent before it. libvirt queues these events,
    and the event loop delivers them by a timer of the connection (virObjectEventStateQueueRemote in
    object_event.c). A callback that is removed before that misses them. Timers fire in the order in
    which they were added (virEventPollDispatchTimeouts in vireventpoll.c). So when a timer that is
    added now has fired, all queued events have been delivered. A broken connection gets no more
    events.
    """
    for connection in connections:
        with contextlib.suppress(libvirt.libvirtError, TimeoutError):
            ask(connection, connection.getLibVersion, ANSWER_TIMEOUT_S)
    delivered = threading.Event()
    timer = libvirt.virEventAddTimeout(0, lambda _timer, _opaque: delivered.set(), None)
    try:
        return delivered.wait(timeout_s)
    finally:
        libvirt.virEventRemoveTimeout(timer)


def _start_library() -> None:
    """Start libvirt's event loop in its own thread, once, before the first connection."""
    global _library_ready  # noqa: PLW0603 - a library has one event loop a process
    with _library_lock:
        if _library_ready:
            return
        # Errors are raised; libvirt would also print them to standard error.
        libvirt.registerErrorHandler(lambda _context, _error: None, None)
        libvirt.virEventRegisterDefaultImpl()
        threading.Thread(target=_run_events, name="libvirt-events", daemon=True).start()
        _library_ready = True


def _run_events() -> None:
    while True:
        # One turn that fails must not end all events of this process.
        with contextlib.suppress(libvirt.libvirtError):
            libvirt.virEventRunDefaultImpl()
