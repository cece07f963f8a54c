"""A reader who closes a notebook leaves no lab behind."""

from __future__ import annotations

import re
from collections.abc import Callable

import psutil
import pytest
from playwright.sync_api import expect

from browser.pages import Lesson

pytestmark = [
    pytest.mark.browser,
    pytest.mark.lab,
    pytest.mark.timeout(240),
    pytest.mark.xdist_group("browser"),
]
TIMEOUT_S = 30


def test_closing_a_notebook_ends_its_lab(open_lesson: Callable[[str, str], Lesson]) -> None:
    """Closing a notebook's tab ends its kernel and the hosts, guests and networks of its lab."""
    lesson = open_lesson("02_the_lab_taken_apart.ipynb", "lab")
    steps = lesson.played.get_by_role("status")
    lesson.run_all_cells(until=steps.filter(has_text=re.compile(r"✓ booting guest-1")))
    # A lab bears the number of the process that it belongs to.
    named = re.search(r"lab-(\d+)-", steps.inner_text())
    assert named is not None
    kernel = psutil.Process(int(named[1]))
    running = [kernel, *kernel.children(recursive=True)]
    assert any("qemu" in process.name() for process in running)

    lesson.page.locator(".jp-NotebookPanel").first.wait_for()
    lesson.page.locator(".lm-DockPanel .lm-mod-current .lm-TabBar-tabCloseIcon").click()
    lesson.page.get_by_role("button", name=re.compile("^(Discard|Close without)")).click()
    expect(lesson.page.locator(".jp-NotebookPanel")).to_have_count(0)
    _, left = psutil.wait_procs(running, timeout=TIMEOUT_S)
    assert left == []
