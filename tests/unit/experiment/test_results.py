"""An experiment on disk: what is there, what it says, and what is wrong with it."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from migrationlab.errors import GuestError, PlanError, StoreError, UsageError
from migrationlab.experiment import folder, runner
from migrationlab.experiment.experiment import Experiment
from migrationlab.experiment.warnings import Kind, find
from migrationlab.plan.plan import Plan
from migrationlab.runs.run import Outcome, Run, Runs
from migrationlab.runs.store import save_run

MODES = ("normal", "peer2peer")


def make(directory: Path, **changes: Any) -> Experiment:
    """Make the usual experiment: both modes, six times."""
    design: dict[str, Any] = {"grid": {"mode": list(MODES)}, "repeats": 6, **changes}
    return Experiment("Does peer2peer take longer?", directory=directory, **design)


Keep = Callable[..., Run]


@pytest.fixture(scope="module")
def keep(make_run: Callable[..., Run]) -> Keep:
    """Give what writes a made-up run of an experiment's trial where its runs are."""

    def kept(
        experiment: Experiment,
        trial: int | None,
        *,
        cell: str | None = None,
        attempt: int = 1,
        stopped: bool = False,
        serial: int = 0,
        place: Any = ...,
        **fields: Any,
    ) -> Run:
        folder.write_head(experiment.directory, experiment.head)
        planned = {one.number: one for one in experiment.trials}
        name = cell or (planned[trial].cell if trial else experiment.cells[0].name)
        own = {
            "id": experiment.id, "name": experiment.name, "cell": name,
            "setting": dict(experiment.design.cell(name).setting),
            "block": planned[trial].block if trial else None, "run_number": trial,
            "attempt": attempt, "warm_up": trial is None, "stopped": stopped,
        }  # fmt: skip
        mode = str(experiment.design.cell(name).plan.mode)
        run = make_run(mode=mode, number=serial or 10 + (trial or 0), **fields)
        around = run.environment | {"load_1min": 0.5}
        run = replace(run, environment=around, experiment=own if place is ... else place)
        save_run(run, experiment.directory / "runs")
        return run

    return kept


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, keep: Keep) -> Path:
    """Give the folder of an experiment with all of its runs."""
    experiment = make(tmp_path_factory.mktemp("whole"))
    for trial in experiment.trials:
        longer = 100 if trial.cell == "mode=peer2peer" else 0
        keep(experiment, trial.number, downtime_ms=300.0 + longer + trial.block)
    return experiment.directory


@pytest.fixture
def done(whole: Path, tmp_path: Path) -> Experiment:
    """Give a copy of it, to be spoiled: peer2peer stands still 100 ms longer."""
    shutil.copytree(whole, tmp_path, dirs_exist_ok=True)
    return Experiment.load(tmp_path)


# --- what is on disk ----------------------------------------------------------------------------


def test_nothing_is_written_before_it_runs(tmp_path: Path) -> None:
    """A design that is only thought of leaves no trace, and can be looked at."""
    experiment = make(tmp_path / "new")
    assert not (tmp_path / "new").exists()
    assert len(experiment.left) == 12
    assert len(experiment.runs) == 0
    assert experiment.summary().empty
    assert experiment.frame().empty
    assert repr(experiment) == "Experiment('does-peer2peer-take-longer', 2 cells, 6 times each)"


def test_what_is_on_disk_decides_what_is_left(tmp_path: Path, keep: Keep) -> None:
    """A trial is done once its run is there; warm-ups and stopped ones do none."""
    experiment = make(tmp_path)
    keep(experiment, 1)
    keep(experiment, None, serial=90)
    keep(experiment, 2, stopped=True, outcome="cancelled")
    keep(experiment, 4)
    assert [trial.number for trial in experiment.left] == [2, 3, *range(5, 13)]
    assert len(experiment.runs) == 4
    assert len(experiment.measured) == 2
    again = Experiment.load(tmp_path)
    assert again.left == experiment.left
    assert again.id == experiment.id
    keep(again, 2, serial=92, attempt=2)
    assert 2 not in [trial.number for trial in experiment.left]


def test_what_was_begun_for_nothing_is_counted(tmp_path: Path, keep: Keep) -> None:
    """A stop and a crash count, a trial that has its run does not, and half a line is none."""
    experiment = make(tmp_path)
    keep(experiment, 1)
    keep(experiment, 2, attempt=2)
    for trial in (1, 2, 2, 3):
        folder.note_begun(tmp_path, trial)
    with (tmp_path / folder.BEGUN).open("a") as file:
        file.write('{"run_number": 4, "at')
    assert experiment.cut_short == 2
    assert Experiment.load(tmp_path).cut_short == 2


def test_half_a_line_spoils_no_other(tmp_path: Path) -> None:
    """What is begun after a power cut has a line of its own."""
    folder.note_begun(tmp_path, 1)
    with (tmp_path / folder.BEGUN).open("a") as file:
        file.write('{"run_number": 2, "at')
    folder.note_begun(tmp_path, 2)
    folder.note_begun(tmp_path, 3)
    assert folder.begun(tmp_path) == {1: 1, 2: 1, 3: 1}


def test_more_repeats_go_on_where_it_was(done: Experiment, tmp_path: Path) -> None:
    """The same design with more repeats keeps its runs and its order, and has more to do."""
    more = make(tmp_path, repeats=8)
    assert more.id == done.id
    assert more.trials[:12] == done.trials
    assert [trial.number for trial in more.left] == [13, 14, 15, 16]
    assert len(more.measured) == 12


def test_the_order_that_was_laid_down_stays(done: Experiment, tmp_path: Path) -> None:
    """An order on disk is kept, though another version may make another of the same seed."""
    path = tmp_path / folder.MANIFEST
    content = json.loads(path.read_text())
    content["schedule"][0]["cell"], content["schedule"][1]["cell"] = (
        content["schedule"][1]["cell"],
        content["schedule"][0]["cell"],
    )
    path.write_text(json.dumps(content))
    assert make(tmp_path).trials[0].cell == done.trials[1].cell


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"grid": {"mode": "normal"}}, "with other cells"),
        ({"seed": 3}, "with other seed"),
        ({"images": "bookworm"}, "with other images"),
        ({"repeats": 5}, "of 6 repeats, and 5 are asked for"),
    ],
)
def test_another_experiment_is_not_gone_on_with(
    done: Experiment, changes: dict[str, Any], said: str
) -> None:
    """A folder with runs of another design is not added to."""
    with pytest.raises(UsageError, match=said) as caught:
        make(done.directory, **changes)
    assert "raised" in caught.value.hint


@pytest.mark.parametrize(
    ("edit", "said", "hint"),
    [
        (lambda _: "{", "is damaged", "Restore"),
        (lambda _: "[]", "is no experiment of migrationlab", "format"),
        (lambda c: json.dumps(c | {"format": "x"}), "is no experiment of migrationlab", "format"),
        (lambda c: json.dumps(c | {"version": 1}), "has version 1", "Read it"),
        (lambda c: json.dumps(c | {"version": None}), "has version None", "Read it"),
        (lambda c: json.dumps(c | {"design": {}}), "question: ", "Restore"),
        (lambda c: json.dumps(c | {"design": None}), "does not describe", "Restore"),
        (lambda c: json.dumps(c | {"schedule": [{"x": 1}]}), "does not describe", "Restore"),
        (lambda c: json.dumps(c | {"schedule": c["schedule"][1:]}), "numbered from 1", "Restore"),
        (
            lambda c: json.dumps(
                c | {"schedule": [{"number": 1, "block": 1, "cell": "x", "backwards": False}]}
            ),
            "cells that its design has not",
            "Restore",
        ),
    ],
)
def test_a_file_that_is_not_as_written(
    done: Experiment, edit: Callable[[Any], str], said: str, hint: str
) -> None:
    """A damaged, foreign or newer experiment.json is refused by its name, with what to do."""
    path = done.directory / folder.MANIFEST
    path.write_text(edit(json.loads(path.read_text())))
    with pytest.raises(StoreError) as caught:
        Experiment.load(done.directory)
    assert str(path) in str(caught.value)
    assert said in str(caught.value)
    assert hint in caught.value.hint


def test_no_experiment_there(tmp_path: Path) -> None:
    """A folder without one is told to be none."""
    with pytest.raises(StoreError, match="there is no experiment in"):
        Experiment.load(tmp_path)


@pytest.mark.parametrize(
    ("place", "said"),
    [
        (None, "is no run of the experiment"),
        ({"id": "other"}, "is no run of the experiment"),
        ({"cell": "nowhere"}, "does not say which trial"),
        ({"run_number": ...}, "does not say which trial"),
    ],
)
def test_a_strangers_run_is_not_mixed_in(
    done: Experiment, keep: Keep, place: dict[str, Any] | None, said: str
) -> None:
    """A run that is not this experiment's, or does not say which trial it is, is refused."""
    says = dict(done.runs[0].experiment or {}) | (place or {})
    says = {key: value for key, value in says.items() if value is not ...}
    run = keep(done, 1, serial=99, place=says if place else None)
    with pytest.raises(StoreError, match=f"{run.run_id} {said}") as caught:
        Experiment.load(done.directory).frame()
    assert caught.value.hint


def test_a_damaged_run_is_named(done: Experiment) -> None:
    """One damaged run is told with its file; without it its trial is to be made again."""
    broken = done.directory / "runs" / done.runs[3].run_id
    (broken / "run.json").write_text("{")
    with pytest.raises(StoreError, match=str(broken)):
        Experiment.load(done.directory).summary()
    (broken / "run.json").unlink()
    assert len(Experiment.load(done.directory).left) == 1


def test_the_runs_beside_a_damaged_one_are_read(done: Experiment, keep: Keep) -> None:
    """Where that is asked for, all but the damaged and the foreign run are there, and both named.

    Neither is taken for a trial that is still to be made, nor for one that was cut short.
    """
    for trial in done.trials:
        folder.note_begun(done.directory, trial.number)
    broken, foreign = done.runs[3], keep(done, 1, serial=99, place=None)
    (done.directory / "runs" / broken.run_id / "run.json").write_text("{")
    known = Experiment.load(done.directory, strict=False)
    assert len(known.runs) == len(known.measured) == 11
    assert set(known.runs.unreadable) == {broken.run_id, foreign.run_id}
    assert "is damaged" in known.measured.unreadable[broken.run_id]
    assert len(known.frame()) == 11
    assert known.summary(["total_ms"])["n"].sum() == 11
    assert known.cut_short == 0
    found = {concern.kind: concern for concern in known.concerns()}
    assert broken.run_id in found[Kind.UNREADABLE].text
    assert "No figure counts them" in found[Kind.UNREADABLE].advice
    assert not {Kind.UNFINISHED, Kind.CUT_SHORT} & found.keys()


HOLD = """
import sys
from pathlib import Path
from migrationlab.experiment.folder import held
with held(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_one_process_at_a_time(done: Experiment) -> None:
    """Two processes never make the same trials: the second is told so, until the first ends."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(done.directory)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        with pytest.raises(UsageError, match="is being run by another process"):
            done.run()
    assert len(done.run()) == 12  # nothing is left: no lab is started


def test_what_another_process_began_is_gone_on_with(
    whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who designed the experiment before another made it goes on with that one, and its repeats."""
    asked: list[list[int]] = []
    monkeypatch.setattr(
        runner, "conduct", lambda made, **_: asked.append([trial.number for trial in made.left])
    )
    early, more, odd = make(tmp_path), make(tmp_path, repeats=8), make(tmp_path, seed=3)
    shutil.copytree(whole, tmp_path, dirs_exist_ok=True)
    folder.write_head(tmp_path, make(tmp_path, repeats=7).head)
    for late in (early, more):
        late.run()
    assert early.id == more.id == Experiment.load(whole).id
    assert asked == [[13, 14], [13, 14, 15, 16]]
    early.run()
    assert asked[2] == asked[1]
    with pytest.raises(UsageError, match="other seed"):
        odd.run()


def test_a_place_that_cannot_be_written_to(tmp_path: Path) -> None:
    """That nothing can be kept is found out before a lab starts."""
    (tmp_path / "file").touch()
    with pytest.raises(StoreError) as caught:
        make(tmp_path / "file" / "beneath").run()
    assert caught.value.hint


# --- what it says -------------------------------------------------------------------------------


def test_a_frame_has_summaries_and_settings(done: Experiment) -> None:
    """A row a run: its summary, its place in the design, its factors."""
    table = done.frame()
    assert list(table["run_number"]) == list(range(1, 13))
    assert set(table["cell"]) == {f"mode={mode}" for mode in MODES}
    assert list(table["mode"]) == [cell.removeprefix("mode=") for cell in table["cell"]]
    assert not table["warm_up"].any()
    assert table["downtime_event_ms"].notna().all()


def test_a_frame_of_everything(done: Experiment, keep: Keep) -> None:
    """Warm-ups and stopped runs are there for who asks, and nowhere else."""
    keep(done, None, serial=90)
    keep(done, 1, serial=91, stopped=True, outcome="cancelled")
    assert len(done.frame()) == 12
    table = done.frame(everything=True)
    assert len(table) == 14
    assert table["warm_up"].sum() == 1
    assert table["stopped"].sum() == 1
    assert table.loc[table["warm_up"], "run_number"].isna().all()


def test_factors_are_columns(tmp_path: Path, keep: Keep) -> None:
    """A factor that no summary has is a column of its own, a missing value staying missing."""
    experiment = make(
        tmp_path, grid={"bandwidth_mib_s": [None, 50]}, workloads={"dirty_mib_s": [5, 10]}
    )
    for trial in experiment.trials[:4]:
        keep(experiment, trial.number)
    table = experiment.frame()
    assert sorted(table["dirty_mib_s"]) == [5, 5, 10, 10]
    assert table["bandwidth_mib_s"].isna().sum() == 2
    assert list(experiment.points("total_ms").columns) == [
        "run_id", "cell", "bandwidth_mib_s", "dirty_mib_s", "run_number", "value", "outlier",
    ]  # fmt: skip


def test_a_summary_by_cell_and_metric(done: Experiment) -> None:
    """Medians, intervals and n stand for each cell; only completed runs have a duration."""
    table = done.summary(["downtime_event_ms"]).set_index("cell")
    assert list(table["n"]) == [6, 6]
    assert table.loc["mode=normal", "median"] == pytest.approx(303.5, abs=1)
    assert table.loc["mode=peer2peer", "median"] == pytest.approx(403.5, abs=1)
    for _, row in table.iterrows():
        assert row["least"] <= row["low"] <= row["median"] <= row["high"] <= row["greatest"]
    assert "postcopy_ms" not in set(done.summary()["metric"])  # nobody measured any


def test_other_outcomes_are_counted_and_not_averaged(tmp_path: Path, keep: Keep) -> None:
    """A migration that did not complete is in the counts, and in no median."""
    experiment = make(tmp_path)
    ends = ["completed", "failed", "timed_out", "completed"]
    for trial, outcome in zip(experiment.trials, ends, strict=False):
        keep(experiment, trial.number, outcome=outcome, cell="mode=normal")
    ended = experiment.outcomes().set_index("cell").loc["mode=normal"]
    assert (ended["planned"], ended["made"], ended["completed"]) == (6, 4, 2)
    assert (ended["failed"], ended["timed_out"], ended["cancelled"]) == (1, 1, 0)
    row = experiment.summary(["call_ms"]).set_index("cell").loc["mode=normal"]
    assert (row["runs"], row["n"]) == (4, 2)
    assert len(experiment.points("call_ms")) == 2


def test_outliers_are_marked_and_stay(done: Experiment, keep: Keep) -> None:
    """One odd run of a cell is marked as such, and is in the table and in the median."""
    more = make(done.directory, repeats=7)
    trial = next(one for one in more.left if one.cell == "mode=normal")
    odd = keep(more, trial.number, downtime_ms=3000.0)
    points = more.points("downtime_event_ms").set_index("run_id")
    assert list(points.index[points["outlier"]]) == [odd.run_id]
    row = more.summary(["downtime_event_ms"]).set_index("cell").loc["mode=normal"]
    assert (row["n"], row["outliers"]) == (7, 1)
    assert row["greatest"] == pytest.approx(3000, abs=1)


def test_a_comparison_of_cells(done: Experiment) -> None:
    """Two cells are compared by name or by what tells them from others, with the true answer."""
    found = done.compare("mode=normal", {"mode": "peer2peer"})
    assert found.verdict == "different"
    assert found.difference == pytest.approx(100, abs=1)
    assert (found.a, found.b) == ("mode=normal", "mode=peer2peer")
    assert done.comparisons() == [found]
    assert json.loads(json.dumps(found.to_dict()))["text"] == found.text == str(found)
    assert repr(found).startswith("CellComparison('downtime_event_ms: ")


def test_pairs_differ_in_one_thing(tmp_path: Path) -> None:
    """In a grid of two factors only cells that differ in one are compared."""
    experiment = make(tmp_path, workloads={"dirty_mib_s": [5, 10]})
    pairs = [(one.name, other.name) for one, other in experiment.pairs()]
    assert len(pairs) == 4
    assert ("mode=normal, dirty_mib_s=5", "mode=peer2peer, dirty_mib_s=10") not in pairs


@pytest.mark.parametrize(
    ("a", "b", "metric", "said"),
    [
        ("mode=norm", "mode=normal", "total_ms", "no cell is called 'mode=norm'"),
        ({"mode": "odd"}, "mode=normal", "total_ms", "no cell is"),
        ({}, "mode=normal", "total_ms", "several cells are"),
        ({"speed": 3}, "mode=normal", "total_ms", "do not differ in speed"),
        ("mode=normal", "mode=normal", "total_ms", "is one cell"),
        ("mode=normal", "mode=peer2peer", "speed", "no run has a 'speed'"),
        ("mode=normal", "mode=peer2peer", "run_id", "no run has a 'run_id'"),
    ],
)
def test_what_cannot_be_compared(done: Experiment, a: Any, b: Any, metric: str, said: str) -> None:
    """Cells and metrics that there are not are refused, with those that there are."""
    with pytest.raises(UsageError) as caught:
        done.compare(a, b, metric)
    assert said in str(caught.value)
    assert caught.value.hint


def test_a_mistake_is_told_when_it_is_made(tmp_path: Path) -> None:
    """A plan, a guest and a wire that cannot be are refused before there is an experiment."""
    with pytest.raises(PlanError):
        make(tmp_path, grid={"max_downtime_ms": -1})
    with pytest.raises(GuestError):
        make(tmp_path, workloads={"memory_mib": 1})
    with pytest.raises(UsageError):
        make(tmp_path, wires={"wire_mbit_s": -1})
    with pytest.raises(UsageError, match="the same plan twice"):
        make(tmp_path, grid=None, plans=[Plan(), Plan()])
    assert list(tmp_path.iterdir()) == []


def test_plans_in_a_row_are_named_by_their_settings(tmp_path: Path) -> None:
    """Plans without names are told apart by what they set."""
    experiment = make(
        tmp_path, grid=None, plans=[Plan(), Plan(postcopy=True), Plan(mode="peer2peer")]
    )
    assert [cell.name for cell in experiment.cells] == [
        "defaults", "postcopy=yes", "mode=peer2peer",
    ]  # fmt: skip
    assert [cell.plan.postcopy for cell in experiment.cells] == [False, True, False]


def test_an_experiment_can_be_repeated_from_its_toml(done: Experiment, tmp_path: Path) -> None:
    """What :meth:`toml` gives describes the same experiment, in whose folder it goes on."""
    path = tmp_path / "again.toml"
    path.write_text(done.toml(), encoding="utf-8")
    assert Experiment.load(path).cells == done.cells
    assert Experiment.load(path).directory == tmp_path / "again"
    assert Experiment.load(path, directory=done.directory).id == done.id


def test_different_environments_are_not_pooled(done: Experiment, keep: Keep) -> None:
    """Runs of another kernel are told of, and put together only by who says that it is meant."""
    odd = done.measured[0]
    changed = replace(odd, environment=odd.environment | {"kernel": "7.0"})
    shutil.rmtree(done.directory / "runs" / odd.run_id)
    save_run(changed, done.directory / "runs")
    mixed = Experiment.load(done.directory)
    for ask in (mixed.summary, mixed.comparisons):
        with pytest.raises(UsageError, match=r"environments differ.*machine\.kernel"):
            ask()
    assert len(mixed.summary(["total_ms"], mixed=True)) == 2
    assert mixed.compare("mode=normal", "mode=peer2peer", mixed=True).n_a == 6
    worry = next(each for each in mixed.concerns() if each.kind is Kind.ENVIRONMENT)
    assert "machine.kernel" in worry.text


def test_an_environment_that_is_compared_is_no_concern(tmp_path: Path, keep: Keep) -> None:
    """Accelerators that are compared differ because they are meant to."""
    workloads = {"accelerator": ["kvm", "tcg"]}
    experiment = make(tmp_path, grid={}, workloads=workloads, repeats=1)
    for trial in experiment.trials:
        kept = keep(experiment, trial.number)
        accelerator = str(experiment.cell(trial.cell).setting["accelerator"])
        shutil.rmtree(tmp_path / "runs" / kept.run_id)
        save_run(replace(kept, accelerator=accelerator), tmp_path / "runs")
    assert len(experiment.summary(["total_ms"])) == 2
    assert Kind.ENVIRONMENT not in {each.kind for each in experiment.concerns()}
    assert Kind.ENVIRONMENT in kinds(experiment.measured)


# --- what stands against it ---------------------------------------------------------------------


def kinds(runs: Sequence[Run], **more: Any) -> set[Kind]:
    """Return what some runs give reason to worry about."""
    known = Runs(runs)
    return {concern.kind for concern in find(known, known.frame(), **more)}


@pytest.fixture
def quiet(recording: type) -> Callable[..., list[Run]]:
    """Give a maker of runs that nothing stands against, but for what is changed."""

    def make_runs(
        count: int = 12,
        first: Any = None,
        environment: dict[str, Any] | None = None,
        **changes: Any,
    ) -> list[Run]:
        around = {"cpus": 4, "load_1min": 0.5, "cpu_busy_percent": 40.0} | (environment or {})
        given = {"accelerator": "kvm", "environment": around} | changes
        played = [first or recording(number=10 + number) for number in range(count)]
        return [one.build(**given) for one in played]

    return make_runs


def test_runs_that_nothing_stands_against(quiet: Callable[..., list[Run]]) -> None:
    """Quiet, equal runs on KVM give no reason to worry."""
    assert kinds(quiet(), planned=12) == set()


@pytest.mark.parametrize(
    ("changes", "kind"),
    [
        ({"accelerator": "tcg"}, Kind.EMULATED),
        ({"environment": {"cpu_busy_percent": 97.0}}, Kind.BUSY),
        ({"environment": {"load_1min": 4.4}}, Kind.LOAD),
        ({"guest_check": {"intact": False}}, Kind.DAMAGE),
        ({"warnings": ("a listener failed",)}, Kind.NOTED),
        ({"clock": {"source": None, "destination": None}}, Kind.CLOCK),
        (
            {
                "clock": {
                    s: {"offset_ms": 0.1, "error_ms": 4.0, "method": "ssh"}
                    for s in ("source", "destination")
                }
            },
            Kind.CLOCK,
        ),
        ({"count": 5}, Kind.FEW),
        ({"guest": {"name": "guest-1", "dirty_mib_s": 50}}, Kind.WORKLOAD),
    ],
)
def test_each_reason_to_worry(
    quiet: Callable[..., list[Run]], changes: dict[str, Any], kind: Kind
) -> None:
    """Each thing that spoils figures is told, and nothing else with it."""
    assert kinds(quiet(**changes)) == {kind}


@pytest.mark.parametrize(
    "changes",
    [
        {"environment": {"cpu_busy_percent": None, "load_1min": None}},
        {
            "clock": {
                s: {"offset_ms": 900.0, "error_ms": 0.2, "method": "ssh"}
                for s in ("source", "destination")
            }
        },
        {"guest_check": None},
    ],
)
def test_what_is_not_known_or_accounted_for_is_no_worry(
    quiet: Callable[..., list[Run]], changes: dict[str, Any]
) -> None:
    """A load that nobody measured is not high, and a clock that is known to be off is no harm."""
    assert kinds(quiet(**changes)) == set()


def test_durations_that_scatter(recording: type) -> None:
    """A spread of more than 10 % within a setting is told, with the setting."""
    runs = [
        recording(number=n, downtime_ms=100.0 + 60 * (n % 2)).build(accelerator="kvm")
        for n in range(10, 20)
    ]
    assert Kind.SPREAD in kinds(runs)


def test_runs_of_different_settings_are_not_taken_for_one(recording: type) -> None:
    """Plain runs of two settings neither scatter nor drift for that; each has too few runs.

    The second half has a slower guest, and so another downtime.
    """
    runs = [
        recording(
            number=10 + n, downtime_ms=100.0 if n < 5 else 900.0, dirty_mib_s=40.0 if n < 5 else 20
        ).build(accelerator="kvm")
        for n in range(10)
    ]
    assert kinds(runs) & {Kind.FEW, Kind.SPREAD, Kind.DRIFT} == {Kind.FEW}
    more = [recording(number=30 + n, dirty_mib_s=20.0).build(accelerator="kvm") for n in range(6)]
    known = Runs([*runs[:5], *more])
    (few,) = [each for each in find(known, known.frame()) if each.kind is Kind.FEW]
    assert few.text.startswith("normal, guest writing 40 MiB/s has fewer than 6 completed runs")


def test_durations_that_drift(recording: type) -> None:
    """What grows from run to run is told, and no scatter is taken for it."""
    shift = [0.0, 8, 3, 12, 9, 18, 14, 22, 19, 30, 26, 35]
    runs = [
        recording(number=10 + n, downtime_ms=300.0 + ms).build(accelerator="kvm")
        for n, ms in enumerate(shift)
    ]
    found = find(Runs(runs), Runs(runs).frame())
    drift = next(concern for concern in found if concern.kind is Kind.DRIFT)
    assert "downtime_event_ms rose by" in drift.text
    assert drift.advice
    mixed = [shift[index] for index in (5, 0, 9, 3, 11, 1, 7, 2, 10, 4, 8, 6)]
    runs = [
        recording(number=10 + n, downtime_ms=300.0 + ms).build(accelerator="kvm")
        for n, ms in enumerate(mixed)
    ]
    assert Kind.DRIFT not in kinds(runs)


def test_ends_and_gaps_are_told(quiet: Callable[..., list[Run]], recording: type) -> None:
    """Migrations that did not complete, trials not made and trials cut short are all told."""
    failed = quiet(1, recording(number=50, outcome="timed_out"))[0]
    runs = [*quiet(), failed]
    assert kinds(runs, planned=14, cut_short=2) == {
        Kind.NOT_COMPLETED, Kind.UNFINISHED, Kind.CUT_SHORT,
    }  # fmt: skip
    known = Runs(runs)
    (found,) = [c for c in find(known, known.frame()) if c.kind is Kind.NOT_COMPLETED]
    assert "1 of 13" in found.text
    assert "1 timed out" in found.text


def test_an_experiments_own_concerns(done: Experiment) -> None:
    """An experiment tells its concerns in words, those that matter most first."""
    found = done.concerns()
    assert [concern.kind for concern in found] == [Kind.EMULATED]
    assert str(found[0]) == f"{found[0].text} {found[0].advice}"
    assert found[0].to_dict()["kind"] == "emulated"


def test_frames_can_be_concatenated(done: Experiment) -> None:
    """Frames of two experiments have the same types, whatever one of them lacks."""
    empty = make(done.directory.parent / "other").frame()
    whole = pd.concat([done.frame(), empty.astype(done.frame().dtypes.to_dict())])
    assert len(whole) == 12
    assert {str(Outcome.COMPLETED)} == set(whole["outcome"])
