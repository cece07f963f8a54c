"""Explore error messages: paste a message or a log, upload one, or break the lab for real.

Theory of operation. A typed message is explained at once: this takes a millisecond. A long text or
an uploaded log is explained by the drawing thread; a log's content stays out of the page. A chosen
fault shows the learner's own attempt, or else the recorded one. A worker thread breaks the lab for
real, one fault at a time; the button is enabled again when the lab is fixed.

``explain`` knows the messages, and ``course.attempts`` breaks and fixes the lab.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

import ipywidgets as widgets

from migrationlab.course.attempts import Attempt, find_attempt, load_attempts, try_fault
from migrationlab.errors import MigrationLabError, UsageError
from migrationlab.explain.explanation import Explanation, NoticedBy, explain
from migrationlab.plan.uris import Mode
from migrationlab.widgets import fields
from migrationlab.widgets.background import Worker
from migrationlab.widgets.base import LiveWidget, cause
from migrationlab.widgets.views import failure_html, messages
from migrationlab.widgets.views.log_excerpt import log_excerpt

if TYPE_CHECKING:
    from migrationlab.lab.guest import Guest

CLOSE_TIMEOUT_S = 30.0
#: A file comes in one message of Jupyter's, whose usual limit is 10 MiB.
LARGEST_FILE = 8 * 1024 * 1024
#: A longer text is not explained at each keystroke.
LONGEST_AT_ONCE = 20_000
#: The side that connects to the destination's libvirtd, for a message that does not name it.
OPENED_BY = {Mode.NORMAL: NoticedBy.CLIENT, Mode.PEER2PEER: NoticedBy.SOURCE_DAEMON}
OWN_MESSAGE = ("a message of your own", "")
_LABEL = "7em"


class ErrorExplorer(LiveWidget):
    """Shows the meaning of a libvirt or QEMU message, who noticed the fault, and the fix.

    Args:
        guest: A guest of a running lab, to break the lab for real; without a guest the explorer
            shows recorded attempts.
        attempts: The recorded attempts; by default those of the lessons.
        try_fault: Breaks the lab, migrates, and fixes the lab again.
    """

    def __init__(
        self,
        guest: Guest | None = None,
        *,
        attempts: Iterable[Attempt] | None = None,
        try_fault: Callable[..., Attempt] = try_fault,
    ) -> None:
        super().__init__()
        self._guest = guest
        self._try_fault = try_fault
        self._recorded = tuple(load_attempts() if attempts is None else attempts)
        self._own: tuple[Attempt, ...] = ()
        self._shown: Attempt | None = None
        self._file: tuple[str, str] | None = None
        self._explanation: Explanation | None = None
        self._asked = 0
        self._worker = Worker("error-explorer")
        titles = {attempt.title: attempt.case for attempt in self._recorded}
        self.case = fields.dropdown(
            "Fault", [OWN_MESSAGE, *titles.items()], value="", label=_LABEL, width="32em"
        )
        self.mode = fields.dropdown(
            "Mode", fields.named(Mode), value=Mode.PEER2PEER, label=_LABEL, width="32em"
        )
        self.break_button = fields.button(
            "Break it for real",
            self.start,
            button_style="warning",
            disabled=True,
            layout=widgets.Layout(width="max-content"),
        )
        self.message = widgets.Textarea(
            description="Message",
            placeholder="paste a message of libvirt, QEMU or virsh, or a whole log",
            rows=4,
            style={"description_width": _LABEL},
            layout=widgets.Layout(width="98%"),
        )
        self.upload = widgets.FileUpload(
            description="Upload a log", layout=widgets.Layout(width="max-content")
        )
        self.status, self.about, self.explained, self.logs = (widgets.HTML() for _ in range(4))
        live = [widgets.HBox([self.break_button, self.status])] if guest is not None else []
        self._lay_out(
            self.case,
            self.mode,
            self.about,
            *live,
            self.message,
            self.upload,
            self.explained,
            self.logs,
        )
        fields.on_change(self._choose, self.case, self.mode)
        fields.on_change(self._typed, self.message)
        fields.on_change(self._uploaded, self.upload)
        self._choose()

    def __repr__(self) -> str:
        return f"ErrorExplorer({len(self._recorded)} recorded, {len(self._own)} own)"

    def _static_html(self) -> str:
        return "".join(part.value for part in (self.about, self.explained, self.logs))

    @property
    def attempts(self) -> tuple[Attempt, ...]:
        """Return the attempts made with this explorer, oldest first."""
        return self._own

    @property
    def explanation(self) -> Explanation | None:
        """Return the explanation of the message; None without a message."""
        if self._shown is not None:
            return self._shown.explanation
        return self._explanation

    def start(self) -> None:
        """Try the chosen fault for real; return at once. Do nothing while a fault is tried."""
        guest = self._guest
        with self._lock:
            case, mode = self.case.value, self.mode.value
            if guest is None or not case:
                return
            if self._worker.begin(lambda: self._try(guest, case, mode)):
                self.break_button.disabled = True
                text = "Breaking the lab, migrating, fixing the lab…"
                self.status.value = messages.status(text)

    def wait(self, timeout_s: float | None = None) -> bool:
        """Wait until no fault is tried and all is drawn; return False after the time limit."""
        return self._worker.wait(timeout_s) and super().wait(timeout_s)

    def close(self) -> None:
        """Try no more faults, wait until the lab is fixed, and take the explorer off the page."""
        self._worker.close()
        self.wait(CLOSE_TIMEOUT_S)
        super().close()

    def _try(self, guest: Guest, case: str, mode: Mode) -> None:
        result = ""
        try:
            attempt = self._try_fault(guest.lab, guest, case, mode=mode)
            with self._lock:
                self._own = (*self._own, attempt)
            result = messages.status("Tried for real; the lab is fixed again.")
        except MigrationLabError as error:
            result = messages.failed(cause(error, guest))
        except BaseException as error:
            result = messages.failed(error)
            raise
        finally:
            with self._lock:
                self._choose(busy=False)
                self.status.value = result

    def _choose(self, *, busy: bool | None = None) -> None:
        """Show the attempt of the chosen fault and mode: the learner's newest, or else recorded."""
        with self._lock:
            busy = self._worker.running if busy is None else busy
            self.break_button.disabled = not self.case.value or busy
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
        """Explain the typed message; a changed message no longer belongs to the fault."""
        with self._lock:
            if self._shown is not None and self.message.value != self._shown.text:
                self._shown = None
                self.case.value = ""
            if self.message.value.strip():
                self._file = None
            self._refresh()

    def _uploaded(self) -> None:
        """Take the uploaded file in the place of a message."""
        with self._lock:
            for file in self.upload.value:
                if file["size"] > LARGEST_FILE:
                    self._file = None
                    hint = "In a terminal: migrationlab explain - < FILE"
                    text = f"{file['name']} must have at most 8 MiB (got {file['size']} bytes)"
                    self.explained.value = messages.status(text, hint=hint, bad=True)
                    return
                self._file = file["name"], bytes(file["content"]).decode(errors="replace")
                self.case.value, self.message.value = "", ""
            self._refresh()

    def _refresh(self) -> None:
        """Show the meaning of the message; called for every keystroke."""
        shown = self._shown
        if shown is None:
            self._explain_text()
            return
        whose = "Your own" if shown in self._own else "Recorded"
        outcome = messages.status(f"{whose}: {failure_html.outcome(shown)}")
        self.about.value = failure_html.fault(shown) + outcome
        self.logs.value = failure_html.logs(shown)
        self.explained.value = failure_html.meaning(self.explanation)

    def _explain_text(self) -> None:
        """Show the meaning of the typed text or of the uploaded file."""
        self.logs.value = ""
        name, text = self._file or ("", self.message.value)
        if name:
            self.about.value = messages.note(f"The uploaded file {name}, {len(text)} characters:")
        else:
            self.about.value = messages.note(
                "Paste a message or a log below, upload one, or choose a fault."
            )
        opened_by = OPENED_BY[self.mode.value]
        self._asked += 1
        asked = self._asked

        def draw() -> str:
            found = explain(text, opened_by=opened_by) if text.strip() else None
            html = failure_html.meaning(found) + log_excerpt(found)
            with self._lock:
                if asked != self._asked:  # another text came meanwhile, and may be shown already
                    return str(self.explained.value)
                self._explanation = found
                return html

        if len(text) <= LONGEST_AT_ONCE:
            self.explained.value = draw()
        else:
            self._draw_into(self.explained, draw)
