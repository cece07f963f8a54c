"""``migrationlab explain``: text, JSON, exit status, and the logs of a lab that is up."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st

from migrationlab.cli.explain import explain
from migrationlab.errors import UsageError
from migrationlab.explain.explanation import causes
from migrationlab.lab import registry

CLOSED = "error: unable to connect to server at 'host-b:49152': No route to host"
CLOSED_TEXT = """\
port-closed
noticed by  source daemon
cause       the source cannot reach the port where the destination's QEMU listens: a firewall
            blocks it (No route to host, timed out), or the address is wrong (Connection
            refused)
fix         open TCP 49152 to 49215 on the destination (firewall-cmd
            --add-port=49152-49215/tcp), or set an open port in the migration URI, or use an
            address that the source can reach
more in     the destination QEMU's own log (/var/log/libvirt/qemu/GUEST.log)
"""
LINE = "2026-11-22 18:36:15.126+0000: 42: error : virSomething:1 : this host said so\n"


@pytest.fixture(autouse=True, scope="module")
def cache() -> Iterator[Path]:
    """Let these tests see no lab of anybody's.

    Not in pytest's own folder, whose path can be too long for the sockets of a lab.
    """
    with (
        pytest.MonkeyPatch.context() as patch,
        tempfile.TemporaryDirectory(dir="/tmp", prefix="mlab-") as folder,
    ):
        patch.setenv("XDG_CACHE_HOME", folder)
        yield Path(folder)


@pytest.fixture
def lab() -> Iterator[str]:
    """Give the name of a lab whose owner lives, with logs of both hosts."""
    name = "logged"
    held = registry.take(name)
    files = registry.files(name)
    for host in ("host-a", "host-b"):
        log = files.host(host).log
        log.parent.mkdir(parents=True)
        log.write_text(LINE.replace("this host", host))
    files.state.write_text("{}")
    yield name
    registry.release(name, held)


def run(*arguments: str, given: str | bytes = "") -> Result:
    """Run the command; what is not an exit or the kit's own error is a bug."""
    result = CliRunner().invoke(explain, arguments, input=given)
    if result.exception is not None and not isinstance(result.exception, (SystemExit, UsageError)):
        raise result.exception
    return result


def run_json(*arguments: str, given: str = "") -> tuple[int, dict[str, Any]]:
    """Run the command for JSON; give exit status and object."""
    result = run(*arguments, "--format", "json", given=given)
    return result.exit_code, json.loads(result.stdout)


def test_text() -> None:
    """A known message exits with 0 and says all in words that do not change."""
    result = run(CLOSED)
    assert (result.exit_code, result.stdout) == (0, CLOSED_TEXT)


def test_json() -> None:
    """JSON has what scripts ask for."""
    status, answer = run_json(CLOSED)
    assert status == 0
    assert (answer["known"], answer["id"]) == (True, "port-closed")
    assert answer["noticed_by"] == "source daemon"
    assert answer["cause"]
    assert answer["mend"]
    assert "QEMU" in answer["log"]
    assert answer["tails"] == []


def test_message_needs_no_quotes() -> None:
    """Words that a shell took apart are put together again."""
    assert run_json("Host", "key", "verification", "failed.")[1]["id"] == "host-key-unknown"


def test_standard_input() -> None:
    """A hyphen reads what is piped in, also where it is no text."""
    assert run_json("-", given=f"some log\n{CLOSED}\n")[1]["id"] == "port-closed"
    assert run("-", given=b"\xff\xfe" + CLOSED.encode()).exit_code == 0


def test_unknown_message_exits_with_1() -> None:
    """What is not known says so, and where to look."""
    status, answer = run_json("hello")
    assert (status, answer["known"], answer["id"], answer["noticed_by"]) == (
        1,
        False,
        "unknown",
        None,
    )
    result = run("hello")
    assert result.exit_code == 1
    assert result.stdout.startswith("unknown\n")
    assert "more in" in result.stdout


def test_empty_message_is_refused() -> None:
    """Without any text and number the call itself is wrong."""
    for arguments in ([], [""], ["  "], ["-"]):
        result = run(*arguments)
        assert isinstance(result.exception, UsageError)
        assert "migrationlab explain" in result.exception.hint


def test_code_alone_is_enough() -> None:
    """libvirt's number explains where it can, without a text or with one in another language."""
    assert run_json("--code", "42")[1]["id"] == "domain-not-found"
    assert run_json("--code", "78", "abgebrochen")[1]["id"] == "cancelled"
    status, answer = run_json("--code", "1", "--domain", "10", "neu")
    assert status == 1
    assert "QEMU driver" in answer["cause"]


@pytest.mark.parametrize(("mode", "who"), [("normal", "client"), ("peer2peer", "source daemon")])
def test_mode_says_who_connected(mode: str, who: str) -> None:
    """In normal mode the client dials the destination's libvirtd, in peer2peer the source's."""
    assert run_json("--mode", mode, "Host key verification failed.")[1]["noticed_by"] == who


def test_list_names_every_cause() -> None:
    """All causes are listed, as text and as JSON, without a text to explain."""
    lines = run("--list").stdout.splitlines()
    assert len(lines) == len(causes())
    assert lines[0].split()[0] == causes()[0].id
    _, answer = run_json("--list")
    assert [cause["id"] for cause in answer["causes"]] == [cause.id for cause in causes()]
    assert set(answer["causes"][0]) >= {"id", "noticed_by", "cause", "mend", "wordings", "seen"}


def test_lab_logs_follow_unknown_message(lab: str) -> None:
    """Where one lab is up, the ends of its logs are shown."""
    status, answer = run_json("hello")
    assert status == 1
    assert [(tail["host"], tail["what"]) for tail in answer["tails"]] == [
        ("host-a", "libvirtd"),
        ("host-b", "libvirtd"),
    ]
    assert answer["tails"][1]["lines"] == [LINE.replace("this host", "host-b").strip()]
    assert "host-a said so" in run("hello", "--lab", lab).stdout


def test_lab_logs_are_shown_only_where_they_help(lab: str) -> None:
    """What needs no log shows none."""
    assert run_json("missing host in migration URI: tcp://")[1]["tails"] == []


def test_several_labs_are_named_not_guessed(lab: str) -> None:
    """Where more than one lab is up, their names are told instead."""
    held = registry.take("other")
    try:
        result = run("hello")
        assert f"running labs: {lab}, other" in result.stderr
        assert "said so" not in result.stdout
    finally:
        registry.release("other", held)


def test_missing_lab_is_refused() -> None:
    """A lab that is asked for and isn't there is the caller's mistake."""
    result = run("hello", "--lab", "nowhere")
    assert isinstance(result.exception, UsageError)
    assert "nowhere" in str(result.exception)


def test_explains_where_no_lab_can_run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """An explanation needs no folder to write to."""
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert run("hello").exit_code == 1


@given(text=st.text(), output_format=st.sampled_from(["text", "json"]))
def test_never_a_traceback(text: str, output_format: str) -> None:
    """Whatever is given, the command answers with 0, 1 or 2."""
    result = CliRunner().invoke(explain, ["--format", output_format, "--", text])
    if isinstance(result.exception, UsageError):
        return
    assert result.exit_code in (0, 1), result.exception
