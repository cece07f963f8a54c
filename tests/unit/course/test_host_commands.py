"""Commands on hosts: the list, live and recorded answers, and the widget without a browser."""

from __future__ import annotations

import shlex
import threading
from pathlib import Path

import pytest

from migrationlab import plots
from migrationlab.checks.diagnosis import Status
from migrationlab.course.host_commands import (
    HOST_COMMANDS,
    Answer,
    LiveHosts,
    RecordedHosts,
    record,
)
from migrationlab.course.recorded_preflights import FAULTS, WELL, load_preflights, save_preflights
from migrationlab.errors import LabError, StoreError, UsageError
from migrationlab.hosts.shell import Shell
from migrationlab.widgets import HostShell


class Standing:
    """A host of this machine, whose shell answers with the command that it got."""

    def __init__(self, name: str, folder: Path) -> None:
        self.name = name
        program = folder / name
        program.write_text(f'#!/bin/sh\nshift 2\necho "{name} runs $*"\n')
        program.chmod(0o700)
        self.shell: Shell | None = Shell((str(program),))


class Rack:
    """A lab that a test can shut down."""

    def __init__(self, folder: Path) -> None:
        self.alive = True
        self.hosts = [Standing("host-a", folder), Standing("host-b", folder)]


class Slow:
    """Hosts that answer only when the test lets them."""

    names = ("host-a", "host-b")
    live = True

    def __init__(self) -> None:
        self.go = threading.Event()
        self.asked: list[tuple[str, str]] = []

    def ask(self, host: str, look: str) -> Answer:
        """Answer with the question."""
        assert self.go.wait(10)
        self.asked.append((host, look))
        return Answer(0, f"{host}: {look} <b>")


def test_live_hosts_run_the_commands_of_the_list(tmp_path: Path) -> None:
    """The host's own shell runs each command of the list, unchanged."""
    hosts = LiveHosts(Rack(tmp_path))
    assert hosts.names == ("host-a", "host-b")
    for look in HOST_COMMANDS:
        answer = hosts.ask("host-b", look.key)
        assert answer.text == f"host-b runs {' '.join(shlex.split(look.line))}"
        assert answer.status == 0


def test_lab_that_is_down_is_reported(tmp_path: Path) -> None:
    """The error names the cell that starts new hosts."""
    lab = Rack(tmp_path)
    hosts = LiveHosts(lab)
    lab.alive = False
    with pytest.raises(LabError, match="down") as caught:
        hosts.ask("host-a", "guests")
    assert "mig.Lab" in caught.value.hint
    lab.alive, lab.hosts = True, []
    with pytest.raises(LabError, match="down"):
        hosts.ask("host-a", "guests")


@pytest.mark.parametrize("asked", [("host-c", "guests"), ("host-a", "rm")])
def test_unlisted_host_or_command_is_refused(tmp_path: Path, asked: tuple[str, str]) -> None:
    """Only hosts and commands of the list are run."""
    for hosts in (LiveHosts(Rack(tmp_path)), RecordedHosts.load()):
        with pytest.raises(UsageError, match="must be one of"):
            hosts.ask(*asked)


def test_recording_survives_a_round_trip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A loaded recording equals the saved one, with its wire."""
    live = LiveHosts(Rack(tmp_path))
    wire = [{"rate_mbit_s": 50.0, "payload_mbit_s": 47.0}]
    record(live, wire).save(tmp_path / "data" / "course" / "mine.json")
    monkeypatch.setattr(
        "migrationlab.course.json_files.find_data", lambda *n: tmp_path.joinpath("data", *n)
    )
    again = RecordedHosts.load("mine")
    assert list(again.wire) == wire
    for name in live.names:
        for look in HOST_COMMANDS:
            then, now = again.ask(name, look.key), live.ask(name, look.key)
            assert (then.status, then.text) == (now.status, now.text)


def test_committed_recording_has_every_answer() -> None:
    """No answer is missing; one host lacks the guest, and the guest has no agent."""
    hosts = RecordedHosts.load()
    failed = {
        (name, look.key)
        for name in hosts.names
        for look in HOST_COMMANDS
        if hosts.ask(name, look.key).status != 0
    }
    assert failed == {
        ("host-b", "guest"),
        ("host-b", "cards"),
        ("host-a", "time"),
        ("host-b", "time"),
    }


@pytest.mark.parametrize("text", ["", "[]", '{"hosts": {"a": 1}}', '{"wire": []}'])
def test_damaged_file_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    """A damaged recording of hosts or of preflights is refused with a hint."""
    (tmp_path / "spoilt.json").write_text(text)
    monkeypatch.setattr("migrationlab.course.json_files.find_data", lambda *names: tmp_path)
    with pytest.raises(StoreError, match=r"spoilt\.json"):
        RecordedHosts.load("spoilt")
    with pytest.raises(StoreError, match=r"spoilt\.json"):
        load_preflights("spoilt")


def test_preflights_survive_a_round_trip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A loaded diagnosis equals the saved one, with its verdict."""
    findings = load_preflights()
    save_preflights(findings, tmp_path / "again.json")
    monkeypatch.setattr("migrationlab.course.json_files.find_data", lambda *names: tmp_path)
    assert load_preflights("again") == findings


def test_committed_preflights_are_those_of_the_lesson() -> None:
    """Each fault of the list is recorded, and only the certificate's is not detected."""
    findings = load_preflights()
    assert tuple(findings) == (WELL, *FAULTS)
    unseen = {name for name, diagnosis in findings.items() if diagnosis.ok}
    assert unseen == {WELL, "certificate-wrong-name"}
    for name in set(findings) - unseen:
        assert [c.status for c in findings[name].checks].count(Status.FAIL) == 1


def test_widget_shows_both_hosts_or_one() -> None:
    """A button asks both hosts; choosing a host asks only that host."""
    shell = HostShell(RecordedHosts.load(), "kernel")
    assert repr(shell) == "HostShell(host-a, host-b, recorded)"
    assert shell.wait(10)
    assert "root@host-a:~# uname -nsr" in shell.answer.value
    assert "root@host-b:~# uname -nsr" in shell.answer.value
    shell.buttons["names"].click()
    assert shell.wait(10)
    assert "cat /etc/hosts" in shell.answer.value
    shell.host.value = "host-b"
    assert shell.wait(10)
    assert "root@host-a" not in shell.answer.value
    assert "root@host-b:~# cat /etc/hosts" in shell.answer.value
    shell.buttons["guest"].click()
    assert shell.wait(10)
    assert "(exit status 1)" in shell.answer.value
    html = shell._repr_mimebundle_()["text/html"]
    assert "run this cell" in html
    assert 'role="status"' in html


def test_widget_has_the_commands_of_one_lesson() -> None:
    """The first command chooses the lesson whose buttons are shown."""
    for lesson, command in (("02", "guests"), ("09", "cpu")):
        shell = HostShell(RecordedHosts.load(), command)
        assert shell.wait(10)
        assert list(shell.buttons) == [each.key for each in HOST_COMMANDS if each.lesson == lesson]


def test_slow_host_does_not_block_a_press() -> None:
    """A press returns at once, and only the last waiting command is run."""
    hosts = Slow()
    shell = HostShell(hosts)
    assert not shell.wait(0)
    shell.buttons["wire"].click()
    shell.buttons["load"].click()
    assert "Asking host-a, host-b: uptime" in shell.answer.value
    hosts.go.set()
    assert shell.wait(10)
    assert "host-b: load &lt;b&gt;" in shell.answer.value
    assert ("host-a", "wire") not in hosts.asked
    shell.close()
    shell.buttons["wire"].click()
    assert shell.wait(10)
    assert ("host-a", "wire") not in hosts.asked


def test_unexpected_error_replaces_the_answer() -> None:
    """The page shows the unexpected error instead of an earlier answer."""

    class Faulty(Slow):
        def ask(self, host: str, look: str) -> Answer:
            raise OSError("the pipe broke")

    shell = HostShell(Faulty())
    assert shell.wait(10)
    assert "OSError: the pipe broke" in shell.answer.value
    assert 'role="status"' in shell.answer.value


def test_widget_reports_a_lab_that_is_down(tmp_path: Path) -> None:
    """The page states that the lab is down and names the cell that starts a new one."""
    lab = Rack(tmp_path)
    shell = HostShell(LiveHosts(lab))
    assert shell.wait(10)
    lab.alive = False
    shell.buttons["wire"].click()
    assert shell.wait(10)
    assert "the lab is down" in shell.answer.value
    assert "mig.Lab" in shell.answer.value


def test_wire_figure_states_shares() -> None:
    """Title and description have the shares; a wire without a limit has no shares."""
    picture = plots.wire([50, 100], [47.8, 95.6])
    assert picture.title == "A TCP stream receives 96 % of the wire's rate"
    assert "50 Mbit/s: 47.8 Mbit/s, 95.6 %" in picture.alt
    assert "95 to 97 %" in plots.wire([50, 100], [47.4, 97.0]).title
    for rates, payloads in (([], []), ([50], [1.0, 2.0]), ([None], [1.0])):
        with pytest.raises(UsageError, match="one value for each rate"):
            plots.wire(rates, payloads)  # type: ignore[arg-type]
