"""The prose that readers get: each link leads somewhere, and each word is spelt as in Britain.

Links are distinguished by a Markdown parser, so that code which looks like one is none. Anchors are
those that GitHub makes of a file's headings, and JupyterLab of a notebook's:
https://github.com/gjtorikian/html-pipeline (table of contents), and ``createHeaderId`` of
JupyterLab's rendermime. Words are held against Debian's British dictionary and ``words.txt``, the
field's own terms. Nothing here goes to the network.
"""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from pathlib import Path
from urllib.parse import unquote, urlsplit

import nbformat
import pytest
from markdown_it import MarkdownIt
from markdown_it.token import Token

ROOT = Path(__file__).parents[2]
PAPERS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "data/README.md"]
NOTEBOOKS = sorted([*ROOT.glob("notebooks/*.ipynb"), *ROOT.glob("notebooks/solutions/*.ipynb")])
PROGRAMS = sorted(
    path for room in ("course", "widgets") for path in ROOT.glob(f"helpers/*/{room}/**/*.py")
)
WORDS = Path(__file__).with_name("words.txt")
#: Who may be linked to: people who keep their addresses.
HOSTS = {"libvirt.org", "www.researchobject.org"}
MARKDOWN = MarkdownIt("commonmark").enable("table")
# No prose: what stands in backquotes, or as one word in quotes; names, addresses and formulas;
# options of commands; in a docstring what an argument is called.
CODE = re.compile(
    r"""``[^`]+``|`[^`]+` | (?<!\w)(["'])[a-z]+\1(?!\w)
    | \S+://\S* | \w+[ ]=[ ]\S* | \S*[^\W_][_/@:=.+\\([{$~*]+[^\W_]\S* | \S*\d\S*
    | (?<![^\s(])--?[a-z]\S* | \b[A-Z][a-z]+Error\b | ^[ ]{4,}\w+:""",
    re.VERBOSE | re.MULTILINE,
)
MARKUP = re.compile(r'[<>]|="|;\S')
WORD = re.compile(r"[A-Za-zÀ-öø-ÿ]+(?:'[A-Za-zÀ-öø-ÿ]+)*")
DICTIONARY = "en_GB"


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


def anchors(path: Path) -> set[str]:
    """Return the names that a link may give to places in a file."""
    headings = [heading for passage in passages(path) for heading in passage.headings()]
    if path.suffix == ".ipynb":
        return {heading.replace(" ", "-") for heading in headings}
    slugs = [re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings]
    before = Counter[str]()
    found = set[str]()
    for slug in slugs:
        found.add(f"{slug}-{before[slug]}" if before[slug] else slug)
        before[slug] += 1
    return found


def what_is_wrong(passage: Passage, target: str) -> str | None:
    """Say why a link leads nowhere."""
    url = urlsplit(target)
    if url.scheme or url.netloc:
        known = url.scheme == "https" and url.netloc in HOSTS
        return None if known else "is of no host in HOSTS by https"
    there = (passage.path.parent / unquote(url.path)).resolve() if url.path else passage.path
    if not there.is_relative_to(ROOT) or not there.exists():
        return "is not there"
    if url.fragment and unquote(url.fragment) not in anchors(there):
        return f"has no such heading; it has {sorted(anchors(there))}"
    return None


def name(path: Path) -> str:
    """Name a file as its tests are named."""
    return str(path.relative_to(ROOT))


every_file = pytest.mark.parametrize("path", [*PAPERS, *NOTEBOOKS], ids=name)


@every_file
def test_links_have_targets(path: Path) -> None:
    """Linked files and headings exist, and linked addresses are of known hosts."""
    wrong = [
        f"{passage.place}: {target} {reason}"
        for passage in passages(path)
        for target in passage.targets()
        if (reason := what_is_wrong(passage, target))
    ]
    assert not wrong, "\n".join(wrong)


@every_file
def test_links_are_markdown_links(path: Path) -> None:
    """No intended link is plain text or HTML."""
    for passage in passages(path):
        for token in passage.tokens():
            assert token.type != "text" or not re.search(r"\]\(|\]\[|https?:", token.content), (
                passage.place
            )
            if token.type.startswith("html"):
                assert not re.search(r"\b(?:href|src)\b", token.content), passage.place


def test_each_known_host_is_linked() -> None:
    """Each host in the list of known hosts has a link in the prose."""
    targets = [
        target
        for path in [*PAPERS, *NOTEBOOKS]
        for passage in passages(path)
        for target in passage.targets()
    ]
    assert {urlsplit(target).netloc for target in targets} - {""} == HOSTS


@pytest.mark.parametrize(
    ("target", "reason"),
    [
        ("README.md", None),
        ("data/README.md#the-domains-hash", None),
        ("notebooks/00_start_here.ipynb#How-to-use-a-notebook", None),
        ("notebooks/00_start_here.ipynb#how-to-use-a-notebook", "no such heading"),
        ("#every-settings", "no such heading"),
        ("notebooks/99.ipynb", "is not there"),
        ("../elsewhere", "is not there"),
        ("http://www.researchobject.org/", "no host"),
        ("https://www.researchobject.example/", "no host"),
        ("//www.researchobject.org/", "no host"),
    ],
)
def test_dead_links_are_found(target: str, reason: str | None) -> None:
    """A link to a missing file, a missing heading or an unknown host is dead."""
    (readme,) = passages(ROOT / "README.md")
    found = what_is_wrong(readme, target)
    assert found is None if reason is None else reason in (found or "")


def sentences(source: str) -> Iterator[tuple[int, str]]:
    """Yield the texts of a program and their lines: no markup, and nothing of a word or two."""
    for node in ast.walk(ast.parse(source)):
        text = node.value if isinstance(node, ast.Constant) else None
        if isinstance(text, str) and text.count(" ") > 1 and not MARKUP.search(text):
            yield node.lineno, text


@cache
def written() -> tuple[tuple[str, str], ...]:
    """Return all prose that is held against the dictionary, and where each piece stands."""
    found = [
        (passage.place, text)
        for path in [*PAPERS, *NOTEBOOKS]
        for passage in passages(path)
        for text in passage.prose()
    ]
    for path in NOTEBOOKS:
        for cell in nbformat.read(path, as_version=4).cells:
            if cell.cell_type == "code":
                found += [(f"{name(path)} {cell.id}", text) for _, text in sentences(cell.source)]
    for path in PROGRAMS:
        source = path.read_text(encoding="utf-8")
        found += [(f"{name(path)}:{line}", text) for line, text in sentences(source)]
    return tuple(found)


def words_of(text: str) -> list[str]:
    """Return the words of a piece of prose, without their possessive endings."""
    words = WORD.findall(CODE.sub(" ", text).replace("’", "'"))
    return [word.removesuffix("'s") for word in words]


def hunspell(words: set[str]) -> set[str]:
    """Return which of the words the dictionary doesn't know."""
    listed = subprocess.run(
        ["hunspell", "-d", DICTIONARY, "-i", "utf-8", "-l"],
        input="\n".join(sorted(words)),
        capture_output=True,
        check=True,
        text=True,
        encoding="utf-8",
    )
    return set(listed.stdout.split())


def own_words() -> list[str]:
    """Return the field's own terms."""
    return WORDS.read_text(encoding="utf-8").split()


def misspelt(words: set[str]) -> set[str]:
    """Return which of the words neither the dictionary nor our own list knows."""
    known = set(own_words())
    # At the beginning of a sentence any word has a capital.
    return {
        word
        for word in hunspell(words)
        if word not in known and word[:1].lower() + word[1:] not in known
    }


needs_hunspell = pytest.mark.skipif(
    shutil.which("hunspell") is None, reason="hunspell and hunspell-en-gb are not installed"
)


@needs_hunspell
def test_words_have_british_spelling() -> None:
    """Each word of the prose is in the British dictionary or in the list of terms."""
    wrong = misspelt({word for _, text in written() for word in words_of(text)})
    places = {
        f"{place}: {word}" for place, text in written() for word in words_of(text) if word in wrong
    }
    assert not wrong, "\n".join(sorted(places))


@needs_hunspell
def test_misspellings_are_found() -> None:
    """American and wrong spellings are found in any case; listed terms and code are accepted."""
    text = "Colour, the libvirtd's color; a Migartion of `memroy` at host-a by qemu+ssh://nowere/x."
    assert misspelt(set(words_of(text))) == {"color", "Migartion"}


def test_listed_terms_are_used() -> None:
    """The list of terms is sorted, and the prose uses each of its words."""
    said = {word for _, text in written() for word in words_of(text)}
    said |= {word[:1].lower() + word[1:] for word in said}
    words = own_words()
    assert words == sorted(set(words), key=lambda word: (word.lower(), word))
    assert [word for word in words if word not in said] == []


def test_no_word_is_repeated() -> None:
    """No passage has the same word twice in a row."""
    twice = re.compile(r"\b([^\W\d_]{2,})\s\1\b", re.IGNORECASE)
    found = [f"{place}: {hit[0]}" for place, text in written() if (hit := twice.search(text))]
    assert not found, "\n".join(found)
