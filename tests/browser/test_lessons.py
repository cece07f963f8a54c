"""Lessons 04 and 06 in JupyterLab, up to their widgets, used as a reader uses them.

Other tests prove what the widgets do without a browser. These prove that one click runs a lesson
from its top to its widget, and that the widget then works by keyboard, by the names that a screen
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
#: The progress of a migration while memory is sent.
ITERATION = re.compile(r"iteration \d+, \d+ MiB to go, [1-9]\d* MiB/s")
OVER_TIMEOUT_MS = 30_000


@pytest.mark.thorough
def test_downtimes_are_measured_cancelled_and_shown(
    open_lesson: Callable[[str, str], Lesson],
) -> None:
    """In lesson 04 a reader sets a limit, starts a migration, cancels it, and starts it again."""
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
    expect(panel.get_by_text(ITERATION)).to_be_visible(timeout=OVER_TIMEOUT_MS)
    lesson.shot("running")
    lesson.button("Cancel").press("Enter")
    expect(said("cancelled after")).to_contain_text("it continues at", timeout=OVER_TIMEOUT_MS)

    bandwidth.fill("")
    expect(start).to_be_enabled()
    start.press("Enter")
    expect(said("completed in")).to_contain_text("intact", timeout=OVER_TIMEOUT_MS)
    # The figure's alternative text has each of the four numbers.
    downtimes = re.compile(r"requested 500 ms, reported \d+ ms, event \d+ ms, network \d+ ms")
    expect(panel.get_by_role("img", name=downtimes).first).to_be_visible()
    expect(panel.get_by_role("cell", name="cancelled")).to_be_visible()
    expect(panel.get_by_role("cell", name="completed")).to_be_visible()
    expect(start).to_be_enabled()
    lesson.shot("done")


@pytest.mark.thorough
def test_convergence_is_forecast_tried_cancelled_and_tried_again(
    open_lesson: Callable[[str, str], Lesson],
) -> None:
    """In lesson 06 the model makes a forecast, and a real migration confirms it."""
    lesson = open_lesson("06_will_it_finish.ipynb", "playground")
    playground, said = lesson.played, lesson.said
    start, cancel = lesson.button("Try it for real"), lesson.button("Cancel")
    lesson.run_all_cells(until=start)
    written = playground.get_by_role("spinbutton", name="Written by the guest, MiB/s")
    wire = playground.get_by_role("spinbutton", name="Wire, Mbit/s")

    # The forecast follows what is typed; the arrow keys move field and slider.
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
    lesson.shot("forecast")

    # The real one does not end either, until it is cancelled; it is a point of the figure.
    start.press("Enter")
    expect(playground.get_by_text(ITERATION)).to_be_visible(timeout=OVER_TIMEOUT_MS)
    expect(start).to_be_disabled()
    lesson.shot("running")
    cancel.press("Enter")
    expect(said("cancelled after")).to_be_visible(timeout=OVER_TIMEOUT_MS)
    expect(playground.get_by_role("img", name=re.compile("1 cancelled"))).to_be_visible()

    # With less to write and a faster wire it ends.
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
