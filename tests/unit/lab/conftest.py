"""Fixtures of the tests of the lab's modules; none of them starts a lab."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from migrationlab.lab import image


@pytest.fixture
def cache(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Set an empty cache folder for the test, where no expired mirror is accepted; yield it.

    Not in pytest's own folder, whose path can be too long for the sockets of a lab.
    """
    with tempfile.TemporaryDirectory(dir="/tmp", prefix="mlab-") as name:
        monkeypatch.setenv("XDG_CACHE_HOME", name)
        monkeypatch.delenv(image.EXPIRED_VARIABLE, raising=False)
        yield Path(name) / "migrationlab"


@pytest.fixture
def first_on_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder that is the first of PATH."""
    folder = tmp_path / "first"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder), prepend=":")
    return folder
