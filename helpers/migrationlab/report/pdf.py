"""Print a page to PDF with a browser that is installed on this machine.

Without a browser there is no PDF: nothing is fetched or installed.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

from migrationlab.errors import StoreError
from migrationlab.hosts.program import run_program

#: All of one family, which can print without a window (``--headless``).
BROWSERS = (
    "chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "microsoft-edge",
    "brave-browser",
)  # fmt: skip
LIMIT_S = 300


def print_page(html: str, path: Path) -> bytes:
    """Return a page as PDF.

    Args:
        html: The page, which needs no other file.
        path: Where the PDF is to be: beside it the browser works, since one that is confined (as
            Ubuntu's snap is) sees the user's folders and no ``/tmp``.

    Raises:
        StoreError: There is no browser, or it did not print.
    """
    browser = find()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # No hidden name either: a confined browser would not see that.
        with tempfile.TemporaryDirectory(dir=path.parent, prefix="printing-") as made:
            return _printed(browser, html, Path(made).resolve())
    except OSError as error:
        raise StoreError(
            f"{path} could not be written: {error.strerror or error}",
            hint="Free some space there, or choose a place that you may write to.",
        ) from error


def find() -> str:
    """Return the browser that there is.

    Raises:
        StoreError: There is none.
    """
    for name in BROWSERS:
        if found := shutil.which(name):
            return found
    raise StoreError(
        "no browser is here to print the report to PDF",
        hint="Install Chromium (on Debian: apt install chromium), or write report.html and print "
        "it elsewhere.",
    )


def _printed(browser: str, html: str, folder: Path) -> bytes:
    page, printed = folder / "report.html", folder / "report.pdf"
    page.write_text(html, encoding="utf-8")
    arguments = [
        browser, "--headless", "--disable-gpu", "--no-first-run", "--no-pdf-header-footer",
        f"--user-data-dir={folder / 'profile'}", f"--print-to-pdf={printed}", page.as_uri(),
    ]  # fmt: skip
    if os.geteuid() == 0:
        # Chromium refuses to run as root otherwise; the page is our own, and loads nothing.
        arguments.insert(1, "--no-sandbox")
    result = run_program(arguments, timeout_s=LIMIT_S)
    if result.status != 0 or not printed.is_file():
        raise StoreError(
            f"{browser} did not print the report (exit status {result.status}): {result.text}",
            hint="Write report.html, and print it from a browser's window.",
        )
    return printed.read_bytes()
