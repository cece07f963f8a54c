"""Make the fields and rows of all widgets: labels of one width, and a callback for each change."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import ipywidgets as widgets


def text(
    description: str,
    value: str = "",
    *,
    placeholder: str = "",
    label: str = "10em",
    width: str = "98%",
) -> widgets.Text:
    """Return a field for a line of text."""
    return widgets.Text(
        value=value,
        placeholder=placeholder,
        continuous_update=True,
        **_labelled(description, label, width),
    )


def dropdown(
    description: str,
    options: Iterable[object],
    *,
    label: str = "10em",
    width: str | None = "98%",
    **more: object,
) -> widgets.Dropdown:
    """Return a field to choose one of many options."""
    return widgets.Dropdown(
        options=list(options),
        **_labelled(description, label, width),
        **more,
    )


def radio(
    description: str,
    options: Iterable[object],
    *,
    label: str = "10em",
    width: str | None = None,
    **more: object,
) -> widgets.RadioButtons:
    """Return a field to choose one of a few options, side by side."""
    return widgets.RadioButtons(
        options=list(options),
        orientation="horizontal",
        **_labelled(description, label, width),
        **more,
    )


def named(options: Iterable[object]) -> list[tuple[str, object]]:
    """Return options with their texts as names."""
    return [(str(option), option) for option in options]


def number(
    description: str,
    value: int,
    *,
    bounds: tuple[int, int],
    step: int = 1,
    label: str = "14em",
    width: str = "21em",
) -> widgets.BoundedIntText:
    """Return a field for a whole number."""
    return widgets.BoundedIntText(
        value=value,
        min=bounds[0],
        max=bounds[1],
        step=step,
        **_labelled(description, label, width),
    )


def slider(field: widgets.BoundedIntText) -> widgets.IntSlider:
    """Return a slider to go beside a field: to a screen reader, a slider alone has no name."""
    made = widgets.IntSlider(
        value=field.value,
        min=field.min,
        max=field.max,
        step=field.step,
        readout=False,
        disabled=field.disabled,
        layout=widgets.Layout(width="18em"),
    )
    widgets.link((field, "value"), (made, "value"))
    return made


def button(description: str, press: Callable[[], object], **more: object) -> widgets.Button:
    """Return a button that calls ``press``."""
    made = widgets.Button(description=description, **more)
    made.on_click(lambda _button: press())
    return made


def row(*children: widgets.Widget) -> widgets.HBox:
    """Return widgets side by side, on several lines if they do not fit on one."""
    return widgets.HBox(children, layout=widgets.Layout(flex_flow="row wrap"))


def on_change(call: Callable[[], object], *fields: widgets.Widget) -> None:
    """Call a function whenever a field's value changes."""
    for field in fields:
        field.observe(lambda _change: call(), names="value")


def _labelled(description: str, label: str, width: str | None) -> dict[str, object]:
    """Return the style and layout of a labelled field: the widths of the label, and of both."""
    style, layout = {"description_width": label}, widgets.Layout(width=width)
    return {"description": description, "style": style, "layout": layout}
