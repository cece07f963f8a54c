"""The numbers in the prose are those of the outputs and recorded runs beside it."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest

from notebooks.prose import NOTEBOOKS, PAPERS, Passage, name, passages
from notebooks.quoted_numbers import agree, problems

OUTPUT = "auto-converge  27400\nzstd            1836\nguest-1 saw −53.25 ms, 0.25 s"


@pytest.mark.parametrize("path", [*PAPERS, *NOTEBOOKS], ids=name)
def test_quoted_numbers_are_those_of_their_sources(path: Path) -> None:
    """Each marked number agrees, to its digits, with the named output or runs."""
    wrong = [problem for passage in passages(path) for problem in problems(passage)]
    assert not wrong, "\n".join(wrong)


@pytest.fixture
def notebook(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a notebook with one output."""
    path = tmp_path / "one.ipynb"
    cell = nbformat.v4.new_code_cell("…", id="06-47")
    cell.outputs = [
        nbformat.v4.new_output("stream", text=OUTPUT),
        nbformat.v4.new_output(
            "display_data", {"text/html": '<img src="data:image/png;base64,9" alt="344 ms &gt; 1">'}
        ),
    ]
    nbformat.write(nbformat.v4.new_notebook(cells=[cell]), path)
    monkeypatch.setattr("notebooks.prose.ROOT", tmp_path)
    return path


@pytest.mark.parametrize(
    "text",
    [
        "It took <!--# 06-47 -->1,836 ms.",
        "It took <!--# 06-47 zstd -->**1836** ms.",
        "It took **<!--# 06-47 auto-converge /1000 -->27 s**, `<!--# 99 -->5`.",
        "| a |\n|---|\n| <!--# 06-47 -->-53.2 |",
        "The figure has <!--# 06-47 -->344 ms.",
        "A quarter is <!--# 06-47 *100 -->25 %.",
        "Six runs: <!--# run:runs call_ms count -->6.",
        "There are <!--# experiment:fixes auto-converge total_ms count -->4 runs.",
    ],
)
def test_right_number_is_accepted(notebook: Path, text: str) -> None:
    """A number may be rounded, scaled, bold, and in a table or the text of a picture."""
    assert list(problems(Passage(notebook, "06-48", text))) == []


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("It took <!--# 06-47 zstd -->1,837 ms.", "must be followed by 1836 (got 1,837)"),
        ("It took <!--# 06-47 zstd /1000 -->1.9 s.", "must be followed by 1.836 (got 1.9)"),
        ("It took <!--# 06-47 -->53 ms.", "-53.25"),
        ("It took <!--# 06-47 -->9 ms.", "(got 9)"),
        ("It was guest-<!--# 06-47 guest -->1.", "must be followed by -53.25 or 0.25"),
        ("It took <!--# 06-47 zstd -->long.", "(got 'long.')"),
        ("It took <!--# 06-47 zstd -->", "(got '')"),
        ("It took <!--# 06-47 zstd --> 1836 ms", "(got ' 1836 ms')"),
        ("It took <!--# 06-47 xbzrle -->3 ms.", "a number, and there is none"),
        ("It took <!--# 06-48 -->3 ms.", "has no code cell '06-48'"),
        ("It took <!--# -->3 ms.", "has no code cell ''"),
        ("<!--# 06-47 zstd -->1836 ms.", "must not begin a line"),
        ("It took\n<!--# 06-47 zstd -->1836 ms.", "must not begin a line"),
        ("In <!--# run:runs call_ms count -->7.", "must be followed by 6 (got 7)"),
        ("In <!--# run:runs call_ms -->7.", "6 runs of runs have call_ms, and not one"),
        ("In <!--# run:runs[9] call_ms -->7.", "must name a source"),
        ("In <!--# run:nowhere call_ms -->7.", "data/lessons/nowhere does not exist"),
        ("In <!--# run:05-limit -->7.", "no expression after 05-limit"),
        ("In <!--# run:05-limit no_such_ms -->7.", "no_such_ms"),
        ("In <!--# run:05-limit call_ms/ -->7.", "must name a source"),
        ("In <!--# experiment:fixes nobody call_ms median -->7.", "0 runs of fixes"),
    ],
)
def test_wrong_number_and_missing_source_are_found(notebook: Path, text: str, said: str) -> None:
    """What is wrong is reported with its place and the expected value."""
    (problem,) = problems(Passage(notebook, "06-48", text))
    assert problem.startswith("one.ipynb 06-48: ")
    assert said in problem


@pytest.mark.parametrize(
    ("quoted", "number", "same"),
    [
        ("27", 27.4, True), ("27", 27.5, True), ("27", 27.6, False), ("27.0", 27.4, False),
        ("0.44", 0.436, True), ("0.436", 0.44, False), ("1,836", 1836.2, True),
        ("−53", -53.0, True), ("53", -53.0, False),
    ],
)  # fmt: skip
def test_numbers_agree_to_the_quoted_digits(quoted: str, number: float, same: bool) -> None:
    """The source's number is rounded to the digits of the quoted one."""
    assert agree(quoted, number) is same
