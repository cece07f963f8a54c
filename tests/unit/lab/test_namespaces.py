"""Programs run to their end or not at all, and how namespaces are asked for."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from migrationlab.errors import LabError
from migrationlab.lab import namespaces


def test_run_returns_what_was_printed() -> None:
    """A program reads the text it is given, and what it prints comes back."""
    assert namespaces.run(["cat"], text="Größe\n") == "Größe\n"


def test_run_bytes_works_in_a_folder(tmp_path: Path) -> None:
    """A program can run in another folder, and its bytes come back unchanged."""
    (tmp_path / "data").write_bytes(b"\x00\xff")
    assert namespaces.run_bytes(["cat", "data"], cwd=tmp_path) == b"\x00\xff"


def test_a_failure_has_the_programs_own_words() -> None:
    """Where a program fails, the error has the command and what it said."""
    with pytest.raises(LabError, match="No such file or directory") as caught:
        namespaces.run(["cat", "/nowhere/at/all"])
    assert "cat /nowhere/at/all failed" in str(caught.value)
    assert "doctor" in caught.value.hint


def test_a_failure_told_on_standard_output_is_told_too() -> None:
    """A program that complains on standard output is heard as well."""
    with pytest.raises(LabError, match="here is why"):
        namespaces.run(["sh", "-c", "echo here is why; exit 3"])


def test_a_missing_program_is_named() -> None:
    """Where a program is not there, the error names it and the hint says how to get it."""
    with pytest.raises(LabError, match="no-such-program: not found") as caught:
        namespaces.run(["no-such-program", "--help"])
    assert caught.value.hint == "Run `make setup`."


def test_a_program_that_hangs_is_ended() -> None:
    """A program that takes too long is ended, and the error says how long it had."""
    with pytest.raises(LabError, match=r"tail -f /dev/null failed: tail: no answer within 0\.05 s"):
        namespaces.run(["tail", "-f", "/dev/null"], timeout_s=0.05)


def test_administrators_programs_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """Programs in sbin are found though an ordinary user's PATH lacks it, after the user's own."""
    monkeypatch.setenv("PATH", "/mine")
    path = namespaces.child_environment()["PATH"].split(":")
    assert path[0] == "/mine"
    assert "/usr/sbin" in path


def test_an_ordinary_user_gets_a_user_namespace(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without root a user namespace with the user's sub-uids is made and entered."""
    monkeypatch.setattr(namespaces, "rootless", lambda: True)
    assert namespaces.unshare("--net") == [
        "unshare", "--user", "--map-root-user", "--map-auto", "--net", "--",
    ]  # fmt: skip
    assert namespaces.nsenter(7, "--net") == [
        "nsenter", "--target", "7", "--user", "--preserve-credentials", "--net", "--",
    ]  # fmt: skip


def test_root_needs_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """As root there is no user namespace to make or enter."""
    monkeypatch.setattr(namespaces, "rootless", lambda: False)
    assert namespaces.unshare("--net") == ["unshare", "--net", "--"]
    assert namespaces.nsenter(7, "--net") == ["nsenter", "--target", "7", "--net", "--"]


def test_a_tree_is_removed(tmp_path: Path) -> None:
    """A folder goes with all that is in it, and one that is not there is no error."""
    tree = tmp_path / "tree"
    (tree / "below").mkdir(parents=True)
    (tree / "link").symlink_to(tmp_path)
    namespaces.remove_tree(tree)
    namespaces.remove_tree(tree)
    assert list(tmp_path.iterdir()) == []


def test_a_process_that_is_not_of_the_rack() -> None:
    """A number that no process of the rack has is an error of the lab."""
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE) as process:
        with pytest.raises(LabError, match="process 1 of the rack is gone"):
            namespaces.pid_outside(1, process.pid)
        process.kill()
