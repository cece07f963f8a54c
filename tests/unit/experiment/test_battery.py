"""Batteries: valid designs with their price, budgets, and the command's answers."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from migrationlab.cli import main
from migrationlab.errors import UsageError
from migrationlab.experiment import battery as batteries
from migrationlab.experiment.allocation import detectable
from migrationlab.experiment.design import read
from migrationlab.experiment.experiment import Experiment
from migrationlab.experiment.statistics import more_runs

#: The scenarios of QEMU 45f34156e4's guestperf.
GUESTPERF_SCENARIOS = 42


@pytest.mark.parametrize("small", [False, True])
@pytest.mark.parametrize("name", batteries.names())
def test_battery_is_a_valid_design(name: str, small: bool) -> None:
    """Each battery is a design whose plans can work, and says where it is from."""
    found = batteries.find(name, small=small)
    assert found.about.endswith(".")
    assert found.source
    assert len(read(found.spec).cells) > 1


def test_guestperf_has_all_scenarios_measured_or_left_out() -> None:
    """The 42 scenarios of guestperf are measured, or listed with the reason."""
    found = batteries.find("guestperf")
    measured = len(read(found.spec).cells)
    assert measured + len(found.left_out) == GUESTPERF_SCENARIOS
    assert all(found.left_out.values())


def test_guestperf_has_its_parameters() -> None:
    """A scenario has guestperf's limits: 500 ms, 30 iterations, 300 s, looks every 50 ms."""
    cells = {cell.name: cell for cell in read(batteries.find("guestperf").spec).cells}
    plan = cells["pause-iters-5"].plan
    assert plan.policy_options == {
        "downtime_ms": 500,
        "look_s": 0.05,
        "rules": (
            {"do": "cancel", "after_iteration": 30},
            # The start of iteration 5.
            {"do": "suspend", "after_iteration": 4},
        ),
    }
    assert (plan.deadline_s, plan.bandwidth_mib_s) == (300, 125_000)
    assert cells["post-copy-bw-300mbs"].plan.bandwidth_mib_s == 37


def test_unknown_battery_suggests_the_nearest() -> None:
    """An unknown name is refused with the nearest one."""
    with pytest.raises(UsageError, match="must be the name of a battery") as caught:
        batteries.find("guestpref")
    assert "Use guestperf." in caught.value.hint


def test_budget_pays_repeats(tmp_path: Path) -> None:
    """A budget plans as many repeats as fit, and refuses less than one block."""
    once = batteries.cost(batteries.design(batteries.find("modes"), repeats=1))
    made = Experiment.battery(
        "modes", budget_s=once.total_s + 2.5 * once.block_s, directory=tmp_path
    )
    assert made.design.repeats == 3
    with pytest.raises(UsageError, match="budget must pay one block"):
        Experiment.battery("modes", budget_s=once.total_s - 1)


def test_budget_declares_where_the_rest_goes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """--dry-run says how many runs come first, and that the rest follows the variance."""
    monkeypatch.chdir(tmp_path)
    words = ["battery", "modes", "--dry-run", "--budget", "12m", "--metric", "downtime_event_ms"]
    text = CliRunner().invoke(main, words).output
    assert "runs     60: 5 of each scenario in whole blocks, then about 60 more, where" in text
    assert "downtime_event_ms varies most for the time that a run takes" in text
    assert "(power 80 %), if all get equally many" in text


def test_policies_keep_whole_blocks() -> None:
    """The arena compares within whole blocks, so its repeats stay equal."""
    design = batteries.design(batteries.find("policies"), budget_s=30 * 86_400)
    assert design.allocation is None
    assert design.repeats > 10


@pytest.mark.parametrize(
    ("text", "seconds"), [("20m", 1200), ("1h30m", 5400), ("90s", 90), ("45", 45)]
)
def test_budget_is_read(text: str, seconds: float) -> None:
    """A budget is hours, minutes and seconds."""
    assert batteries.read_budget(text) == seconds


@pytest.mark.parametrize("text", ["", "soon", "-5m", "0", "9999h", "1e9", "9" * 5000])
def test_wrong_budget_is_refused(text: str) -> None:
    """What is no time is refused."""
    with pytest.raises(UsageError, match="budget must be a time"):
        batteries.read_budget(text)


def test_power_is_that_of_noethers_formula() -> None:
    """The smallest difference that n runs show is the one that needs n runs, up to rounding."""
    assert more_runs(detectable(20), 20, 20) in (1, 2, 3)
    assert detectable(1) == 1.0


def test_dry_run_prints_scenarios_and_starts_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """--dry-run prints scenarios, cost and what is left out, and writes nothing."""
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(main, ["battery", "guestperf", "--dry-run", "--format", "json"])
    assert result.exit_code == 0
    record = json.loads(result.stdout)
    assert len(record["scenarios"]) == 30
    assert record["cost"]["traffic_bytes"] > 0
    assert list(tmp_path.iterdir()) == []
    said = {each["name"]: each["text"] for each in record["table"]}
    assert len(said) == GUESTPERF_SCENARIOS
    assert said["pause-iters-5"] == "10 runs planned, none made yet"
    assert said["compr-mt-threads-2"] == "not available: QEMU 9.1 removed the capability compress"
    text = CliRunner().invoke(main, ["battery", "modes", "--dry-run", "--repeats", "3"]).output
    assert "runs     36: 3 of each scenario" in text


def test_list_has_every_battery() -> None:
    """Without a name the batteries are listed."""
    result = CliRunner().invoke(main, ["battery", "--format", "json"])
    names = [each["name"] for each in json.loads(result.stdout)["batteries"]]
    assert names == list(batteries.names())
