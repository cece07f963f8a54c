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
from paths import RECORDINGS

CLOSED = "error: unable to connect to server at 'host-b:49152': No route to host"
CLOSED_TEXT = """\
port-closed
noticed by  source daemon
cause       the source cannot reach the port where the destination's QEMU listens: a firewall
            blocks it (No route to host, timed out), or nothing listens there (Connection
            refused: a wrong address or port, or a QEMU that has ended)
fix         open TCP 49152 to 49215 on the destination (firewall-cmd --permanent
            --add-port=49152-49215/tcp, then firewall-cmd --reload), or set an open port in the
            migration URI, or use an address that the source can reach
more in     the source libvirtd's log (journalctl -u libvirtd -u virtqemud -u virtproxyd, or its
            log_outputs)
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


def test_known_message_is_explained_as_text() -> None:
    """A known message exits with 0 and prints the complete explanation as stable text."""
    result = run(CLOSED)
    assert (result.exit_code, result.stdout) == (0, CLOSED_TEXT)


def test_known_message_is_explained_as_json() -> None:
    """The JSON of an explanation has the documented keys."""
    status, answer = run_json(CLOSED)
    assert status == 0
    assert (answer["known"], answer["id"]) == (True, "port-closed")
    assert answer["noticed_by"] == "source daemon"
    assert answer["cause"]
    assert answer["mend"]
    assert answer["log"].startswith("the source libvirtd's log")
    assert answer["tails"] == []


def test_message_needs_no_quotes() -> None:
    """Several arguments are joined into one message."""
    assert run_json("Host", "key", "verification", "failed.")[1]["id"] == "host-key-unknown"


def test_hyphen_reads_standard_input() -> None:
    """A hyphen reads the message from standard input, also if the bytes are not UTF-8."""
    assert run_json("-", given=f"some log\n{CLOSED}\n")[1]["id"] == "port-closed"
    assert run("-", given=b"\xff\xfe" + CLOSED.encode()).exit_code == 0


def test_unknown_message_exits_with_1() -> None:
    """An unknown message exits with 1, and the answer says where to look."""
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
    """A call without a message and without a code is refused."""
    for arguments in ([], [""], ["  "], ["-"]):
        result = run(*arguments)
        assert isinstance(result.exception, UsageError)
        assert "migrationlab explain" in result.exception.hint


def test_code_explains_without_known_text() -> None:
    """libvirt's error code explains an error without a text or with a text in another language."""
    assert run_json("--code", "42")[1]["id"] == "domain-not-found"
    assert run_json("--code", "78", "abgebrochen")[1]["id"] == "cancelled"
    status, answer = run_json("--code", "1", "--domain", "10", "neu")
    assert status == 1
    assert "QEMU driver" in answer["cause"]


@pytest.mark.parametrize(("mode", "who"), [("normal", "client"), ("peer2peer", "source daemon")])
def test_mode_says_who_connected(mode: str, who: str) -> None:
    """In normal mode the client connects to the destination, in peer2peer the source's libvirtd."""
    assert run_json("--mode", mode, "Host key verification failed.")[1]["noticed_by"] == who


def test_list_names_every_cause() -> None:
    """The option --list prints all causes as text or as JSON, without a message."""
    lines = run("--list").stdout.splitlines()
    assert len(lines) == len(causes())
    assert lines[0].split()[0] == causes()[0].id
    _, answer = run_json("--list")
    assert [cause["id"] for cause in answer["causes"]] == [cause.id for cause in causes()]
    assert set(answer["causes"][0]) >= {"id", "noticed_by", "cause", "mend", "wordings", "seen"}


def test_lab_logs_follow_unknown_message(lab: str) -> None:
    """If one lab is up, the ends of its logs follow the answer to an unknown message."""
    status, answer = run_json("hello")
    assert status == 1
    assert [(tail["host"], tail["what"]) for tail in answer["tails"]] == [
        ("host-a", "libvirtd"),
        ("host-b", "libvirtd"),
    ]
    assert answer["tails"][1]["lines"] == [LINE.replace("this host", "host-b").strip()]
    assert "host-a said so" in run("hello", "--lab", lab).stdout


def test_lab_logs_are_shown_only_where_they_help(lab: str) -> None:
    """An explanation that does not point to logs shows no logs."""
    assert run_json("missing host in migration URI: tcp://")[1]["tails"] == []


def test_several_labs_are_named(lab: str) -> None:
    """If more than one lab is up, the output has their names instead of logs."""
    held = registry.take("other")
    try:
        result = run("hello")
        assert f"running labs: {lab}, other" in result.stderr
        assert "said so" not in result.stdout
    finally:
        registry.release("other", held)


def test_missing_lab_is_refused() -> None:
    """The name of a lab that is not up is refused with exit status 2."""
    result = run("hello", "--lab", "nowhere")
    assert isinstance(result.exception, UsageError)
    assert "nowhere" in str(result.exception)


def test_explain_needs_no_writable_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """An explanation is printed on a machine where no folder is writable."""
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert run("hello").exit_code == 1


@given(text=st.text(), output_format=st.sampled_from(["text", "json"]))
def test_any_argument_exits_without_traceback(text: str, output_format: str) -> None:
    """With any argument the command exits with 0, 1 or 2 and prints no traceback."""
    result = CliRunner().invoke(explain, ["--format", output_format, "--", text])
    if isinstance(result.exception, UsageError):
        return
    assert result.exit_code in (0, 1), result.exception


def test_progress_is_judged_instead_of_explained() -> None:
    """What virsh domjobinfo printed gets a verdict, also where it is too early for one."""
    folder = RECORDINGS / "job_reports"
    text = (folder / "diverging.domjobinfo.txt").read_text()
    result = CliRunner().invoke(explain, ["-"], input=text)
    assert result.exit_code == 0
    assert result.stdout.startswith("migration-diverges\ncause       the guest writes 22.8 MiB/s")
    result = CliRunner().invoke(explain, ["-", "--format", "json"], input=text)
    answer = json.loads(result.stdout)
    assert (answer["known"], answer["id"]) == (True, "migration-diverges")
    assert (answer["job"]["verdict"], answer["tails"]) == ("diverges", [])
    early = (folder / "first-iteration.domjobinfo.txt").read_text()
    result = CliRunner().invoke(explain, ["-", "--format", "json"], input=early)
    assert (result.exit_code, json.loads(result.stdout)["known"]) == (0, "partly")
