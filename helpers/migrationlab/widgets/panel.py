"""Show a panel to migrate a guest of the lab: choose, read, start, watch, steer, cancel.

Theory of operation. A callback reads the fields (``views.form_values``, under a millisecond),
changes the state, or starts the worker, under the widget's lock. The worker calls
``migrationlab.start`` as a script would, polls the migration until it is over, and draws.
The worker receives no steps: the sampling thread reports them, and the page must not delay that
thread. Figures, and with them Matplotlib, are loaded for the first results (``mig.plots``).

``settings_form`` has the fields, ``steering_bar`` the buttons for the running migration.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from enum import Enum, auto

import ipywidgets as widgets

import migrationlab as mig
from migrationlab.errors import MigrationLabError, UsageError
from migrationlab.hosts.host import Host
from migrationlab.lab.guest import Guest
from migrationlab.migrate.migration import Migration
from migrationlab.migrate.start import start as start_migration
from migrationlab.plan.plan import Plan
from migrationlab.runs.run import Outcome, Run, Runs
from migrationlab.widgets import fields
from migrationlab.widgets.background import Worker
from migrationlab.widgets.base import LiveWidget, cause, lab_down, poll
from migrationlab.widgets.settings_form import SettingsForm
from migrationlab.widgets.steering_bar import SteeringBar
from migrationlab.widgets.views import messages, progress_svg, run_tables
from migrationlab.widgets.views.form_values import HostPair, Reading, meaning
from migrationlab.widgets.views.topology_svg import draw

CLOSE_TIMEOUT_S = 15.0
POLL_INTERVAL_S = 0.1
#: The page is redrawn at each third poll, about three times a second.
POLLS_PER_REDRAW = 3


class PanelState(Enum):
    """The activity of the panel."""

    IDLE = auto()
    MIGRATING = auto()
    CANCELLING = auto()
    DRAWING = auto()
    CLOSED = auto()


class MigrationPanel(LiveWidget):
    """Migrates one guest back and forth between the two hosts of its lab.

    Args:
        guest: The guest.
        start: Starts a migration, as ``migrationlab.start`` does.

    Raises:
        LabError: The guest's lab is down.
        GuestError: The guest is gone.
    """

    def __init__(self, guest: Guest, *, start: Callable[..., Migration] = start_migration) -> None:
        super().__init__()
        self._guest = guest
        self._start_migration = start
        self._state = PanelState.IDLE
        self._worker = Worker("migration-panel")
        self._migration: Migration | None = None
        self._runs: tuple[Run, ...] = ()
        self._source, self._destination = self._find()
        # A guest whose lab is down cannot be asked for its name.
        self._name = guest.name

        self.form = SettingsForm(self._refresh)
        self.steering = SteeringBar()
        self.start_button = fields.button("Start", self.start, button_style="success")
        self.cancel_button = fields.button("Cancel", self.cancel, disabled=True)
        self.drawing = widgets.HTML(layout=widgets.Layout(flex="1.4 1 26em", min_width="20em"))
        self.heading, self.meaning, self.virsh = (widgets.HTML() for _ in range(3))
        self.progress, self.curves = widgets.HTML(), widgets.HTML()
        self.message, self.results = widgets.HTML(), widgets.HTML()
        wrapping = widgets.Layout(flex_flow="row wrap", width="100%")
        self._lay_out(
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
        )
        self._refresh()

    def __repr__(self) -> str:
        return f"MigrationPanel({self._name!r}, {len(self._runs)} runs)"

    def _static_html(self) -> str:
        return self._drawn._repr_html_()

    @property
    def runs(self) -> Runs:
        """Return the runs made with this panel."""
        return Runs(self._runs)

    def start(self) -> None:
        """Start the migration of the fields; return at once.

        Do nothing while a migration runs, while a field is wrong, or once the panel is closed.
        """
        with self._lock:
            reading, hosts = self._read(), (self._source, self._destination)
            if reading.problems or self._state is not PanelState.IDLE:
                return
            # The worker touches the page under the lock only, so after the next lines.
            if self._worker.begin(lambda: self._work(reading.plan, hosts)):
                self._state = PanelState.MIGRATING
                self.message.value = ""
                self.progress.value = messages.progress("connecting", None)
                self._refresh()

    def cancel(self) -> None:
        """Cancel the running migration; return at once."""
        with self._lock:
            if self._state is not PanelState.MIGRATING:
                return
            self._state = PanelState.CANCELLING
            message = messages.status("Cancelling…")
            try:
                if self._migration is not None:
                    self._migration.cancel()
            except UsageError as error:  # post-copy cannot be cancelled
                self._state = PanelState.MIGRATING
                message = messages.failed(error)
            self.message.value = message
            self._refresh()

    def wait(self, timeout_s: float | None = None) -> bool:
        """Wait; return whether no migration runs then. A kernel interrupt cancels the migration."""
        try:
            return self._worker.wait(timeout_s)
        except KeyboardInterrupt:
            self.cancel()
            raise

    def close(self) -> None:
        """Cancel the migration, and take the panel off the page for good.

        A migration in post-copy cannot be cancelled: the panel waits some seconds for its end.
        """
        self.cancel()
        self.wait(CLOSE_TIMEOUT_S)
        with self._lock:
            self._state = PanelState.CLOSED
        super().close()

    def _find(self) -> tuple[Host, Host]:
        """Return the guest's current host, and the other host."""
        lab = self._guest.lab
        if not lab.alive:
            raise lab_down()
        source = self._guest.host
        return source, lab.other(source)

    def _hosts(self) -> HostPair:
        there = self._destination
        return HostPair(self._source.peer_name, there.peer_name, there.peer_uri)

    def _read(self) -> Reading:
        return self.form.read(self._hosts())

    def _refresh(self) -> None:
        """Show the meaning of the fields; called for every keystroke."""
        with self._lock:
            hosts, mode, reading = self._hosts(), self.form.mode.value, self._read()
            valid, idle = not reading.problems, self._state is PanelState.IDLE
            route = f"{hosts.source} → {hosts.destination}"
            self.heading.value = f"<b>Migrate {self._name}: {route}</b>"
            self.meaning.value = messages.note(meaning(mode, hosts))
            good = Plan(mode=mode, connection_uri=hosts.connection_uri)
            good = good.filled(destination=hosts.destination)
            self.form.explain(reading, hosts, good)
            self._drawn = draw(
                reading.plan if valid else good, source=hosts.source, destination=hosts.destination
            )
            self.drawing.value = self._drawn.html()
            self.virsh.value = messages.note(f"The same with virsh, on {hosts.source}:") + (
                messages.virsh_line(reading.plan, self._name)
                if valid
                else messages.note("No command: this plan cannot work yet.")
            )
            self.start_button.disabled = not (valid and idle)
            migrating = self._state is PanelState.MIGRATING
            self.cancel_button.disabled = not migrating
            self.steering.show(self._migration if migrating else None)
            self.form.allow(changes=idle)

    def _work(self, plan: Plan, hosts: tuple[Host, Host]) -> None:
        """Migrate and show the results; the body of the worker thread."""
        try:
            run = self._migrate(plan, hosts)
            if run is not None:
                self._show(run)
        except MigrationLabError as error:
            self._end(messages.failed(cause(error, self._guest)))
        except BaseException as error:
            self._end(messages.failed(error))
            raise
        finally:
            with self._lock:
                self._become(PanelState.IDLE)
                self.progress.value = self.curves.value = ""
                self._refresh()

    def _become(self, state: PanelState) -> None:
        if self._state is not PanelState.CLOSED:
            self._state = state

    def _migrate(self, plan: Plan, hosts: tuple[Host, Host]) -> Run | None:
        now = self._find()
        if now != hosts:
            self._turn(now)
            text = "The guest has moved in the meantime: check the fields, then start."
            self._end(messages.status(text, bad=True))
            return None
        migration = self._start_migration(self._guest, to=hosts[1], plan=plan)
        with self._lock:
            self._migration = migration
            if self._state in (PanelState.CANCELLING, PanelState.CLOSED):
                with contextlib.suppress(UsageError):  # by now the migration can only complete
                    migration.cancel()
        self._watch(migration)
        return migration.wait()

    def _watch(self, migration: Migration) -> None:
        """Show the progress until the migration is over."""
        points: list[progress_svg.Point] = []
        for polls, progress in enumerate(poll(migration, POLL_INTERVAL_S)):
            if (point := progress_svg.point(progress)) is not None:
                points.append(point)
            if polls % POLLS_PER_REDRAW == 0:
                with self._lock:
                    cancelling = self._state is PanelState.CANCELLING
                    self.steering.show(None if cancelling else migration)
                self.curves.value = progress_svg.draw_curves(points)
                words = progress_svg.words(progress)
                self.progress.value = messages.progress(words, progress.fraction)

    def _end(self, message: str) -> None:
        """Show the outcome: from here on there is nothing to cancel."""
        with self._lock:
            self._become(PanelState.DRAWING)
            self._migration = None
            self.message.value = message
            self._refresh()

    def _show(self, run: Run) -> None:
        """Show the outcome, the table and the figures, and set the form to the way back."""
        self._runs = (*self._runs, run)
        verdict = run_tables.verdict(run)
        self._end(verdict)
        try:
            self._turn(self._find())
        except MigrationLabError as error:  # the guest is on neither host, or the lab is down
            self._end(verdict + messages.failed(cause(error, self._guest)))
        self.progress.value = messages.note("drawing…")
        pictures = [mig.plots.timeline(run), mig.plots.progress(run)]
        if sum(one.outcome is Outcome.COMPLETED for one in self._runs) > 1:
            pictures.append(mig.plots.downtime(self._runs))
        html = (picture._repr_html_() for picture in pictures)
        self.results.value = "".join([run_tables.overview(self.runs), *html])

    def _turn(self, hosts: tuple[Host, Host]) -> None:
        """Set the form to the next migration; empty the URIs that name the wrong host now."""
        with self._lock:
            self._source, self._destination = hosts
            self.form.empty_wrong_uris(self._read())
        self._refresh()
