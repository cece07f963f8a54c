"""An explorer of error messages: paste one, or choose a broken case, or break the lab for real.

Theory of operation. Typing explains at once: that takes a millisecond. A case that is chosen shows
its recorded attempt, or the learner's own once there is one. Breaking for real happens in a worker
thread, one case at a time; the button comes back when the lab is mended. Callbacks may run on any
thread: they set traits under a lock, and the worker does the rest.

Holds no logic: ``explain`` knows the messages, ``course.attempts`` breaks and mends, ``refused``
makes the HTML. Needs libvirt only where a guest is given.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import ipywidgets as widgets

from migrationlab.course.attempts import Attempt, find_attempt, load_attempts, try_fault
from migrationlab.errors import MigrationLabError, UsageError
from migrationlab.explain.explanation import Explanation, NoticedBy, explain
from migrationlab.plan.uris import Mode
from migrationlab.widgets import failure_html, markup
from migrationlab.widgets.closing import close_all
from migrationlab.widgets.lab_down import cause

if TYPE_CHECKING:
    from migrationlab.lab.guest import Guest

CLOSE_TIMEOUT_S = 30.0
#: Who dials the destination's libvirtd; where a message leaves that open, it is told by the mode.
DIALLERS = {Mode.NORMAL: NoticedBy.CLIENT, Mode.PEER2PEER: NoticedBy.SOURCE_DAEMON}
OWN_MESSAGE = ("a message of your own", "")


class ErrorExplorer:
    """Says of any message of libvirt or QEMU what it means, who noticed it, and how to mend it.

    Args:
        guest: A guest of a running lab, to break the lab for real; without one the explorer plays
            on recorded attempts.
        attempts: Those recorded; by default those of the lessons.
        try_fault: Breaks, migrates and mends, as ``course.attempts.try_fault`` does, which is the default.
    """

    def __init__(
        self,
        guest: Guest | None = None,
        *,
        attempts: Iterable[Attempt] | None = None,
        try_fault: Callable[..., Attempt] = try_fault,
    ) -> None:
        self._guest = guest
        self._try_fault = try_fault
        self._recorded = tuple(load_attempts() if attempts is None else attempts)
        self._own: tuple[Attempt, ...] = ()
        self._shown: Attempt | None = None
        # Setting a trait calls observers in the same thread, so the lock must let it in again.
        self._lock = threading.RLock()
        self._busy = self._closed = False
        self._idle = threading.Event()
        self._idle.set()
        titles = {attempt.title: attempt.case for attempt in self._recorded}
        self.case = widgets.Dropdown(
            options=[OWN_MESSAGE, *titles.items()],
            value="",
            description="Broken case",
            style={"description_width": "7em"},
            layout=widgets.Layout(width="32em"),
        )
        self.mode = widgets.Dropdown(
            options=[(str(mode), mode) for mode in Mode],
            value=Mode.PEER2PEER,
            description="Mode",
            style={"description_width": "7em"},
            layout=widgets.Layout(width="32em"),
        )
        self.break_button = widgets.Button(
            description="Break it for real",
            button_style="warning",
            disabled=True,
            layout=widgets.Layout(width="max-content"),
        )
        self.status = widgets.HTML()
        self.about = widgets.HTML()
        self.message = widgets.Textarea(
            description="Message",
            placeholder="paste what libvirt, QEMU or virsh said",
            rows=4,
            style={"description_width": "7em"},
            layout=widgets.Layout(width="98%"),
        )
        self.explained = widgets.HTML()
        self.logs = widgets.HTML()
        live = [widgets.HBox([self.break_button, self.status])] if guest is not None else []
        self._box = widgets.VBox(
            [self.case, self.mode, self.about, *live, self.message, self.explained, self.logs],
            layout=widgets.Layout(width="100%"),
        )
        self.case.observe(lambda _change: self._choose(), names="value")
        self.mode.observe(lambda _change: self._choose(), names="value")
        self.message.observe(lambda _change: self._typed(), names="value")
        self.break_button.on_click(lambda _button: self.start())
        self._choose()

    def __repr__(self) -> str:
        return f"ErrorExplorer({len(self._recorded)} recorded, {len(self._own)} own)"

    def _repr_mimebundle_(self, **_options: object) -> dict[str, Any]:
        """Give the live explorer, and for readers of a saved notebook what it says."""
        bundle: dict[str, Any] = self._box._repr_mimebundle_()
        note = markup.note("The explorer is live: run this cell to use it.")
        static = note + self.about.value + self.explained.value + self.logs.value
        return {**bundle, "text/plain": repr(self), "text/html": static}

    @property
    def attempts(self) -> tuple[Attempt, ...]:
        """Return what was met here, in the order of its making."""
        return self._own

    @property
    def explanation(self) -> Explanation | None:
        """Return what the message means; None where there is none."""
        if self._shown is not None:
            return self._shown.explanation
        text = self.message.value
        return explain(text, opened_by=DIALLERS[self.mode.value]) if text.strip() else None

    def start(self) -> None:
        """Break the chosen case for real; returns at once. Does nothing while one is broken."""
        with self._lock:
            if self._guest is None or not self.case.value or self._closed or self._busy:
                return
            self._busy = True
            self._idle.clear()
            self.break_button.disabled = True
            self.status.value = markup.status("Breaking the lab, migrating, mending the lab…")
            asked = (self.case.value, self.mode.value)
        threading.Thread(
            target=self._work, args=[self._guest, *asked], name="error-explorer", daemon=True
        ).start()

    def wait(self, timeout_s: float | None = None) -> bool:
        """Wait until nothing is broken here; tell whether that came."""
        return self._idle.wait(timeout_s)

    def close(self) -> None:
        """Break nothing more, wait until the lab is mended, and take the explorer off the page."""
        with self._lock:
            self._closed = True
        self.wait(CLOSE_TIMEOUT_S)
        close_all(self._box)

    def _work(self, guest: Guest, case: str, mode: Mode) -> None:
        said = ""
        try:
            met = self._try_fault(guest.lab, guest, case, mode=mode)
            with self._lock:
                self._own = (*self._own, met)
            said = markup.status("Met for real, and mended again.")
        except MigrationLabError as error:
            said = markup.failed(cause(error, guest))
        except BaseException as error:
            said = markup.failed(error)
            raise
        finally:
            with self._lock:
                self._busy = False
                self._choose()
                self.status.value = said
            self._idle.set()

    def _choose(self) -> None:
        """Show the attempt of the chosen case and mode: the newest own one, or else recorded."""
        with self._lock:
            self.break_button.disabled = not self.case.value or self._busy
            self._shown = self._find() if self.case.value else None
            if self._shown is not None:
                self.message.value = self._shown.text
            self._refresh()

    def _find(self) -> Attempt | None:
        known = (*reversed(self._own), *self._recorded)
        try:
            return find_attempt(known, self.case.value, self.mode.value)
        except UsageError:
            return None

    def _typed(self) -> None:
        """Explain what was typed; a message that is changed is no longer the case's."""
        with self._lock:
            if self._shown is not None and self.message.value != self._shown.text:
                self._shown = None
                self.case.value = ""
            self._refresh()

    def _refresh(self) -> None:
        """Say anew what the message means; for every keystroke."""
        shown = self._shown
        if shown is None:
            self.about.value = markup.note("Paste a message below, or choose a broken case.")
            self.logs.value = ""
        else:
            whose = "Your own" if shown in self._own else "Recorded"
            said = markup.status(f"{whose}: {failure_html.how(shown)}")
            self.about.value = failure_html.changed(shown) + said
            self.logs.value = failure_html.logged(shown)
        self.explained.value = failure_html.meaning(self.explanation)
