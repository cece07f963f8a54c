"""Make the buttons that act on a running migration, and show libvirt's answer in words.

A button is enabled while it can act. It may wait some seconds for libvirt, so a press starts a
thread and returns. ``Migration`` decides which actions make sense, and reports libvirt's refusals.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

import ipywidgets as widgets

from migrationlab.errors import MigrationLabError
from migrationlab.migrate.migration import Migration
from migrationlab.widgets import fields
from migrationlab.widgets.views import messages
from migrationlab.widgets.views.form_values import whole_number

_RUNNING, _POSTCOPY = "running", "post-copy"
_IDLE = "While a migration runs, it can be steered here."
_NO_SWITCH = "It cannot switch to post-copy: tick Post-copy under More settings before the start."
_WIDE = widgets.Layout(width="14em")


class SteeringBar:
    """A box with the buttons; all are disabled until :meth:`show` gets a migration."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._asking = False
        self._migration: Migration | None = None
        self._state = ""
        self.postcopy_button = self._button("Switch to post-copy now", self._start_postcopy)
        self.suspend_button = self._button("Pause the guest", self._suspend)
        self.downtime = _value("New limit, ms", "500")
        self.downtime_button = self._button("Set downtime limit", self._set_downtime)
        self.bandwidth = _value("New bandwidth, MiB/s", "no limit")
        self.bandwidth_button = self._button("Set bandwidth", self._set_bandwidth)
        self.note = widgets.HTML()
        self.message = widgets.HTML()
        self.box = widgets.VBox(
            [
                self.note,
                fields.row(self.postcopy_button, self.suspend_button),
                fields.row(self.downtime, self.downtime_button),
                fields.row(self.bandwidth, self.bandwidth_button),
                self.message,
            ]
        )
        self.show(None)

    def show(self, migration: Migration | None) -> None:
        """Enable the buttons that can act now; None means no migration, or a cancelled one."""
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
        self.downtime.disabled = self.downtime_button.disabled = not running
        self.bandwidth.disabled = self.bandwidth_button.disabled = not (running or switched)
        note = _NO_SWITCH if running and not may else "" if migration else _IDLE
        self.note.value = messages.note(note)

    def _button(self, description: str, action: Callable[[Migration], str]) -> widgets.Button:
        return fields.button(description, lambda: self._ask(action), layout=_WIDE)

    def _ask(self, action: Callable[[Migration], str]) -> None:
        with self._lock:
            migration = self._migration
            if migration is None or self._asking:
                return
            self._asking = True
            self.message.value = messages.status("Asking libvirt…")
        threading.Thread(
            target=self._do, args=[migration, action], name="migration-panel-steering", daemon=True
        ).start()

    def _do(self, migration: Migration, action: Callable[[Migration], str]) -> None:
        """Do the action, and show the answer; the body of a thread."""
        answer = messages.status("A bug in migrationlab: it was not done.", bad=True)
        try:
            answer = messages.status(action(migration))
        except MigrationLabError as error:
            answer = messages.status(f"Not done: {error}.", hint=error.hint, bad=True)
        finally:
            with self._lock:
                # Before the answer: a user who sees the answer may press again at once.
                self._asking = False
                self.message.value = answer

    def _start_postcopy(self, migration: Migration) -> str:
        migration.start_postcopy()
        return "Switched to post-copy: the guest continues at the destination, its memory follows."

    def _suspend(self, migration: Migration) -> str:
        migration.suspend()
        return "The guest is paused: the rest is sent, then it continues at the destination."

    def _set_downtime(self, migration: Migration) -> str:
        limit = whole_number("max_downtime_ms", self.downtime.value)
        migration.set_max_downtime(limit)
        return f"The downtime limit is {limit} ms now."

    def _set_bandwidth(self, migration: Migration) -> str:
        text = self.bandwidth.value
        limit = whole_number("bandwidth_mib_s", text) if text.strip() else None
        # Post-copy has its own limit; the limit of pre-copy has no effect any more.
        migration.set_bandwidth(limit, postcopy=self._state == _POSTCOPY)
        return f"The bandwidth is {'without limit' if limit is None else f'{limit} MiB/s'} now."


def _value(description: str, placeholder: str) -> widgets.Text:
    return fields.text(description, placeholder=placeholder, label="12em", width="24em")
