"""A panel to migrate a guest of the lab: choose, read, start, watch, steer, cancel.

Theory of operation. Depending on the version of ipykernel, a widget's callbacks run on the main
thread after the cell or on another one beside it. So they are short: they judge the fields
(``form``, well under a millisecond), set an event, or start a thread, all under one lock. The one
worker thread calls ``migrationlab.start`` as a script would, looks at the migration's progress
until it is over, and draws. It hears no steps: those are told on the thread that samples, which
the page must not hold up. What it shows goes into traits of HTML widgets, which any thread may
set; nothing prints, and nothing touches pyplot.

Figures, and with them Matplotlib, are loaded for the first results (``mig.plots``).

Holds no logic of migrations: ``settings_form`` has the fields, ``steering_bar`` the buttons that
act on what runs, ``curves``, ``markup`` and ``drawing`` put into words and shapes.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from enum import Enum, auto
from typing import Any

import ipywidgets as widgets

import migrationlab as mig
from migrationlab.errors import MigrationLabError, UsageError
from migrationlab.hosts.host import Host
from migrationlab.lab.guest import Guest
from migrationlab.migrate.migration import Migration
from migrationlab.migrate.start import start as start_migration
from migrationlab.plan.plan import Plan
from migrationlab.runs.run import Outcome, Run, Runs
from migrationlab.widgets import markup, progress_svg, results
from migrationlab.widgets.closing import close_all
from migrationlab.widgets.form import HostPair, Reading, meaning
from migrationlab.widgets.lab_down import cause, lab_down
from migrationlab.widgets.settings_form import SettingsForm
from migrationlab.widgets.steering_bar import SteeringBar
from migrationlab.widgets.topology_svg import draw

CLOSE_TIMEOUT_S = 15.0
LOOK_INTERVAL_S = 0.1
#: The page is redrawn at each third look, which is some three times a second.
LOOKS_A_REDRAW = 3


class PanelState(Enum):
    """What the panel is doing."""

    IDLE = auto()
    MIGRATING = auto()
    CANCELLING = auto()
    DRAWING = auto()
    CLOSED = auto()


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
        self._state = PanelState.IDLE
        self._idle = threading.Event()
        self._idle.set()
        self._migration: Migration | None = None
        self._runs: tuple[Run, ...] = ()
        self._source, self._destination = self._find()
        # Kept, since a guest whose lab is down does not tell it any more.
        self._name = guest.name

        self.form = SettingsForm(self._refresh)
        self.steering = SteeringBar()
        self.start_button = widgets.Button(description="Start", button_style="success")
        self.cancel_button = widgets.Button(description="Cancel", disabled=True)
        self.heading = widgets.HTML()
        self.meaning = widgets.HTML()
        self.drawing = widgets.HTML(layout=widgets.Layout(flex="1.4 1 26em", min_width="20em"))
        self.virsh = widgets.HTML()
        self.progress = widgets.HTML()
        self.curves = widgets.HTML()
        self.message = widgets.HTML()
        self.results = widgets.HTML()
        wrapping = widgets.Layout(flex_flow="row wrap", width="100%")
        self._box = widgets.VBox(
            [
                self.heading,
                self.form.mode,
                self.meaning,
                widgets.HBox([self.form.box, self.drawing], layout=wrapping),
                self.virsh,
                widgets.HBox([self.start_button, self.cancel_button, self.progress]),
                self.curves,
                self.steering.box,
                self.message,
                self.results,
            ],
            layout=widgets.Layout(width="100%"),
        )
        self.start_button.on_click(lambda _button: self.start())
        self.cancel_button.on_click(lambda _button: self.cancel())
        self._refresh()

    def __repr__(self) -> str:
        return f"MigrationPanel({self._name!r}, {len(self._runs)} runs)"

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

        Does nothing while one runs, where the fields are wrong, or once the panel is closed.
        """
        with self._lock:
            reading = self._read()
            if reading.problems or self._state is not PanelState.IDLE:
                return
            self._state = PanelState.MIGRATING
            self._idle.clear()
            self.message.value = ""
            self.progress.value = markup.progress("connecting", None)
            work = [reading.plan, (self._source, self._destination)]
            self._refresh()
        threading.Thread(target=self._work, args=work, name="migration-panel", daemon=True).start()

    def cancel(self) -> None:
        """Ask for the running migration to be cancelled; returns at once."""
        with self._lock:
            if self._state is not PanelState.MIGRATING:
                return
            self._state = PanelState.CANCELLING
            message = markup.status("Cancelling…")
            try:
                if self._migration is not None:
                    self._migration.cancel()
            except UsageError as error:  # in post-copy no way leads back
                self._state = PanelState.MIGRATING
                message = markup.status(str(error), hint=error.hint, bad=True)
            self.message.value = message
            self._refresh()

    def wait(self, timeout_s: float | None = None) -> bool:
        """Wait until nothing runs; an interrupt of the kernel cancels what runs.

        Args:
            timeout_s: How long to wait at most.

        Returns:
            Whether nothing runs.
        """
        try:
            return self._idle.wait(timeout_s)
        except KeyboardInterrupt:
            self.cancel()
            raise

    def close(self) -> bool:
        """Cancel what runs, and take the panel off the page for good.

        What is in post-copy cannot be cancelled: that is waited for, for some seconds.

        Returns:
            Whether nothing runs any more.
        """
        self.cancel()
        over = self.wait(CLOSE_TIMEOUT_S)
        with self._lock:
            self._state = PanelState.CLOSED
        close_all(self._box)
        return over

    def _find(self) -> tuple[Host, Host]:
        """Find the host that the guest is on, and the other one."""
        lab = self._guest.lab
        if not lab.alive:
            raise lab_down()
        source = self._guest.host
        return source, lab.other(source)

    def _ends(self) -> HostPair:
        there = self._destination
        return HostPair(self._source.peer_name, there.peer_name, there.peer_uri)

    def _read(self) -> Reading:
        return self.form.read(self._ends())

    def _refresh(self) -> None:
        """Say anew what the fields mean; for every keystroke."""
        with self._lock:
            ends, mode, reading = self._ends(), self.form.mode.value, self._read()
            valid, idle = not reading.problems, self._state is PanelState.IDLE
            self.heading.value = f"<b>Migrate {self._name}: {ends.source} → {ends.destination}</b>"
            self.meaning.value = markup.note(meaning(mode, ends))
            good = Plan(mode=mode, connection_uri=ends.connection_uri)
            good = good.filled(destination=ends.destination)
            self.form.explain(reading, ends, good)
            drawn = draw(
                reading.plan if valid else good, source=ends.source, destination=ends.destination
            )
            self.drawing.value = drawn.html()
            self._drawn = drawn
            self.virsh.value = markup.note(f"The same with virsh, on {ends.source}:") + (
                markup.virsh_line(reading.plan, self._name)
                if valid
                else markup.note("No command: this plan cannot work yet.")
            )
            self.start_button.disabled = not (valid and idle)
            self.cancel_button.disabled = self._state is not PanelState.MIGRATING
            self.steering.show(self._migration if self._state is PanelState.MIGRATING else None)
            self.form.allow(changes=idle)

    def _work(self, plan: Plan, ends: tuple[Host, Host]) -> None:
        """Migrate and show; the body of the worker thread."""
        try:
            run = self._migrate(plan, ends)
            if run is not None:
                self._show(run)
        except MigrationLabError as error:
            self._say(markup.failed(cause(error, self._guest)))
        except BaseException as error:
            self._say(markup.failed(error))
            raise
        finally:
            try:
                with self._lock:
                    self._become(PanelState.IDLE)
                    self.progress.value = self.curves.value = ""
                    self._refresh()
            finally:
                self._idle.set()

    def _become(self, state: PanelState) -> None:
        if self._state is not PanelState.CLOSED:
            self._state = state

    def _migrate(self, plan: Plan, ends: tuple[Host, Host]) -> Run | None:
        now = self._find()
        if now != ends:
            self._turn(now)
            text = "The guest has moved in the meantime: look again, then start."
            self._say(markup.status(text, bad=True))
            return None
        migration = self._start_migration(self._guest, to=ends[1], plan=plan)
        with self._lock:
            self._migration = migration
            if self._state in (PanelState.CANCELLING, PanelState.CLOSED):
                with contextlib.suppress(UsageError):  # it can only complete by now
                    migration.cancel()
        self._watch(migration)
        return migration.wait()

    def _watch(self, migration: Migration) -> None:
        """Show how far it is until it is over."""
        points: list[progress_svg.Point] = []
        looks = 0
        while not migration.done:
            progress = migration.progress()
            if (point := progress_svg.point(progress)) is not None:
                points.append(point)
            if looks % LOOKS_A_REDRAW == 0:
                with self._lock:
                    cancelling = self._state is PanelState.CANCELLING
                    self.steering.show(None if cancelling else migration)
                self.curves.value = progress_svg.draw_curves(points)
                self.progress.value = markup.progress(
                    progress_svg.words(progress), progress.fraction
                )
            looks += 1
            with contextlib.suppress(TimeoutError):
                migration.wait(LOOK_INTERVAL_S)

    def _say(self, message: str) -> None:
        """Show how it ended: from here on there is nothing to cancel."""
        with self._lock:
            self._become(PanelState.DRAWING)
            self._migration = None
            self.message.value = message
            self._refresh()

    def _show(self, run: Run) -> None:
        """Show how it ended, the figures and the table, and turn to the way back."""
        self._runs = (*self._runs, run)
        verdict = results.verdict(run)
        self._say(verdict)
        try:
            self._turn(self._find())
        except MigrationLabError as error:  # the guest is on neither host, or the lab is down
            self._say(verdict + markup.failed(cause(error, self._guest)))
        self.progress.value = markup.note("drawing…")
        pictures = [mig.plots.timeline(run), mig.plots.progress(run)]
        if sum(one.outcome is Outcome.COMPLETED for one in self._runs) > 1:
            pictures.append(mig.plots.downtime(self._runs))
        html = (picture._repr_html_() for picture in pictures)
        self.results.value = "".join([results.table(self.runs), *html])

    def _turn(self, ends: tuple[Host, Host]) -> None:
        """Aim the form at the next migration; URIs that name the wrong end now are emptied."""
        with self._lock:
            self._source, self._destination = ends
            self.form.empty_wrong_uris(self._read())
        self._refresh()
