"""Embed figures in a page."""

from __future__ import annotations

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
    return Figure(picture.data_uri(), f"{picture.title}. {picture.alt}")
