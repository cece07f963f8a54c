"""The verb ``experiment``: what it prints, what it refuses; live in tests/lab."""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from migrationlab.cli import main
from migrationlab.experiment.experiment import Experiment
from migrationlab.experiment.folder import write_manifest
from migrationlab.experiment.forecasts import read_forecasts
from migrationlab.runs.run import Run
from migrationlab.runs.store import save_run
from migrationlab.steps import Listener

DESIGN = """\
question = "Does peer2peer take longer?"
repeats = 2
[plan]
mode = ["normal", "peer2peer"]
[workload]
dirty_mib_s = 10
"""


def call(*words: str | Path) -> Result:
    """Run the verb; what is not an exit is a bug."""
    result = CliRunner().invoke(main, ["experiment", *map(str, words)])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


@pytest.fixture
def design(tmp_path: Path) -> Path:
    """Give the file of a design."""
    path = tmp_path / "modes.toml"
    path.write_text(DESIGN, encoding="utf-8")
    return path


@pytest.fixture
def makes(monkeypatch: pytest.MonkeyPatch, make_run: Callable[..., Run]) -> Callable[[int], None]:
    """Give a setter of how many trials are made before somebody stops it."""

    def set_count(count: int) -> None:
        def run(self: Experiment, *, on_step: Listener, stop: threading.Event, **_: bool) -> None:
            write_manifest(self.directory, self.manifest)
            for trial in self.left[:count]:
                place = {
                    "id": self.id, "name": self.name, "cell": trial.cell, "setting": {},
                    "block": trial.block, "run_number": trial.number, "attempt": 1,
                    "warm_up": False, "stopped": False,
                }  # fmt: skip
                made = make_run(number=20 + trial.number, mode=trial.cell.removeprefix("mode="))
                object.__setattr__(made, "experiment", place)
                save_run(made, self.directory / "runs")
            if self.left:
                stop.set()
                raise KeyboardInterrupt

        monkeypatch.setattr(Experiment, "run", run)

    return set_count


def test_dry_run_prints_schedule_and_estimate(design: Path) -> None:
    """A dry run prints the cells, runs, time and disk space, and creates no file."""
    done = call(design, "--dry-run")
    assert done.exit_code == 0
    assert "  mode=normal\n  mode=peer2peer\n" in done.stdout
    assert "runs     4: 2 of each cell, after 1 warm-ups" in done.stdout
    assert "takes    about" in done.stdout
    assert f"folder   {design.with_suffix('')}\n" in done.stdout
    assert [path.name for path in design.parent.iterdir()] == ["modes.toml"]


def test_dry_run_as_json(design: Path, tmp_path: Path) -> None:
    """The JSON of a dry run has the schedule: each run with its block and its cell."""
    done = call(design, "--dry-run", "--format", "json", "-o", tmp_path / "there")
    answer = json.loads(done.stdout)
    assert answer["directory"] == str(tmp_path / "there")
    assert answer["trials"] == answer["left"] == len(answer["schedule"]) == 4
    assert answer["cells"][1] == {"name": "mode=peer2peer", "setting": {"mode": "peer2peer"}}
    assert answer["estimate_s"] > 0
    assert {row["block"] for row in answer["schedule"]} == {1, 2}


def test_results_as_text(design: Path, makes: Callable[[int], None]) -> None:
    """The table has each cell's counts and medians; comparisons and warnings follow it."""
    makes(4)
    done = call(design)
    assert done.exit_code == 0
    lines = done.stdout.splitlines()
    assert lines[0] == "Does peer2peer take longer?"
    assert lines[2].split() == [
        "setting", "completed", "total_ms", "downtime_event_ms", "downtime_network_ms",
        "transferred_bytes",
    ]  # fmt: skip
    assert lines[3].startswith("mode=normal        2 of 2")
    assert "n is too small to tell" in done.stdout
    assert "warning  All settings have fewer than 6 completed runs" in done.stdout
    assert lines[-1] == f"folder   {design.with_suffix('')}"


def test_results_as_json(design: Path, makes: Callable[[int], None]) -> None:
    """The JSON of the results has null for missing values; standard output has nothing else."""
    makes(4)
    done = call(design, "--format", "json", "--metric", "total_ms")
    answer = json.loads(done.stdout)
    assert answer["left"] == 0
    assert [row["completed"] for row in answer["outcomes"]] == [2, 2]
    row = next(row for row in answer["summary"] if row["metric"] == "total_ms")
    assert row["n"] == 2
    assert row["low"] is None
    (comparison,) = answer["comparisons"]
    assert comparison["metric"] == "total_ms"
    assert comparison["verdict"] == "too few"
    assert {concern["kind"] for concern in answer["concerns"]} >= {"few", "emulated"}


def test_stopped_experiment_exits_with_130(design: Path, makes: Callable[[int], None]) -> None:
    """A stopped experiment prints its results and exits with 130; the same command continues it."""
    makes(1)
    done = call(design)
    assert done.exit_code == 130
    folder = design.with_suffix("")
    assert f"stopped; `migrationlab experiment {folder}` continues" in done.stderr
    assert "1 of 1" in done.stdout
    makes(3)
    assert call(folder).exit_code == 0


@pytest.mark.parametrize("output_format", ["text", "json"])
def test_differing_environments_are_reported_after_outcomes(
    design: Path, makes: Callable[[int], None], output_format: str
) -> None:
    """The outcomes are printed first, then the refusal to pool the runs; the exit status is 1."""
    makes(4)
    folder = design.with_suffix("")
    assert call(design).exit_code == 0
    first = Experiment.load(folder).runs[0]
    changed = replace(first, environment=first.environment | {"kernel": "7.0"})
    shutil.rmtree(folder / "runs" / first.run_id)
    save_run(changed, folder / "runs")
    done = call(folder, "--format", output_format)
    assert done.exit_code == 1
    assert "machine.kernel" in done.stderr
    assert "hint: Measure again in one environment." in done.stderr
    assert "--mixed" in done.stderr
    if output_format == "text":
        assert "mode=normal        2 of 2\n" in done.stdout
        assert "warning  The environments of the runs differ" in done.stdout
    else:
        answer = json.loads(done.stdout)
        assert [row["completed"] for row in answer["outcomes"]] == [2, 2]
        assert answer["comparisons"] == []
        assert "machine.kernel" in answer["refused"]["text"]
    assert call(folder, "--mixed").exit_code == 0


@pytest.mark.parametrize(
    ("text", "words", "said", "hint"),
    [
        ("question =", [], "modes.toml: the file must be TOML: Invalid value", "TOML"),
        (
            'question = "Why?"\nrepeat = 3',
            [],
            "modes.toml: repeat: no such key",
            "Did you mean repeats",
        ),
        (
            'question = "Why?"\n[plan]\nmax_downtime_ms = -1',
            [],
            "modes.toml: plan: max_downtime_ms must be ",
            "1",
        ),
        (
            DESIGN,
            ["--metric", "speed"],
            "metric must be a number of a run's summary (got 'speed')",
            "total_ms",
        ),
    ],
)
def test_wrong_design_exits_with_2(
    text: str, words: list[str], said: str, hint: str, design: Path
) -> None:
    """A wrong design is refused with its file, its key and the file's text."""
    design.write_text(text, encoding="utf-8")
    done = call(design, *words)
    assert done.exit_code == 2
    assert done.stdout == ""
    assert said in done.stderr
    assert "hint: " in done.stderr
    assert hint in done.stderr.split("hint: ")[1]
    assert "--max-downtime-ms" not in done.stderr


def test_tab_completes_metrics(design: Path) -> None:
    """Tab completion offers the numeric metrics of a summary, not its texts."""
    words = {
        "_MIGRATIONLAB_COMPLETE": "bash_complete",
        "COMP_WORDS": "migrationlab experiment x.toml --metric downtime_e",
        "COMP_CWORD": "4",
    }
    told = CliRunner().invoke(main, prog_name="migrationlab", env=words)
    offered = [line.split(",")[1] for line in told.output.splitlines()]
    assert offered == ["downtime_event_ms", "downtime_event_error_ms"]
    assert "run_id" not in Experiment.load(design).metrics


def test_missing_experiment_exits_with_2(tmp_path: Path) -> None:
    """A folder without an experiment is refused with exit status 2."""
    done = call(tmp_path)
    assert done.exit_code == 2
    assert f"{tmp_path} must hold an experiment" in done.stderr


@pytest.mark.parametrize(
    ("added", "program"),
    [
        (('[hosts]\nsource="qemu+ext:///system?command=/evil"\nto="qemu+ssh://b/system"\n'
         'domain="web1"'), "hosts.source runs /evil"),
        (('[hosts]\nsource="qemu+ssh://a/system"\nto="qemu+ssh://b/system?netcat=/evil"\n'
         'domain="web1"'), "hosts.to runs /evil"),
        ('[plans.a]\nconnection_uri="qemu+ssh://b/system?no_tty=1;command=/ev%69l"',
         "plan.connection_uri runs /evil"),
        (("[plans.a]\ndestination_xml='<domain><devices><emulator>/evil</emulator></devices>"
         "</domain>'"), "plan.destination_xml runs /evil"),
        ('[plans.a]\nconnection_uri="qemu+ssh://b/system?a;b&NetCat=/evil"',
         "plan.connection_uri runs /evil"),
        ('[plans.a]\nconnection_uri="qemu+ssh://b/system?command=/evil&Command="',
         "plan.connection_uri runs /evil"),
        (("[plans.a]\npersistent=true\npersistent_xml='<domain><devices><interface>"
         "<script path=\"/evil\"/></interface></devices></domain>'"),
         "plan.persistent_xml runs /evil"),
        (("[plans.a]\ndestination_xml='<domain xmlns:q=\"http://libvirt.org/schemas/domain/qemu/1.0"
         "\"><q:commandline><q:arg value=\"/evil\"/></q:commandline></domain>'"),
         "plan.destination_xml runs /evil"),
    ],
)  # fmt: skip
def test_programs_of_a_design_are_shown_and_not_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, added: str, program: str
) -> None:
    """A program that a design names is shown by --dry-run, and runs only with --allow-programs."""
    began: list[str] = []
    monkeypatch.setattr(
        "migrationlab.experiment.runner.run_experiment", lambda known, **_: began.append(known.name)
    )
    path = tmp_path / "programs.toml"
    path.write_text(f'question = "?"\nname = "x"\n{added}\n')
    shown = call(path, "--dry-run", "--format", "json")
    assert json.loads(shown.stdout)["programs"] == [program]
    assert program in call(path, "--dry-run").stdout
    refused = call(path)
    assert (refused.exit_code, program in refused.stderr) == (2, True)
    assert "--allow-programs" in refused.stderr
    assert began == []
    call(path, "--allow-programs")
    assert began == ["x"]


def test_forecasts_are_stored_with_constants_of_the_hosts(
    design: Path, makes: Callable[[int], None], tmp_path: Path
) -> None:
    """They are part of what is sealed: the same command continues, another one is refused."""
    constants = tmp_path / "constants.json"
    constants.write_text('{"after_s": 7}', encoding="utf-8")
    makes(0)
    design.write_text(DESIGN + "[wire]\nwire_mbit_s = 1000\n", encoding="utf-8")
    for _ in range(2):
        assert call(design, "--forecast", "--constants", constants).exit_code == 130
        assert read_forecasts(design.with_suffix("")).constants["after_s"] == 7
    constants.write_text('{"after_s": 8}', encoding="utf-8")
    again = call(design, "--forecast", "--constants", constants)
    assert again.exit_code == 2
    assert f"(got {constants}, which has others)" in again.stderr


def test_constants_without_forecasts_are_refused(design: Path, tmp_path: Path) -> None:
    """Nothing would use them."""
    constants = tmp_path / "constants.json"
    constants.write_text("{}", encoding="utf-8")
    result = call(design, "--constants", constants)
    assert result.exit_code == 2
    assert "--constants needs --forecast" in result.stderr
