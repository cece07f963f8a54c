"""A JupyterLab of the tests' own, and a lesson that is open in it in a real Chromium."""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
import socket
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import nbformat
import pytest
from playwright.sync_api import Locator, Page, expect

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"
CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
SERVER_TIMEOUT_S = 60
# Up to the cell that is played with, a lesson starts a lab and migrates some times.
LESSON_TIMEOUT_MS = 90_000
# A kernel beside other tests can take seconds for what it usually answers at once.
expect.set_options(timeout=15_000)
# Before that, JupyterLab would ask which kernel to start.
KERNEL_IS_CONNECTED = """async () => {
    const kernels = await (await fetch('/api/kernels')).json();
    return kernels.some(kernel => kernel.execution_state === 'idle' && kernel.connections > 0);
}"""


@dataclass(frozen=True)
class Server:
    """A JupyterLab of the tests' own.

    Attributes:
        folder: The folder whose notebooks it shows.
        address: Where it listens.
        token: What it wants to be told.
    """

    folder: Path
    address: str
    token: str

    def lab(self, path: Path) -> str:
        """Return the address at which a notebook is opened, and nothing else.

        In a workspace of its own: else JupyterLab opens what was open when it was left.
        """
        place = path.relative_to(self.folder)
        workspace = f"{self.address}/lab/workspaces/{secrets.token_hex(4)}"
        return f"{workspace}/tree/{place}?token={self.token}"

    def end_kernels(self) -> None:
        """End all kernels, and with them their labs."""
        for kernel in json.loads(self._ask("GET", "/api/kernels")):
            self._ask("DELETE", f"/api/kernels/{kernel['id']}")

    def _ask(self, method: str, path: str) -> bytes:
        headers = {"Authorization": f"token {self.token}"}
        asked = urllib.request.Request(self.address + path, method=method, headers=headers)
        with urllib.request.urlopen(asked, timeout=SERVER_TIMEOUT_S) as answer:
            read: bytes = answer.read()
            return read


@dataclass(frozen=True)
class Lesson:
    """A lesson that is open in a browser.

    Attributes:
        page: The page.
        shots: Where screenshots go.
        name: The lesson's name, without its ending.
    """

    page: Page
    shots: Path
    name: str

    @property
    def played(self) -> Locator:
        """Return the last cell, which is played with."""
        return self.page.locator(".jp-Cell").last

    def run_all_cells(self, until: Locator) -> None:
        """Run the notebook from top to bottom by the menu, until something can be seen."""
        page = self.page
        page.wait_for_function(KERNEL_IS_CONNECTED, polling=200, timeout=SERVER_TIMEOUT_S * 1000)
        expect(page.get_by_role("button", name="| Idle")).to_be_visible(timeout=LESSON_TIMEOUT_MS)
        # The menu acts on what has the focus.
        page.get_by_role("heading", level=1).first.click()
        page.get_by_role("menuitem", name="Run", exact=True).click()
        page.get_by_role("menuitem", name="Run All Cells", exact=True).click()
        expect(until).to_be_visible(timeout=LESSON_TIMEOUT_MS)

    def button(self, name: str) -> Locator:
        """Return a button of the cell that is played with."""
        return self.played.get_by_role("button", name=name, exact=True)

    def said(self, text: str | re.Pattern[str]) -> Locator:
        """Return the message that says something, as a screen reader would read it out."""
        return self.played.get_by_role("status").filter(has_text=text)

    def shot(self, what: str) -> None:
        """Keep a picture of the cell that is played with."""
        self.played.screenshot(path=self.shots / f"{self.name}-{what}.png")


@contextmanager
def jupyter(folder: Path, home: Path) -> Iterator[Server]:
    """Keep a JupyterLab of its own for ``folder``; its settings and sessions are in ``home``."""
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
            yield Server(folder, f"http://127.0.0.1:{port}", token)
        finally:
            # It ends its kernels, and with them their labs.
            server.terminate()
            try:
                server.wait(SERVER_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                server.kill()
            rest.join()


def copied(name: str, tag: str, folder: Path) -> Path:
    """Copy a lesson up to the cell with a tag, without outputs: what is seen then was made here."""
    notebook = nbformat.read(NOTEBOOKS / name, as_version=4)
    tagged = [i for i, cell in enumerate(notebook.cells) if tag in cell.metadata.get("tags", [])]
    notebook.cells = notebook.cells[: tagged[0] + 1]
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    path = folder / name
    nbformat.write(notebook, path)
    return path
