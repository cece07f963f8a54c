"""Tests of running programs, and of the commands that make and enter namespaces."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from migrationlab.errors import LabError
from migrationlab.lab import namespaces


def test_run_returns_the_output() -> None:
    """A program reads the given text, and its output is returned."""
    assert namespaces.run(["cat"], text="Größe\n") == "Größe\n"


def test_run_bytes_works_in_a_folder(tmp_path: Path) -> None:
    """A program can run in another folder, and its bytes are returned unchanged."""
    (tmp_path / "data").write_bytes(b"\x00\xff")
    assert namespaces.run_bytes(["cat", "data"], cwd=tmp_path) == b"\x00\xff"


def test_error_has_the_programs_message() -> None:
    """The error of a failed program has its command and its message."""
    with pytest.raises(LabError, match="No such file or directory") as caught:
        namespaces.run(["cat", "/nowhere/at/all"])
    assert "cat /nowhere/at/all failed" in str(caught.value)
    assert "doctor" in caught.value.hint


def test_error_has_the_message_on_standard_output() -> None:
    """The error also has a message that the program wrote to standard output."""
    with pytest.raises(LabError, match="here is why"):
        namespaces.run(["sh", "-c", "echo here is why; exit 3"])


def test_error_names_a_missing_program() -> None:
    """The error names a missing program, and the hint says how to install it."""
    with pytest.raises(LabError, match="no-such-program: not found") as caught:
        namespaces.run(["no-such-program", "--help"])
    assert caught.value.hint == "Run `make setup`."


def test_program_that_hangs_is_ended() -> None:
    """A program that takes too long is ended, and the error has the time limit."""
    with pytest.raises(LabError, match=r"tail -f /dev/null failed: tail: no answer within 0\.05 s"):
        namespaces.run(["tail", "-f", "/dev/null"], timeout_s=0.05)


def test_programs_in_sbin_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """Programs of folders that a user's PATH lacks are found, after those of its folders."""
    monkeypatch.setenv("PATH", "/mine")
    path = namespaces.child_environment()["PATH"].split(":")
    assert path[0] == "/mine"
    assert "/usr/sbin" in path


def test_ordinary_user_needs_a_user_namespace(monkeypatch: pytest.MonkeyPatch) -> None:
    """An ordinary user makes and enters a user namespace with the user's sub-uids."""
    monkeypatch.setattr(namespaces, "rootless", lambda: True)
    assert namespaces.unshare("--net") == [
        "unshare", "--user", "--map-root-user", "--map-auto", "--net", "--",
    ]  # fmt: skip
    assert namespaces.nsenter(7, "--net") == [
        "nsenter", "--target", "7", "--user", "--preserve-credentials", "--net", "--",
    ]  # fmt: skip


def test_root_needs_no_user_namespace(monkeypatch: pytest.MonkeyPatch) -> None:
    """Root makes and enters no user namespace."""
    monkeypatch.setattr(namespaces, "rootless", lambda: False)
    assert namespaces.unshare("--net") == ["unshare", "--net", "--"]
    assert namespaces.nsenter(7, "--net") == ["nsenter", "--target", "7", "--net", "--"]


def test_tree_is_removed(tmp_path: Path) -> None:
    """A folder is removed with all its content; a missing folder is no error."""
    tree = tmp_path / "tree"
    (tree / "below").mkdir(parents=True)
    (tree / "link").symlink_to(tmp_path)
    namespaces.remove_tree(tree)
    namespaces.remove_tree(tree)
    assert list(tmp_path.iterdir()) == []


def test_process_outside_the_rack_is_refused() -> None:
    """A pid that no process of the rack has is an error."""
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE) as process:
        with pytest.raises(LabError, match="process 1 of the rack is gone"):
            namespaces.pid_outside(1, process.pid)
        process.kill()
