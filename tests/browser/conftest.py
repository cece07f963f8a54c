"""What the browser tests share: one JupyterLab, and a fresh copy of a lesson in a fresh page.

The server is started once, for starting takes seconds. Each test has a browser and a kernel of its
own: Playwright keeps an event loop in its thread for as long as it lives, which other tests of the
same process must not meet, and with a kernel ends its lab.

Screenshots go to the folder that ``MIGRATIONLAB_SCREENSHOTS`` names, else to the test's own.
"""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import sync_playwright

from browser.pages import CHROMIUM, Lesson, Server, copied, jupyter

SCREENSHOTS = "MIGRATIONLAB_SCREENSHOTS"


@pytest.fixture(scope="session")
def jupyterlab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Keep a JupyterLab for all browser tests."""
    folder = tmp_path_factory.mktemp("notebooks")
    with jupyter(folder, tmp_path_factory.mktemp("jupyter")) as server:
        yield server


@pytest.fixture
def open_lesson(jupyterlab: Server, tmp_path: Path) -> Iterator[Callable[[str, str], Lesson]]:
    """Give a way to open a lesson up to the cell with a tag, without outputs.

    So what is seen then was made here.
    """
    shots = Path(os.environ.get(SCREENSHOTS) or tmp_path)
    shots.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright, contextlib.ExitStack() as stack:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        stack.callback(jupyterlab.end_kernels)
        stack.callback(browser.close)

        def opened(name: str, tag: str) -> Lesson:
            # Sessions and workspaces know a notebook by its path, so each has one of its own.
            folder = jupyterlab.folder / secrets.token_hex(4)
            folder.mkdir()
            page = browser.new_page(viewport={"width": 1300, "height": 1400})
            page.goto(jupyterlab.lab(copied(name, tag, folder)))
            stem = name.removesuffix(".ipynb")
            stack.callback(page.screenshot, path=shots / f"{stem}-end.png")
            return Lesson(page, shots, stem)

        yield opened


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip where there is no browser."""
    if CHROMIUM is None:
        for item in items:
            if item.get_closest_marker("browser"):
                item.add_marker(pytest.mark.skip(reason="no Chromium here"))
