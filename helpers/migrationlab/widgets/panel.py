"""A panel to migrate a guest of the lab: choose, read what will happen, start, watch, cancel.

Theory of operation. Depending on the version of ipykernel, a widget's callbacks run on the main
thread after the cell or on another one beside it. So they are short: they judge the fields
(``form``, well under a millisecond), set an event, or start the one worker thread, all under one
lock. The worker calls ``migrationlab.start`` as a script would, waits, and draws. What it
shows goes into traits of HTML widgets, which any thread may set; nothing prints, and nothing
touches pyplot.

Holds no logic of migrations: ``form`` reads the fields, ``markup`` and ``drawing`` put into
words and shapes.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterable
from enum import Enum, auto
from typing import Any

import ipywidgets as widgets

from migrationlab import plots
from migrationlab.errors import LabError, MigrationLabError, UsageError
from migrationlab.hosts import Host
from migrationlab.lab.guest import Guest
from migrationlab.migrate import start as start_migration
from migrationlab.migration import Migration
from migrationlab.plan import Mode, Plan, Problem
from migrationlab.runs import Outcome, Run, Runs
from migrationlab.steps import Step
from migrationlab.widgets import markup
from migrationlab.widgets.drawing import draw
from migrationlab.widgets.form import Ends, Form, Reading, meaning, uri_fields

CLOSE_TIMEOUT_S = 15.0
_LAB_DOWN = "The lab is down"
_LAB_HINT = "Run the cell with mig.Lab(…) again, then each cell from there to this one."
_MODE_LABELS = {Mode.NORMAL: "normal", Mode.PEER2PEER: "peer2peer"}


class _State(Enum):
    IDLE = auto()
    MIGRATING = auto()
    CANCELLING = auto()
    DRAWING = auto()


class MigrationPanel:
    """Migrates one guest to and fro between the two hosts of its lab.

    Args:
        guest: The guest.
        start: Starts a migration, as ``migrationlab.start`` does.

    Raises:
        LabError: The guest's lab is down.
        GuestError: The guest is gone.
    """

    def __init__(self, guest: Guest, *, start: Callable[..., Migration] = start_migration) -> None:
        self._guest = guest
        self._start_migration = start
        # Setting a trait calls observers in the same thread, so the lock must let it in again.
        self._lock = threading.RLock()
        self._state = _State.IDLE
        self._idle = threading.Event()
        self._idle.set()
        self._migration: Migration | None = None
        self._runs: tuple[Run, ...] = ()
        self._source, self._destination = self._find()

        self.mode = widgets.RadioButtons(
            options=[(label, mode) for mode, label in _MODE_LABELS.items()],
            description="Mode",
            orientation="horizontal",
            style=_LABEL,
            layout=widgets.Layout(width="100%"),
        )
        self.migration_uri = _field("Migration URI")
        self.connection_uri = _field("Connection URI")
        self.bandwidth = _field("Bandwidth, MiB/s", "no limit")
        self.max_downtime = _field("Max downtime, ms", "300, which is QEMU's default")
        self.deadline = _field("Deadline, s", "120")
        self.start_button = widgets.Button(description="Start", button_style="success")
        self.cancel_button = widgets.Button(description="Cancel", disabled=True)
        self._fields = {
            "migration_uri": self.migration_uri,
            "connection_uri": self.connection_uri,
            "bandwidth_mib_s": self.bandwidth,
            "max_downtime_ms": self.max_downtime,
            "deadline_s": self.deadline,
        }
        self._notes = {name: widgets.HTML(layout=_beneath()) for name in self._fields}
        self._faults = {name: widgets.HTML(layout=_beneath()) for name in self._fields}
        self._remedies = {name: self._remedy(name) for name in self._fields}
        self._rows = {
            name: widgets.VBox([field, self._notes[name], self._faults[name], self._remedies[name]])
            for name, field in self._fields.items()
        }
        self.heading = widgets.HTML()
        self.meaning = widgets.HTML()
        self.drawing = widgets.HTML(layout=widgets.Layout(flex="1.4 1 26em", min_width="20em"))
        self.virsh = widgets.HTML()
        self.progress = widgets.HTML()
        self.message = widgets.HTML()
        self.results = widgets.HTML()
        self._form_box = widgets.VBox(layout=widgets.Layout(flex="1 1 24em", min_width="20em"))
        self._box = widgets.VBox(
            [
                self.heading,
                self.mode,
                self.meaning,
                widgets.HBox(
                    [self._form_box, self.drawing],
                    layout=widgets.Layout(flex_flow="row wrap", width="100%"),
                ),
                self.virsh,
                widgets.HBox([self.start_button, self.cancel_button, self.progress]),
                self.message,
                self.results,
            ],
            layout=widgets.Layout(width="100%"),
        )

        self.start_button.on_click(lambda _button: self.start())
        self.cancel_button.on_click(lambda _button: self.cancel())
        for widget in (self.mode, *self._fields.values()):
            widget.observe(lambda _change: self._refresh(), names="value")
        self._refresh()

    def __repr__(self) -> str:
        return f"MigrationPanel({self._guest.name!r}, {len(self._runs)} runs)"

    def _repr_mimebundle_(self, **_options: object) -> dict[str, Any]:
        """Give the live panel, and for readers of a saved notebook what it draws."""
        bundle: dict[str, Any] = self._box._repr_mimebundle_()
        static = markup.note("The panel is live: run this cell to use it.")
        return {**bundle, "text/plain": repr(self), "text/html": static + self._drawn._repr_html_()}

    @property
    def runs(self) -> Runs:
        """Return the runs made with this panel."""
        return Runs(self._runs)

    def start(self) -> None:
        """Start the migration that the fields describe; returns at once.

        Does nothing while one runs, or where the fields are wrong.
        """
        with self._lock:
            reading = self._read()
            if reading.problems or self._state is not _State.IDLE:
                return
            self._state = _State.MIGRATING
            self._idle.clear()
            self.message.value = ""
            self.progress.value = markup.progress("connecting", None)
            work = [reading.plan, (self._source, self._destination)]
            self._refresh()
        threading.Thread(target=self._work, args=work, name="migration-panel", daemon=True).start()

    def cancel(self) -> None:
        """Ask for the running migration to be cancelled; returns at once."""
        with self._lock:
            if self._state is not _State.MIGRATING:
                return
            self._state = _State.CANCELLING
            message = markup.status("Cancelling…")
            try:
                if self._migration is not None:
                    self._migration.cancel()
            except UsageError as error:  # in post-copy no way leads back
                self._state = _State.MIGRATING
                message = markup.status(str(error), hint=error.hint, bad=True)
            self.message.value = message
            self._refresh()

    def wait(self, timeout_s: float | None = None) -> bool:
        """Wait until nothing runs.

        Args:
            timeout_s: How long to wait at most.

        Returns:
            Whether nothing runs.
        """
        return self._idle.wait(timeout_s)

    def close(self) -> None:
        """Cancel what runs, and take the panel off the page."""
        self.cancel()
        self.wait(CLOSE_TIMEOUT_S)
        for widget in [self._box, *_within(self._box)]:
            widget.close()

    def _find(self) -> tuple[Host, Host]:
        """Find the host that the guest is on, and the other one."""
        lab = self._guest.lab
        if not lab.alive:
            raise LabError(_LAB_DOWN, hint=_LAB_HINT)
        source = self._guest.host
        return source, lab.other(source)

    def _ends(self) -> Ends:
        there = self._destination
        return Ends(self._source.peer_name, there.peer_name, there.peer_uri)

    def _read(self) -> Reading:
        values = {name: field.value for name, field in self._fields.items()}
        return Form(mode=self.mode.value, **values).read(self._ends())

    def _refresh(self) -> None:
        """Say anew what the fields mean; for every keystroke."""
        with self._lock:
            ends, mode, reading = self._ends(), self.mode.value, self._read()
            valid, idle = not reading.problems, self._state is _State.IDLE
            self.heading.value = (
                f"<b>Migrate {self._guest.name}: {ends.source} → {ends.destination}</b>"
            )
            self.meaning.value = markup.note(meaning(mode, ends))
            first, second = uri_fields(mode, ends)
            for name, text in (first, second):
                self._notes[name].value = markup.note(text)
            order = [first[0], second[0], "bandwidth_mib_s", "max_downtime_ms", "deadline_s"]
            rows = tuple(self._rows[name] for name in order)
            if self._form_box.children != rows:
                self._form_box.children = rows
            good = Plan(mode=mode, connection_uri=ends.connection_uri)
            good = good.filled(destination=ends.destination)
            self.migration_uri.placeholder = good.migration_uri
            self.connection_uri.placeholder = good.connection_uri
            for name in self._fields:
                self._explain(name, reading.about(name))
            drawn = draw(
                reading.plan if valid else good, source=ends.source, destination=ends.destination
            )
            self.drawing.value = drawn.html()
            self._drawn = drawn
            self.virsh.value = markup.note(f"The same with virsh, on {ends.source}:") + (
                markup.virsh_line(reading.plan, self._guest.name)
                if valid
                else markup.note("No command: this plan cannot work yet.")
            )
            self.start_button.disabled = not (valid and idle)
            self.cancel_button.disabled = self._state is not _State.MIGRATING
            for widget in (self.mode, *self._fields.values()):
                widget.disabled = not idle

    def _explain(self, name: str, problems: tuple[Problem, ...]) -> None:
        self._faults[name].value = markup.explained(problems)
        suggestion = next((p.suggestion for p in problems if p.suggestion), None)
        remedy = self._remedies[name]
        remedy.description = f"Use {suggestion}" if suggestion else ""
        remedy.layout.display = None if suggestion else "none"

    def _remedy(self, name: str) -> widgets.Button:
        """Make the button that puts the URI that would do into its field."""
        button = widgets.Button(layout=_beneath(width="auto", display="none"))

        def use(_button: widgets.Button) -> None:
            suggestion = next((p.suggestion for p in self._read().about(name) if p.suggestion), "")
            self._fields[name].value = suggestion

        button.on_click(use)
        return button

    def _work(self, plan: Plan, ends: tuple[Host, Host]) -> None:
        """Migrate and show; the body of the worker thread."""
        try:
            run = self._migrate(plan, ends)
            if run is not None:
                self._show(run)
        except MigrationLabError as error:
            if self._guest.lab.alive:
                self._say(markup.status(str(error), hint=error.hint, bad=True))
            else:
                self._say(markup.status(_LAB_DOWN, hint=_LAB_HINT, bad=True))
        except BaseException as error:
            self._say(markup.status(f"A fault in the kit: {error!r}", bad=True))
            raise
        finally:
            with self._lock:
                self._state = _State.IDLE
                self.progress.value = ""
                self._refresh()
            self._idle.set()

    def _migrate(self, plan: Plan, ends: tuple[Host, Host]) -> Run | None:
        now = self._find()
        if now != ends:
            self._turn(now)
            text = "The guest has moved in the meantime: look again, then start."
            self._say(markup.status(text, bad=True))
            return None
        migration = self._start_migration(self._guest, to=ends[1], plan=plan, on_step=self._on_step)
        with self._lock:
            self._migration = migration
            if self._state is _State.CANCELLING:
                with contextlib.suppress(UsageError):  # it can only complete by now
                    migration.cancel()
        return migration.wait()

    def _say(self, message: str) -> None:
        """Show how it ended: from here on there is nothing to cancel."""
        with self._lock:
            self._state = _State.DRAWING
            self._migration = None
            self.message.value = message
            self._refresh()

    def _on_step(self, step: Step) -> None:
        if step.state == "started":
            self.progress.value = markup.progress("starting", None)
        elif step.state == "progress":
            self.progress.value = markup.progress(step.detail, step.fraction)

    def _show(self, run: Run) -> None:
        """Show how it ended, the figures and the table, and turn to the way back."""
        self._runs = (*self._runs, run)
        self._say(markup.verdict(run))
        self._turn(self._find())
        self.progress.value = markup.note("drawing…")
        pictures = [plots.timeline(run), plots.progress(run)]
        if sum(one.outcome is Outcome.COMPLETED for one in self._runs) > 1:
            pictures.append(plots.downtime(self._runs))
        html = (picture._repr_html_() for picture in pictures)
        self.results.value = "".join([markup.table(self.runs), *html])

    def _turn(self, ends: tuple[Host, Host]) -> None:
        """Aim the form at the next migration; URIs that name the wrong end now are emptied."""
        with self._lock:
            self._source, self._destination = ends
            reading = self._read()
            for field in ("migration_uri", "connection_uri"):
                if reading.about(field):
                    self._fields[field].value = ""
        self._refresh()


_LABEL_WIDTH = "10em"
_LABEL = {"description_width": _LABEL_WIDTH}


def _field(description: str, placeholder: str = "") -> widgets.Text:
    return widgets.Text(
        description=description,
        placeholder=placeholder,
        style=_LABEL,
        layout=widgets.Layout(width="98%"),
    )


def _beneath(**layout: str) -> widgets.Layout:
    """Give the layout of what stands beneath a field: in line with it, not with its label."""
    return widgets.Layout(
        **{"margin": f"0 0 0 {_LABEL_WIDTH}", "width": f"calc(98% - {_LABEL_WIDTH})"} | layout
    )


def _within(box: widgets.Box) -> Iterable[widgets.Widget]:
    for child in box.children:
        yield child
        yield from _within(child) if isinstance(child, widgets.Box) else ()
