"""What a host's kernel tells of its machine."""

from __future__ import annotations

import os

import pytest

from migrationlab.hosts.facts import from_kernel
from migrationlab.hosts.program import ProgramResult
from migrationlab.hosts.shell import Shell


def test_this_machine_is_told() -> None:
    """A shell on this machine gives its kernel's release."""
    assert from_kernel(Shell())[0] == os.uname().release


def test_over_ssh_the_question_stays_whole() -> None:
    """Where another shell splits the words anew, the same is asked."""
    assert from_kernel(Shell(("sh", "-c"), over_ssh=True)) == from_kernel(Shell())


@pytest.mark.parametrize(
    ("answer", "told"),
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
def test_what_is_not_told_is_not_known(
    monkeypatch: pytest.MonkeyPatch, answer: ProgramResult, told: tuple[str | None, str | None]
) -> None:
    """A kernel that names no model, and a host that lets nobody in, leave None."""
    monkeypatch.setattr(Shell, "run", lambda self, *argv: answer)
    assert from_kernel(Shell()) == told


def test_without_a_shell_nothing_is_asked() -> None:
    """A host that is reached by libvirt's own transports tells nothing of its kernel."""
    assert from_kernel(None) == (None, None)
