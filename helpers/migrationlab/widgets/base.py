"""Provide the base of every live widget: its display, its saved form, its lock, its drawing thread.

Theory of operation. Depending on the version of ipykernel, a widget's callbacks run on the main
thread after the cell, or on another one beside it. So a callback is short: it takes the lock, reads
fields, sets traits, and hands slow work to a thread of ``background``. Any thread may set a trait
of an HTML widget; the threads print nothing and never touch pyplot.
"""

from __future__ import annotations

import contextlib
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import ipywidgets as widgets

from migrationlab.errors import LabError, MigrationLabError
from migrationlab.widgets.background import BackgroundRenderer
from migrationlab.widgets.views import messages

if TYPE_CHECKING:
    from migrationlab.lab.guest import Guest
    from migrationlab.migrate.migration import Migration, Progress

_NOTE = "This is a live widget: run this cell to use it."


class LiveWidget(ABC):
    """A box of fields and HTML on the page of a notebook.

    A subclass makes its parts and passes them to :meth:`_lay_out`. Its :meth:`_static_html`
    returns the content for a saved notebook.
    """

    def __init__(self) -> None:
        # Setting a trait calls observers in the same thread, so the lock must be reentrant.
        self._lock = threading.RLock()
        self._renderer = BackgroundRenderer(type(self).__name__)

    def _lay_out(self, *parts: widgets.Widget) -> None:
        """Put the parts one below the other."""
        self._box = widgets.VBox(parts, layout=widgets.Layout(width="100%"))

    @abstractmethod
    def _static_html(self) -> str:
        """Return the HTML for readers of a saved notebook."""

    def _static_text(self) -> str:
        """Return the text for readers without HTML."""
        return repr(self)

    def _repr_mimebundle_(self, **_options: object) -> dict[str, Any]:
        """Return the live widget, and its static form for readers of a saved notebook."""
        with self._lock:
            static = messages.note(_NOTE) + self._static_html()
        live: dict[str, Any] = self._box._repr_mimebundle_()
        return {**live, "text/plain": self._static_text(), "text/html": static}

    def _draw_into(self, shown: widgets.HTML, draw: Callable[[], str]) -> None:
        """Make HTML in the background and show it, or the error; return at once."""

        def job() -> None:
            try:
                shown.value = draw()
            except MigrationLabError as error:
                shown.value = messages.failed(error)
            except BaseException as error:
                shown.value = messages.failed(error)
                raise

        self._renderer.ask(job)

    def wait(self, timeout_s: float | None = None) -> bool:
        """Wait until everything is drawn; return False after the time limit."""
        return self._renderer.wait(timeout_s)

    def close(self) -> None:
        """Stop drawing, and take the widget off the page."""
        self._renderer.close()
        close_all(self._box)


def close_all(widget: widgets.Widget) -> None:
    """Close a widget and everything in it; ipywidgets closes only the box itself."""
    for child in widget.children if isinstance(widget, widgets.Box) else ():
        close_all(child)
    widget.close()


def poll(migration: Migration, interval_s: float) -> Iterator[Progress]:
    """Yield the progress of a migration at this interval, until the migration is over."""
    while not migration.done:
        yield migration.progress()
        with contextlib.suppress(TimeoutError):
            migration.wait(interval_s)


def lab_down() -> LabError:
    """Return the error of a lab that is down."""
    return LabError(
        "The lab is down",
        hint="Run the cell with mig.Lab(…) again, then each cell from there to this one.",
    )


def cause(error: MigrationLabError, guest: Guest) -> MigrationLabError:
    """Return the reason of a failure: the error of a lab that is down, or the error itself."""
    return error if guest.lab.alive else lab_down()
