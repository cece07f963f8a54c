"""The verb ``migrate``: its refusals, its answers, and what Ctrl-C does; live in tests/lab."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from migrationlab.cli import main
from migrationlab.cli import migrate as verb
from migrationlab.errors import UsageError
from migrationlab.runs.run import Run
from migrationlab.runs.store import load_run

HOSTS = ["--from", "test:///default", "--to", "test:///default"]


def call(*words: str) -> Result:
    """Run the verb; what is not an exit is a bug."""
    result = CliRunner().invoke(main, ["migrate", *words])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


class Slow:
    """A migration that goes on past the next look, and ends with a run; post-copy may refuse."""

    def __init__(self, run: Run, *, refuses: bool = False) -> None:
        self.done = False
        self.cancelled = 0
        self._run = run
        self._looks = 0
        self._refuses = refuses

    def wait(self, timeout_s: float | None = None) -> Run:
        """Not be over at the first two looks, and then be."""
        self._looks += 1
        self.done = self._looks > 2
        if not self.done:
            assert timeout_s is not None, "waited for without a look at Ctrl-C"
            raise TimeoutError
        return self._run

    def cancel(self) -> None:
        """Count, and refuse as post-copy does."""
        self.cancelled += 1
        if self._refuses:
            raise UsageError("in post-copy there is no way back")


@pytest.fixture
def ends_as(monkeypatch: pytest.MonkeyPatch, make_run: Callable[..., Run]) -> Callable[[str], None]:
    """Give a setter of the outcome that the next migration has."""

    def set_outcome(outcome: str) -> None:
        slow = Slow(make_run(outcome=outcome))
        monkeypatch.setattr(
            import_module("migrationlab.migrate.start"), "start", lambda *_, **__: slow
        )

    return set_outcome


@pytest.mark.parametrize(
    ("outcome", "status"), [("completed", 0), ("failed", 1), ("timed_out", 1), ("cancelled", 130)]
)
def test_exit_status_follows_outcome(
    ends_as: Callable[[str], None], outcome: str, status: int, tmp_path: Path
) -> None:
    """A completed run exits with 0, a cancelled one with 130, others with 1; all are stored."""
    ends_as(outcome)
    done = call("web1", *HOSTS, "--output", str(tmp_path), "--format", "json")
    assert done.exit_code == status
    answer = json.loads(done.stdout)
    assert answer["outcome"] == answer["summary"]["outcome"] == outcome
    assert load_run(answer["run"]).outcome == outcome
    assert (answer["error"] is None) == (answer["explanation"] is None) == (outcome == "completed")
    assert [path.name for path in tmp_path.iterdir()] == [Path(answer["run"]).name]


@pytest.mark.parametrize("outcome", ["completed", "failed"])
def test_result_as_text(ends_as: Callable[[str], None], outcome: str, tmp_path: Path) -> None:
    """Standard output has table and folder of the run; standard error has error and fix."""
    ends_as(outcome)
    done = call("web1", *HOSTS, "--output", str(tmp_path))
    (kept,) = tmp_path.iterdir()
    assert f"run      {kept}" in done.stdout
    assert outcome in done.stdout
    assert ("hint: " in done.stderr) == (outcome == "failed")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["web1", "--to", "test:///default"], "Missing option '--from'"),
        (["web1", "--from", "test:///default"], "Missing option '--to'"),
        (HOSTS, "Missing argument 'DOMAIN'"),
        (["web1", *HOSTS, "--mode", "direct"], "--mode must be "),
        (["web1", *HOSTS, "--bandwidth-mib-s", "fast"], "--bandwidth-mib-s must be "),
        (["nobody", *HOSTS], "has no guest 'nobody'"),
        (["test", "--from", "", "--to", ""], "--from must not be empty"),
        (["web1", "--from", "test:///default", "--to", "tcp://node2"], "is a migration URI"),
    ],
)
def test_wrong_calls_are_refused(words: list[str], said: str, tmp_path: Path) -> None:
    """A missing or invalid argument is refused with exit status 2, and no run is stored."""
    output = [] if words is HOSTS else ["--output", str(tmp_path)]
    done = call(*words, *output)
    assert done.exit_code == 2
    assert said in done.stderr
    assert not list(tmp_path.iterdir())


def test_unreachable_host_is_reported(tmp_path: Path) -> None:
    """An unreachable host exits with 1, not with 2, and the error has a hint."""
    away = "qemu+unix:///system?socket=/nowhere"
    done = call("web1", "--from", away, "--to", away, "--output", str(tmp_path))
    assert done.exit_code == 1
    assert "hint: " in done.stderr


def test_unwritable_folder_is_refused_before_migration() -> None:
    """An output folder that cannot be created is refused before the connection to a host."""
    done = call("web1", *HOSTS, "--output", "/proc/nowhere")
    assert done.exit_code == 2
    assert "/proc/nowhere" in done.stderr


def test_ctrl_c_cancels_once_and_waits(
    make_run: Callable[..., Run], capsys: pytest.CaptureFixture[str]
) -> None:
    """Ctrl-C cancels the migration once, and the command waits until the migration ends."""
    run, stop = make_run(outcome="cancelled"), threading.Event()
    migration = Slow(run)
    stop.set()
    assert verb._waited(migration, stop) is run  # type: ignore[arg-type]
    assert (migration.cancelled, migration.done) == (1, True)
    assert capsys.readouterr().err.count("cancelling") == 1


def test_nothing_is_cancelled_without_ctrl_c(make_run: Callable[..., Run]) -> None:
    """Without Ctrl-C the command waits for the migration and does not cancel it."""
    migration = Slow(make_run())
    verb._waited(migration, threading.Event())  # type: ignore[arg-type]
    assert (migration.cancelled, migration.done) == (0, True)


def test_ctrl_c_in_postcopy_waits_for_the_end(
    make_run: Callable[..., Run], capsys: pytest.CaptureFixture[str]
) -> None:
    """In post-copy Ctrl-C prints once that a cancel is impossible, and the command waits."""
    migration, stop = Slow(make_run(), refuses=True), threading.Event()
    stop.set()
    verb._waited(migration, stop)  # type: ignore[arg-type]
    assert (migration.cancelled, migration.done) == (1, True)
    assert capsys.readouterr().err.count("no way back") == 1
