"""Who talks to whom in a migration: a drawing, and the same in sentences.

Pure: a plan and two names in, SVG and text out; what is drawn is ``Plan.connections()`` and nothing
else. An arrow points from the one who dials to the one who listens, and bears the number of its
sentence. Imports neither IPython nor ipywidgets.
"""

from __future__ import annotations

import base64
import hashlib
import html
import math
from collections.abc import Iterator
from dataclasses import dataclass

from migrationlab.plan.plan import Connection, Endpoint, Plan

# Okabe and Ito's blue and vermilion, as in the figures: control and memory stay apart for
# colour-blind eyes, and differ in width besides.
CONTROL, MEMORY, INK, PALE = "#0072B2", "#D55E00", "#222222", "#F4F6F8"
WIDTH, HEIGHT = 600, 300
LONGEST_LABEL = 31

# Left, top, width, height.
Box = tuple[int, int, int, int]
_BOXES: dict[Endpoint, Box] = {
    Endpoint.CLIENT: (205, 12, 190, 46),
    Endpoint.SOURCE_LIBVIRTD: (28, 136, 128, 46),
    Endpoint.SOURCE_QEMU: (28, 226, 128, 46),
    Endpoint.DESTINATION_LIBVIRTD: (444, 136, 128, 46),
    Endpoint.DESTINATION_QEMU: (444, 226, 128, 46),
}
_HOSTS: tuple[Box, Box] = ((12, 98, 160, 190), (428, 98, 160, 190))


@dataclass(frozen=True, slots=True, repr=False)
class Drawing:
    """Who talks to whom; a notebook shows the drawing and, below it, the sentences.

    Attributes:
        title: What the drawing shows.
        sentences: One for each arrow, in the order of their numbers.
        svg: The drawing, with title and description for who cannot see it.
    """

    title: str
    sentences: tuple[str, ...]
    svg: str

    def __repr__(self) -> str:
        return f"Drawing({self.title!r})"

    def __str__(self) -> str:
        lines = (f"{number}. {text}" for number, text in enumerate(self.sentences, 1))
        return "\n".join([self.title, *lines])

    def html(self) -> str:
        """Give drawing and sentences, the drawing as part of the page."""
        return self._figure(self.svg)

    def _repr_html_(self) -> str:
        # In a notebook that isn't trusted yet, Jupyter strips SVG elements, but no images.
        data = base64.b64encode(self.svg.encode()).decode()
        alt = html.escape(". ".join([self.title, *self.sentences]))
        return self._figure(f'<img src="data:image/svg+xml;base64,{data}" alt="{alt}">')

    def _figure(self, image: str) -> str:
        items = "".join(f"<li>{html.escape(sentence)}</li>" for sentence in self.sentences)
        return (
            f'<figure style="margin:0">{image}<figcaption style="line-height:1.5">'
            f'<ol style="margin:0.3em 0 0;padding-left:1.6em">{items}</ol></figcaption></figure>'
        )


def draw(
    plan: Plan, *, source: str, destination: str, source_uri: str = "qemu:///system"
) -> Drawing:
    """Draw who talks to whom under a plan.

    Args:
        plan: The plan; URIs that it leaves out are not drawn.
        source: The source host's name.
        destination: The destination host's name.
        source_uri: How the client connects to the source's libvirtd.
    """
    talks = plan.connections(source_uri=source_uri)
    names = {
        Endpoint.CLIENT: "the client",
        Endpoint.SOURCE_LIBVIRTD: f"{source}'s libvirtd",
        Endpoint.SOURCE_QEMU: f"{source}'s QEMU",
        Endpoint.DESTINATION_LIBVIRTD: f"{destination}'s libvirtd",
        Endpoint.DESTINATION_QEMU: f"{destination}'s QEMU",
    }
    title = f"{plan.mode} migration: who talks to whom"
    sentences = tuple(_sentence(talk, names) for talk in talks)
    return Drawing(title, sentences, _svg(title, sentences, talks, (source, destination)))


def _sentence(talk: Connection, names: dict[Endpoint, str]) -> str:
    who = "The client" if talk.opened_by is Endpoint.CLIENT else names[talk.opened_by]
    if talk.listener is Endpoint.DESTINATION_QEMU:
        text = f"{who} sends the guest's memory to {names[talk.listener]}"
        return f"{text}, which listens at the migration URI {talk.uri}" if talk.uri else text
    text = f"{who} dials and controls {names[talk.listener]}"
    return f"{text}, by the connection URI {talk.uri}" if talk.uri else text


def _svg(
    title: str, sentences: tuple[str, ...], talks: tuple[Connection, ...], hosts: tuple[str, str]
) -> str:
    # Two drawings on one page must not share an id; the same drawing twice may.
    key = hashlib.sha256("\n".join([title, *sentences]).encode()).hexdigest()[:8]
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
        f'width="{WIDTH}" height="{HEIGHT}" role="img" '
        f'aria-labelledby="title-{key}" aria-describedby="desc-{key}" '
        'font-family="sans-serif" font-size="14" '
        f'style="width:100%;max-width:{WIDTH}px;height:auto">'
    )
    parts = [
        head,
        f'<title id="title-{key}">{html.escape(title)}</title>',
        f'<desc id="desc-{key}">{html.escape(". ".join(sentences))}.</desc>',
        f'<rect width="{WIDTH}" height="{HEIGHT}" rx="8" fill="white"/>',
    ]
    for box, name in zip(_HOSTS, hosts, strict=True):
        parts.append(_rect(box, fill=PALE, stroke="#BBBBBB", dash="5 4"))
        parts.append(_text(box[0] + box[2] / 2, box[1] + 22, name, weight="bold"))
    for party, box in _BOXES.items():
        parts.append(_rect(box, fill="white", stroke=INK))
        x, y = _centre(box)
        if party is Endpoint.CLIENT:
            parts.append(_text(x, y - 3, "client"))
            parts.append(_text(x, y + 14, "this notebook, or virsh", size=12))
        else:
            parts.append(_text(x, y + 5, str(party).rpartition(" ")[2]))
    for number, talk in enumerate(talks, 1):
        parts += _arrow(number, talk)
    return "".join([*parts, "</svg>"])


def _arrow(number: int, talk: Connection) -> Iterator[str]:
    memory = talk.listener is Endpoint.DESTINATION_QEMU
    colour, width = (MEMORY, 6) if memory else (CONTROL, 2.5)
    (x1, y1), (x2, y2) = _ends(_BOXES[talk.opened_by], _BOXES[talk.listener])
    length = math.hypot(x2 - x1, y2 - y1)
    along, across = (x2 - x1) / length, (y2 - y1) / length
    head = 10 + width
    neck_x, neck_y = x2 - head * along, y2 - head * across
    half = head / 2
    points = (
        (x2, y2),
        (neck_x - half * across, neck_y + half * along),
        (neck_x + half * across, neck_y - half * along),
    )
    corners = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    yield (
        f'<line x1="{x1}" y1="{y1}" x2="{neck_x:.1f}" y2="{neck_y:.1f}" stroke="{colour}" '
        f'stroke-width="{width}"/><polygon points="{corners}" fill="{colour}"/>'
    )
    x, y = (x1 + x2) / 2, (y1 + y2) / 2
    yield f'<circle cx="{x}" cy="{y}" r="11" fill="{colour}"/>'
    yield _text(x, y + 5, str(number), fill="white", weight="bold")
    if talk.uri:
        label = talk.uri if len(talk.uri) <= LONGEST_LABEL else talk.uri[: LONGEST_LABEL - 1] + "…"
        if y1 == y2:
            yield _text(x, y - 20, label, size=11, fill=colour, mono=True)
        else:
            # A slanted arrow leaves the client to one side: write above it, at the margin.
            beside, anchor = (WIDTH - 6, "end") if x2 > x1 else (6, "start")
            yield _text(beside, 76, label, size=11, fill=colour, mono=True, anchor=anchor)
    if memory:
        yield _text(x, y + 30, "the guest's memory", size=12, fill=colour)


def _ends(who: Box, to: Box) -> tuple[tuple[float, float], tuple[float, float]]:
    """Give where an arrow leaves one box and meets another."""
    (x1, y1), (x2, y2) = _centre(who), _centre(to)
    side = 1 if x2 > x1 else -1
    if y1 == y2:
        return (x1 + side * who[2] / 2, y1), (x2 - side * to[2] / 2, y2)
    return (x1 + side * 60, who[1] + who[3]), (x2 - side * 20, to[1])


def _centre(box: Box) -> tuple[float, float]:
    return box[0] + box[2] / 2, box[1] + box[3] / 2


def _rect(box: Box, *, fill: str, stroke: str, dash: str = "none") -> str:
    x, y, width, height = box
    return (
        f'<rect x="{x}" y="{y}" width="{width}" height="{height}" rx="6" fill="{fill}" '
        f'stroke="{stroke}" stroke-dasharray="{dash}"/>'
    )


def _text(
    x: float,
    y: float,
    text: str,
    *,
    size: int = 14,
    fill: str = INK,
    weight: str = "normal",
    anchor: str = "middle",
    mono: bool = False,
) -> str:
    family = ' font-family="monospace"' if mono else ""
    return (
        f'<text x="{x}" y="{y}" font-size="{size}" font-weight="{weight}" fill="{fill}" '
        f'text-anchor="{anchor}"{family}>{html.escape(text)}</text>'
    )
