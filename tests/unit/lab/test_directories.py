"""Tests of migrationlab's folders: only this user's, with paths short enough for sockets."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from migrationlab.errors import LabError
from migrationlab.lab import directories


def test_folders_are_made_for_this_user_only(cache: Path) -> None:
    """Both folders are made, and no other user may enter them."""
    assert directories.cache() == cache
    assert directories.labs() == cache / "labs"
    for path in (cache, cache / "labs"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o700


@pytest.mark.parametrize("mode", [0o770, 0o707])
def test_folder_that_others_may_write_to_is_refused(cache: Path, mode: int) -> None:
    """The error names a folder that others may write to, and the hint says how to fix it."""
    directories.cache().chmod(mode)
    with pytest.raises(LabError, match="must be a folder that only this user owns") as caught:
        directories.labs()
    assert str(cache) in str(caught.value)
    assert f"chmod 700 {cache}" in caught.value.hint


def test_symbolic_link_is_refused(cache: Path, tmp_path: Path) -> None:
    """A symbolic link in the folder's place is not followed."""
    (directories.cache() / "labs").symlink_to(tmp_path)
    with pytest.raises(LabError, match="must be a folder that only this user owns"):
        directories.labs()


def test_path_too_long_for_sockets_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A cache folder with too long a path is refused, and the hint says what to set."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / ("deep" * 20)))
    with pytest.raises(LabError, match="must have a path of at most") as caught:
        directories.labs()
    assert "XDG_CACHE_HOME" in caught.value.hint


def test_longest_socket_path_is_allowed(cache: Path) -> None:
    """In the longest folder that is accepted, libvirtd's longest socket path is short enough."""
    deepest = (
        Path("/" + (directories.LONGEST - 1) * "x") / (31 * "n") / "host-a/run/libvirt-sock-ro"
    )
    assert len(str(deepest)) == 107


@pytest.mark.parametrize("where", ["a-file", "a-file/beneath"])
def test_cache_that_cannot_be_made_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    """Where the cache folder cannot be made, the error has a hint."""
    (tmp_path / "a-file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / where))
    with pytest.raises(LabError) as caught:
        directories.cache()
    assert caught.value.hint
