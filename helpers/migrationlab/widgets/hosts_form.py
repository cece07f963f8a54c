"""Show a form for the user's own hosts: two URIs and a guest in; connections and commands out."""

from __future__ import annotations

import ipywidgets as widgets

from migrationlab.plan.plan import Mode
from migrationlab.widgets import fields
from migrationlab.widgets.base import LiveWidget
from migrationlab.widgets.views import messages
from migrationlab.widgets.views.connection_checklist import MigrationForm
from migrationlab.widgets.views.template import fill
from migrationlab.widgets.views.topology_svg import draw

_LABEL = "9em"


class HostsForm(LiveWidget):
    """Shows for two hosts and a guest which side connects to which, and gives the commands.

    The form resolves no name and opens no connection. It needs no lab and no libvirt.
    """

    def __init__(
        self,
        source_uri: str = "qemu+ssh://root@node1/system",
        destination_uri: str = "qemu+ssh://root@node2/system",
        domain: str = "web1",
    ) -> None:
        super().__init__()
        self.source = fields.text("From (source)", source_uri, label=_LABEL)
        self.destination = fields.text("To (destination)", destination_uri, label=_LABEL)
        self.domain = fields.text("Guest", domain, label=_LABEL)
        self.mode = fields.radio("Mode", fields.named(Mode), label=_LABEL)
        self.migration_uri = fields.text(
            "Migration URI", placeholder="empty: by the destination's name", label=_LABEL
        )
        self.result = widgets.HTML(layout=widgets.Layout(width="98%"))
        parts = (self.source, self.destination, self.domain, self.mode, self.migration_uri)
        self._lay_out(*parts, self.result)
        fields.on_change(self._refresh, *parts)
        self._refresh()

    def __repr__(self) -> str:
        form = self.form
        return f"HostsForm({form.domain!r}, {form.source} to {form.destination})"

    @property
    def form(self) -> MigrationForm:
        """Return the content of the fields, as a script has it."""
        return MigrationForm(
            source_uri=self.source.value.strip(),
            destination_uri=self.destination.value.strip(),
            domain=self.domain.value.strip(),
            mode=self.mode.value,
            migration_uri=self.migration_uri.value.strip(),
        )

    def _refresh(self) -> None:
        """Show the connections and commands; called for every keystroke."""
        self.result.value = self._html()

    def _static_html(self) -> str:
        return self._html(static=True)

    def _html(self, *, static: bool = False) -> str:
        form = self.form
        if problems := form.problems():
            return messages.problems_of(problems)
        drawn = draw(
            form.plan(),
            source=form.source,
            destination=form.destination,
            source_uri=form.source_uri,
        )
        # A saved notebook may be shown where SVG elements are stripped.
        picture = drawn._repr_html_() if static else drawn.html()
        checklist = fill("checklist.html", checks=form.checks())
        return picture + checklist + messages.command_lines(form.commands())
