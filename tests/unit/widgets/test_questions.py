"""The quick questions of a lesson on a page."""

from __future__ import annotations

import html

import pytest

from migrationlab.course.lesson import Lesson
from migrationlab.course.questions import Question, load_questions
from migrationlab.widgets import Questions

QUESTIONS = load_questions("00")


@pytest.fixture
def lesson() -> Lesson:
    """Return a lesson with questions."""
    return Lesson("00", live=False)


def letters(question: Question) -> dict[bool, str]:
    """Return the letter of the right option, and that of a wrong one."""
    return {option.right: letter for letter, option in question.options.items()}


def test_choice_shows_its_reason_in_words(lesson: Lesson) -> None:
    """A choice is marked right or wrong by a sign and a word, and can be changed."""
    asked = Questions(lesson)
    for number, question in enumerate(QUESTIONS):
        assert asked.choices[number].value is None
        assert asked.feedback[number].value == ""
        for right, words in ((False, "✗</span> Wrong."), (True, "✓</span> Right.")):
            letter = letters(question)[right]
            asked.choices[number].value = letter
            shown = asked.feedback[number].value
            assert words in shown
            assert html.escape(question.options[letter].why) in shown
            assert 'role="status"' in shown
    asked.close()


def test_saved_form_lists_questions_without_answers(lesson: Lesson) -> None:
    """HTML and text have all questions and options, and neither reasons nor feedback."""
    asked = Questions(lesson)
    asked.choices[0].value = letters(QUESTIONS[0])[True]
    saved = asked._repr_mimebundle_()
    for text in (html.unescape(saved["text/html"]), saved["text/plain"]):
        for question in QUESTIONS:
            assert question.text in text
            for letter, option in question.options.items():
                assert f"{letter}) {option.text}" in text
                assert option.why not in text
        assert "Right." not in text
    assert saved["text/plain"].startswith(f"1. {QUESTIONS[0].text}\n  a) ")
    assert "application/vnd.jupyter.widget-view+json" in saved
    assert repr(asked) == f"Questions('00', {len(QUESTIONS)})"
    asked.close()
