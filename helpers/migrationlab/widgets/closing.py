"""Taking a widget off the page with all that is in it: ipywidgets closes a box and no more."""

from __future__ import annotations

import ipywidgets as widgets


def close_all(widget: widgets.Widget) -> None:
    """Close a widget, and what it holds."""
    for child in widget.children if isinstance(widget, widgets.Box) else ():
        close_all(child)
    widget.close()
