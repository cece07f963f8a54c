"""Tests of the guard: it ends with its owner, and with its program."""

from __future__ import annotations

import os
import select
import subprocess
import sys
from collections.abc import Iterator

import pytest

from migrationlab.lab.namespaces import GUARD


def guard(owner: int, *program: str, stdin: int = subprocess.DEVNULL) -> subprocess.Popen[bytes]:
    """Start a program under a guard, as namespaces.start_guarded does, but without namespaces."""
    return subprocess.Popen(
        [sys.executable, "-I", "-S", str(GUARD), str(owner), *program],
        stdin=stdin,
        stdout=subprocess.PIPE,
        pass_fds=[owner],
    )


def wait_for(process: subprocess.Popen[bytes]) -> int:
    """Wait for the end of a process, and return its exit status."""
    descriptor = os.pidfd_open(process.pid)
    ready, _, _ = select.select([descriptor], [], [], 10)
    os.close(descriptor)
    assert ready, "it still runs"
    return process.wait()


@pytest.fixture
def owner() -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """Yield an owner, and a pidfd of it."""
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE) as process:
        descriptor = os.pidfd_open(process.pid)
        yield process, descriptor
        os.close(descriptor)
        process.kill()


def test_guard_ends_with_its_owner(owner: tuple[subprocess.Popen[bytes], int]) -> None:
    """When the owner is killed the guard ends at once, also while its program runs."""
    process, descriptor = owner
    read, write = os.pipe()
    with guard(descriptor, "sh", "-c", "echo up; cat", stdin=read) as guarding:
        os.close(read)
        assert guarding.stdout is not None
        assert guarding.stdout.readline() == b"up\n"
        process.kill()
        assert wait_for(guarding) == 1
        # There is no pid namespace here to end the program too: it ends with its input.
        os.close(write)
        assert guarding.stdout.read() == b""


def test_guard_ends_where_its_owner_ended_before() -> None:
    """The guard also notices an owner that ended before the guard started."""
    read, write = os.pipe()
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE) as gone:
        descriptor = os.pidfd_open(gone.pid)
    with guard(descriptor, "cat", stdin=read) as guarding:
        os.close(read)
        os.close(descriptor)
        assert wait_for(guarding) == 1
        os.close(write)


@pytest.mark.parametrize(("script", "status"), [("exit 0", 0), ("exit 3", 3), ("kill $$", 15)])
def test_guard_ends_with_its_program(
    owner: tuple[subprocess.Popen[bytes], int], script: str, status: int
) -> None:
    """When the program ends, the guard ends with the program's exit status."""
    with guard(owner[1], "sh", "-c", script) as guarding:
        assert wait_for(guarding) == status
        assert owner[0].poll() is None


def test_program_has_standard_input_and_output(owner: tuple[subprocess.Popen[bytes], int]) -> None:
    """The program reads the guard's standard input and writes to its standard output."""
    with guard(owner[1], "tr", "a-z", "A-Z", stdin=subprocess.PIPE) as guarding:
        output, _ = guarding.communicate(b"hello")
        assert output == b"HELLO"
