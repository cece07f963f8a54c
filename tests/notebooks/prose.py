"""The prose that readers get, as Markdown: papers, and the cells of notebooks with words."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from pathlib import Path

import nbformat
from markdown_it import MarkdownIt
from markdown_it.token import Token

from paths import ROOT

PAPERS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "data/README.md"]
NOTEBOOKS = sorted([*ROOT.glob("notebooks/*.ipynb"), *ROOT.glob("notebooks/solutions/*.ipynb")])
MARKDOWN = MarkdownIt("commonmark").enable("table")


@dataclass(frozen=True)
class Passage:
    """A piece of Markdown and where it stands."""

    path: Path
    #: Of a notebook's cell.
    cell: str
    text: str

    @property
    def place(self) -> str:
        """Return where it is, for the person who fixes it."""
        return " ".join(filter(None, (str(self.path.relative_to(ROOT)), self.cell)))

    def tokens(self) -> Iterator[Token]:
        """Yield what it is made of, whole blocks and the parts of their lines."""
        for block in MARKDOWN.parse(self.text):
            yield block
            yield from block.children or ()

    def targets(self) -> Iterator[str]:
        """Yield what it links to and which pictures it shows."""
        for token in self.tokens():
            for name in ("href", "src"):
                if target := token.attrGet(name):
                    yield str(target)

    def headings(self) -> Iterator[str]:
        """Yield its headings as a reader sees them."""
        tokens = MARKDOWN.parse(self.text)
        for before, inline in pairwise(tokens):
            if before.type == "heading_open":
                shown = [t for t in inline.children or () if t.type in {"text", "code_inline"}]
                yield "".join(token.content for token in shown)

    def prose(self) -> Iterator[str]:
        """Yield its words, without code."""
        in_code = False
        for token in self.tokens():
            if token.type.startswith("html"):
                in_code = token.content == "<code>"
                yield re.sub(r"<code>.*?</code>|<[^>]*>", " ", token.content)
            if token.type == "text" and not in_code:
                yield token.content
            if token.type == "image":
                yield from (part.content for part in token.children or ())


@cache
def passages(path: Path) -> tuple[Passage, ...]:
    """Return the Markdown of a file."""
    if path.suffix == ".md":
        return (Passage(path, "", path.read_text(encoding="utf-8")),)
    cells = nbformat.read(path, as_version=4).cells
    return tuple(Passage(path, c.id, c.source) for c in cells if c.cell_type == "markdown")


def name(path: Path) -> str:
    """Name a file as its tests are named."""
    return str(path.relative_to(ROOT))
