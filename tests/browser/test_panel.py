"""The first lesson in JupyterLab, driven by keyboard and mouse as a reader would.

Widget logic is tested without a browser. Here it is shown that all of it arrives on a page: with
the roles and names that a screen reader finds, and through real kernels and real hosts.
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import nbformat
import pytest
from playwright.sync_api import Page, expect, sync_playwright

ROOT = Path(__file__).parents[2]
LESSON = "01_normal_and_peer2peer.ipynb"
CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
SERVER_TIMEOUT_S = 60
# Up to the panel the lesson starts a lab and migrates six times.
LESSON_TIMEOUT_MS = 60_000

pytestmark = [
    pytest.mark.browser,
    pytest.mark.lab,
    pytest.mark.timeout(240),
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here"),
]


def copied_lesson(folder: Path) -> Path:
    """Copy the lesson up to its panel, without outputs: what is seen then was made here."""
    notebook = nbformat.read(ROOT / "notebooks" / LESSON, as_version=4)
    tagged = [
        i for i, cell in enumerate(notebook.cells) if "panel" in cell.metadata.get("tags", [])
    ]
    notebook.cells = notebook.cells[: tagged[0] + 1]
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    path = folder / LESSON
    nbformat.write(notebook, path)
    return path


@contextmanager
def jupyter(folder: Path, home: Path) -> Iterator[str]:
    """Keep a JupyterLab of its own for ``folder``, and give the address to open."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    token = secrets.token_hex(16)
    own = {
        name: str(home / name.lower())
        for name in (
            "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR",
            "JUPYTERLAB_SETTINGS_DIR", "JUPYTERLAB_WORKSPACES_DIR",
        )
    }  # fmt: skip
    command = [
        sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root",
        f"--ServerApp.root_dir={folder}", "--ServerApp.ip=127.0.0.1",
        f"--ServerApp.port={port}", "--ServerApp.port_retries=0",
        f"--IdentityProvider.token={token}", "--LabApp.news_url=None",
        "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
    ]  # fmt: skip
    with subprocess.Popen(
        command, env=os.environ | own, stderr=subprocess.PIPE, text=True
    ) as server:
        assert server.stderr is not None
        said = []
        for line in server.stderr:
            said.append(line)
            if "is running at" in line:
                break
        else:
            pytest.fail("JupyterLab did not start:\n" + "".join(said))
        # A pipe that nobody empties would stop the server one day.
        rest = threading.Thread(target=said.extend, args=[server.stderr])
        rest.start()
        try:
            yield f"http://127.0.0.1:{port}/lab/tree/{{}}?token={token}"
        finally:
            # It ends its kernels, and with them their labs.
            server.terminate()
            try:
                server.wait(SERVER_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                server.kill()
            rest.join()


@pytest.fixture
def page(tmp_path: Path) -> Iterator[Page]:
    """Open the lesson in a browser, and run its cells up to the panel."""
    folder = tmp_path / "notebooks"
    folder.mkdir()
    lesson = copied_lesson(folder)
    with jupyter(folder, tmp_path) as address, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1300, "height": 1400})
        page.goto(address.format(lesson.name))
        try:
            yield page
        finally:
            page.screenshot(path=tmp_path / "end.png")
            browser.close()


# Before that, JupyterLab would ask which kernel to start.
KERNEL_IS_CONNECTED = """async () => {
    const kernels = await (await fetch('/api/kernels')).json();
    return kernels.some(kernel => kernel.execution_state === 'idle' && kernel.connections > 0);
}"""


def run_all_cells(page: Page) -> None:
    """Run the notebook from top to bottom."""
    page.wait_for_function(KERNEL_IS_CONNECTED, polling=200, timeout=SERVER_TIMEOUT_S * 1000)
    # The menu acts on what has the focus.
    page.get_by_role("heading", name="1. Normal and peer2peer").click()
    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.get_by_role("menuitem", name="Run All Cells", exact=True).click()
    start = page.get_by_role("button", name="Start", exact=True)
    expect(start).to_be_visible(timeout=LESSON_TIMEOUT_MS)


def test_panel_explains_migrates_cancels_and_draws(page: Page, tmp_path: Path) -> None:
    """A reader chooses a mode, is told what is wrong, starts, cancels, starts again, and sees."""
    run_all_cells(page)
    panel = page.locator(".jp-Cell").last
    start = panel.get_by_role("button", name="Start", exact=True)
    cancel = panel.get_by_role("button", name="Cancel", exact=True)
    said = panel.get_by_role("status")
    expect(panel.get_by_text("virsh --connect")).not_to_contain_text("--p2p")
    expect(
        panel.get_by_role("img", name="normal migration: who talks to whom", exact=True)
    ).to_be_visible()

    # Choosing the mode changes the command, the drawing, and which URI is asked for first.
    fields = panel.get_by_role("textbox", name=re.compile("URI"))
    expect(fields.first).to_have_attribute("placeholder", "tcp://host-b")
    panel.get_by_role("radio", name="peer2peer").press("Space")
    expect(panel.get_by_text("virsh --connect")).to_contain_text("--p2p")
    expect(
        panel.get_by_role("img", name="peer2peer migration: who talks to whom", exact=True)
    ).to_be_visible()
    expect(fields.first).to_have_attribute("placeholder", "qemu+ssh://root@host-b/system")

    # What is wrong is explained while it is typed, and one press puts it right.
    connection = panel.get_by_role("textbox", name="Connection URI")
    connection.press_sequentially("tcp://host-b")
    expect(said.filter(has_text="is a migration URI")).to_be_visible()
    expect(start).to_be_disabled()
    panel.screenshot(path=tmp_path / "wrong.png")
    panel.get_by_role("button", name="Use qemu+ssh://root@host-b/system").press("Enter")
    expect(connection).to_have_value("qemu+ssh://root@host-b/system")
    expect(start).to_be_enabled()

    # It starts, shows how far it is, and a cancel ends it; the guest stays.
    panel.get_by_role("textbox", name="Bandwidth, MiB/s").fill("20")
    start.press("Enter")
    expect(panel.get_by_role("progressbar")).to_be_visible()
    expect(panel.get_by_text(re.compile(r"pass 1, \d+ MiB to go, [1-9]\d* MiB/s"))).to_be_visible()
    panel.screenshot(path=tmp_path / "running.png")
    cancel.press("Enter")
    expect(said.filter(has_text="guest-1: cancelled")).to_contain_text("it goes on at host-a")
    expect(panel.get_by_role("cell", name="cancelled")).to_be_visible()

    # Once more, to the end: the figures come, and the next one goes back by itself.
    panel.get_by_role("textbox", name="Bandwidth, MiB/s").fill("")
    expect(start).to_be_enabled()
    start.press("Enter")
    expect(said.filter(has_text="guest-1: completed")).to_contain_text("intact", timeout=20_000)
    expect(panel.get_by_role("img", name=re.compile("Bars over time"))).to_be_visible()
    expect(panel.get_by_text("Migrate guest-1: host-b → host-a")).to_be_visible()
    expect(connection).to_have_value("")
    expect(start).to_be_enabled()
    panel.screenshot(path=tmp_path / "done.png")
