"""Tests of changes to a host: all are undone, with the original files of the lab's folder."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from migrationlab.errors import LabError
from migrationlab.lab import host_config
from migrationlab.lab.host_changes import Change, original, undo_all
from migrationlab.lab.layout import LabFiles


def test_all_changes_are_undone_that_can_be() -> None:
    """A failure does not stop the undoing of later changes; the error names each failure."""
    done: list[str] = []

    def undo(name: str) -> None:
        if name in ("b", "d"):
            raise LabError(f"failure of {name}")
        done.append(name)

    changes = [Change(make=list, undo=partial(undo, name)) for name in "abcde"]
    with pytest.raises(LabError, match="failure of b; failure of d") as caught:
        undo_all(changes)
    assert caught.value.hint
    assert done == ["a", "c", "e"]


@pytest.fixture
def site(tmp_path: Path) -> Any:
    """Return the part of a lab that knows its files."""
    files = LabFiles(tmp_path)
    host_config.write(files)
    return SimpleNamespace(files=files)


@pytest.mark.parametrize(
    ("path", "kept"),
    [
        ("etc/libvirt/qemu.conf", "etc/libvirt/qemu.conf"),
        ("root/.ssh/known_hosts", "ssh/known_hosts"),
    ],
)
def test_original_text_is_in_the_labs_folder(site: Any, path: str, kept: str) -> None:
    """The original text of a host's file is read from the lab's folder."""
    directory = site.files.host("host-b").directory
    assert original(site, "host-b", path) == (directory / kept).read_text() != ""


def test_file_without_original_is_refused(site: Any) -> None:
    """A file that the lab did not write has no original text."""
    with pytest.raises(ValueError, match=r"path must be below .* \(got 'var/log"):
        original(site, "host-b", "var/log/messages")
