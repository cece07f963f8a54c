"""Layouts of a design, main effects, and stopping early."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import mannwhitneyu

from fake_experiments import experiment
from migrationlab.errors import UsageError
from migrationlab.experiment.design import read
from migrationlab.experiment.statistics import ALPHA
from migrationlab.experiment.stopping import Stopping
from migrationlab.runs.run import Run

MakeRun = Callable[..., Run]
SPEC: dict[str, Any] = {
    "question": "What matters?",
    "plan": {"mode": ["normal", "peer2peer"], "policy": ["libvirt", "nova", "kubevirt"]},
    "workload": {"dirty_mib_s": [10, 40]},
}


def test_one_at_a_time_changes_one_factor() -> None:
    """The first cell is the base, and each other cell differs in one factor."""
    cells = read({**SPEC, "layout": "one-at-a-time"}).cells
    base = cells[0].setting
    assert len(cells) == 1 + 1 + 2 + 1
    assert all(sum(each.setting[key] != base[key] for key in base) == 1 for each in cells[1:])


def test_fraction_is_balanced() -> None:
    """Half of the grid has each value of each factor, equally often where that is possible."""
    cells = read({**SPEC, "layout": "fractional", "fraction": 2}).cells
    assert len(cells) == 6
    for factor in ("mode", "dirty_mib_s"):
        counts = Counter(cell.setting[factor] for cell in cells)
        assert set(counts.values()) == {3}
    assert set(Counter(cell.setting["policy"] for cell in cells).values()) == {2}


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"layout": "fractionl"}, "layout must be"),
        ({"layout": "fractional", "fraction": 1}, "fraction must be an integer"),
        ({"layout": "fractional", "workload": [{"dirty_mib_s": 1}, {"working_set_mib": 9}]},
         "needs a full grid"),
        ({"stop": {"looks": [9, 6]}}, "stop.looks must be rising"),
        ({"stop": {"looks": [6], "metric": "outcome"}}, "stop.metric must be a number"),
        ({"stop": {"looks": [10]}}, "stop.looks must be an integer from 2 to 9"),
    ],
)  # fmt: skip
def test_wrong_layout_is_refused(changes: dict[str, Any], why: str) -> None:
    """A layout or a look that cannot be is refused before anything starts."""
    with pytest.raises(UsageError, match=why):
        read({**SPEC, **changes})


def test_policy_options_are_alternatives() -> None:
    """A list of tables of options is a factor, and its cells have their names."""
    options = [{"downtime_ms": 500}, {"downtime_ms": 900}]
    design = read({"question": "Which?", "plan": {"policy": "nova", "policy_options": options}})
    assert [cell.name for cell in design.cells] == [
        "policy_options=downtime_ms=500", "policy_options=downtime_ms=900",
    ]  # fmt: skip
    assert design.cells[1].plan.policy_options == {"downtime_ms": 900}


def test_main_effects_show_what_matters(make_run: MakeRun, tmp_path: Path) -> None:
    """In the fake runs peer2peer costs 60 ms, and the dirty rate nothing."""
    made = experiment(tmp_path, make_run)
    table = made.effects("downtime_event_ms").set_index("factor")
    assert 50 < table.loc["mode", "difference"] < 70
    assert table.loc["mode", "p_adjusted"] < 0.001
    assert table.loc["dirty_mib_s", "p_adjusted"] > 0.05


def test_looks_share_the_error() -> None:
    """The levels of the looks sum to less than 5 %, and the early ones are strict."""
    levels = Stopping("total_ms", (6, 10, 15)).levels(20)
    assert sum(levels) < ALPHA
    assert levels[0] < 0.001
    assert sorted(levels) == list(levels)


def test_looking_often_finds_no_more_false_differences() -> None:
    """Without a difference, 400 experiments with four looks stop wrongly in at most 5 %."""
    chance = np.random.default_rng(4)
    looks = (8, 12, 16)
    levels = Stopping("total_ms", looks).levels(20)
    wrong = 0
    for _ in range(400):
        a, b = chance.lognormal(size=20), chance.lognormal(size=20)
        found = [mannwhitneyu(a[:look], b[:look]).pvalue for look in looks]
        wrong += any(p < level for p, level in zip(found, levels, strict=True))
    assert wrong <= 20


def test_decided_experiment_stops_at_a_look(make_run: MakeRun, tmp_path: Path) -> None:
    """When all comparisons are decided at a look, the later blocks are not left any more."""
    design = {
        "question": "Is peer2peer slower?", "grid": {"mode": ["normal", "peer2peer"]},
        "repeats": 12, "stop": {"looks": [5, 8]},
    }  # fmt: skip
    made = experiment(tmp_path / "early", make_run, runs=16, **design)
    assert made.stopped_at == 8
    assert made.finished
