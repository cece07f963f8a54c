"""Tests of the names of labs: each has one owner, until the owner ends."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from migrationlab.errors import UsageError
from migrationlab.lab import registry

#: An owner that takes a name, reports it, and then holds it.
OWNER = """
import sys
from migrationlab.lab import registry
registry.take(sys.argv[1])
registry.files(sys.argv[1]).directory.mkdir()
print("taken", flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize(
    "name", ["", "-a", "A", "a b", "a/b", "..", "a.lock", "é", "x" * 32, "a\n"]
)
def test_bad_names_are_refused(cache: Path, name: str) -> None:
    """A name that is no plain word is refused, and the hint has an example."""
    with pytest.raises(UsageError, match="lab's name must be") as caught:
        registry.files(name)
    assert "lab-2" in caught.value.hint


def test_plain_names_are_accepted(cache: Path) -> None:
    """A name of small letters, digits and hyphens is accepted, and names the folder."""
    for name in ("a", "1", "lab-2", "x" * 31):
        assert registry.files(name).directory == cache / "labs" / name


def test_held_name_is_refused(cache: Path) -> None:
    """A held name is refused, and free again after its release."""
    first = registry.take("one")
    assert registry.is_up("one")
    assert registry.owner("one") == os.getpid()
    with pytest.raises(UsageError, match="a lab 'one' is up already") as caught:
        registry.take("one")
    assert "migrationlab lab down one" in caught.value.hint
    registry.release("one", first)
    assert not registry.is_up("one")
    assert registry.owner("one") is None
    registry.release("one", registry.take("one"))
    assert list((cache / "labs").iterdir()) == []


def test_only_held_names_are_up(cache: Path) -> None:
    """Only names that are held are listed, in order; listing does not take a name."""
    two, one = registry.take("two"), registry.take("one")
    (cache / "labs" / "dead.lock").touch()
    assert registry.names() == ["one", "two"]
    assert not registry.is_up("dead")
    assert not registry.is_up("never")
    assert registry.names() == ["one", "two"]
    registry.release("one", one)
    registry.release("two", two)


def test_lab_of_a_dead_owner_is_swept(cache: Path) -> None:
    """When the owner is killed, the name is free and the folder is deleted."""
    with subprocess.Popen(
        [sys.executable, "-c", OWNER, "gone"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as owner:
        assert owner.stdout is not None
        assert owner.stdout.readline() == b"taken\n"
        assert registry.is_up("gone")
        assert registry.owner("gone") == owner.pid
        assert registry.sweep() == []
        owner.kill()
    assert not registry.is_up("gone")
    assert (cache / "labs" / "gone").is_dir()
    assert registry.sweep(["other"]) == []
    assert registry.sweep() == ["gone"]
    assert list((cache / "labs").iterdir()) == []


def test_state_is_that_of_labs_that_are_up(cache: Path) -> None:
    """The owner's state is returned while it runs; else the hint lists the labs that are up."""
    other, held = registry.take("other"), registry.take("one")
    with pytest.raises(UsageError, match="no lab 'one' is up"):
        registry.state("one")  # its owner has not written it yet
    files = registry.files("one")
    files.directory.mkdir()
    files.state.write_text(json.dumps({"rack": 1}))
    assert registry.state("one") == {"rack": 1}
    os.close(held)
    with pytest.raises(UsageError, match="no lab 'one' is up") as caught:
        registry.state("one")
    assert caught.value.hint == "Choose one that is up: other."
    registry.release("other", other)
    with pytest.raises(UsageError) as caught:
        registry.state("other")
    assert "migrationlab lab up" in caught.value.hint
