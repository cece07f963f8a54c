"""A form for one's own hosts: two URIs and a guest in, who dials whom and what to type out.

Nothing is resolved or dialled: ``ways`` has the facts, ``drawing`` the drawing. Needs no lab and
no libvirt.
"""

from __future__ import annotations

from typing import Any

import ipywidgets as widgets

from migrationlab.plan.plan import Mode
from migrationlab.widgets import connection_checklist, markup
from migrationlab.widgets.connection_checklist import MigrationForm
from migrationlab.widgets.topology_svg import draw

_LABEL = {"description_width": "9em"}


class HostsForm:
    """Says of two hosts and a guest who would dial whom, and gives the commands.

    Args:
        source_uri: How this machine reaches the source's libvirtd.
        destination_uri: The connection URI of the destination's libvirtd.
        domain: The guest's name.
    """

    def __init__(
        self,
        source_uri: str = "qemu+ssh://root@node1/system",
        destination_uri: str = "qemu+ssh://root@node2/system",
        domain: str = "web1",
    ) -> None:
        self.source = self._text("From (source)", source_uri)
        self.destination = self._text("To (destination)", destination_uri)
        self.domain = self._text("Guest", domain)
        self.migration_uri = self._text("Migration URI", "", "empty: by the destination's name")
        self.mode = widgets.RadioButtons(
            options=[(str(mode), mode) for mode in Mode],
            description="Mode",
            orientation="horizontal",
            style=_LABEL,
        )
        self.result = widgets.HTML(layout=widgets.Layout(width="98%"))
        self._fields = (
            self.source, self.destination, self.domain, self.mode, self.migration_uri,
        )  # fmt: skip
        self._box = widgets.VBox([*self._fields, self.result], layout=widgets.Layout(width="100%"))
        for field in self._fields:
            field.observe(lambda _change: self._refresh(), names="value")
        self._refresh()

    def __repr__(self) -> str:
        errand = self.errand
        return f"HostsForm({errand.domain!r}, {errand.source} to {errand.destination})"

    def _repr_mimebundle_(self, **_options: object) -> dict[str, Any]:
        """Give the live form, and for readers of a saved notebook what it says."""
        bundle: dict[str, Any] = self._box._repr_mimebundle_()
        note = markup.note("The form is live: run this cell to use it.")
        static = note + self._said(static=True)
        return {**bundle, "text/plain": repr(self), "text/html": static}

    @property
    def errand(self) -> MigrationForm:
        """What stands in the fields, as a script has it."""
        return MigrationForm(
            source_uri=self.source.value.strip(),
            destination_uri=self.destination.value.strip(),
            domain=self.domain.value.strip(),
            mode=self.mode.value,
            migration_uri=self.migration_uri.value.strip(),
        )

    def _text(self, label: str, value: str, placeholder: str = "") -> widgets.Text:
        return widgets.Text(
            value=value,
            description=label,
            placeholder=placeholder,
            continuous_update=True,
            style=_LABEL,
            layout=widgets.Layout(width="98%"),
        )

    def _refresh(self) -> None:
        """Say anew what the fields mean; for every keystroke."""
        self.result.value = self._said()

    def _said(self, *, static: bool = False) -> str:
        errand = self.errand
        if problems := errand.problems():
            return markup.explained(problems)
        drawn = draw(
            errand.plan(),
            source=errand.source,
            destination=errand.destination,
            source_uri=errand.source_uri,
        )
        # What is saved is shown where SVG elements are stripped.
        picture = drawn._repr_html_() if static else drawn.html()
        return (
            picture
            + connection_checklist.table(errand.checks())
            + connection_checklist.lines(errand.commands())
        )
