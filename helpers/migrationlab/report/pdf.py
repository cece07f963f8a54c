"""Print a page to PDF with a browser on this machine.

Nothing is downloaded or installed: without a browser there is no PDF.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

from migrationlab.errors import StoreError
from migrationlab.hosts.program import run_program
from migrationlab.runs.atomic_write import refused

#: Browsers of one family, which can print without a window (``--headless``).
BROWSERS = (
    "chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "microsoft-edge",
    "brave-browser",
)  # fmt: skip
LIMIT_S = 300


def print_page(html: str, path: Path) -> bytes:
    """Return a page as PDF.

    Args:
        html: The page, which needs no other file.
        path: The place of the PDF. The browser works beside it, because a confined browser (such
            as Ubuntu's snap) can read the user's folders, and cannot read ``/tmp``.

    Raises:
        StoreError: There is no browser, or it did not print.
    """
    browser = find()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # The name is not hidden: a confined browser could not read a hidden folder.
        with tempfile.TemporaryDirectory(dir=path.parent, prefix="printing-") as made:
            return _printed(browser, html, Path(made).resolve())
    except OSError as error:
        raise refused(f"{path} could not be written", error) from error


def find() -> str:
    """Return the path of a browser, or raise a StoreError if there is none."""
    for name in BROWSERS:
        if found := shutil.which(name):
            return found
    raise StoreError(
        "printing the report to PDF failed: this machine has no browser",
        hint="Install Chromium (on Debian: apt install chromium), or write report.html and print "
        "it on another machine.",
    )


def _printed(browser: str, html: str, folder: Path) -> bytes:
    page, printed = folder / "report.html", folder / "report.pdf"
    page.write_text(html, encoding="utf-8")
    arguments = [
        browser, "--headless", "--disable-gpu", "--no-first-run", "--no-pdf-header-footer",
        f"--user-data-dir={folder / 'profile'}", f"--print-to-pdf={printed}", page.as_uri(),
    ]  # fmt: skip
    if os.geteuid() == 0:
        # Without it, Chromium refuses to run as root. The page is our own, and loads nothing.
        arguments.insert(1, "--no-sandbox")
    result = run_program(arguments, timeout_s=LIMIT_S)
    if result.status != 0 or not printed.is_file():
        raise StoreError(
            f"printing with {browser} failed: exit status {result.status}: {result.text}",
            hint="Write report.html, and print it from a window of the browser.",
        )
    return printed.read_bytes()
