"""Draw who connects to whom in a migration, and say the same in sentences.

The drawing has the connections of a plan and nothing else. An arrow points from the side that
connects to the side that listens, and has the number of its sentence. The arrow of the memory
begins at the source's QEMU, which sends it, also where libvirtd connects: a dashed arrow is the
open connection that libvirtd hands to its QEMU. The arrow of tunnelled memory lies below the
arrow of the connection that carries it.
"""

from __future__ import annotations

import base64
import hashlib
import math
from dataclasses import dataclass

from migrationlab.plan.plan import Connection, Endpoint, Plan
from migrationlab.widgets.views.template import fill

# Okabe and Ito's blue and vermilion, as in the figures. Control and memory also differ in width,
# for colour-blind eyes.
CONTROL, MEMORY = "#0072B2", "#D55E00"
WIDTH, HEIGHT = 600, 300
MAX_LABEL = 31
_APART = 12  # the numbers' circles do not touch

# Left, top, width, height.
Box = tuple[int, int, int, int]
_BOXES: dict[Endpoint, Box] = {
    Endpoint.CLIENT: (205, 12, 190, 46),
    Endpoint.SOURCE_LIBVIRTD: (28, 136, 128, 46),
    Endpoint.SOURCE_QEMU: (28, 226, 128, 46),
    Endpoint.DESTINATION_LIBVIRTD: (444, 136, 128, 46),
    Endpoint.DESTINATION_QEMU: (444, 226, 128, 46),
}
# From the lower edge of the source's libvirtd to the upper edge of its QEMU: x, y, x, y.
_HANDED = (92, 182, 92, 226)
_HOSTS: tuple[Box, Box] = ((12, 98, 160, 190), (428, 98, 160, 190))


@dataclass(frozen=True, slots=True, repr=False)
class Drawing:
    """A drawing of who connects to whom; a notebook shows it with the sentences below."""

    title: str
    sentences: tuple[str, ...]
    svg: str

    def __repr__(self) -> str:
        return f"Drawing({self.title!r})"

    def __str__(self) -> str:
        lines = (f"{number}. {text}" for number, text in enumerate(self.sentences, 1))
        return "\n".join([self.title, *lines])

    def html(self) -> str:
        """Return drawing and sentences, the drawing as part of the page."""
        return fill("drawing.html", drawing=self, image="")

    def _repr_html_(self) -> str:
        # In a notebook that is not trusted yet, Jupyter strips SVG elements, but no images.
        image = base64.b64encode(self.svg.encode()).decode()
        return fill("drawing.html", drawing=self, image=image)


def draw(
    plan: Plan, *, source: str, destination: str, source_uri: str = "qemu:///system"
) -> Drawing:
    """Draw who connects to whom under a plan."""
    connections = plan.connections(source_uri=source_uri)
    names = {
        Endpoint.CLIENT: "the client",
        Endpoint.SOURCE_LIBVIRTD: f"{source}'s libvirtd",
        Endpoint.SOURCE_QEMU: f"{source}'s QEMU",
        Endpoint.DESTINATION_LIBVIRTD: f"{destination}'s libvirtd",
        Endpoint.DESTINATION_QEMU: f"{destination}'s QEMU",
    }
    title = f"{plan.mode} migration: who connects to whom"
    sentences = tuple(_sentence(connection, names) for connection in connections)
    svg = fill(
        "topology.svg",
        width=WIDTH,
        height=HEIGHT,
        # Two drawings on one page must not share an id; the same drawing twice may.
        key=hashlib.sha256("\n".join([title, *sentences]).encode()).hexdigest()[:8],
        title=title,
        sentences=sentences,
        hosts=zip(_HOSTS, (source, destination), strict=True),
        boxes=[
            (box, "" if endpoint is Endpoint.CLIENT else str(endpoint).rpartition(" ")[2])
            for endpoint, box in _BOXES.items()
        ],
        arrows=[_arrow(connection, tunnelled=plan.tunnelled) for connection in connections],
    )
    return Drawing(title, sentences, svg)


def _sentence(connection: Connection, names: dict[Endpoint, str]) -> str:
    who = "The client" if connection.opened_by is Endpoint.CLIENT else names[connection.opened_by]
    uri, to = connection.uri, names[connection.listener]
    if connection.listener is Endpoint.DESTINATION_QEMU:
        at = f", which listens at the migration URI {uri}" if uri else ""
        sends = f"{names[Endpoint.SOURCE_QEMU]} sends the guest's memory through this connection"
        return f"{who} connects to {to}{at}. {sends}"
    if connection.carries != "control":
        return f"{who} sends the guest's memory to {to} through the same connection"
    by = f", by the connection URI {uri}," if uri else ""
    return f"{who} connects to {to}{by} and controls it"


def _arrow(connection: Connection, *, tunnelled: bool) -> dict[str, object]:
    """Return the template's values for a connection."""
    memory = connection.carries != "control"
    width = 6 if memory else 2.5
    begin = Endpoint.SOURCE_QEMU if memory and not tunnelled else connection.opened_by
    (x1, y1), (x2, y2) = _ends(_BOXES[begin], _BOXES[connection.listener])
    if tunnelled and y1 == y2:
        # Both libvirtds share one connection: its two arrows lie one above the other.
        y1 = y2 = y1 + (_APART if memory else -_APART)
    length = math.hypot(x2 - x1, y2 - y1)
    along, across = (x2 - x1) / length, (y2 - y1) / length
    head = 10 + width
    neck_x, neck_y = x2 - head * along, y2 - head * across
    half = head / 2
    corners = (
        (x2, y2),
        (neck_x - half * across, neck_y + half * along),
        (neck_x + half * across, neck_y - half * along),
    )
    middle_x, middle_y = (x1 + x2) / 2, (y1 + y2) / 2
    label = "" if tunnelled and memory else connection.uri or ""
    if y1 == y2:
        label_x, label_y, anchor = middle_x, middle_y - 20, "middle"
    else:
        # A slanted arrow leaves the client to one side: write above it, at the margin.
        label_x, label_y, anchor = (WIDTH - 6, 76, "end") if x2 > x1 else (6, 76, "start")
    return {
        "memory": memory,
        "handed": _HANDED if connection.opened_by is not begin else None,
        "colour": MEMORY if memory else CONTROL,
        "width": width,
        "start": (x1, y1),
        "neck": (f"{neck_x:.1f}", f"{neck_y:.1f}"),
        "corners": " ".join(f"{x:.1f},{y:.1f}" for x, y in corners),
        "middle": (middle_x, middle_y),
        "label": label if len(label) <= MAX_LABEL else label[: MAX_LABEL - 1] + "…",
        "label_at": (label_x, label_y, anchor),
    }


def _ends(who: Box, to: Box) -> tuple[tuple[float, float], tuple[float, float]]:
    """Return the points where an arrow leaves one box and meets another."""
    (x1, y1), (x2, y2) = ((box[0] + box[2] / 2, box[1] + box[3] / 2) for box in (who, to))
    side = 1 if x2 > x1 else -1
    if y1 == y2:
        return (x1 + side * who[2] / 2, y1), (x2 - side * to[2] / 2, y2)
    return (x1 + side * 60, who[1] + who[3]), (x2 - side * 20, to[1])
