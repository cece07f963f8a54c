"""What the tests of the lab's parts share; none of them starts a lab."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture
def cache(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Give migrationlab an empty cache of the test's own.

    Not in pytest's own folder, whose path can be too long for the sockets of a lab.
    """
    with tempfile.TemporaryDirectory(dir="/tmp", prefix="mlab-") as name:
        monkeypatch.setenv("XDG_CACHE_HOME", name)
        yield Path(name) / "migrationlab"


@pytest.fixture
def first_on_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give a folder that is looked in first for programs."""
    folder = tmp_path / "first"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder), prepend=":")
    return folder
