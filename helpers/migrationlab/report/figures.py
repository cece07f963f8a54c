"""Embed figures in a page."""

from __future__ import annotations

from dataclasses import dataclass

from migrationlab.plots.picture import Picture


@dataclass(frozen=True, slots=True)
class Figure:
    """A figure in the form for a page.

    Attributes:
        data: The picture as a data URI.
        alt: The title and the description of the picture.
    """

    data: str
    alt: str


def embed(picture: Picture) -> Figure:
    """Return a picture in the form for a page."""
    return Figure(picture.data_uri(), f"{picture.title}. {picture.alt}")
