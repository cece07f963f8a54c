"""Make the fields of the panel: mode, URIs, the usual settings and, folded, further settings.

Each field has a note and shows the problems of its content below it. A URI field offers a URI that
works. ``views.form_values`` finds the problems; this module only places them on the page.
"""

from __future__ import annotations

from collections.abc import Callable

import ipywidgets as widgets

from migrationlab.plan.plan import Mode, Plan
from migrationlab.widgets import fields
from migrationlab.widgets.views import messages
from migrationlab.widgets.views.form_values import NOTES, FormValues, HostPair, Reading, uri_fields

URIS = ("migration_uri", "connection_uri")
_LABEL = "10em"


class SettingsForm:
    """A box with the fields."""

    def __init__(self, changed: Callable[[], object]) -> None:
        self.mode = fields.radio("Mode", fields.named(Mode), label=_LABEL, width="100%")
        self.migration_uri = fields.text("Migration URI")
        self.connection_uri = fields.text("Connection URI")
        self.bandwidth = fields.text("Bandwidth, MiB/s", placeholder="no limit")
        self.max_downtime = fields.text(
            "Max downtime, ms", placeholder="300, which is QEMU's default"
        )
        self.deadline = fields.text("Deadline, s", placeholder="120")
        self.postcopy = _switch("Post-copy")
        self.auto_converge = _switch("Auto-converge")
        self.parallel_connections = fields.text("Connections", placeholder="1, not parallel")
        methods = ((name, name) for name in ("xbzrle", "zlib", "zstd"))
        self.compression = fields.dropdown("Compression", [("none", ""), *methods])
        self.fields = {
            "migration_uri": self.migration_uri,
            "connection_uri": self.connection_uri,
            "bandwidth_mib_s": self.bandwidth,
            "max_downtime_ms": self.max_downtime,
            "deadline_s": self.deadline,
            "postcopy": self.postcopy,
            "auto_converge": self.auto_converge,
            "parallel_connections": self.parallel_connections,
            "compression": self.compression,
        }
        self.notes = {
            name: widgets.HTML(
                messages.note(NOTES[name]) if name in NOTES else "", layout=_beneath()
            )
            for name in self.fields
        }
        self.problems = {name: widgets.HTML(layout=_beneath()) for name in self.fields}
        self.fixes = {name: self._fix_button(name) for name in URIS}
        self._suggested: dict[str, str] = {}
        self._rows = {name: widgets.VBox(self._row(name)) for name in self.fields}
        # An accordion of ipywidgets cannot be opened by keyboard; a button can.
        self.more = widgets.ToggleButton(layout=_beneath(width="14em"))
        self._folded = widgets.VBox([self._rows[name] for name in NOTES])
        self._uri_box = widgets.VBox()
        usual = [name for name in self.fields if name not in NOTES and name not in URIS]
        self.box = widgets.VBox(
            [self._uri_box, *(self._rows[name] for name in usual), self.more, self._folded],
            layout=widgets.Layout(flex="1 1 24em", min_width="20em"),
        )
        fields.on_change(self._fold, self.more)
        self._fold()
        fields.on_change(changed, self.mode, *self.fields.values())

    def read(self, hosts: HostPair) -> Reading:
        """Return the plan of the fields, with its problems."""
        values = {name: field.value for name, field in self.fields.items()}
        return FormValues(mode=self.mode.value, **values).read(hosts)

    def explain(self, reading: Reading, hosts: HostPair, good: Plan) -> None:
        """Show each field's purpose and problems."""
        ordered = uri_fields(self.mode.value, hosts)
        for name, text in ordered:
            self.notes[name].value = messages.note(text)
        rows = tuple(self._rows[name] for name, _ in ordered)
        if self._uri_box.children != rows:
            self._uri_box.children = rows
        self.migration_uri.placeholder = good.migration_uri
        self.connection_uri.placeholder = good.connection_uri
        for name, shown in self.problems.items():
            shown.value = messages.problems_of(reading.problems_of(name))
        for name, button in self.fixes.items():
            problems = reading.problems_of(name)
            uri = next((one.suggestion for one in problems if one.suggestion), "")
            self._suggested[name] = uri
            button.description = f"Use {uri}" if uri else ""
            button.layout.display = None if uri else "none"
        if any(reading.problems_of(name) for name in NOTES):
            self.more.value = True

    def empty_wrong_uris(self, reading: Reading) -> None:
        """Empty the URIs that do not work for the guest's current host."""
        for name in URIS:
            if reading.problems_of(name):
                self.fields[name].value = ""

    def allow(self, *, changes: bool) -> None:
        """Enable or disable the fields."""
        for widget in (self.mode, *self.fields.values()):
            widget.disabled = not changes

    def _row(self, name: str) -> list[widgets.Widget]:
        row = [self.fields[name], self.notes[name], self.problems[name]]
        return [*row, self.fixes[name]] if name in self.fixes else row

    def _fix_button(self, name: str) -> widgets.Button:
        """Return the button that puts a working URI into its field."""

        def use() -> None:
            self.fields[name].value = self._suggested[name]

        return fields.button("", use, layout=_beneath(width="auto", display="none"))

    def _fold(self) -> None:
        self._folded.layout.display = None if self.more.value else "none"
        # In words, because a screen reader reads no icon.
        self.more.description = "Fewer settings" if self.more.value else "More settings"


def _switch(description: str) -> widgets.Checkbox:
    return widgets.Checkbox(description=description, indent=False, layout=_beneath())


def _beneath(**layout: str) -> widgets.Layout:
    """Return the layout of a note below a field, aligned with the field and not with the label."""
    return widgets.Layout(
        **{"margin": f"0 0 0 {_LABEL}", "width": f"calc(98% - {_LABEL})"} | layout
    )
