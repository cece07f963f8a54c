"""Faults in mid-migration: their tables, the lines that they wait for, and the watcher."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from collections.abc import Callable, Collection, Iterator
from pathlib import Path

import psutil
import pytest
from click.testing import CliRunner

from migrationlab.cli import main
from migrationlab.errors import LabError, UsageError
from migrationlab.hosts.poll import wait_until
from migrationlab.lab.phase_effects import EFFECTS, Options, continue_all
from migrationlab.lab.phase_faults import KINDS, check_request
from migrationlab.lab.phase_watch import PHASES, LogMoment, PhaseWatch, Step

#: As libvirt 11.3 and QEMU 10.0 wrote them in a migration.
BEGIN = (
    b"2026-11-30 08:11:35.133+0000: 58: debug : qemuDomainObjSetJobPhase:564 : "
    b"Setting 'migration out' phase to 'begin3'\n"
)
STOPPED = b"124@1796026296.037727:vmstate_downtime_checkpoint src-vm-stopped\n"


@pytest.fixture
def daemon() -> Iterator[psutil.Process]:
    """Give a process that can be stopped and continued."""
    with subprocess.Popen(["sleep", "60"]) as sleeper:
        yield psutil.Process(sleeper.pid)
        sleeper.kill()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Give a log with an old line."""
    log = tmp_path / "libvirtd.log"
    log.write_bytes(BEGIN)
    return log


def add(path: Path, text: bytes) -> None:
    """Write at the end of a log."""
    with path.open("ab") as log:
        log.write(text)


def test_each_available_fault_has_an_effect() -> None:
    """Only a fault that the lab cannot have is without one, and it says why."""
    assert set(EFFECTS) == {kind.id for kind in KINDS.values() if not kind.unavailable}
    assert {"step-clock"} == set(KINDS) - set(EFFECTS)
    assert all(kind.title and kind.text for kind in KINDS.values())


def test_steps_name_logs_and_sides_that_exist() -> None:
    """The watcher knows each log, and each daemon that a phase stops."""
    steps = [step for phase in PHASES.values() for step in phase.steps]
    assert {step.log for step in steps} <= {"source", "destination", "source-qemu"}
    assert {step.stop for step in steps} <= {"", "source", "destination"}


def test_lines_of_real_logs_are_those_of_a_phase() -> None:
    """The texts that the phases wait for are in what the daemons write."""
    assert PHASES["begin"].steps[-1].line in BEGIN.decode()
    assert PHASES["switchover"].steps[-1].line in STOPPED.decode()


@pytest.mark.parametrize(
    ("request_", "words"),
    [
        (("kill-everything", "begin", None, Options()), "fault must be one of kill-qemu, "),
        (("kill-qemu", "begin4", None, Options()), "phase must be one of begin, "),
        (("kill-qemu", "begin", "left", Options()), "side must be source or destination"),
        (("cut-wire", "begin", "source", Options()), "side must be left out for cut-wire"),
        (("step-clock", "begin", None, Options()), "the lab cannot have step-clock: "),
        (("cut-wire", "begin", None, Options(iteration=2)), "iteration must be left out"),
        (("cut-wire", "perform", None, Options(iteration=0)), "iteration must be more than 0"),
        (("flap-wire", "begin", None, Options(period_s=float("nan"))), "period_s must be more"),
    ],
)
def test_impossible_faults_are_refused(
    request_: tuple[str, str, str | None, Options], words: str
) -> None:
    """A wrong name or number says which, before anything waits."""
    with pytest.raises(UsageError, match=words):
        check_request(*request_)


@pytest.fixture
def watch(path: Path, daemon: psutil.Process) -> Iterator[Callable[..., PhaseWatch]]:
    """Give a function that starts a watch of a log."""
    with contextlib.ExitStack() as ended:

        def start(
            *steps: Step, act: Callable[[], Collection[int]] = set, log: Path = path
        ) -> PhaseWatch:
            moment = LogMoment(steps, {"source": log}, {"source": daemon})
            ended.callback(moment.close)
            made = PhaseWatch(moment, act)
            made.start()
            ended.callback(made.close)
            return made

        yield start


BEGINS = Step("source", "begin3", "source")
STOPS = Step("source", "src-vm-stopped")


def is_stopped(daemon: psutil.Process) -> bool:
    """Return whether a process is stopped."""
    return bool(daemon.status() == psutil.STATUS_STOPPED)


def test_watch_sees_only_new_whole_lines(path: Path, watch: Callable[..., PhaseWatch]) -> None:
    """An old line does not count, and a line counts when its end is there."""
    begun = watch(Step("source", "begin3"))
    stops = watch(STOPS)
    add(path, STOPPED[:60])
    assert not stops.wait(0.05)
    add(path, STOPPED[60:])
    assert stops.wait(10)
    assert stops.line == STOPPED.decode().rstrip()
    assert not begun.wait(0)
    add(path, BEGIN)
    assert begun.wait(10)


def test_watch_sees_log_that_is_made_later_or_replaced(
    tmp_path: Path, path: Path, watch: Callable[..., PhaseWatch]
) -> None:
    """Both have only new lines."""
    later = tmp_path / "guest.log"
    made, replaced = watch(STOPS, log=later), watch(STOPS)
    later.write_bytes(STOPPED)
    assert made.wait(10)
    path.write_bytes(STOPPED)
    assert replaced.wait(10)


def test_watch_acts_on_the_last_line_while_the_daemon_is_stopped(
    path: Path, daemon: psutil.Process, watch: Callable[..., PhaseWatch]
) -> None:
    """The daemon is stopped at its line, until the watcher has acted on the last one."""
    seen: list[bool] = []

    def act() -> set[int]:
        seen.append(is_stopped(daemon))
        return set()

    made = watch(BEGINS, STOPS, act=act)
    add(path, BEGIN)
    assert wait_until(lambda: is_stopped(daemon), 10)
    assert not made.wait(0)
    add(path, STOPPED)
    assert made.wait(10)
    assert seen == [True]
    assert not is_stopped(daemon)


def test_watch_leaves_stopped_what_the_fault_has_stopped(
    path: Path, daemon: psutil.Process, watch: Callable[..., PhaseWatch]
) -> None:
    """A fault that freezes the held daemon is not undone by the watcher."""
    made = watch(BEGINS, act=lambda: {daemon.pid})
    add(path, BEGIN)
    assert made.wait(10)
    made.close()
    # A signal waits until its process is scheduled. The watcher has ended: it sends no other one.
    assert wait_until(lambda: is_stopped(daemon), 10)


def test_watch_that_ends_early_continues_the_daemon(
    path: Path, daemon: psutil.Process, watch: Callable[..., PhaseWatch]
) -> None:
    """A migration that never reaches the phase leaves nothing stopped."""
    made = watch(BEGINS, STOPS)
    add(path, BEGIN)
    assert wait_until(lambda: is_stopped(daemon), 10)
    made.close()
    assert not is_stopped(daemon)
    assert not made.wait(0)
    assert made.line is None


def test_watch_of_a_killed_process_continues_the_daemon(path: Path, daemon: psutil.Process) -> None:
    """Nobody is left to close it, and nothing stays stopped."""
    script = (
        "import psutil, sys, time; from pathlib import Path;"
        "from migrationlab.lab.phase_watch import LogMoment, Step;"
        "moment = LogMoment([Step('source', 'begin3', 'source'), Step('source', 'never')],"
        "{'source': Path(sys.argv[1])}, {'source': psutil.Process(int(sys.argv[2]))});"
        "print('waits', flush=True); moment.wait()"
    )
    command = [sys.executable, "-c", script, str(path), str(daemon.pid)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as owner:
        assert owner.stdout is not None
        assert owner.stdout.readline() == b"waits\n"
        add(path, BEGIN)
        assert wait_until(lambda: is_stopped(daemon), 10)
        owner.kill()
    assert wait_until(lambda: not is_stopped(daemon), 10)


def test_watch_tells_that_the_fault_could_not_be_made(
    path: Path, daemon: psutil.Process, watch: Callable[..., PhaseWatch]
) -> None:
    """Waiting raises its reason, and the daemon runs again."""

    def act() -> set[int]:
        raise LabError("host-b has no such process at that moment")

    made = watch(BEGINS, act=act)
    add(path, BEGIN)
    with pytest.raises(LabError, match="firing the fault failed: host-b has no such process"):
        made.wait(10)
    assert not is_stopped(daemon)
    assert made.fired_at_ns is None


def test_process_that_will_stop_is_continued(daemon: psutil.Process) -> None:
    """One that waits for a disk has the signal already, and shows another state."""

    class Waits:
        resumed = False

        def status(self) -> str:
            return str(psutil.STATUS_DISK_SLEEP)

        def resume(self) -> None:
            self.resumed = True

    waits = Waits()
    daemon.suspend()
    assert wait_until(lambda: is_stopped(daemon), 10)
    continue_all([waits, daemon])
    assert waits.resumed
    assert not is_stopped(daemon)


def test_command_lists_faults_and_phases() -> None:
    """It says of each what happens, and why the lab cannot have one."""
    listing = ["lab", "fault", "--list"]
    found = json.loads(CliRunner().invoke(main, [*listing, "--format", "json"]).stdout)
    assert [each["id"] for each in found["faults"]] == list(KINDS)
    assert [each["id"] for each in found["phases"]] == list(PHASES)
    text = CliRunner().invoke(main, listing).stdout
    assert "step-clock\n    Not available: a host of the lab has this machine's time" in text


def test_command_needs_a_fault_and_a_phase() -> None:
    """Without one of them it says how to list them."""
    done = CliRunner().invoke(main, ["lab", "fault", "cut-wire"])
    assert done.exit_code == 2
    assert "FAULT and --at must be given" in done.stderr
