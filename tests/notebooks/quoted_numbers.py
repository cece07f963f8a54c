"""Hold the numbers that prose quotes against their sources.

A marker stands right before a number. It is an HTML comment, so readers do not see it, and names

- a cell of the same notebook, ``<!--# 06-47 -->27 s``: its output has the number. Words after the
  cell's name choose the lines of the output that have them all, ``<!--# 06-47 zstd -->27 s``;
- recorded runs, ``<!--# run:05-limit total_ms/1000 -->4.2 s``: a folder of data/lessons, or
  ``run:runs`` for data/runs, with ``[0]`` for one of several;
- an experiment, ``<!--# experiment:fixes zstd total_ms/1000 median -->27 s``: all runs, or those of
  a cell.

A value of runs is an expression of pandas without spaces, over the columns of their table. After it
stands how many runs become one number: median, mean, min, max, sum or count. A cell's numbers can
be scaled: ``<!--# 06-47 /1000 -->27 s``.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import nbformat
import pandas as pd

from migrationlab.course.lesson import find_data
from migrationlab.errors import MigrationLabError
from migrationlab.experiment.experiment import Experiment
from migrationlab.runs.store import load_runs
from notebooks.prose import MARKDOWN, Passage

MARKER = re.compile(r"<!--#(.*?)-->", re.DOTALL)
QUOTED = re.compile(r"[-−]?\d+(?:,\d{3})*(?:\.\d+)?")
# No digits of a name, as in guest-1.
PRINTED = re.compile(r"(?<![\w.-])[-−]?\d+(?:,\d{3})*(?:\.\d+)?(?:e[-+]?\d+)?")
SCALE = re.compile(r"([*/])(\d+)")
AGGREGATES = ("median", "mean", "min", "max", "sum", "count")
FOLDED = re.compile(r"data:image/[^\"]+|<style.*?</style>", re.DOTALL)
TAG, ALT = re.compile(r"<[^>]*>"), re.compile(r'\balt="([^"]*)"')
NEW_LINE = re.compile(r"<(?:tr|br|div|p|li|pre|figcaption)\b")


class NoSourceError(Exception):
    """A marker names nothing that has numbers."""


def problems(passage: Passage) -> Iterator[str]:
    """Yield what is wrong with the quoted numbers of a passage: the place, and the right value."""
    for token in MARKDOWN.parse(passage.text):
        if token.type == "html_block" and MARKER.search(token.content):
            yield f"{passage.place}: a marker must not begin a line: what follows is not rendered"
        parts = token.children or []
        for i, part in enumerate(parts):
            if part.type == "html_inline" and (marker := MARKER.fullmatch(part.content)):
                # Bold type begins with parts that are empty.
                rest = (p for p in parts[i + 1 :] if p.content or p.type.endswith("break"))
                after = next((p.content for p in rest), "")
                if wrong := mistake(passage.path, marker[1].split(), after):
                    yield f"{passage.place}: {part.content} {wrong}"


def mistake(path: Path, source: list[str], after: str) -> str | None:
    """Return what is wrong with one quoted number; None if it is right."""
    quoted = QUOTED.match(after)
    try:
        known = numbers(path, source)
    except NoSourceError as error:
        return f"must name a source of numbers: {error}"
    if quoted and any(agree(quoted[0], number) for number in known):
        return None
    expected = " or ".join(f"{number:g}" for number in known[:10]) or "a number, and there is none"
    got = quoted[0] if quoted else repr(after[:20])
    return f"must be followed by {expected} (got {got})"


def agree(quoted: str, number: float) -> bool:
    """Return whether a number, rounded to the digits that are quoted, is what is quoted."""
    decimals = len(quoted.partition(".")[2])
    return abs(number - as_float(quoted)) <= 0.5 * 10**-decimals * (1 + 1e-9)


def as_float(text: str) -> float:
    """Return a number as it stands in prose and outputs."""
    return float(text.replace("−", "-").replace(",", ""))


def numbers(path: Path, source: list[str]) -> list[float]:
    """Return the numbers that a marker allows.

    Raises:
        NoSourceError: There is no such cell, folder, column or cell of an experiment.
    """
    kind, _, name = source[0].partition(":") if source else ("", "", "")
    if kind in {"run", "experiment"}:
        return [of_runs(kind, name, source[1:])]
    return of_cell(path, kind, source[1:])


def of_cell(path: Path, cell_id: str, words: list[str]) -> list[float]:
    """Return the numbers in the output of a cell, in the lines that have all the words."""
    scale = SCALE.fullmatch(words[-1]) if words else None
    factor = 1.0
    if scale:
        words = words[:-1]
        factor = float(scale[2]) if scale[1] == "*" else 1 / float(scale[2])
    lines = [line for line in printed(path, cell_id) if all(word in line for word in words)]
    return [as_float(number) * factor for line in lines for number in PRINTED.findall(line)]


@cache
def printed(path: Path, cell_id: str) -> tuple[str, ...]:
    """Return the lines that a reader sees of a cell's outputs, with the texts of its pictures."""
    cells = nbformat.read(path, as_version=4).cells if path.suffix == ".ipynb" else []
    found = [cell for cell in cells if cell.id == cell_id and cell.cell_type == "code"]
    if not found:
        raise NoSourceError(f"{path.name} has no code cell {cell_id!r}")
    texts = []
    for output in found[0].outputs:
        data = output.get("data", {})
        shown = NEW_LINE.sub(r"\n\g<0>", FOLDED.sub("", data.get("text/html", "")))
        shown = TAG.sub(lambda tag: " ".join(ALT.findall(tag[0])) or " ", shown)
        texts += [output.get("text", ""), data.get("text/plain", ""), html.unescape(shown)]
    return tuple(line for text in texts for line in text.splitlines())


def of_runs(kind: str, name: str, words: list[str]) -> float:
    """Return the value of recorded runs."""
    table, aggregate = runs_of(kind, name), None
    if words and words[-1] in AGGREGATES:
        *words, aggregate = words
    if not words:
        raise NoSourceError(f"there is no expression after {name}")
    *cell, expression = words
    if cell:
        table = table[table["cell"] == " ".join(cell)] if "cell" in table else table.head(0)
    try:
        values = pd.Series(table.eval(expression)).dropna()
    except Exception as error:
        raise NoSourceError(f"{expression}: {error}") from error
    if aggregate == "count" or (len(values) and aggregate):
        return float(values.agg(aggregate))
    if len(values) != 1:
        raise NoSourceError(f"{len(values)} runs of {name} have {expression}, and not one")
    return float(values.iloc[0])


@cache
def runs_of(kind: str, name: str) -> pd.DataFrame:
    """Return the table of an experiment, or of recorded runs."""
    try:
        if kind == "experiment":
            return Experiment.load(find_data("experiments", name)).frame()
        folder, _, index = name.removesuffix("]").partition("[")
        place = ("runs",) if folder == "runs" else ("lessons", folder)
        table = load_runs(find_data(*place)).frame()
        return table.iloc[[int(index)]] if index else table
    except (MigrationLabError, IndexError, ValueError) as error:
        raise NoSourceError(str(error)) from error
