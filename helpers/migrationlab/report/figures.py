"""Embed figures in a page."""

from __future__ import annotations

import base64
from dataclasses import dataclass

from migrationlab.plots.picture import Picture


@dataclass(frozen=True, slots=True)
class Figure:
    """A figure as a page has it.

    Attributes:
        data: The picture as a data URI.
        alt: Its title, and what it shows.
    """

    data: str
    alt: str


def embed(picture: Picture) -> Figure:
    """Return a picture as a page has it."""
    data = base64.b64encode(picture.render("png")).decode()
    return Figure(f"data:image/png;base64,{data}", f"{picture.title}. {picture.alt}")
