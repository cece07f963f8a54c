"""The command: its verbs, and the exit status and words of every error."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from migrationlab.cli import VERBS, main
from migrationlab.errors import GuestError, HostError, LabError, MigrationLabError, UsageError
from migrationlab.lab import registry


def run(*words: str) -> Result:
    """Run the command; what is not an exit is a bug."""
    result = CliRunner().invoke(main, words)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


@pytest.fixture
def raises(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[BaseException]]:
    """Give a list whose last error ``lab inspect`` comes upon."""
    errors: list[BaseException] = []

    def names() -> list[str]:
        raise errors[-1]

    monkeypatch.setattr(registry, "names", names)
    return errors


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (UsageError("it cannot be", hint="ask otherwise"), 2),
        (GuestError("it cannot be", hint="ask otherwise"), 2),
        (HostError("it cannot be", hint="ask otherwise", code=38), 1),
        (LabError("it cannot be", hint="ask otherwise"), 1),
    ],
)
def test_errors_have_status_and_hint(
    raises: list[BaseException], error: MigrationLabError, status: int
) -> None:
    """A caller's mistake exits with 2, other errors with 1; standard error has message and hint."""
    raises.append(error)
    result = run("lab", "inspect")
    assert result.exit_code == status
    assert result.stdout == ""
    assert result.stderr == "migrationlab: it cannot be\nhint: ask otherwise\n"


def test_error_without_hint_prints_no_hint(raises: list[BaseException]) -> None:
    """An error without a hint prints its message only."""
    raises.append(LabError("it broke"))
    assert run("lab", "inspect").stderr == "migrationlab: it broke\n"


def test_ctrl_c_exits_with_130(raises: list[BaseException]) -> None:
    """Ctrl-C ends the command with exit status 130 and without a traceback."""
    raises.append(KeyboardInterrupt())
    result = run("lab", "inspect")
    assert result.exit_code == 130
    assert result.stderr == "interrupted\n"


def test_unsafe_cache_folder_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cache folder that others may write to is refused, and the hint is printed."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    (tmp_path / "migrationlab").mkdir()
    (tmp_path / "migrationlab").chmod(0o777)
    result = run("lab", "inspect")
    assert result.exit_code == 1
    assert "must be a folder that only" in result.stderr
    assert f"then remove it, or `chmod 700 {tmp_path}" in result.stderr


def test_unknown_verb_is_refused() -> None:
    """The error of an unknown verb names the verb, and the exit status is 2."""
    result = run("migrat")
    assert result.exit_code == 2
    assert "No such command 'migrat'" in result.stderr


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help(verb: str) -> None:
    """Each verb is listed in the help under its own name and has its own help."""
    assert verb in run("--help").stdout
    result = run(verb, "--help")
    assert result.exit_code == 0
    assert f"Usage: main {verb}" in result.stdout
    command = main.get_command(click.Context(main), verb)
    assert command is not None
    assert command.name == verb


def test_help_imports_neither_libvirt_nor_pandas() -> None:
    """The help of the command and of a verb imports neither libvirt nor pandas."""
    script = (
        "import sys\n"
        "from migrationlab.cli import main\n"
        "try:\n    main(['demo', '--help'])\n"
        "except SystemExit:\n    pass\n"
        "print({'libvirt', 'pandas', 'matplotlib'} & set(sys.modules))\n"
    )
    said = subprocess.run(
        [sys.executable, "-c", script], check=True, capture_output=True, text=True
    )
    assert said.stdout.splitlines()[-1] == "set()"


def test_closed_pipe_gives_no_traceback() -> None:
    """A pipe that its reader closes early, as head does, causes no traceback."""
    command = [sys.executable, "-m", "migrationlab.cli", "--help"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert "Traceback" not in process.stderr.read()
