"""Files of folders from anybody: only regular ones are opened, and none is emptied."""

from __future__ import annotations

import io
import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from fake_experiments import two_modes
from migrationlab.errors import StoreError, UsageError
from migrationlab.experiment import folder as folders
from migrationlab.experiment.experiment import Experiment
from migrationlab.runs.run import Run
from migrationlab.runs.safe_files import open_file, read_file
from migrationlab.runs.store import load_run, load_runs, save_run

Make = Callable[[Path], None]


def _link(path: Path) -> None:
    path.symlink_to(path.with_name("precious"))


def _hard_link(path: Path) -> None:
    path.hardlink_to(path.with_name("precious"))


def _socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(str(path))


TRAPS = {"link": _link, "FIFO": os.mkfifo, "folder": Path.mkdir, "socket": _socket}


@pytest.fixture
def precious(tmp_path: Path) -> Path:
    """Give a file that no test may change."""
    path = tmp_path / "precious"
    path.write_text("precious")
    return path


@pytest.mark.parametrize("trap", TRAPS.values(), ids=TRAPS)
def test_only_regular_files_are_read(tmp_path: Path, precious: Path, trap: Make) -> None:
    """A link, a FIFO, a folder and a socket are refused, and do not block."""
    trap(tmp_path / "trap")
    with pytest.raises(OSError, match=r"link|regular"):
        read_file(tmp_path / "trap", 100)
    assert read_file(precious, 100) == b"precious"


def test_device_is_refused() -> None:
    """A device is refused, also where the user named it; an endless one is not read."""
    with pytest.raises(OSError, match="not a regular file"):
        read_file(Path("/dev/zero"), 100, follow=True)


def test_link_that_the_user_named_is_followed(tmp_path: Path, precious: Path) -> None:
    """A user may name a file by a link to it."""
    _link(tmp_path / "link")
    assert read_file(tmp_path / "link", 100, follow=True) == b"precious"


def test_large_file_is_refused(precious: Path) -> None:
    """A file above the limit is refused."""
    with pytest.raises(OSError, match="at most"):
        read_file(precious, 7)


def test_name_with_nul_is_an_error(tmp_path: Path) -> None:
    """A path with a NUL is an error of the system, as any other path that cannot be."""
    with pytest.raises(OSError, match="no path has such a character"):
        open_file(tmp_path / "a\0b")


@pytest.mark.parametrize("trap", [_link, _hard_link, os.mkfifo])
@pytest.mark.parametrize("name", [".lock", folders.BEGUN])
def test_no_file_outside_is_changed(tmp_path: Path, precious: Path, trap: Make, name: str) -> None:
    """A lock and a list of starts that lead outside are refused; the file there is unchanged."""
    trap(tmp_path / name)
    with pytest.raises(StoreError), folders.locked(tmp_path):
        folders.record_start(tmp_path, 1)
    assert precious.read_text() == "precious"


def test_lock_keeps_its_content(tmp_path: Path) -> None:
    """A lock file is locked, and not emptied."""
    (tmp_path / ".lock").write_text("precious")
    with folders.locked(tmp_path):
        pass
    assert (tmp_path / ".lock").read_text() == "precious"


@pytest.mark.parametrize("name", ["run.json", "events.parquet"])
@pytest.mark.parametrize("trap", [_link, os.mkfifo])
def test_run_with_a_trap_is_left_out(
    tmp_path: Path, precious: Path, make_run: Callable[..., Run], trap: Make, name: str
) -> None:
    """A link or a FIFO in the place of a run's file makes this run unreadable, not the others."""
    good, bad = (save_run(make_run(number=number), tmp_path / "runs") for number in (1, 2))
    (bad / name).unlink()
    (bad / "precious").write_bytes((good / name).read_bytes())
    trap(bad / name)
    found = load_runs(tmp_path / "runs", strict=False)
    assert [run.run_id for run in found] == [good.name]
    assert set(found.unreadable) == {bad.name}
    assert precious.exists()


def test_linked_folder_is_left_out(tmp_path: Path, make_run: Callable[..., Run]) -> None:
    """A folder of a run that is a link is left out, unless the user names this run."""
    place = save_run(make_run(), tmp_path / "elsewhere")
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs/linked").symlink_to(place)
    assert "link" in load_runs(tmp_path / "runs", strict=False).unreadable["linked"]
    assert load_run(tmp_path / "runs/linked").run_id == place.name


def test_linked_folder_of_runs_is_refused(tmp_path: Path) -> None:
    """The folder of an experiment's runs must not be a link."""
    experiment = two_modes(tmp_path / "new")
    folders.write_manifest(experiment.directory, experiment.manifest)
    (experiment.directory / "runs").symlink_to(tmp_path)
    with pytest.raises(StoreError, match="link"):
        _ = Experiment.load(experiment.directory).runs


def test_rows_must_be_as_many_as_listed(
    tmp_path: Path, make_run: Callable[..., Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run whose list names more rows than the limit is refused before a table is read."""
    place = save_run(make_run(), tmp_path)
    monkeypatch.setattr("migrationlab.runs.parquet.MAX_ROWS", 1)
    with pytest.raises(StoreError, match="the limit is 1"):
        load_run(place)


@pytest.mark.parametrize("trap", [os.mkfifo, Path.mkdir])
def test_design_that_is_no_file_is_refused(tmp_path: Path, trap: Make) -> None:
    """A FIFO or a folder instead of a TOML file is refused, and does not block."""
    trap(tmp_path / "design.toml")
    with pytest.raises(UsageError):
        Experiment.load(tmp_path / "design.toml")


def test_file_that_waits_for_news_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """/proc/kmsg is regular, and a read that does not wait finds nothing in it."""

    class Waits(io.BytesIO):
        def read(self, _size: int | None = -1) -> bytes:
            return None  # type: ignore[return-value]  # as a raw file's read

    path = tmp_path / "kmsg"
    path.touch()

    def opened(descriptor: int, _mode: str) -> Waits:
        os.close(descriptor)
        return Waits()

    monkeypatch.setattr(os, "fdopen", opened)
    with pytest.raises(OSError, match="not a regular file"):
        read_file(path, 10)
