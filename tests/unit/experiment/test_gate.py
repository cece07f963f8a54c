"""The gate: limits, verdicts, exit status, the figure of a history."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from fake_experiments import GRID, experiment
from migrationlab.cli import main
from migrationlab.errors import UsageError
from migrationlab.experiment.experiment import Experiment
from migrationlab.experiment.gate import GateVerdict, judge, read_limit
from migrationlab.plots import history
from migrationlab.runs.run import Run

MakeRun = Callable[..., Run]
DESIGN = {**GRID, "workloads": {}, "repeats": 8}


@pytest.fixture(scope="module")
def baseline(tmp_path_factory: pytest.TempPathFactory, make_run: MakeRun) -> Experiment:
    """Return an experiment with downtimes of about 300 and 360 ms."""
    return experiment(tmp_path_factory.mktemp("baseline"), make_run, **DESIGN)


@pytest.fixture(scope="module")
def slower(tmp_path_factory: pytest.TempPathFactory, make_run: MakeRun) -> Experiment:
    """Return the same experiment with downtimes of about 400 ms in all cells."""
    downtimes = {number: 400.0 + number / 10 for number in range(1, 17)}
    return experiment(tmp_path_factory.mktemp("slower"), make_run, downtimes_ms=downtimes, **DESIGN)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("downtime_event_ms p95 +10%", (95, 1.1, 0)),
        ("total_ms median +20", (50, 1, 20)),
        ("total_ms p50 300", (50, 0, 300)),
    ],
)
def test_limit_is_read(text: str, expected: tuple[float, float, float]) -> None:
    """A limit is a share of the baseline, more than the baseline, or a value."""
    found = read_limit(text)
    assert (found.percent, found.factor, found.more) == pytest.approx(expected)


@pytest.mark.parametrize("text", ["", "total_ms", "total_ms p95", "total_ms p95 10%", "x p0 5"])
def test_wrong_limit_is_refused(text: str) -> None:
    """What is no limit is refused, with an example."""
    with pytest.raises(UsageError, match="METRIC STATISTIC LIMIT"):
        read_limit(text)


def test_equal_experiment_holds(baseline: Experiment) -> None:
    """An experiment holds its limits against itself, with room for its own spread."""
    found = judge(baseline, baseline, ["downtime_event_ms median +10%"])
    assert found.verdict is GateVerdict.HOLDS
    assert len(found.judgements) == 2


def test_slower_experiment_is_exceeded(baseline: Experiment, slower: Experiment) -> None:
    """A third more than the baseline is exceeded; the peer2peer cells alone would not tell."""
    found = judge(slower, baseline, ["downtime_event_ms median +5%"])
    assert found.verdict is GateVerdict.EXCEEDED
    assert judge(slower, baseline, ["downtime_event_ms median 500"]).verdict is GateVerdict.HOLDS


def test_p95_of_eight_runs_is_unclear(baseline: Experiment) -> None:
    """Eight values say nothing about p95: that is neither a pass nor a failure."""
    assert judge(baseline, baseline, ["downtime_event_ms p95 +10%"]).verdict is GateVerdict.UNCLEAR


def test_cell_that_no_longer_completes_is_exceeded(
    baseline: Experiment, make_run: MakeRun, tmp_path: Path
) -> None:
    """A cell that had values and has none is worse, not unknown."""
    outcomes = dict.fromkeys(range(1, 17), "failed")
    broken = experiment(tmp_path, make_run, outcomes=outcomes, **DESIGN)
    found = judge(broken, baseline, ["downtime_event_ms median +10%"])
    assert found.verdict is GateVerdict.EXCEEDED


def test_command_has_an_exit_status(
    baseline: Experiment, slower: Experiment, tmp_path: Path
) -> None:
    """0 if all limits hold, 1 if one is exceeded, 4 if n is too small, 2 for a wrong limit."""

    def run(path: Path, limit: str, *more: str) -> tuple[int, str]:
        arguments = ["gate", str(path), "--baseline", str(baseline.directory), "--max", limit]
        result = CliRunner().invoke(main, [*arguments, *more])
        return result.exit_code, result.stdout

    figure = tmp_path / "history.svg"
    status, text = run(slower.directory, "downtime_event_ms median +5%", "--format", "json")
    assert status == 1
    assert json.loads(text)["verdict"] == "exceeded"
    assert run(baseline.directory, "downtime_event_ms median +9%", "-o", str(figure))[0] == 0
    assert figure.read_text("utf-8").startswith("<?xml")
    assert run(baseline.directory, "downtime_event_ms p99 +9%")[0] == 4
    assert run(baseline.directory, "downtime")[0] == 2


def test_history_needs_a_label_for_each(baseline: Experiment, slower: Experiment) -> None:
    """Labels name each experiment; the figure describes every line."""
    with pytest.raises(UsageError, match="labels must name each experiment"):
        history([baseline], "total_ms", labels=["a", "b"])
    drawn = history([slower, baseline], "downtime_event_ms", labels=["new", "old"])
    assert drawn.alt.count("ms") >= 4
