"""The first lesson in JupyterLab, driven by keyboard and mouse as a reader would.

Widget logic is tested without a browser. Here it is shown that all of it arrives on a page: with
the roles and names that a screen reader finds, and through real kernels and real hosts.
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


def test_panel_explains_migrates_cancels_and_draws(
    open_lesson: Callable[[str, str], Lesson],
) -> None:
    """A reader chooses a mode, reads the problem, starts, cancels, restarts, and sees the plot."""
    lesson = open_lesson("01_normal_and_peer2peer.ipynb", "panel")
    panel, said = lesson.played, lesson.said
    # Another one of that name steers what runs.
    bandwidth = panel.get_by_role("textbox", name="Bandwidth, MiB/s").first
    start, cancel = lesson.button("Start"), lesson.button("Cancel")
    lesson.run_all_cells(until=start)
    expect(panel.get_by_text("virsh --connect")).not_to_contain_text("--p2p")
    expect(
        panel.get_by_role("img", name="normal migration: who connects to whom", exact=True)
    ).to_be_visible()

    # Choosing the mode changes the command, the drawing, and which URI is asked for first.
    fields = panel.get_by_role("textbox", name=re.compile("URI"))
    expect(fields.first).to_have_attribute("placeholder", "tcp://host-b")
    panel.get_by_role("radio", name="peer2peer").press("Space")
    expect(panel.get_by_text("virsh --connect")).to_contain_text("--p2p")
    expect(
        panel.get_by_role("img", name="peer2peer migration: who connects to whom", exact=True)
    ).to_be_visible()
    expect(fields.first).to_have_attribute("placeholder", "qemu+ssh://root@host-b/system")

    # What is wrong is explained while it is typed, and one press puts it right.
    connection = panel.get_by_role("textbox", name="Connection URI")
    connection.press_sequentially("tcp://host-b")
    expect(said("is a migration URI")).to_be_visible()
    expect(start).to_be_disabled()
    lesson.shot("wrong")
    lesson.button("Use qemu+ssh://root@host-b/system").press("Enter")
    expect(connection).to_have_value("qemu+ssh://root@host-b/system")
    expect(start).to_be_enabled()

    # It starts, shows how far it is, and a cancel ends it; the guest stays.
    bandwidth.fill("20")
    start.press("Enter")
    expect(panel.get_by_role("progressbar")).to_be_visible()
    expect(
        panel.get_by_text(re.compile(r"iteration 1, \d+ MiB to go, [1-9]\d* MiB/s"))
    ).to_be_visible()
    lesson.shot("running")
    cancel.press("Enter")
    expect(said("guest-1: cancelled")).to_contain_text("it continues at host-a")
    expect(panel.get_by_role("cell", name="cancelled")).to_be_visible()

    # Once more, to the end: the figures come, and the next one goes back by itself.
    bandwidth.fill("")
    expect(start).to_be_enabled()
    start.press("Enter")
    expect(said("guest-1: completed")).to_contain_text("intact", timeout=20_000)
    expect(panel.get_by_role("img", name=re.compile("Bars over time"))).to_be_visible()
    expect(panel.get_by_text("Migrate guest-1: host-b → host-a")).to_be_visible()
    expect(connection).to_have_value("")
    expect(start).to_be_enabled()
    lesson.shot("done")

    # By keyboard alone: post-copy is among the settings folded away, and one press goes over.
    lesson.button("More settings").press("Enter")
    panel.get_by_role("checkbox", name="Post-copy").press("Space")
    switch = lesson.button("Switch to post-copy now")
    bandwidth.fill("20")
    start.press("Enter")
    expect(panel.get_by_role("img", name=re.compile("MiB are left to send, [1-9]"))).to_be_visible()
    switch.press("Enter")
    expect(said("Switched to post-copy")).to_be_visible()
    lesson.shot("post-copy")
    expect(said("guest-1: completed")).to_contain_text("it runs on host-a", timeout=20_000)
    expect(switch).to_be_disabled()
