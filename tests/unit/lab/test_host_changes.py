"""Changes to a host that are taken back: all of them, and from what the lab's folder kept."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from migrationlab.errors import LabError
from migrationlab.lab import host_config
from migrationlab.lab.host_changes import original, undo_all
from migrationlab.lab.layout import LabFiles


@dataclass
class Noted:
    """A change that notes what was asked of it, and may refuse."""

    refuses: str = ""
    done: list[str] = field(default_factory=list)

    def make(self, site: Any) -> None:
        """Note that it was made."""
        self.done.append("made")

    def undo(self, site: Any) -> None:
        """Note that it was taken back, or refuse."""
        if self.refuses:
            raise LabError(self.refuses)
        self.done.append("undone")


def test_one_that_fails_keeps_none_from_being_undone() -> None:
    """Every change is taken back that can be, and the error names each that can't."""
    changes = (Noted(), Noted("first"), Noted(), Noted("second"), Noted())
    with pytest.raises(LabError, match="first; second") as caught:
        undo_all(SimpleNamespace(), changes)
    assert caught.value.hint
    assert [change.done for change in changes] == [["undone"], [], ["undone"], [], ["undone"]]


@pytest.fixture
def site(tmp_path: Path) -> Any:
    """Give as much of a lab as knows its files."""
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
def test_what_a_file_said(site: Any, path: str, kept: str) -> None:
    """What a host's file said at the start is found in the lab's folder."""
    directory = site.files.host("host-b").directory
    assert original(site, "host-b", path) == (directory / kept).read_text() != ""


def test_a_file_that_nobody_kept(site: Any) -> None:
    """A file that the lab did not write cannot be given back."""
    with pytest.raises(ValueError, match=r"path must be below .* \(got 'var/log"):
        original(site, "host-b", "var/log/messages")
