"""Lessons 04 and 06 in JupyterLab, up to their widgets, played with as a reader would.

What the widgets do is tested without a browser. Here: that a lesson runs from its top to its
widget by a click, and that the widget can then be used by keyboard, by the names that a screen
reader finds, on real hosts.
"""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import expect

from browser.pages import Lesson

pytestmark = [
    pytest.mark.browser,
    pytest.mark.lab,
    pytest.mark.timeout(240),
    pytest.mark.xdist_group("browser"),  # in one process, for they share a JupyterLab
]
#: What is heard of a migration while memory is sent.
PASS = re.compile(r"pass \d+, \d+ MiB to go, [1-9]\d* MiB/s")
OVER_TIMEOUT_MS = 30_000


def test_downtimes_are_measured_cancelled_and_shown(
    open_lesson: Callable[[str, str], Lesson],
) -> None:
    """In lesson 04 a limit is set and a migration begun, cancelled, begun again, and read."""
    lesson = open_lesson("04_downtime.ipynb", "panel")
    panel, said = lesson.played, lesson.said
    start = lesson.button("Start")
    lesson.run_all_cells(until=start)

    panel.get_by_role("radio", name="peer2peer").press("Space")
    limit = panel.get_by_role("textbox", name="Max downtime, ms").first
    bandwidth = panel.get_by_role("textbox", name="Bandwidth, MiB/s").first
    limit.fill("500")
    bandwidth.fill("20")
    start.press("Enter")
    expect(panel.get_by_text(PASS)).to_be_visible(timeout=OVER_TIMEOUT_MS)
    lesson.shot("running")
    lesson.button("Cancel").press("Enter")
    expect(said("cancelled after")).to_contain_text("it continues at", timeout=OVER_TIMEOUT_MS)

    bandwidth.fill("")
    expect(start).to_be_enabled()
    start.press("Enter")
    expect(said("completed in")).to_contain_text("intact", timeout=OVER_TIMEOUT_MS)
    # The figure tells each of the four numbers, also to who cannot see it.
    downtimes = re.compile(r"requested 500 ms, reported \d+ ms, event \d+ ms, network \d+ ms")
    expect(panel.get_by_role("img", name=downtimes).first).to_be_visible()
    expect(panel.get_by_role("cell", name="cancelled")).to_be_visible()
    expect(panel.get_by_role("cell", name="completed")).to_be_visible()
    expect(start).to_be_enabled()
    lesson.shot("done")


def test_convergence_is_foretold_tried_cancelled_and_tried_again(
    open_lesson: Callable[[str, str], Lesson],
) -> None:
    """In lesson 06 the model says what will be, and a migration for real shows it."""
    lesson = open_lesson("06_will_it_finish.ipynb", "playground")
    playground, said = lesson.played, lesson.said
    start, cancel = lesson.button("Try it for real"), lesson.button("Cancel")
    lesson.run_all_cells(until=start)
    written = playground.get_by_role("spinbutton", name="Written by the guest, MiB/s")
    wire = playground.get_by_role("spinbutton", name="Wire, Mbit/s")

    # What is typed is said in words and drawn; the arrow keys move field and slider alike.
    wire.fill("250")
    wire.press("Enter")
    written.fill("75")
    written.press("ArrowUp")
    expect(said("It does not end: the guest writes 80 MiB/s")).to_be_visible()
    expect(playground.get_by_role("img", name=re.compile("never ends by itself"))).to_be_visible()
    slider = playground.get_by_role("slider").first
    expect(slider).to_have_attribute("aria-valuenow", "80.0")
    slider.press("ArrowLeft")
    expect(said("the guest writes 75 MiB/s")).to_be_visible()
    expect(playground.get_by_role("table", name="The recorded runs nearest")).to_be_visible()
    lesson.shot("foretold")

    # For real it gets nowhere either, until it is cancelled; and that is a point of the figure.
    start.press("Enter")
    expect(playground.get_by_text(PASS)).to_be_visible(timeout=OVER_TIMEOUT_MS)
    expect(start).to_be_disabled()
    lesson.shot("running")
    cancel.press("Enter")
    expect(said("cancelled after")).to_be_visible(timeout=OVER_TIMEOUT_MS)
    expect(playground.get_by_role("img", name=re.compile("1 cancelled"))).to_be_visible()

    # With less to write and more wire it ends, as it is told to.
    written.fill("20")
    wire.fill("1000")
    wire.press("Enter")
    expect(said("It ends, after")).to_be_visible()
    expect(start).to_be_enabled()
    start.press("Enter")
    expect(said("completed in")).to_contain_text("intact", timeout=OVER_TIMEOUT_MS)
    own = playground.get_by_role("table", name="Your own runs")
    expect(own.get_by_role("cell", name=re.compile("^completed"))).to_be_visible()
    lesson.shot("done")
