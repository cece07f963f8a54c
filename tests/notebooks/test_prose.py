"""The prose that readers get: its links, its spelling, and its words.

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
from functools import cache
from pathlib import Path
from urllib.parse import unquote, urlsplit

import nbformat
import pytest

from notebooks.prose import NOTEBOOKS, PAPERS, Passage, name, passages
from paths import ROOT

PROGRAMS = sorted(
    path for room in ("course", "widgets") for path in ROOT.glob(f"helpers/*/{room}/**/*.py")
)
WORDS = Path(__file__).with_name("words.txt")
#: Who may be linked to: people who keep their addresses.
HOSTS = {"libvirt.org", "www.researchobject.org"}
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


#: What DESIGN's table and first rule of prose replace, where a word can mean nothing else here.
BANNED = re.compile(
    r"""\b(?: hand(?:ed|s|ing)?[- ]?over | the\ stop | standstill | (?:stand|stood)(?:s|ing)?\ still
    | dial(?:s|led|ling)? | mend(?:s|ed|ing)? | remed(?:y|ies|ied) | foret(?:ell|old)s? | the\ kit
    | for\ who\ knows | likewise | of\ its\ own | that\ there\ are\ not | nobody\ knows | wherein
    | you\ will\ see | rack )\b""",
    re.VERBOSE | re.IGNORECASE,
)


def docstrings(path: Path) -> Iterator[tuple[str, str]]:
    """Yield the docstrings of a program, and where each stands."""
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, documented) and (text := ast.get_docstring(node)):
            yield f"{name(path)}:{getattr(node, 'lineno', 1)}", text


def banned_in(text: str) -> list[str]:
    """Return the banned words of a piece of prose."""
    return BANNED.findall(" ".join(CODE.sub(" ", text).split()))


def test_prose_uses_the_words_of_the_field() -> None:
    """No document, notebook or docstring has a word that another one replaces."""
    pieces = [
        (passage.place, " ".join(passage.prose()))
        for path in [*PAPERS, *NOTEBOOKS]
        for passage in passages(path)
    ]
    for path in ROOT.glob("helpers/**/*.py"):
        # Only there a rack is a thing: the namespaces that hold both hosts.
        lab = path.parent.is_relative_to(ROOT / "helpers/migrationlab/lab")
        pieces += [
            (place, re.sub(r"\brack\b", "", text) if lab else text)
            for place, text in docstrings(path)
        ]
    found = [f"{place}: {word}" for place, text in pieces for word in banned_in(text)]
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("After the hand-over\nnobody  knows.", ["hand-over", "nobody knows"]),
        ("It stood still, of its own. Likewise", ["stood still", "of its own", "Likewise"]),
        ("`migrationlab lab mend` stops the clock; a remedial switchover.", []),
    ],
)
def test_banned_words_are_found(text: str, found: list[str]) -> None:
    """A banned word is found in any case and across lines; code is left out."""
    assert banned_in(text) == found


def test_marker_of_a_number_is_no_prose() -> None:
    """A number's marker is neither spelt nor shown as words."""
    text = "It took <!--# experiment:fixes nothing total_ms/1000 median -->27 s."
    said = " ".join(Passage(ROOT / "README.md", "", text).prose())
    assert words_of(said) == ["It", "took", "s"]
