"""Forged runs with right checksums: each is left out by itself, and the others are shown."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from migrationlab.cli import main
from migrationlab.cli.options import to_json
from migrationlab.runs.manifest import sealed
from migrationlab.runs.run import Run
from migrationlab.runs.store import load_runs, save_run


def forge(folder: Path, path: str, value: object) -> None:
    """Change a value of a run.json, and give the file a right checksum."""
    content: dict[str, Any] = json.loads((folder / "run.json").read_bytes())
    del content["sha256"]
    at = content
    *parents, last = path.split("/")
    for key in parents:
        at = at[key]
    at[last] = value
    (folder / "run.json").write_bytes(sealed(json.dumps(content, indent=2).encode() + b"\n"))


FORGED = [
    ("summary/values/total_ms", "1"),
    ("summary/values/total_ms", 1.5),
    ("summary/values/total_ms", True),
    ("summary/values/total_ms", 10**30),
    ("summary/values/total_ms", -1),
    ("summary/values/guest_intact", 1),
    ("summary/values/mode", {"a": 1}),
    ("summary/values/run_id", "another"),
    ("summary/values/outcome", "failed"),
    ("summary/values/source", "another"),
    ("summary/values/downtime_requested_ms", 1),
    ("run/called_ns", 10**18 * 9),
    ("run/returned_ns", 0),
    ("run/created", "yesterday"),
    ("run/created", "2026-11-22T18:01:00"),
    ("run/guest/memory_mib", 10**30),
    ("run/completed_job", {"time_elapsed": 2**64 - 1}),
    ("files/events.parquet/rows", 10**12),
]


@pytest.mark.parametrize(("path", "value"), FORGED)
def test_forged_run_is_left_out(
    tmp_path: Path, make_run: Callable[..., Run], path: str, value: object
) -> None:
    """A forged run is left out with its reason, the others are shown, and the exit status is 3."""
    good, bad = (save_run(make_run(number=number), tmp_path / "runs") for number in (1, 2))
    forge(bad, path, value)
    found = load_runs(tmp_path / "runs", strict=False)
    assert [run.run_id for run in found] == [good.name]
    assert list(found.unreadable) == [bad.name]
    done = CliRunner().invoke(main, ["runs", str(tmp_path / "runs"), "--format", "json"])
    assert (done.exit_code, "left out" in done.stderr) == (3, True)
    assert [each["run_id"] for each in json.loads(done.stdout)["runs"]] == [good.name]


def test_changed_copy_without_forgery_is_read(tmp_path: Path, make_run: Callable[..., Run]) -> None:
    """The forger of these tests makes files that are read where the value is right."""
    place = save_run(make_run(), tmp_path)
    forge(place, "run/guest/memory_mib", 512)
    assert len(load_runs(tmp_path)) == 1


def test_export_and_report_say_what_they_left_out(
    tmp_path: Path, make_run: Callable[..., Run]
) -> None:
    """An export and a report of the readable runs end with the exit status 3, and publish these."""
    good, bad = (save_run(make_run(number=number), tmp_path / "runs") for number in (1, 2))
    forge(bad, "summary/values/run_id", "another")
    crate = tmp_path / "crate"
    done = CliRunner().invoke(main, ["export", str(tmp_path / "runs"), "-o", str(crate)])
    assert done.exit_code == 3, done.output
    assert [path.name for path in (crate / "runs").iterdir()] == [good.name]


def test_json_has_no_word_outside_json() -> None:
    """A number that JSON has no word for is null."""
    values = {"a": [float("nan"), {"b": float("inf")}, 1.5], "c": "\ud800"}
    text = to_json(values)
    assert json.loads(text, parse_constant=pytest.fail) == {
        "a": [None, {"b": None}, 1.5],
        "c": "\ud800",
    }
