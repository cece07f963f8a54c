"""How a program is run on a host's machine, by what the connection URI shows."""

from __future__ import annotations

import sys

import pytest

from migrationlab.hosts.shell import Shell, shell_of

UNASKED = ["-T", "-e", "none", "-o", "BatchMode=yes", "-o", "ConnectTimeout=10", "--"]


@pytest.mark.parametrize(
    ("uri", "words"),
    [
        ("qemu+ssh://node1/system", ["ssh", *UNASKED, "node1"]),
        ("qemu+libssh2://node1/system", ["ssh", *UNASKED, "node1"]),
        (
            "qemu+ssh://root@node1:2222/system",
            ["ssh", "-p", "2222", "-l", "root", *UNASKED, "node1"],
        ),
        ("qemu+ssh://root@[fd00::1]/system", ["ssh", "-l", "root", *UNASKED, "fd00::1"]),
        (
            "qemu+ssh://node1/system?keyfile=/k&command=/bin/myssh&no_verify=1",
            ["/bin/myssh", "-i", "/k", "-o", "StrictHostKeyChecking=no", *UNASKED, "node1"],
        ),
        (
            "qemu+ssh://node1/system?known_hosts=/n",
            ["ssh", "-o", "UserKnownHostsFile=/n", *UNASKED, "node1"],
        ),
    ],
)
def test_ssh_gets_libvirts_arguments(uri: str, words: list[str]) -> None:
    """ssh gets the arguments that libvirt gives it, and does not ask for a password."""
    shell = shell_of(uri)
    assert shell is not None
    assert shell.command("getent", "hosts", "a b") == [*words, "getent hosts 'a b'"]


@pytest.mark.parametrize("uri", ["qemu:///system", "qemu+unix:///system", "test:///default"])
def test_local_uri_needs_no_ssh(uri: str) -> None:
    """A local URI runs local programs with unchanged arguments."""
    shell = shell_of(uri)
    assert shell is not None
    assert shell.command("getent", "hosts", "a b") == ["getent", "hosts", "a b"]


@pytest.mark.parametrize(
    "uri",
    [
        "qemu+tls://node1/system",
        "qemu+tcp://node1/system",
        "qemu://node1/system",
        "qemu+ext:///system?command=/bin/pipe",
        "qemu+unix:///system?socket=/run/forwarded",
    ],
)
def test_uri_without_login_gives_no_shell(uri: str) -> None:
    """A URI without a login, or one that may lead to any machine, gives no shell."""
    assert shell_of(uri) is None


def test_result_has_status_and_text() -> None:
    """The text is the stripped output, or the last line of the errors if there is no output."""
    python = [sys.executable, "-c"]
    good = Shell().run(*python, "print(' 1 ')")
    assert (good.status, good.text) == (0, " 1")
    bad = Shell().run(*python, "import sys; print('one\\ntwo', file=sys.stderr); sys.exit(3)")
    assert (bad.status, bad.text) == (3, "two")
    silent = Shell().run(*python, "raise SystemExit(1)")
    assert (silent.status, silent.text) == (1, "")


def test_program_that_cannot_run_is_a_result() -> None:
    """A missing program and an exceeded time limit give status 127 and a reason."""
    missing = Shell(("/nowhere/ssh",)).run("true")
    assert (missing.status, missing.text) == (127, "/nowhere/ssh: not found")
    stuck = Shell().run(sys.executable, "-c", "import signal; signal.pause()", timeout_s=0.5)
    assert (stuck.status, stuck.text) == (127, f"{sys.executable}: no answer within 0.5 s")
