"""The fields of the panel: mode, URIs, the usual settings and, folded away, some more.

Each field has an explanation beneath it, says what is wrong with what it holds, and offers the
URI that would do. What is wrong is ``form``'s to say; here it only gets its place on the page.
"""

from __future__ import annotations

from collections.abc import Callable

import ipywidgets as widgets

from migrationlab.plan.plan import Mode, Plan
from migrationlab.widgets import markup
from migrationlab.widgets.form import NOTES, Form, HostPair, Reading, uri_fields

URIS = ("migration_uri", "connection_uri")
_LABEL_WIDTH = "10em"
_LABEL = {"description_width": _LABEL_WIDTH}


class SettingsForm:
    """The fields, in a box.

    Args:
        changed: Is called whenever a value changes.
    """

    def __init__(self, changed: Callable[[], object]) -> None:
        self.mode = widgets.RadioButtons(
            options=[(str(mode), mode) for mode in Mode],
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
        self.postcopy = _switch("Post-copy")
        self.auto_converge = _switch("Auto-converge")
        self.parallel_connections = _field("Connections", "1, not parallel")
        self.compression = widgets.Dropdown(
            options=[("none", ""), *((name, name) for name in ("xbzrle", "zlib", "zstd"))],
            description="Compression",
            style=_LABEL,
            layout=widgets.Layout(width="98%"),
        )
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
            name: widgets.HTML(markup.note(NOTES[name]) if name in NOTES else "", layout=_beneath())
            for name in self.fields
        }
        self.faults = {name: widgets.HTML(layout=_beneath()) for name in self.fields}
        self.remedies = {name: self._remedy(name) for name in URIS}
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
        self.more.observe(lambda _change: self._fold(), names="value")
        self._fold()
        for widget in (self.mode, *self.fields.values()):
            widget.observe(lambda _change: changed(), names="value")

    def read(self, ends: HostPair) -> Reading:
        """Judge what stands in the fields."""
        values = {name: field.value for name, field in self.fields.items()}
        return Form(mode=self.mode.value, **values).read(ends)

    def explain(self, reading: Reading, ends: HostPair, good: Plan) -> None:
        """Say at each field what it is for and what is wrong with it.

        Args:
            reading: What the fields say.
            ends: The hosts.
            good: A plan for them whose URIs are shown where a field is empty.
        """
        ordered = uri_fields(self.mode.value, ends)
        for name, text in ordered:
            self.notes[name].value = markup.note(text)
        rows = tuple(self._rows[name] for name, _ in ordered)
        if self._uri_box.children != rows:
            self._uri_box.children = rows
        self.migration_uri.placeholder = good.migration_uri
        self.connection_uri.placeholder = good.connection_uri
        for name, fault in self.faults.items():
            fault.value = markup.explained(reading.about(name))
        for name, remedy in self.remedies.items():
            uris = (problem.suggestion for problem in reading.about(name) if problem.suggestion)
            uri = self._suggested[name] = next(uris, "")
            remedy.description = f"Use {uri}" if uri else ""
            remedy.layout.display = None if uri else "none"
        if any(reading.about(name) for name in NOTES):
            self.more.value = True

    def empty_wrong_uris(self, reading: Reading) -> None:
        """Empty the URIs that do not do for where the guest is now."""
        for name in URIS:
            if reading.about(name):
                self.fields[name].value = ""

    def allow(self, *, changes: bool) -> None:
        """Let the fields be changed, or not."""
        for widget in (self.mode, *self.fields.values()):
            widget.disabled = not changes

    def _row(self, name: str) -> list[widgets.Widget]:
        row = [self.fields[name], self.notes[name], self.faults[name]]
        return [*row, self.remedies[name]] if name in self.remedies else row

    def _remedy(self, name: str) -> widgets.Button:
        """Make the button that puts the URI that would do into its field."""
        button = widgets.Button(layout=_beneath(width="auto", display="none"))

        def use(_button: widgets.Button) -> None:
            self.fields[name].value = self._suggested[name]

        button.on_click(use)
        return button

    def _fold(self) -> None:
        self._folded.layout.display = None if self.more.value else "none"
        # In words, as a screen reader reads no icon.
        self.more.description = "Fewer settings" if self.more.value else "More settings"


def _field(description: str, placeholder: str = "") -> widgets.Text:
    return widgets.Text(
        description=description,
        placeholder=placeholder,
        style=_LABEL,
        layout=widgets.Layout(width="98%"),
    )


def _switch(description: str) -> widgets.Checkbox:
    return widgets.Checkbox(description=description, indent=False, layout=_beneath())


def _beneath(**layout: str) -> widgets.Layout:
    """Give the layout of what stands beneath a field: in line with it, not with its label."""
    return widgets.Layout(
        **{"margin": f"0 0 0 {_LABEL_WIDTH}", "width": f"calc(98% - {_LABEL_WIDTH})"} | layout
    )
