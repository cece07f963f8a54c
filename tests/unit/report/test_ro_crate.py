"""An export is an RO-Crate of its profile, with tables that any program can read."""

from __future__ import annotations

import csv
import dataclasses
import json
import zipfile
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pandas as pd
import pytest
from click.testing import CliRunner

import fake_experiments
from migrationlab.cli.runs import export as command
from migrationlab.cli.runs import runs as runs_command
from migrationlab.errors import StoreError, UsageError
from migrationlab.experiment.experiment import Experiment
from migrationlab.plan.plan import Plan
from migrationlab.report import ro_crate
from migrationlab.report.tables import FACTS, MEANINGS, dictionary, runs_table
from migrationlab.runs import store
from migrationlab.runs.run import Run, Runs
from migrationlab.runs.schema import FRAMES, SUMMARY
from paths import RECORDINGS

MakeRun = Callable[..., Run]
Graph = dict[str, dict[str, Any]]
SMALL = {**fake_experiments.GRID, "repeats": 2}


def graph(folder: Path) -> Graph:
    """Return the entities of a crate by their identities, which must be unique."""
    content = json.loads((folder / "ro-crate-metadata.json").read_text(encoding="utf-8"))
    assert content["@context"] == "https://w3id.org/ro/crate/1.1/context"
    entities = {entity["@id"]: entity for entity in content["@graph"]}
    assert len(entities) == len(content["@graph"])
    return entities


def references(value: object) -> list[str]:
    """Return the identities that a value refers to."""
    if isinstance(value, dict):
        return [value["@id"]] if set(value) == {"@id"} else []
    return [name for item in value for name in references(item)] if isinstance(value, list) else []


@pytest.fixture(scope="module")
def real() -> Runs:
    """Return real recordings of several outcomes."""
    return store.load_runs(RECORDINGS)


@pytest.fixture(scope="module")
def exported(real: Runs, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the crate of the real recordings."""
    return ro_crate.export(
        real,
        tmp_path_factory.mktemp("crate") / "runs",
        license="https://creativecommons.org/licenses/by/4.0/",
        author="An Author",
    )


@pytest.fixture(scope="module")
def measured(make_run: MakeRun, tmp_path_factory: pytest.TempPathFactory) -> Experiment:
    """Return an experiment with one run that timed out."""
    return fake_experiments.experiment(
        tmp_path_factory.mktemp("modes"), make_run, outcomes={3: "timed_out"}, **SMALL
    )


def test_crate_follows_the_specification(exported: Path) -> None:
    """RO-Crate 1.1: descriptor and root have what they must have, and every reference resolves."""
    entities = graph(exported)
    descriptor, root = entities["ro-crate-metadata.json"], entities["./"]
    assert descriptor["@type"] == "CreativeWork"
    assert descriptor["about"] == {"@id": "./"}
    assert descriptor["conformsTo"] == {"@id": "https://w3id.org/ro/crate/1.1"}
    assert root["@type"] == "Dataset"
    assert root["name"]
    assert root["description"]
    assert datetime.fromisoformat(root["datePublished"]).tzinfo is not None
    licence = entities[root["license"]["@id"]]
    assert licence["name"]
    assert licence["description"]
    outside = {
        "https://w3id.org/ro/crate/1.1",
        "http://schema.org/CompletedActionStatus",
        "http://schema.org/FailedActionStatus",
    }
    for entity in entities.values():
        assert entity["@type"]
        for name in references(list(entity.values())):
            assert name in entities or name in outside
        # An identity is a valid reference of a URI: what may not stand in one is written %xx.
        assert quote(entity["@id"], safe="/:#=+@%.,-_~") == entity["@id"]


def test_all_files_of_the_crate_are_described(exported: Path) -> None:
    """Each part is a file or folder on the disk, and each file there is a part."""
    entities = graph(exported)
    parts = references(entities["./"]["hasPart"])
    for name in parts:
        entity = entities[name]
        assert (exported / name).is_dir() == (entity["@type"] == "Dataset")
        if entity["@type"] == "File":
            assert int(entity["contentSize"]) == (exported / name).stat().st_size
            assert entity["encodingFormat"]
    there = {
        path.relative_to(exported).as_posix() for path in exported.rglob("*") if path.is_file()
    }
    found = {name for name in there if any(name == p or name.startswith(p) for p in parts)}
    assert there - found == {"ro-crate-metadata.json"}


def test_each_migration_is_an_action_of_the_profile(real: Runs, exported: Path) -> None:
    """Process Run Crate 0.5: an action has what the profile's table says it must or should have."""
    entities = graph(exported)
    root = entities["./"]
    profile = entities[root["conformsTo"]["@id"]]
    assert profile["@id"] == "https://w3id.org/ro/wfrun/process/0.5"
    assert profile["@type"] == "CreativeWork"
    assert (profile["name"], profile["version"]) == ("Process Run Crate", "0.5")
    actions = {name: e for name, e in entities.items() if e["@type"] == "CreateAction"}
    assert set(references(root["mentions"])) == set(actions)
    assert len(actions) == len(real)
    for run in real:
        action = actions[f"#migration-{run.run_id}"]
        assert action["name"]
        assert action["description"]
        start, end = (datetime.fromisoformat(action[key]) for key in ("startTime", "endTime"))
        took_ms = (run.returned_ns - run.called_ns) / 1e6
        assert (end - start).total_seconds() * 1000 == pytest.approx(took_ms, abs=2)
        tools = [entities[name] for name in references(action["instrument"])]
        assert {tool["@type"] for tool in tools} == {"SoftwareApplication"}
        assert {(tool["name"], tool["softwareVersion"]) for tool in tools} == {
            ("QEMU", run.source["qemu_version"]),
            ("libvirt", run.source["libvirt_version"]),
            ("migrationlab", run.migrationlab_version),
        }
        assert entities[action["agent"]["@id"]]["@type"] == "Person"
        assert references(action["result"]) == [f"runs/{run.run_id}/"]
        given = [entities[name] for name in references(action["object"])]
        assert {"name": "plan.mode", "value": str(run.plan.mode)}.items() <= given[0].items()
        completed = run.outcome == "completed"
        status = "Completed" if completed else "Failed"
        assert action["actionStatus"] == {"@id": f"http://schema.org/{status}ActionStatus"}
        assert ("error" in action) is not completed


def test_exported_runs_can_be_loaded(real: Runs, exported: Path) -> None:
    """The runs in the crate equal the runs that were exported."""
    found = store.load_runs(exported / "runs")
    assert list(found) == list(real)
    for before, after in zip(real, found, strict=True):
        pd.testing.assert_frame_equal(before.beats, after.beats)
        assert before.summary() == after.summary()


def test_unknown_values_are_empty_in_the_table(real: Runs, exported: Path) -> None:
    """The table has a row per run. A number that was not measured is an empty field, never 0."""
    with (exported / "runs.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["run_id"] for row in rows] == [run.run_id for run in real]
    for row, run in zip(rows, real, strict=True):
        event = run.summary()["downtime_event_ms"]
        assert row["downtime_event_ms"] == ("" if event is None else str(event))
        assert row["guest_memory_mib"] == str(run.guest["memory_mib"])
        assert json.loads(row["plan_settings"])["mode"] == str(run.plan.mode)
        assert bool(row["error"]) == (run.error is not None)
        assert row["cpu_busy_percent"] == ""


def test_crate_names_unreadable_runs(make_run: MakeRun, tmp_path: Path) -> None:
    """The README of the readable runs' crate names the unreadable runs."""
    whole = Runs([make_run()], unreadable={"run-2": "run-2/job.parquet is damaged"})
    folder = ro_crate.export(whole, tmp_path / "crate")
    assert "1 run could not be read: run-2." in (folder / "README.md").read_text()


def test_named_plans_do_not_hide_their_settings(make_run: MakeRun, tmp_path: Path) -> None:
    """The table has the names of compared plans and the settings of each plan."""
    design = {"question": "Which?", "plans": {"plain": Plan(), "post": Plan(postcopy=True)}}
    made = fake_experiments.experiment(tmp_path / "plans", make_run, **design, repeats=1)
    table = runs_table(made)
    assert set(table["plan"]) == {"plain", "post"}
    assert {json.loads(text)["mode"] for text in table["plan_settings"]} == {"normal"}


def test_dictionary_has_every_column(measured: Experiment, tmp_path: Path) -> None:
    """The dictionary beside the tables has type, unit and meaning of each column."""
    folder = ro_crate.export(measured, tmp_path / "crate")
    with (folder / "data-dictionary.csv").open(encoding="utf-8", newline="") as file:
        found = {(row["file"], row["column"]): row for row in csv.DictReader(file)}
    for name, columns in FRAMES.items():
        read = list(pd.read_parquet(next(folder.glob(f"runs/*/{name}.parquet"))).columns)
        assert [column for file, column in found if file == f"runs/*/{name}.parquet"] == read
        assert read == list(columns)
    assert found["runs/*/job.parquet", "memory_bps"]["unit"] == "byte/s"
    assert found["runs/*/job.parquet", "memory_bps"]["type"] == "integer"
    for name in ("runs.csv", "summary.csv"):
        with (folder / name).open(encoding="utf-8", newline="") as file:
            columns = next(csv.reader(file))
        assert {column for file, column in found if file == name} == set(columns)
    assert all(row["meaning"] for row in found.values())
    assert found["runs.csv", "call_ms"]["type"] == "number"
    assert found["runs.csv", "call_ms"]["unit"] == "ms"
    assert found["runs.csv", "throughput_bytes_per_s"]["unit"] == "byte/s"
    assert found["runs.csv", "warm_up"]["type"] == "boolean"
    assert found["runs.csv", "dirty_mib_s"]["meaning"].startswith("setting in which")


@pytest.mark.parametrize("key", SUMMARY)
def test_every_number_of_a_summary_has_a_meaning(key: str) -> None:
    """A new key of the summary cannot be exported without a description."""
    assert key in MEANINGS
    assert key not in FACTS


def test_column_without_values_has_no_type() -> None:
    """A column without values is neither text nor number."""
    table = pd.DataFrame({"call_ms": pd.Series([None, None], dtype="Float64")})
    assert dictionary({"runs.csv": table})["type"].tolist()[0] == ""


def test_crate_of_experiment_has_its_design_and_warnings(
    measured: Experiment, tmp_path: Path
) -> None:
    """The crate has the question, the design's file, medians and warnings."""
    folder = ro_crate.export(measured, tmp_path / "crate")
    entities = graph(folder)
    assert entities["./"]["name"] == measured.question
    assert "experiment.toml" in references(entities["./"]["hasPart"])
    one = next(e for e in entities.values() if e["@type"] == "CreateAction")
    assert "experiment.toml" in references(one["object"])
    assert Experiment.load(folder / "experiment.toml").cells == measured.cells
    summary = pd.read_csv(folder / "summary.csv").set_index(["cell", "metric"])
    row = summary.loc[("mode=normal, dirty_mib_s=20", "downtime_event_ms")]
    expected = measured.summary(["downtime_event_ms"]).iloc[0]
    assert row["median"] == pytest.approx(expected["median"])
    readme = (folder / "README.md").read_text(encoding="utf-8")
    assert readme.startswith(f"# {measured.question}\n")
    assert "1 of 8 migrations did not complete (1 timed out)" in readme
    assert "migrationlab experiment experiment.toml" in readme
    assert runs_table(measured)["cell"].nunique() == 4


def test_experiment_can_be_loaded_from_its_crate(measured: Experiment, tmp_path: Path) -> None:
    """Loaded from its crate, the experiment gives the same answer as before."""
    again = Experiment.load(ro_crate.export(measured, tmp_path / "crate"))
    assert again.id == measured.id
    assert again.left == measured.left
    assert list(again.runs) == list(measured.runs)
    pd.testing.assert_frame_equal(again.summary(), measured.summary())
    pd.testing.assert_frame_equal(again.frame(everything=True), measured.frame(everything=True))
    assert again.comparisons() == measured.comparisons()
    assert again.warnings() == measured.warnings()


def test_settings_are_inputs_and_measurements_are_not(make_run: MakeRun, tmp_path: Path) -> None:
    """The guest's disk and accelerator are inputs. The wire's measured rate is none.

    A guest without a disk has no settings of one.
    """
    disk = {"disk": "local", "disk_mib": 32, "disk_mib_s": 1, "disk_cache": "none"}
    runs = []
    for number, more in ((1, disk), (2, {**disk, "disk": None})):
        run = make_run(number=number)
        wire = {**(run.wire or {}), "measured_mbit_s": 941.5}
        runs.append(dataclasses.replace(run, guest={**run.guest, **more}, wire=wire))
    entities = graph(ro_crate.export(runs, tmp_path / "crate"))
    given = [
        {entities[name]["name"] for name in references(entity["object"])}
        for entity in entities.values()
        if entity["@type"] == "CreateAction"
    ]
    disks = {f"guest.{key}" for key in disk}
    assert given[0] - given[1] == disks
    for names in given:
        assert {"guest.accelerator", "guest.memory_mib", "wire.rate_mbit_s"} <= names
        assert "wire.measured_mbit_s" not in names
    rows = pd.read_csv(tmp_path / "crate" / "runs.csv")
    assert rows["guest_disk_cache"].fillna("").tolist() == ["none", ""]


@pytest.mark.parametrize("key", ["warm_up", "stopped"])
def test_runs_that_do_not_count_are_marked(make_run: MakeRun, tmp_path: Path, key: str) -> None:
    """Action and folder of a warm-up and of a stopped run say that it does not count."""
    made = fake_experiments.experiment(
        tmp_path / "made", make_run, **{**fake_experiments.GRID, "repeats": 1}
    )
    run = make_run(number=60)
    facts = {**(made.runs[0].experiment or {}), "run_number": None, "block": None, key: True}
    store.save_run(dataclasses.replace(run, experiment=facts), made.directory / "runs")
    entities = graph(ro_crate.export(Experiment.load(made.directory), tmp_path / "crate"))
    telling = {name for name, entity in entities.items() if "does not count" in json.dumps(entity)}
    assert telling == {f"#migration-{run.run_id}", f"runs/{run.run_id}/"}


def test_crate_without_a_licence_says_so(make_run: MakeRun, tmp_path: Path) -> None:
    """Without a given licence the crate states none."""
    entities = graph(ro_crate.export([make_run()], tmp_path / "crate"))
    licence = entities[entities["./"]["license"]["@id"]]
    assert licence["name"] == "No licence given"
    assert "agent" not in next(e for e in entities.values() if e["@type"] == "CreateAction")


def test_zip_has_the_content_of_a_folder(make_run: MakeRun, tmp_path: Path) -> None:
    """The suffix chooses a ZIP file, whose content equals the folder's and can be loaded."""
    run = make_run()
    folder = ro_crate.export([run], tmp_path / "crate")
    packed = ro_crate.export([run], tmp_path / "crate.zip")
    with zipfile.ZipFile(packed) as archive:
        names = {name for name in archive.namelist() if not name.endswith("/")}
        archive.extractall(tmp_path / "unpacked")
    assert names == {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}
    assert list(store.load_runs(tmp_path / "unpacked" / "runs")) == [run]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["crate", "crate.zip", "unpacked"]


def test_export_overwrites_nothing_and_leaves_nothing_unfinished(
    make_run: MakeRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An existing file stays. A disk that refuses leaves no part of a crate."""
    (tmp_path / "there").mkdir()
    with pytest.raises(StoreError, match="exists already") as caught:
        ro_crate.export([make_run()], tmp_path / "there")
    assert caught.value.hint
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="could not be written"):
        ro_crate.export([make_run()], tmp_path / "file" / "crate")

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(ro_crate, "dictionary", full)
    with pytest.raises(StoreError, match="No space left on device"):
        ro_crate.export([make_run()], tmp_path / "crate")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file", "there"]


@pytest.mark.parametrize("licence", ["MIT", "cc-by", "", "file:///LICENSE"])
def test_licence_that_is_no_address_is_refused(
    make_run: MakeRun, tmp_path: Path, licence: str
) -> None:
    """A name can mean several texts, so a licence must be an address."""
    with pytest.raises(UsageError, match="license must be an address"):
        ro_crate.export([make_run()], tmp_path / "crate", license=licence)
    assert list(tmp_path.iterdir()) == []


def test_export_of_no_runs_is_refused(tmp_path: Path) -> None:
    """The error has a hint, and no crate is written."""
    with pytest.raises(StoreError) as caught:
        ro_crate.export([], tmp_path / "crate")
    assert "migrationlab demo" in caught.value.hint


@pytest.mark.parametrize("output_format", ["text", "json"])
def test_export_command_takes_runs_and_experiments(
    make_run: MakeRun, measured: Experiment, tmp_path: Path, output_format: str
) -> None:
    """The command prints the crate's path, and nothing else."""
    store.save_run(make_run(), tmp_path / "runs")
    for source in (tmp_path / "runs", measured.directory):
        target = tmp_path / f"{source.name}.zip"
        result = CliRunner().invoke(
            command,
            [str(source), "-o", str(target), "--format", output_format],
            catch_exceptions=False,
        )
        said = result.output.strip()
        assert (said if output_format == "text" else json.loads(said)["crate"]) == str(target)
        assert zipfile.is_zipfile(target)


def test_runs_command_prints_the_table_as_csv(
    make_run: MakeRun, measured: Experiment, tmp_path: Path
) -> None:
    """The CSV has a row per run with all known values, also for an experiment."""
    store.save_run(make_run(), tmp_path)
    result = CliRunner().invoke(
        runs_command, [str(tmp_path), "--format", "csv"], catch_exceptions=False
    )
    (row,) = csv.DictReader(result.output.splitlines())
    assert row["downtime_event_ms"] == "330.0"
    assert row["wire_rate_mbit_s"] == "1000"
    result = CliRunner().invoke(
        runs_command, [str(measured.directory), "--format", "csv"], catch_exceptions=False
    )
    rows = list(csv.DictReader(result.output.splitlines()))
    assert len(rows) == 8
    assert {row["cell"] for row in rows} == {cell.name for cell in measured.cells}
