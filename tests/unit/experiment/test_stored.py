"""An experiment on disk: its runs, what is left, and damaged files."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fake_experiments import two_modes
from migrationlab.errors import StoreError, UsageError
from migrationlab.experiment import folder, runner
from migrationlab.experiment.experiment import Experiment
from migrationlab.experiment.warnings import WarningKind
from migrationlab.runs.run import Run

MODES = ("normal", "peer2peer")
Keep = Callable[..., Run]


def test_nothing_is_written_before_run(tmp_path: Path) -> None:
    """A new experiment writes nothing, and its design can be read."""
    experiment = two_modes(tmp_path / "new")
    assert not (tmp_path / "new").exists()
    assert len(experiment.left) == 12
    assert len(experiment.runs) == 0
    assert experiment.summary().empty
    assert experiment.frame().empty
    assert repr(experiment) == "Experiment('does-peer2peer-take-longer', 2 cells, 6 times each)"


def test_runs_on_disk_decide_what_is_left(tmp_path: Path, keep: Keep) -> None:
    """A planned run is done once its run is on disk; warm-ups and stopped runs do not count."""
    experiment = two_modes(tmp_path)
    keep(experiment, 1)
    keep(experiment, None, serial=90)
    keep(experiment, 2, stopped=True, outcome="cancelled")
    keep(experiment, 4)
    assert [planned.number for planned in experiment.left] == [2, 3, *range(5, 13)]
    assert len(experiment.runs) == 4
    assert len(experiment.measured) == 2
    again = Experiment.load(tmp_path)
    assert again.left == experiment.left
    assert again.id == experiment.id
    keep(again, 2, serial=92, attempt=2)
    assert 2 not in [planned.number for planned in experiment.left]


def test_starts_without_a_result_are_counted(tmp_path: Path, keep: Keep) -> None:
    """A stop and a crash count; a start with a run does not, and half a line is ignored."""
    experiment = two_modes(tmp_path)
    keep(experiment, 1)
    keep(experiment, 2, attempt=2)
    for number in (1, 2, 2, 3):
        folder.record_start(tmp_path, number)
    with (tmp_path / folder.BEGUN).open("a") as file:
        file.write('{"run_number": 4, "at')
    assert experiment.cut_short == 2
    assert Experiment.load(tmp_path).cut_short == 2


def test_start_after_half_a_line_is_readable(tmp_path: Path) -> None:
    """A start after a power cut has its own line."""
    folder.record_start(tmp_path, 1)
    with (tmp_path / folder.BEGUN).open("a") as file:
        file.write('{"run_number": 2, "at')
    folder.record_start(tmp_path, 2)
    folder.record_start(tmp_path, 3)
    assert [start.run_number for start in folder.read_starts(tmp_path)] == [1, 2, 3]


def test_more_repeats_continue_the_experiment(done: Experiment, tmp_path: Path) -> None:
    """The same design with more repeats keeps its runs and its order, and has more left."""
    more = two_modes(tmp_path, repeats=8)
    assert more.id == done.id
    assert more.planned[:12] == done.planned
    assert [planned.number for planned in more.left] == [13, 14, 15, 16]
    assert len(more.measured) == 12


def test_order_on_disk_is_kept(done: Experiment, tmp_path: Path) -> None:
    """The order on disk is kept, even if this version would order the seed's runs otherwise."""
    path = tmp_path / folder.MANIFEST
    content = json.loads(path.read_text())
    content["schedule"][0]["cell"], content["schedule"][1]["cell"] = (
        content["schedule"][1]["cell"],
        content["schedule"][0]["cell"],
    )
    path.write_text(json.dumps(content))
    assert two_modes(tmp_path).planned[0].cell == done.planned[1].cell


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"grid": {"mode": "normal"}}, "cells differ"),
        ({"seed": 3}, "seed differ"),
        ({"images": "bookworm"}, "images differ"),
        ({"repeats": 5}, "repeats must be at least 6"),
    ],
)
def test_folder_of_another_design_is_refused(
    done: Experiment, changes: dict[str, Any], said: str
) -> None:
    """A folder with runs of another design gets no more runs."""
    with pytest.raises(UsageError, match=said) as caught:
        two_modes(done.directory, **changes)
    assert "another directory" in caught.value.hint


@pytest.mark.parametrize(
    ("edit", "said", "hint"),
    [
        (lambda _: "{", "failed: Expecting", "Restore"),
        (lambda _: "[]", "must be an experiment of migrationlab", "format"),
        (
            lambda c: json.dumps(c | {"format": "x"}),
            "must be an experiment of migrationlab",
            "format",
        ),
        (lambda c: json.dumps(c | {"version": 1}), "must be 2 (got 1)", "Read it"),
        (lambda c: json.dumps(c | {"version": None}), "must be 2 (got None)", "Read it"),
        (lambda c: json.dumps(c | {"design": {}}), "question must not be empty", "Restore"),
        (lambda c: json.dumps(c | {"design": None}), "must describe", "Restore"),
        (lambda c: json.dumps(c | {"schedule": [{"x": 1}]}), "must describe", "Restore"),
        (lambda c: json.dumps(c | {"schedule": c["schedule"][1:]}), "numbered from 1", "Restore"),
        (
            lambda c: json.dumps(
                c | {"schedule": [{"number": 1, "block": 1, "cell": "x", "backwards": False}]}
            ),
            "cells that its design does not have",
            "Restore",
        ),
    ],
)
def test_damaged_manifest_is_refused(
    done: Experiment, edit: Callable[[Any], str], said: str, hint: str
) -> None:
    """A damaged, foreign or unknown experiment.json is named, and the hint says what to do."""
    path = done.directory / folder.MANIFEST
    path.write_text(edit(json.loads(path.read_text())))
    with pytest.raises(StoreError) as caught:
        Experiment.load(done.directory)
    assert str(path) in str(caught.value)
    assert said in str(caught.value)
    assert hint in caught.value.hint


def test_folder_without_experiment_is_refused(tmp_path: Path) -> None:
    """A folder without an experiment is named."""
    with pytest.raises(StoreError, match="must hold an experiment"):
        Experiment.load(tmp_path)


@pytest.mark.parametrize(
    ("place", "said"),
    [
        (None, "must be a run of the experiment"),
        ({"id": "other"}, "must be a run of the experiment"),
        ({"cell": "nowhere"}, "must say which run"),
        ({"run_number": ...}, "must say which run"),
    ],
)
def test_foreign_run_is_refused(
    done: Experiment, keep: Keep, place: dict[str, Any] | None, said: str
) -> None:
    """A run of another experiment, or without its place in the design, is refused."""
    says = dict(done.runs[0].experiment or {}) | (place or {})
    says = {key: value for key, value in says.items() if value is not ...}
    run = keep(done, 1, serial=99, place=says if place else None)
    with pytest.raises(StoreError, match=f"{run.run_id} {said}") as caught:
        Experiment.load(done.directory).frame()
    assert caught.value.hint


def test_damaged_run_is_named(done: Experiment) -> None:
    """A damaged run is named; without its file it is to be made again."""
    broken = done.directory / "runs" / done.runs[3].run_id
    (broken / "run.json").write_text("{")
    with pytest.raises(StoreError, match=str(broken)):
        Experiment.load(done.directory).summary()
    (broken / "run.json").unlink()
    assert len(Experiment.load(done.directory).left) == 1


def test_not_strict_reads_the_other_runs(done: Experiment, keep: Keep) -> None:
    """With strict=False the damaged and the foreign run are named, and the others are read.

    Neither counts as unfinished or as cut short.
    """
    for planned in done.planned:
        folder.record_start(done.directory, planned.number)
    broken, foreign = done.runs[3], keep(done, 1, serial=99, place=None)
    (done.directory / "runs" / broken.run_id / "run.json").write_text("{")
    known = Experiment.load(done.directory, strict=False)
    assert len(known.runs) == len(known.measured) == 11
    assert set(known.runs.unreadable) == {broken.run_id, foreign.run_id}
    assert "is damaged" in known.measured.unreadable[broken.run_id]
    assert len(known.frame()) == 11
    assert known.summary(["total_ms"])["n"].sum() == 11
    assert known.cut_short == 0
    found = {warning.kind: warning for warning in known.warnings()}
    assert broken.run_id in found[WarningKind.UNREADABLE].text
    assert "No figure counts them" in found[WarningKind.UNREADABLE].advice
    assert not {WarningKind.UNFINISHED, WarningKind.CUT_SHORT} & found.keys()


HOLD = """
import sys
from pathlib import Path
from migrationlab.experiment.folder import locked
with locked(Path(sys.argv[1])):
    print("locked", flush=True)
    sys.stdin.read()
"""


def test_one_process_at_a_time(done: Experiment) -> None:
    """A second process is refused until the first ends."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(done.directory)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "locked\n"
        with pytest.raises(UsageError, match="another process runs the experiment"):
            done.run()
    assert len(done.run()) == 12  # nothing is left: no lab is started


def test_run_continues_what_another_process_began(
    whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An experiment that another process began meanwhile is continued, with its repeats."""
    asked: list[list[int]] = []
    monkeypatch.setattr(
        runner,
        "run_experiment",
        lambda made, **_: asked.append([planned.number for planned in made.left]),
    )
    early, more, odd = (
        two_modes(tmp_path),
        two_modes(tmp_path, repeats=8),
        two_modes(tmp_path, seed=3),
    )
    shutil.copytree(whole, tmp_path, dirs_exist_ok=True)
    folder.write_manifest(tmp_path, two_modes(tmp_path, repeats=7).manifest)
    for late in (early, more):
        late.run()
    assert early.id == more.id == Experiment.load(whole).id
    assert asked == [[13, 14], [13, 14, 15, 16]]
    early.run()
    assert asked[2] == asked[1]
    with pytest.raises(UsageError, match="seed differ"):
        odd.run()


def test_unwritable_folder_is_refused_before_a_lab_starts(tmp_path: Path) -> None:
    """A folder that cannot be written to is an error before anything starts."""
    (tmp_path / "file").touch()
    with pytest.raises(StoreError) as caught:
        two_modes(tmp_path / "file" / "beneath").run()
    assert caught.value.hint
