"""Hostile words and places of output: a clear error, and no traceback."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from migrationlab.cli import main
from migrationlab.cli.terminal import printable
from migrationlab.errors import UsageError
from migrationlab.hosts.host import Host
from migrationlab.report.tables import runs_table, to_csv
from migrationlab.runs.manifest import sealed
from migrationlab.runs.run import Run, Runs
from migrationlab.runs.store import save_run
from paths import DATA

BAD_URIS = [
    "qemu+ssh://[::1/system", "qemu+ssh://h:99999/system", "qemu+ssh://h:x/system",
    "qemu+ssh://[zz]/system", "qemu+ssh://[::1]]/system", "qemu+ssh://h:1:2/system",
    f"qemu+ssh://h:{'9' * 5000}/system", "qemu+ssh://\udc80/system", "qemu+ssh://h\0/system",
]  # fmt: skip


def call(*words: str) -> Result:
    """Run the command; what is not an exit is a bug."""
    result = CliRunner().invoke(main, words)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


@pytest.mark.parametrize("uri", BAD_URIS, ids=range(len(BAD_URIS)))
def test_bad_uri_is_refused_everywhere(uri: str) -> None:
    """A bad port, bracket or character in a URI is an error, also of Host and of the doctor."""
    with pytest.raises(UsageError, match=r"^uri must|^uri "):
        Host(uri)
    for words in (
        ["doctor", "--from", uri, "--to", "qemu+ssh://b/system"],
        ["migrate", "web1", "--from", "qemu+ssh://b/system", "--to", uri],
        ["plan", "--connection-uri", uri],
        ["plan", "--migration-uri", uri.replace("qemu+ssh", "tcp")],
    ):
        done = call(*words)
        assert (done.exit_code, "must" in done.stderr or "has the host" in done.stderr) == (2, True)


@pytest.mark.parametrize("name", ["a\0b", "a\nb", "\ud800", "", "a/b"])
def test_name_that_is_no_guests_is_refused(name: str) -> None:
    """A name with a NUL or a lone surrogate does not reach libvirt."""
    host = Host("test:///default")
    with pytest.raises(UsageError, match="must be a guest's name"):
        host.domain(name)
    host.close()


@pytest.mark.parametrize("path", ["", "a\0b", "x" * 256, f"a/{'é' * 128}/b", "\ud800"])
def test_impossible_path_is_refused(path: str) -> None:
    """A path that no file system can have is refused, whatever it is for."""
    for words in (
        ["runs", path], ["report", path], ["export", path, "-o", "x"], ["experiment", path],
        ["report", str(DATA / "runs"), "-o", path], ["export", str(DATA / "runs"), "-o", path],
    ):  # fmt: skip
        done = call(*words)
        assert (done.exit_code, "must be a path" in done.stderr) == (2, True)


def test_export_needs_an_output() -> None:
    """A required option that is left out is an error."""
    assert "Missing option" in call("export", str(DATA / "runs")).stderr


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (f"plan.mode = {'[' * 5000}{']' * 5000}", "recursion"),
        (f"{'.'.join('a' * 3000)} = 1", "nest"),
        (f"repeats = {'9' * 5000}", "must be TOML"),
        (f"repeats = 0x{'f' * 8000}", "64 bits"),
        (f"plan.bandwidth_mib_s = {'9' * 4000}", "64 bits"),
    ],
    ids=["lists", "keys", "digits", "hexadecimal", "setting"],
)
def test_bomb_in_a_design_is_refused(tmp_path: Path, text: str, said: str) -> None:
    """Deep nesting and endless integers in a design are errors."""
    path = tmp_path / "bomb.toml"
    path.write_text(f'question = "?"\n{text}\n')
    done = call("experiment", str(path), "--dry-run")
    assert (done.exit_code, said in done.stderr) == (2, True), done.stderr


@pytest.mark.parametrize("encoding", ["utf-16", "latin-1", "cp932"])
def test_design_in_another_encoding_is_refused(tmp_path: Path, encoding: str) -> None:
    """A design that is no UTF-8 is an error that says so."""
    path = tmp_path / "other.toml"
    text = 'question = "日本"' if encoding == "cp932" else 'question = "é"'
    path.write_bytes(text.encode(encoding))
    assert "UTF-8" in call("experiment", str(path), "--dry-run").stderr


@pytest.mark.parametrize("words", [["--help"], ["plan"], ["runs", str(DATA / "runs")]])
@pytest.mark.parametrize("place", ["/dev/full", "closed"])
def test_closed_or_full_output_is_no_traceback(words: list[str], place: str) -> None:
    """A full disk behind the output is an error; a closed output is ignored."""
    redirect = ">&-" if place == "closed" else f">{place}"
    script = f'exec "$0" -m migrationlab.cli "$@" {redirect}'
    done = subprocess.run(
        ["sh", "-c", script, sys.executable, *words], capture_output=True, text=True, check=False,
        env={**os.environ},
    )  # fmt: skip
    assert "Traceback" not in done.stderr
    assert (done.returncode == 1) == (place == "/dev/full")
    assert ("No space left" in done.stderr) == (place == "/dev/full")


def test_output_in_another_encoding_is_no_traceback() -> None:
    """A terminal whose encoding lacks a character gets an escape instead."""
    done = subprocess.run(
        [sys.executable, "-m", "migrationlab.cli", "runs", str(DATA / "runs")],
        capture_output=True, check=True, env={**os.environ, "PYTHONIOENCODING": "latin-1"},
    )  # fmt: skip
    assert b"host-a \\u2192 host-b" in done.stdout


def test_text_from_outside_has_no_control_characters(
    make_run: Callable[..., Run], tmp_path: Path
) -> None:
    """A host's name in a run cannot clear the terminal or turn its text around."""
    run = make_run()
    name = "\x1b[2J\x9b2J\u202eevil"
    save_run(replace(run, source={**run.source, "name": name}), tmp_path)
    shown = call("runs", str(tmp_path)).stdout
    assert "evil" in shown
    assert shown.isprintable() or set("\x1b\x9b\u202e").isdisjoint(shown)
    assert printable("a\tb\nc→日") == "a\tb\nc→日"


def test_errors_have_a_limited_length(make_run: Callable[..., Run], tmp_path: Path) -> None:
    """A refused value is repeated, and can have a million letters: its ends are enough."""
    folder = save_run(make_run(), tmp_path)
    content = json.loads((folder / "run.json").read_bytes())
    del content["sha256"]
    content["run"]["created"] = "x" * 1_000_000
    (folder / "run.json").write_bytes(sealed(json.dumps(content, indent=2).encode() + b"\n"))
    long = "y" * 1_000_000
    for words in (["runs", str(tmp_path)], ["plan", f"--{long}"], [long]):
        refused = call(*words)
        assert refused.exit_code != 0
        assert "letters left out" in refused.stderr
        assert len(refused.stderr) < 4000


@pytest.mark.parametrize("sign", ["=", "+", "-", "@", "\uff1d", "\uff0b", "\uff0d", "\uff20"])
def test_cells_are_no_formulas(make_run: Callable[..., Run], sign: str) -> None:
    """A text in a CSV that a spreadsheet would run gets an apostrophe; a number stays a number."""
    run = make_run()
    run = replace(run, source={**run.source, "name": f"{sign}1+1"}, warnings=(f"{sign}x",))
    text = to_csv(runs_table(Runs([run])).assign(below=-1.5))
    assert f",'{sign}1+1," in text
    assert f",{sign}1+1," not in text
    assert text.splitlines()[1].endswith(",-1.5")
