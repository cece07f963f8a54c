"""What a host's kernel says of its machine."""

from __future__ import annotations

import os

import pytest

from migrationlab.hosts.facts import LONGEST, from_kernel
from migrationlab.hosts.program import ProgramResult
from migrationlab.hosts.shell import Shell


def test_local_kernel_is_asked() -> None:
    """A local shell returns the release of the local kernel."""
    assert from_kernel(Shell())[0] == os.uname().release


def test_command_is_quoted_for_ssh() -> None:
    """A shell that splits the words again returns the same facts."""
    assert from_kernel(Shell(("sh", "-c"), over_ssh=True)) == from_kernel(Shell())


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (
            ProgramResult(0, "6.1.0\nmodel name\t: Example CPU: fast"),
            ("6.1.0", "Example CPU: fast"),
        ),
        (ProgramResult(0, "6.1.0"), ("6.1.0", None)),
        (ProgramResult(0, ""), (None, None)),
        (ProgramResult(255, "Permission denied"), (None, None)),
    ],
)
def test_missing_fact_is_none(
    monkeypatch: pytest.MonkeyPatch, answer: ProgramResult, expected: tuple[str | None, str | None]
) -> None:
    """A kernel without a CPU model and a refused login give None."""
    monkeypatch.setattr(Shell, "run", lambda self, *argv: answer)
    assert from_kernel(Shell()) == expected


def test_facts_without_shell_are_none() -> None:
    """Without a shell all facts of the kernel are None."""
    assert from_kernel(None) == (None, None)


def test_long_answer_is_cut() -> None:
    """A host can answer anything, and each run stores it."""
    long = Shell(("sh", "-c", "yes abc: | head -c 9000000 | tr -d '\\n'; echo; yes x:y | head -1"))
    release, processor = from_kernel(long)
    assert release is not None
    assert len(release) == LONGEST
    assert processor == "y"
