"""Explain a typed or chosen URI at once, in each mode and place."""

from __future__ import annotations

import ipywidgets as widgets

from migrationlab.plan.plan import Mode
from migrationlab.plan.problem import require_none
from migrationlab.plan.uris import validate_hosts
from migrationlab.widgets import fields
from migrationlab.widgets.base import LiveWidget
from migrationlab.widgets.views import messages, uri_meaning
from migrationlab.widgets.views.topology_svg import draw
from migrationlab.widgets.views.uri_meaning import EXAMPLES, Meaning, Place

_LABEL = "8em"
MAX_SUGGESTIONS = 3


class UriExplorer(LiveWidget):
    """Shows the meaning of a text as each URI of a migration, in each mode; needs no lab.

    Args:
        text: The content of the field at first.
        source: The source host's name.
        destination: The destination host's name.

    Raises:
        PlanError: A host's name is not valid.
    """

    def __init__(
        self,
        text: str = "qemu+ssh://root@host-b/system",
        *,
        source: str = "host-a",
        destination: str = "host-b",
    ) -> None:
        super().__init__()
        require_none(validate_hosts(source, destination))
        self._hosts = (source, destination)
        examples = ((f"{text}  ({about})", text) for text, about in EXAMPLES.items())
        self.uri = fields.text("URI", text, placeholder="empty: left out", label=_LABEL)
        self.examples = fields.dropdown(
            "Examples", [("choose an example", ""), *examples], label=_LABEL
        )
        self.mode = fields.radio("Draw a", fields.named(Mode), label=_LABEL)
        places = [(place.words, place) for place in Place]
        self.place = fields.radio("with it as", places, label=_LABEL)
        self.verdict = widgets.HTML()
        self.table = widgets.HTML(layout=widgets.Layout(width="98%"))
        self.drawing = widgets.HTML()
        self.fixes = [self._fix_button() for _ in range(MAX_SUGGESTIONS)]
        self._lay_out(
            self.examples,
            self.uri,
            self.verdict,
            fields.row(*self.fixes),
            self.table,
            fields.row(self.mode, self.place),
            self.drawing,
        )
        self.examples.observe(self._choose, names="value")
        fields.on_change(self._typed, self.uri)
        fields.on_change(self._refresh, self.mode, self.place)
        self._typed()

    def __repr__(self) -> str:
        return f"UriExplorer({self.uri.value!r})"

    def _static_html(self) -> str:
        return f"{self.verdict.value}{self.table.value}{self._drawn._repr_html_()}"

    def meanings(self) -> tuple[Meaning, ...]:
        """Return the text's meaning in each place, as a script gets it."""
        source, destination = self._hosts
        return uri_meaning.meanings(self.uri.value, source=source, destination=destination)

    def _choose(self, change: dict[str, str]) -> None:
        if change["new"]:
            self.uri.value = change["new"]

    def _fix_button(self) -> widgets.Button:
        button = widgets.Button(layout=widgets.Layout(width="auto"))

        def use(pressed: widgets.Button) -> None:
            self.uri.value = pressed.tooltip

        button.on_click(use)
        return button

    def _typed(self) -> None:
        """Choose a place where the text works, if there is one, and show the meaning."""
        working = [one.place for one in self.meanings() if one.works]
        if working and self.place.value not in working:
            self.place.value = working[0]
        self._refresh()

    def _refresh(self) -> None:
        """Show the meaning of the text; called for every keystroke."""
        found = self.meanings()
        if self.examples.value != found[0].text:
            self.examples.value = found[0].text if found[0].text in EXAMPLES else ""
        self.verdict.value = messages.status(uri_meaning.verdict(found))
        self.table.value = uri_meaning.table(found)
        wanted = [*uri_meaning.suggestions(found), *[""] * MAX_SUGGESTIONS]
        for button, uri in zip(self.fixes, wanted, strict=False):
            button.description, button.tooltip = (f"Try {uri}", uri) if uri else ("", "")
            button.layout.display = None if uri else "none"
        chosen = (self.mode.value, self.place.value)
        shown = next(one for one in found if (one.mode, one.place) == chosen)
        source, destination = self._hosts
        self._drawn = draw(shown.plan, source=source, destination=destination)
        self.drawing.value = messages.note(uri_meaning.drawn(shown)) + self._drawn.html()
