"""The command line, as a person or a script meets it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from click.testing import CliRunner, Result

from migrationlab.cli import main
from migrationlab.lab import namespaces, registry
from migrationlab.lab.lab import Lab
from migrationlab.runs import store
from migrationlab.runs.schema import SUMMARY

pytestmark = pytest.mark.lab

COMMAND = [sys.executable, "-m", "migrationlab.cli"]


def call(*words: str) -> Result:
    """Run a verb in this process."""
    return CliRunner().invoke(main, words)


def assert_refused(done: Result, status: int, *texts: str) -> None:
    """Check a refused call: its status, its message, a hint, and no traceback."""
    assert done.exit_code == status
    for text in texts:
        assert text in done.stderr
    assert "hint:" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.fixture
def name() -> str:
    """Give the name of a lab of this test's own."""
    return f"cli-{os.getpid()}"


def labs_of(process: subprocess.Popen[str]) -> list[str]:
    """Return the labs without a name of their own that a process made and that are up."""
    return [name for name in registry.names() if name.startswith(f"lab-{process.pid}-")]


def test_demo_writes_runs_figures_and_report(tmp_path: Path) -> None:
    """The demo prints its summaries as JSON, and writes runs, figures and a report."""
    with subprocess.Popen(
        [*COMMAND, "demo", "--repeats", "1", "--output", str(tmp_path), "--format", "json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as demo:
        said, told = demo.communicate()
    assert demo.returncode == 0, told
    answer = json.loads(said)
    assert [run["mode"] for run in answer["runs"]] == ["normal", "peer2peer"]
    for run in answer["runs"]:
        assert list(run) == list(SUMMARY)
        assert run["outcome"] == "completed"
        assert run["guest_intact"] is True
        for key in ("total_ms", "downtime_event_ms", "downtime_network_ms", "wire_bytes"):
            assert run[key] > 0
    page = Path(answer["report"]).read_text()
    assert all(run["run_id"] in page for run in answer["runs"])
    assert len(store.load_runs(answer["runs_directory"])) == 2
    assert all(Path(figure).stat().st_size > 10_000 for figure in answer["figures"])
    assert not labs_of(demo)


@pytest.mark.thorough
def test_ctrl_c_in_the_demo_keeps_the_runs(tmp_path: Path) -> None:
    """Ctrl-C during the demo exits with 130, removes the lab, and keeps every run."""
    with subprocess.Popen(
        [*COMMAND, "demo", "--repeats", "50", "--output", str(tmp_path)],
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
    ) as demo:
        assert demo.stderr is not None
        said = []
        for line in demo.stderr:
            said.append(line)
            if line.startswith("migrating") and "…" in line and len(said) > 6:
                demo.send_signal(signal.SIGINT)
                break
        rest = demo.stderr.read()
    assert demo.returncode == 130, rest
    assert "interrupted" in rest
    assert "Traceback" not in rest
    assert not labs_of(demo)
    outcomes = [run.outcome for run in store.load_runs(tmp_path / "runs")]
    assert outcomes.count("completed") >= 1
    assert not list((tmp_path / "runs").glob(".*"))


def test_full_disk_is_refused_before_the_demo_starts(tmp_path: Path) -> None:
    """A full disk under the output folder is refused before a lab starts."""
    script = 'mount -t tmpfs -o size=4k tmpfs "$0" && printf %4096s x >"$0/full"; "$@"'
    command = [*COMMAND, "demo", "--output", str(tmp_path)]
    done = subprocess.run(
        [*namespaces.unshare("--mount"), "sh", "-c", script, str(tmp_path), *command],
        capture_output=True,
        text=True,
        check=False,
        timeout=110,
    )
    assert done.returncode == 2
    assert "No space left on device" in done.stderr
    assert "hint:" in done.stderr
    assert "starting lab" not in done.stderr


def test_unwritable_folder_is_refused_before_the_demo_starts() -> None:
    """An output folder that cannot be created is refused before a lab starts."""
    assert_refused(call("demo", "--output", "/proc/nowhere"), 2, "/proc/nowhere")


@pytest.mark.parametrize("repeats", ["0", "-1", "1000000"])
def test_demo_refuses_repeats_out_of_range(repeats: str, tmp_path: Path) -> None:
    """Repeats outside 1 to 1000 are refused."""
    done = call("demo", "--repeats", repeats, "--output", str(tmp_path))
    assert_refused(done, 2, "repeats must be an integer from 1 to 1000")


def test_lab_commands_print_json(name: str) -> None:
    """The commands of a lab, from up to down, print plain JSON."""
    try:
        up = call("lab", "up", name, "--format", "json")
        assert up.exit_code == 0, up.stderr
        assert [host["name"] for host in json.loads(up.stdout)["labs"][0]["hosts"]] == [
            "host-a",
            "host-b",
        ]
        assert_refused(call("lab", "up", name), 2, f"a lab '{name}' is up already")
        booted = call("lab", "boot", name, "--guest", "web1", "--memory-mib", "128",
                      "--working-set-mib", "8", "--disk", "shared", "--disk-mib", "4",
                      "--disk-cache", "none", "--persistent", "--format", "json")  # fmt: skip
        record = json.loads(booted.stdout)
        assert record["host"] == "host-a"
        assert (record["disk"], record["disk_mib"], record["disk_cache"]) == ("shared", 4, "none")
        assert record["persistent"] is True
        assert_refused(
            call("lab", "boot", name, "--memory-mib", "90", "--working-set-mib", "64"),
            2,
            "memory_mib must be at least 144",
        )
        wire = call("lab", "wire", name, "--rate-mbit-s", "100", "--format", "json")
        assert json.loads(wire.stdout)["rate_mbit_s"] == 100
        shown = json.loads(call("lab", "inspect", name, "--format", "json").stdout)["labs"][0]
        assert [guest["name"] for guest in shown["guests"]] == ["web1"]
        assert shown["wire"]["rate_mbit_s"] == 100
        text = call("lab", "inspect", name).stdout
        assert f"virsh --connect '{shown['hosts'][0]['uri']}' list" in text
    finally:
        down = call("lab", "down", name, "--format", "json")
    assert json.loads(down.stdout) == {"down": [name]}
    assert not [process for process in shown["processes"] if psutil.pid_exists(process["pid"])]
    again = call("lab", "down", name)
    assert again.exit_code == 0
    assert "no lab is running" in again.stdout


@pytest.mark.thorough
def test_down_removes_a_killed_lab(name: str) -> None:
    """If the keeper of a lab is killed, down removes what is left, and up works again."""
    try:
        assert call("lab", "up", name).exit_code == 0
        owner = registry.owner(name)
        assert owner is not None
        keeper = psutil.Process(owner)
        keeper.kill()
        keeper.wait()
        assert_refused(call("lab", "inspect", name), 2, f"no lab '{name}' is up")
        assert call("lab", "up", name).exit_code == 0
        psutil.Process(registry.owner(name)).kill()
    finally:
        down = call("lab", "down", name)
    assert down.exit_code == 0
    assert not registry.files(name).directory.exists()


@pytest.mark.thorough
def test_down_ends_the_lab_but_not_its_program(lab: Lab) -> None:
    """The command down ends a program's lab, and not the program, which releases the lab's name."""
    script = (
        "import sys; from migrationlab.lab.lab import Lab; lab = Lab(name=sys.argv[1]); "
        "print('up', flush=True); sys.stdin.read(); print(lab.alive); lab.close()"
    )
    name = f"owned-{os.getpid()}"
    with subprocess.Popen(
        [sys.executable, "-c", script, name],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as owner:
        assert owner.stdout is not None
        assert owner.stdin is not None
        assert owner.stdout.readline() == "up\n"
        done = call("lab", "down", name)
        assert_refused(done, 1, f"process {owner.pid} still holds the name")
        owner.stdin.close()
        assert owner.stdout.readline() == "False\n"
    assert owner.returncode == 0
    assert not registry.files(name).directory.exists()
    assert lab.alive


def test_unknown_release_is_refused() -> None:
    """An unknown release is refused with the known ones."""
    assert_refused(call("lab", "up", "none", "--image", "potato"), 2, "potato", "trixie")


def test_tab_completes_lab_names(lab: Lab) -> None:
    """Tab completion offers the labs that are up."""
    environment = os.environ | {
        "_MIGRATIONLAB_COMPLETE": "bash_complete",
        "COMP_WORDS": "migrationlab lab inspect ",
        "COMP_CWORD": "3",
    }
    program = Path(sys.executable).with_name("migrationlab")
    done = subprocess.run([program], env=environment, capture_output=True, text=True, check=False)
    assert lab.name in done.stdout
