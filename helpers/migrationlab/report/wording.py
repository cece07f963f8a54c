"""How numbers and figures stand in a report. Pure, but for drawing."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from datetime import UTC, datetime

import pandas as pd

from migrationlab.plots.picture import Picture

UNKNOWN = "–"
MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Figure:
    """A figure as a page holds it.

    Attributes:
        data: The picture itself, as an address that needs no other file.
        alt: What it says, and what is to be seen in it.
    """

    data: str
    alt: str


def embed(picture: Picture) -> Figure:
    """Give a picture as a page holds it."""
    data = base64.b64encode(picture.render("png")).decode()
    return Figure(f"data:image/png;base64,{data}", f"{picture.title}. {picture.alt}")


def moment(stamp: str) -> str:
    """Write a moment, given by ISO 8601, to the second and as people read it."""
    return f"{datetime.fromisoformat(stamp).astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def number(value: float | None, *, unit: float = 1, digits: int = 0) -> str:
    """Write a number in units of ``unit``, or the sign for what is not known."""
    return UNKNOWN if value is None or pd.isna(value) else f"{value / unit:,.{digits}f}"


def near(value: float | None, *, unit: float = 1) -> str:
    """Write a number with three digits, or all those before the point."""
    if value is None or pd.isna(value):
        return UNKNOWN
    scaled = value / unit
    if scaled == 0:
        return "0"
    digits = max(0, 2 - len(str(int(abs(scaled)))) + 1) if abs(scaled) >= 1 else 3
    return f"{scaled:,.{digits}f}"


def interval(low: float | None, high: float | None, *, unit: float = 1) -> str:
    """Write an interval, or the sign for what is not known."""
    if low is None or high is None or pd.isna(low) or pd.isna(high):
        return UNKNOWN
    return f"{near(low, unit=unit)} to {near(high, unit=unit)}"


def probability(value: float | None) -> str:
    """Write a p-value."""
    if value is None:
        return UNKNOWN
    return "< 0.001" if value < 0.001 else f"{value:.2g}"
