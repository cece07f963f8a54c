"""A quick question of lesson 00 in JupyterLab, answered by keyboard."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import expect

from browser.pages import Lesson

pytestmark = [
    pytest.mark.browser,
    pytest.mark.timeout(240),
    pytest.mark.xdist_group("browser"),  # in one process, for they share a JupyterLab
]


def test_question_is_answered_by_keyboard(open_lesson: Callable[[str, str], Lesson]) -> None:
    """A reader chooses a wrong option, reads the reason, and moves on to the right one."""
    lesson = open_lesson("00_start_here.ipynb", "questions")
    closing = lesson.played.get_by_role("radio", name="a) Closing the browser")
    lesson.run_all_cells(until=closing)
    expect(lesson.played.get_by_role("radio", checked=True)).to_have_count(0)
    expect(lesson.played.get_by_role("status")).to_have_count(0)

    keyboard = lesson.page.keyboard
    closing.press("Space")
    expect(lesson.said("✗ Wrong. The kernel runs on without a browser")).to_be_visible()
    keyboard.press("Tab")
    keyboard.press("Space")
    expect(lesson.said("✗ Wrong. An interrupt ends the running cell")).to_be_visible()
    keyboard.press("Tab")
    keyboard.press("Space")
    expect(lesson.said("✓ Right. The lab belongs to the kernel")).to_be_visible()
    expect(lesson.played.get_by_role("radio", checked=True)).to_have_count(1)
    expect(lesson.played.get_by_role("status")).to_have_count(1)
    lesson.shot("answered")
