"""The arena: shares, medians, regret and duels of frames whose answer is known."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from fake_experiments import experiment as fake
from migrationlab import plots
from migrationlab.cli.arena import arena_lines, arena_record
from migrationlab.errors import UsageError
from migrationlab.experiment.arena import Arena, evaluate
from migrationlab.experiment.contest import (
    arena,
    contest_table,
    forecasts,
    is_arena,
    lost_work_ms,
    scene_of,
)
from migrationlab.experiment.experiment import Experiment
from migrationlab.plan.plan import Plan
from migrationlab.plots.arena import title
from migrationlab.report.arena import NEVER, section
from migrationlab.runs.run import Run

MakeRun = Callable[..., Run]
Values = Mapping[tuple[str, str], list[float]]

#: Total times by scene and contestant, a value per block; infinite: it did not complete. On the
#: easy guest "early" is best, on the hard one "patient".
TIMES: Values = {
    ("easy", "early"): [100, 110, 120, 130, 140, 150, 160],
    ("easy", "patient"): [400, 410, 420, 430, 440, 450, 460],
    ("hard", "early"): [math.inf, math.inf, math.inf, math.inf, 900, math.inf, math.inf],
    ("hard", "patient"): [700, 710, 720, 730, 740, 750, 760],
}


def judged(values: Values, metrics: tuple[str, ...] = ("total_ms",)) -> Arena:
    """Evaluate values."""
    rows = [
        {
            "block": block, "scene": scene, "contestant": contestant,
            "completed": math.isfinite(value), "total_ms": 0 if math.isinf(value) else value,
        }
        for (scene, contestant), series in values.items()
        for block, value in enumerate(series, 1)
    ]  # fmt: skip
    return evaluate(pd.DataFrame(rows), metrics)


@pytest.fixture(scope="module")
def known() -> Arena:
    """Return the arena of TIMES."""
    return judged(TIMES)


def row(table: pd.DataFrame, **where: str) -> dict[str, Any]:
    """Return the only row of a frame with these values."""
    for name, value in where.items():
        table = table[table[name] == value]
    (found,) = table.to_dict(orient="records")
    return found


def test_completed_has_exact_interval(known: Arena) -> None:
    """1 of 7 completed: Clopper and Pearson's interval is 0.4 % to 57.9 %."""
    found = row(known.completed, scene="hard", contestant="early")
    assert (found["completed"], found["made"]) == (1, 7)
    assert found["low"] == pytest.approx(0.0036, abs=1e-4)
    assert found["high"] == pytest.approx(0.5787, abs=1e-4)


def test_regret_is_difference_to_best_median(known: Arena) -> None:
    """The best has none; the other one has the difference of the medians."""
    assert row(known.standings, scene="easy", contestant="early")["regret"] == 0
    patient = row(known.standings, scene="easy", contestant="patient")
    assert (patient["median"], patient["regret"]) == (430, 300)
    # In each block it took 300 more, but medians are resampled by whole blocks.
    assert patient["regret_low"] == patient["regret_high"] == 300
    assert patient["best_share"] == 0


def test_run_that_did_not_complete_is_worst(known: Arena) -> None:
    """Half of the migrations did not complete: median and regret are infinite."""
    early = row(known.standings, scene="hard", contestant="early")
    assert math.isinf(early["median"])
    assert math.isinf(early["regret"])
    assert row(known.standings, scene="hard", contestant="patient")["best_share"] > 0.99


def test_worst_regret_names_the_scene(known: Arena) -> None:
    """Over both guests the patient one has the smaller worst regret."""
    patient = row(known.worst, contestant="patient")
    assert (patient["worst_regret"], patient["scene"]) == (300, "easy")
    early = row(known.worst, contestant="early")
    assert math.isinf(early["worst_regret"])
    assert early["scene"] == "hard"


def test_duels_are_adjusted_for_their_number(known: Arena) -> None:
    """Seven of seven against seven of seven: exact p 2/3432, doubled for two duels."""
    found = row(known.duels, scene="easy")
    assert found["b_worse"] == 1
    assert found["p_value"] == pytest.approx(2 / 3432)
    assert found["p_adjusted"] == pytest.approx(2 * 2 / 3432)


def test_no_contestant_completes_without_regret() -> None:
    """Where nobody completes, no choice would have helped, and no duel is won."""
    never = [math.inf] * 6
    found = judged({("hard", "one"): never, ("hard", "other"): never})
    assert set(found.standings["regret"]) == {0}
    assert set(found.standings["best_share"]) == {0}
    assert row(found.duels)["p_value"] == 1
    assert title(found) == "No policy completes these migrations"


def test_few_blocks_have_no_interval() -> None:
    """Five blocks have medians and no interval; the title claims nothing."""
    found = judged({key: series[:5] for key, series in TIMES.items()})
    assert found.blocks == 5
    assert found.standings["low"].isna().all()
    assert found.standings["best_share"].isna().all()
    assert title(found) == "5 blocks are too few to say which policy is best"


def test_incomplete_blocks_count_for_completions_only() -> None:
    """A block without each contestant in each scene is not compared."""
    found = judged({**TIMES, ("hard", "early"): TIMES["hard", "early"][:6]})
    assert found.blocks == 6
    assert row(found.completed, scene="easy", contestant="early")["made"] == 7


def test_one_contestant_is_refused() -> None:
    """The hint says what to run."""
    with pytest.raises(UsageError, match="at least two contestants") as caught:
        judged({("easy", "one"): [1.0]})
    assert "battery policies" in caught.value.hint


def test_title_names_the_best_only_where_it_is_certain(known: Arena) -> None:
    """One policy, several policies, or nothing, by the share of resamples."""
    assert title(known) == "No policy is best for each guest: early and patient complete soonest"
    easy = {key: series for key, series in TIMES.items() if key[0] == "easy"}
    assert title(judged(easy)) == "early completes each of these migrations soonest"
    unclear = {("easy", "early"): easy["easy", "early"], ("easy", "other"): [130] * 7}
    assert title(judged(unclear)) == "It is not certain which policy completes soonest"
    even = {("even", "early"): easy["easy", "early"], ("even", "patient"): [130] * 7}
    said = title(judged({**easy, **even}))
    assert said == "It is certain for 1 of 2 guests which policy completes soonest"


@pytest.fixture(scope="module")
def policies(make_run: MakeRun, tmp_path_factory: pytest.TempPathFactory) -> Experiment:
    """Return an experiment of two policies; the second one is cancelled at its first run."""
    plans = {"libvirt": Plan(policy="libvirt"), "proxmox": Plan(policy="proxmox")}
    return fake(
        tmp_path_factory.mktemp("policies"), make_run, question="Which policy?", plans=plans,
        repeats=2, name="policies", outcomes={1: "timed_out"},
    )  # fmt: skip


def test_plans_are_contestants_in_the_order_of_the_design(policies: Experiment) -> None:
    """Each named plan is a contestant; the other factors are the scenes."""
    assert is_arena(policies)
    found = arena(policies)
    assert found.contestants == ("libvirt", "proxmox")
    assert found.scenes == ("one guest",)
    assert sum(found.completed["completed"]) == 3


def test_lost_work_holds_the_downtime(policies: Experiment) -> None:
    """The guest writes at its rate until it is paused: it loses what it would write then."""
    run = next(run for run in policies.measured if run.outcome == "completed")
    downtime = run.summary()["downtime_event_ms"]
    assert lost_work_ms(run) == pytest.approx(downtime, rel=0.05)


def test_forecast_stands_beside_what_was_measured(policies: Experiment) -> None:
    """It is made now, unless it was stored before the first run."""
    table = forecasts(policies, draws=0)
    assert list(table["speaks"]) == [True, True]
    assert not table["stored"].any()
    assert table["total_ms"].notna().all()
    assert table["measured_total_ms"].notna().all()


def test_report_has_the_section(policies: Experiment) -> None:
    """Medians, regret and forecasts have rows; an infinite value has words."""
    found = section(policies)
    assert found is not None
    assert found["blocks"] == 2
    assert "Which policy?" in str(found["cite"])
    assert NEVER in str(found["metrics"])


def test_command_has_the_arena(policies: Experiment) -> None:
    """The answer has medians and regrets as numbers; None where half did not complete."""
    record = arena_record(policies, mixed=False)
    assert record is not None
    json.dumps(record, allow_nan=False)
    assert any(each["median"] is None for each in record["standings"])
    assert "1 of 2" in "\n".join(arena_lines(record))
    assert arena_record(Experiment("Is it?", plans={"a": Plan()}), mixed=False) is None


def test_scene_has_the_name_of_its_guest(tmp_path: Path) -> None:
    """A named guest needs no key before its name, and stands beside the wire."""
    made = Experiment(
        "Which?",
        plans={"libvirt": Plan(policy="libvirt")},
        guests={"idle": {"dirty_mib_s": 0}, "busy": {"dirty_mib_s": 60}},
        wires={"wire_mbit_s": [250, 1000]},
        directory=tmp_path,
    )
    assert [scene_of(cell) for cell in made.cells] == [
        "idle, wire 250 Mbit/s", "idle, wire 1000 Mbit/s",
        "busy, wire 250 Mbit/s", "busy, wire 1000 Mbit/s",
    ]  # fmt: skip


def test_grid_of_settings_is_no_arena(tmp_path: Path, make_run: MakeRun) -> None:
    """Without named plans there are no contestants."""
    modes = fake(tmp_path, make_run, runs=1)
    assert not is_arena(modes)
    assert section(modes) is None
    with pytest.raises(UsageError, match="must have plans with names"):
        contest_table(modes)


def test_figure_says_who_completed(known: Arena) -> None:
    """The description has the counts, and medians of those that have one."""
    picture = plots.arena(known)
    assert "early: 1 of 7 completed; patient: 7 of 7 completed, total time 730 ms" in picture.alt
    assert picture.render("png")
