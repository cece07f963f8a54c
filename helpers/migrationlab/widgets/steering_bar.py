"""Buttons that act on a migration under way, each on when it can act, with the answer in words.

What steers may wait some seconds for libvirt, so a press starts a thread and returns. What makes
sense, and what libvirt refuses, is ``Migration``'s to say.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

import ipywidgets as widgets

from migrationlab.errors import MigrationLabError
from migrationlab.migrate.migration import Migration
from migrationlab.widgets import markup
from migrationlab.widgets.form import whole_number

_RUNNING, _POSTCOPY = "running", "post-copy"
_IDLE = "While a migration runs, it can be steered here."
_NO_SWITCH = "It cannot switch to post-copy: tick Post-copy under More settings before the start."


class SteeringBar:
    """The buttons, in a box; all are off until :meth:`show` says what runs."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._migration: Migration | None = None
        self._state = ""
        self._asking = False
        self.postcopy_button = widgets.Button(description="Switch to post-copy now", layout=_WIDE)
        self.suspend_button = widgets.Button(description="Pause the guest", layout=_WIDE)
        self.downtime = _value("New limit, ms", "500")
        self.downtime_button = widgets.Button(description="Set downtime limit", layout=_WIDE)
        self.bandwidth = _value("New bandwidth, MiB/s", "no limit")
        self.bandwidth_button = widgets.Button(description="Set bandwidth", layout=_WIDE)
        self.note = widgets.HTML()
        self.message = widgets.HTML()
        self.box = widgets.VBox(
            [
                self.note,
                _line(self.postcopy_button, self.suspend_button),
                _line(self.downtime, self.downtime_button),
                _line(self.bandwidth, self.bandwidth_button),
                self.message,
            ]
        )
        for button, deed in (
            (self.postcopy_button, self._start_postcopy),
            (self.suspend_button, self._suspend),
            (self.downtime_button, self._set_downtime),
            (self.bandwidth_button, self._set_bandwidth),
        ):
            button.on_click(lambda _button, deed=deed: self._ask(deed))
        self.show(None)

    def show(self, migration: Migration | None) -> None:
        """Turn on what can act by now; None is for no migration, or one that is cancelled."""
        state = "" if migration is None else migration.progress().state
        with self._lock:
            if migration is not None and migration is not self._migration:
                self.message.value = ""
            self._migration, self._state = migration, state
            self._switch()

    def _switch(self) -> None:
        migration = self._migration
        may = migration is not None and migration.plan.postcopy
        running, switched = self._state == _RUNNING, self._state == _POSTCOPY
        self.postcopy_button.disabled = not (running and may)
        self.suspend_button.disabled = not running
        self.downtime_button.disabled = not running
        self.bandwidth_button.disabled = not (running or switched)
        for field, button in (
            (self.downtime, self.downtime_button), (self.bandwidth, self.bandwidth_button)
        ):  # fmt: skip
            field.disabled = button.disabled
        note = _NO_SWITCH if running and not may else "" if migration else _IDLE
        self.note.value = markup.note(note)

    def _ask(self, deed: Callable[[Migration], str]) -> None:
        with self._lock:
            migration = self._migration
            if migration is None or self._asking:
                return
            self._asking = True
            self.message.value = markup.status("Asking libvirt…")
        threading.Thread(
            target=self._do, args=[migration, deed], name="migration-panel-steering", daemon=True
        ).start()

    def _do(self, migration: Migration, deed: Callable[[Migration], str]) -> None:
        """Do it, and say what came of it; the body of a thread."""
        said = markup.status("A fault in the kit: it was not done.", bad=True)
        try:
            said = markup.status(deed(migration))
        except MigrationLabError as error:
            said = markup.status(f"Not done: {error}.", hint=error.hint, bad=True)
        finally:
            with self._lock:
                self._asking = False
                self.message.value = said

    def _start_postcopy(self, migration: Migration) -> str:
        migration.start_postcopy()
        return "Switched to post-copy: the guest goes on at the destination, its memory follows."

    def _suspend(self, migration: Migration) -> str:
        migration.suspend()
        return "The guest is paused: what is left is sent, and it goes on at the destination."

    def _set_downtime(self, migration: Migration) -> str:
        limit = whole_number("max_downtime_ms", self.downtime.value)
        migration.set_max_downtime(limit)
        return f"The downtime limit is {limit} ms now."

    def _set_bandwidth(self, migration: Migration) -> str:
        text, field = self.bandwidth.value, "bandwidth_mib_s"
        limit = whole_number(field, text) if text.strip() else None
        # Post-copy has a limit of its own, and the other no effect any more.
        migration.set_bandwidth(limit, postcopy=self._state == _POSTCOPY)
        return f"The bandwidth is {'without limit' if limit is None else f'{limit} MiB/s'} now."


_WIDE = widgets.Layout(width="14em")


def _value(description: str, placeholder: str) -> widgets.Text:
    return widgets.Text(
        description=description,
        placeholder=placeholder,
        style={"description_width": "12em"},
        layout=widgets.Layout(width="24em"),
    )


def _line(*children: widgets.Widget) -> widgets.HBox:
    return widgets.HBox(children, layout=widgets.Layout(flex_flow="row wrap"))
