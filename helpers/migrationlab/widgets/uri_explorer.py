"""Any URI, typed or chosen, and at once what it means in each mode and place.

Knows nothing of URIs itself: ``uri_meaning`` has the facts, ``drawing`` the drawing. Needs no lab
and no libvirt.
"""

from __future__ import annotations

from typing import Any

import ipywidgets as widgets

from migrationlab.errors import PlanError
from migrationlab.plan.plan import Mode
from migrationlab.plan.uris import validate_hosts
from migrationlab.widgets import markup, uri_meaning
from migrationlab.widgets.topology_svg import draw
from migrationlab.widgets.uri_meaning import EXAMPLES, Meaning, Place

_CHOOSE = "choose an example"
_LABEL = {"description_width": "8em"}
MOST_SUGGESTIONS = 3


class UriExplorer:
    """Says of any text what it means as each URI of a migration, in each mode.

    Args:
        text: What stands in the field at first.
        source: The source host's name.
        destination: The destination host's name.

    Raises:
        PlanError: These cannot be the names of two hosts.
    """

    def __init__(
        self,
        text: str = "qemu+ssh://root@host-b/system",
        *,
        source: str = "host-a",
        destination: str = "host-b",
    ) -> None:
        if problems := validate_hosts(source, destination):
            raise PlanError(problems[0].reason, hint=problems[0].hint)
        self._hosts = (source, destination)
        self.uri = widgets.Text(
            value=text,
            description="URI",
            placeholder="empty: left out",
            continuous_update=True,
            style=_LABEL,
            layout=widgets.Layout(width="98%"),
        )
        self.examples = widgets.Dropdown(
            options=[
                (_CHOOSE, ""),
                *((f"{one.text}  ({one.about})", one.text) for one in EXAMPLES),
            ],
            description="Examples",
            style=_LABEL,
            layout=widgets.Layout(width="98%"),
        )
        self.mode = widgets.RadioButtons(
            options=[(str(mode), mode) for mode in Mode],
            description="Draw a",
            orientation="horizontal",
            style=_LABEL,
        )
        self.place = widgets.RadioButtons(
            options=[("migration URI", Place.MIGRATION), ("connection URI", Place.CONNECTION)],
            description="with it as",
            orientation="horizontal",
            style=_LABEL,
        )
        self.verdict = widgets.HTML()
        self.table = widgets.HTML(layout=widgets.Layout(width="98%"))
        self.drawing = widgets.HTML()
        self._remedies = [self._remedy() for _ in range(MOST_SUGGESTIONS)]
        self._box = widgets.VBox(
            [
                self.examples,
                self.uri,
                self.verdict,
                widgets.HBox(self._remedies, layout=widgets.Layout(flex_flow="row wrap")),
                self.table,
                widgets.HBox([self.mode, self.place], layout=widgets.Layout(flex_flow="row wrap")),
                self.drawing,
            ],
            layout=widgets.Layout(width="100%"),
        )
        self.examples.observe(self._choose, names="value")
        self.uri.observe(lambda _change: self._typed(), names="value")
        for widget in (self.mode, self.place):
            widget.observe(lambda _change: self._refresh(), names="value")
        self._typed()

    def __repr__(self) -> str:
        return f"UriExplorer({self.uri.value!r})"

    def _repr_mimebundle_(self, **_options: object) -> dict[str, Any]:
        """Give the live explorer, and for readers of a saved notebook what it says."""
        bundle: dict[str, Any] = self._box._repr_mimebundle_()
        note = markup.note("The explorer is live: run this cell to use it.")
        static = note + self.verdict.value + self.table.value + self._drawn._repr_html_()
        return {**bundle, "text/plain": repr(self), "text/html": static}

    def meanings(self) -> tuple[Meaning, ...]:
        """Return what the text means in each place, as a script gets it."""
        source, destination = self._hosts
        return uri_meaning.meanings(self.uri.value, source=source, destination=destination)

    def _choose(self, change: dict[str, str]) -> None:
        if change["new"]:
            self.uri.value = change["new"]

    def _remedy(self) -> widgets.Button:
        button = widgets.Button(layout=widgets.Layout(width="auto"))

        def use(pressed: widgets.Button) -> None:
            self.uri.value = pressed.tooltip

        button.on_click(use)
        return button

    def _typed(self) -> None:
        """Turn to where the text works, if it does anywhere, and say what it means."""
        working = [one.place for one in self.meanings() if one.works]
        if working and self.place.value not in working:
            self.place.value = working[0]
        self._refresh()

    def _refresh(self) -> None:
        """Say anew what the text means; for every keystroke."""
        found = self.meanings()
        if self.examples.value != found[0].text:
            known = {one.text for one in EXAMPLES}
            self.examples.value = found[0].text if found[0].text in known else ""
        self.verdict.value = markup.status(uri_meaning.verdict(found))
        self.table.value = uri_meaning.table(found)
        wanted = uri_meaning.suggestions(found)
        for button, uri in zip(self._remedies, [*wanted, "", "", ""], strict=False):
            button.description, button.tooltip = (f"Try {uri}", uri) if uri else ("", "")
            button.layout.display = None if uri else "none"
        (shown,) = (
            one for one in found if (one.mode, one.place) == (self.mode.value, self.place.value)
        )
        source, destination = self._hosts
        self._drawn = draw(shown.plan, source=source, destination=destination)
        self.drawing.value = markup.note(uri_meaning.drawn(shown)) + self._drawn.html()
