"""The results of an experiment: frames, statistics and comparisons."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from fake_experiments import two_modes
from migrationlab.errors import GuestError, PlanError, UsageError
from migrationlab.experiment.experiment import Experiment
from migrationlab.experiment.warnings import WarningKind, find
from migrationlab.plan.plan import Plan
from migrationlab.runs.run import Outcome, Run
from migrationlab.runs.store import save_run

MODES = ("normal", "peer2peer")
Keep = Callable[..., Run]


def test_frame_has_summaries_and_settings(done: Experiment) -> None:
    """Each row has the summary of a run, its place in the design, and its factors."""
    table = done.frame()
    assert list(table["run_number"]) == list(range(1, 13))
    assert set(table["cell"]) == {f"mode={mode}" for mode in MODES}
    assert list(table["mode"]) == [cell.removeprefix("mode=") for cell in table["cell"]]
    assert not table["warm_up"].any()
    assert table["downtime_event_ms"].notna().all()


def test_frame_of_everything_has_warm_ups(done: Experiment, keep: Keep) -> None:
    """Warm-ups and stopped runs are in the frame only with everything=True."""
    keep(done, None, serial=90)
    keep(done, 1, serial=91, stopped=True, outcome="cancelled")
    assert len(done.frame()) == 12
    table = done.frame(everything=True)
    assert len(table) == 14
    assert table["warm_up"].sum() == 1
    assert table["stopped"].sum() == 1
    assert table.loc[table["warm_up"], "run_number"].isna().all()


def test_factors_are_columns(tmp_path: Path, keep: Keep) -> None:
    """A factor that is not in the summary is a column, and a missing value stays missing."""
    experiment = two_modes(
        tmp_path, grid={"bandwidth_mib_s": [None, 50]}, workloads={"dirty_mib_s": [5, 10]}
    )
    for planned in experiment.planned[:4]:
        keep(experiment, planned.number)
    table = experiment.frame()
    assert sorted(table["dirty_mib_s"]) == [5, 5, 10, 10]
    assert table["bandwidth_mib_s"].isna().sum() == 2
    assert list(experiment.points("total_ms").columns) == [
        "run_id", "cell", "bandwidth_mib_s", "dirty_mib_s", "run_number", "value", "outlier",
    ]  # fmt: skip


def test_summary_by_cell_and_metric(done: Experiment) -> None:
    """Each cell has its median, interval and n; metrics without a value are left out."""
    table = done.summary(["downtime_event_ms"]).set_index("cell")
    assert list(table["n"]) == [6, 6]
    assert table.loc["mode=normal", "median"] == pytest.approx(303.5, abs=1)
    assert table.loc["mode=peer2peer", "median"] == pytest.approx(403.5, abs=1)
    for _, row in table.iterrows():
        assert row["min"] <= row["low"] <= row["median"] <= row["high"] <= row["max"]
    assert "postcopy_ms" not in set(done.summary()["metric"])  # no run measured it


def test_other_outcomes_are_counted_and_not_averaged(tmp_path: Path, keep: Keep) -> None:
    """A migration that did not complete is in the counts, and not in the median."""
    experiment = two_modes(tmp_path)
    ends = ["completed", "failed", "timed_out", "completed"]
    for planned, outcome in zip(experiment.planned, ends, strict=False):
        keep(experiment, planned.number, outcome=outcome, cell="mode=normal")
    ended = experiment.outcomes().set_index("cell").loc["mode=normal"]
    assert (ended["planned"], ended["made"], ended["completed"]) == (6, 4, 2)
    assert (ended["failed"], ended["timed_out"], ended["cancelled"]) == (1, 1, 0)
    row = experiment.summary(["call_ms"]).set_index("cell").loc["mode=normal"]
    assert (row["runs"], row["n"]) == (4, 2)
    assert len(experiment.points("call_ms")) == 2


def test_outliers_are_marked_and_count(done: Experiment, keep: Keep) -> None:
    """An outlier of a cell is marked, and is in the table and in the median."""
    more = two_modes(done.directory, repeats=7)
    planned = next(one for one in more.left if one.cell == "mode=normal")
    odd = keep(more, planned.number, downtime_ms=3000.0)
    points = more.points("downtime_event_ms").set_index("run_id")
    assert list(points.index[points["outlier"]]) == [odd.run_id]
    row = more.summary(["downtime_event_ms"]).set_index("cell").loc["mode=normal"]
    assert (row["n"], row["outliers"]) == (7, 1)
    assert row["max"] == pytest.approx(3000, abs=1)


def test_comparison_finds_the_difference(done: Experiment) -> None:
    """Two cells are compared by name or by factor, and the difference is found."""
    found = done.compare("mode=normal", {"mode": "peer2peer"})
    assert found.verdict == "different"
    assert found.difference == pytest.approx(100, abs=1)
    assert (found.a, found.b) == ("mode=normal", "mode=peer2peer")
    assert done.comparisons() == [found]
    assert json.loads(json.dumps(found.to_dict()))["text"] == found.text == str(found)
    assert repr(found).startswith("CellComparison('downtime_event_ms: ")


def test_pairs_differ_in_one_factor(tmp_path: Path) -> None:
    """In a grid of two factors only cells that differ in one factor are compared."""
    experiment = two_modes(tmp_path, workloads={"dirty_mib_s": [5, 10]})
    pairs = [(one.name, other.name) for one, other in experiment.pairs()]
    assert len(pairs) == 4
    assert ("mode=normal, dirty_mib_s=5", "mode=peer2peer, dirty_mib_s=10") not in pairs


@pytest.mark.parametrize(
    ("a", "b", "metric", "said"),
    [
        (
            "mode=norm",
            "mode=normal",
            "total_ms",
            "cell must be a cell of the design (got 'mode=norm')",
        ),
        ({"mode": "odd"}, "mode=normal", "total_ms", "fits 0)"),
        ({}, "mode=normal", "total_ms", "fits 2)"),
        ({"speed": 3}, "mode=normal", "total_ms", "speed must be a factor"),
        ("mode=normal", "mode=normal", "total_ms", "must be two cells"),
        ("mode=normal", "mode=peer2peer", "speed", "(got 'speed')"),
        ("mode=normal", "mode=peer2peer", "run_id", "(got 'run_id')"),
    ],
)
def test_unknown_cells_and_metrics_are_refused(
    done: Experiment, a: Any, b: Any, metric: str, said: str
) -> None:
    """Unknown cells and metrics are refused, and the hint lists the known ones."""
    with pytest.raises(UsageError) as caught:
        done.compare(a, b, metric)
    assert said in str(caught.value)
    assert caught.value.hint


def test_invalid_designs_are_refused_at_once(tmp_path: Path) -> None:
    """An invalid plan, guest or wire is refused when the experiment is made."""
    with pytest.raises(PlanError):
        two_modes(tmp_path, grid={"max_downtime_ms": -1})
    with pytest.raises(GuestError):
        two_modes(tmp_path, workloads={"memory_mib": 1})
    with pytest.raises(UsageError):
        two_modes(tmp_path, wires={"wire_mbit_s": -1})
    with pytest.raises(UsageError, match="the same plan twice"):
        two_modes(tmp_path, grid=None, plans=[Plan(), Plan()])
    assert list(tmp_path.iterdir()) == []


def test_listed_plans_are_named_by_their_settings(tmp_path: Path) -> None:
    """Plans without names are named by the settings that they change."""
    experiment = two_modes(
        tmp_path, grid=None, plans=[Plan(), Plan(postcopy=True), Plan(mode="peer2peer")]
    )
    assert [cell.name for cell in experiment.cells] == [
        "defaults", "postcopy=yes", "mode=peer2peer",
    ]  # fmt: skip
    assert [cell.plan.postcopy for cell in experiment.cells] == [False, True, False]


def test_experiment_can_be_repeated_from_its_toml(done: Experiment, tmp_path: Path) -> None:
    """The text of :meth:`toml` describes the same experiment, and continues it in its folder."""
    path = tmp_path / "again.toml"
    path.write_text(done.toml(), encoding="utf-8")
    assert Experiment.load(path).cells == done.cells
    assert Experiment.load(path).directory == tmp_path / "again"
    assert Experiment.load(path, directory=done.directory).id == done.id


def test_different_environments_are_not_pooled(done: Experiment, keep: Keep) -> None:
    """Runs of different kernels are pooled only with mixed=True, and a warning names them."""
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
    warning = next(each for each in mixed.warnings() if each.kind is WarningKind.ENVIRONMENT)
    assert "machine.kernel" in warning.text


def test_compared_environments_give_no_warning(tmp_path: Path, keep: Keep) -> None:
    """Accelerators that the experiment compares give no warning about environments."""
    workloads = {"accelerator": ["kvm", "tcg"]}
    experiment = two_modes(tmp_path, grid={}, workloads=workloads, repeats=1)
    for planned in experiment.planned:
        kept = keep(experiment, planned.number)
        accelerator = str(experiment.cell(planned.cell).setting["accelerator"])
        shutil.rmtree(tmp_path / "runs" / kept.run_id)
        save_run(replace(kept, accelerator=accelerator), tmp_path / "runs")
    assert len(experiment.summary(["total_ms"])) == 2
    assert WarningKind.ENVIRONMENT not in {each.kind for each in experiment.warnings()}
    runs = experiment.measured
    assert WarningKind.ENVIRONMENT in {each.kind for each in find(runs, runs.frame())}


def test_frames_can_be_concatenated(done: Experiment) -> None:
    """Frames of two experiments have the same types, even if one is empty."""
    empty = two_modes(done.directory.parent / "other").frame()
    whole = pd.concat([done.frame(), empty.astype(done.frame().dtypes.to_dict())])
    assert len(whole) == 12
    assert {str(Outcome.COMPLETED)} == set(whole["outcome"])
