"""The quick questions of the lessons: their files, and how an answer is checked."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest

from migrationlab.course.feedback import AnswerState
from migrationlab.course.lesson import Lesson
from migrationlab.course.questions import FOLDER, Question, load_questions
from migrationlab.errors import StoreError, UsageError
from paths import ROOT

LESSONS = sorted(ROOT.glob("notebooks/[01]*.ipynb"))
WRITTEN = {path.stem.removeprefix("lesson_") for path in FOLDER.glob("lesson_*.toml")}
written = pytest.mark.parametrize(
    "path", [path for path in LESSONS if path.name[:2] in WRITTEN], ids=lambda path: path.stem
)
QUESTION = """
[[question]]
text = "Who listens?"
[[question.option]]
text = "The source"
why = "It connects."
[[question.option]]
text = "Nobody"
why = "Then no memory could arrive."
[[question.option]]
text = "The destination"
right = true
why = "Its QEMU gets the memory."
"""


def load(text: str, folder: Path) -> tuple[Question, ...]:
    """Return the questions of a file with this text."""
    (folder / "lesson_77.toml").write_text(text, encoding="utf-8")
    return load_questions("77", folder)


# The files of the course


def test_files_belong_to_lessons() -> None:
    """Each file of questions has the number of a lesson."""
    assert {path.stem for path in FOLDER.iterdir()} == {f"lesson_{number}" for number in WRITTEN}
    assert {path.name[:2] for path in LESSONS} >= WRITTEN


def test_every_lesson_has_questions() -> None:
    """Each lesson has its file of questions."""
    assert {path.name[:2] for path in LESSONS} == WRITTEN


@written
def test_every_option_has_its_reason(path: Path) -> None:
    """The file is valid, and each option of each question gets its reason and no other."""
    lesson = Lesson(path.name[:2], live=False)
    for number, question in enumerate(lesson.questions(), 1):
        said = {letter: lesson.check_question(number, letter) for letter in question.options}
        assert sum(feedback.passed for feedback in said.values()) == 1
        assert len({feedback.text for feedback in said.values()}) == len(said)


@written
def test_lesson_asks_after_its_exercise(path: Path) -> None:
    """The notebook shows the questions once, between its last exercise and the summary."""
    cells = nbformat.read(path, as_version=4).cells
    asked = [i for i, cell in enumerate(cells) if cell.source.strip() == "Questions(lesson)"]
    checked = [i for i, cell in enumerate(cells) if cell.source.startswith("lesson.check(")]
    summary = [i for i, cell in enumerate(cells) if cell.source.startswith("## Summary")]
    assert [max(checked), *asked, *summary] == sorted({max(checked), *asked, *summary})
    assert (len(asked), len(summary)) == (1, 1)
    assert "## Quick questions\n" in cells[asked[0] - 1].source


# What a file must be


def test_questions_are_read(tmp_path: Path) -> None:
    """Options are in the order of the alphabet, and an answer is a letter or a text."""
    question, _ = load(QUESTION + QUESTION.replace("listens", "connects"), tmp_path)
    assert str(question) == "Who listens?\n  a) Nobody\n  b) The destination\n  c) The source"
    assert question.check("b").passed
    assert question.check(" the DESTINATION ") == question.check("B")
    assert question.check("c").state is AnswerState.WRONG
    assert question.check("c").text == "It connects."


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("right = true", "", "right must be set once (got 0 times"),
        ('"It connects."', '"It connects."\nright = true', "right must be set once (got 2 times"),
        ('why = "It connects."', "", "missing required field `why`"),
        ('"It connects."', '""', "matching regex"),
        ('"It connects."', '"It `connects`."', "matching regex"),
        ('"It connects."', '"""It\nconnects."""', "matching regex"),
        ('"Nobody"', '"the source"', "options must differ"),
        ("why", "reason", "unknown field `reason`"),
        ("right = true", 'right = "yes"', "Expected `bool`"),
        ('[[question.option]]\ntext = "Nobody"\nwhy = "Then no memory could arrive."', "", ">= 3"),
        ("[[question]]", "[[question]", "lesson_77.toml failed"),
    ],
)
def test_damaged_file_is_refused(tmp_path: Path, old: str, new: str, said: str) -> None:
    """A question without exactly one right option, or an option without a reason, is refused."""
    assert old in QUESTION
    with pytest.raises(StoreError, match=r"reading lesson_77\.toml failed") as caught:
        load(QUESTION + QUESTION.replace(old, new), tmp_path)
    assert said in str(caught.value)


@pytest.mark.parametrize("number", [1, 4])
def test_lesson_has_two_or_three_questions(tmp_path: Path, number: int) -> None:
    """Another number of questions is refused."""
    with pytest.raises(StoreError, match=r"length [<>]= \d"):
        load(QUESTION * number, tmp_path)


# Answers in a lesson


@pytest.fixture
def lesson(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lesson:
    """Return a lesson with two questions."""
    load(QUESTION * 2, tmp_path)
    monkeypatch.setattr(
        "migrationlab.course.lesson.load_questions", lambda number: load_questions(number, tmp_path)
    )
    return Lesson("77", live=False)


def test_answer_is_checked_without_a_notebook(lesson: Lesson) -> None:
    """A call returns the reason; an unreadable answer is refused with the letters."""
    assert repr(lesson.check_question(2, "a")) == "✗ Then no memory could arrive."
    assert repr(lesson.check_question(2, "b")) == "✓ Its QEMU gets the memory."
    assert lesson.check_question(1, ...).state is AnswerState.UNFINISHED
    for answer in ("d", 1, "ab"):
        refused = lesson.check_question(1, answer)
        assert (refused.state, refused.hint) == (AnswerState.WRONG, "Give one of a, b, c.")


def test_missing_question_is_reported(lesson: Lesson, tmp_path: Path) -> None:
    """A number without a question and a lesson without questions are the caller's mistakes."""
    with pytest.raises(UsageError, match=r"number must be a question of lesson 77 \(got 3\)"):
        lesson.check_question(3, "a")
    with pytest.raises(UsageError, match=r"with quick questions \(got '90'\)") as caught:
        load_questions("90", tmp_path)
    assert caught.value.hint == "Use one of 77."
