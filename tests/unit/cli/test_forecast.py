"""``migrationlab forecast`` and ``advise``: keys, texts, figures and mistakes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from migrationlab.cli import main
from paths import DATA

CURVE = {
    "period_ms": [100, 500, 1000], "dirty_pages": [40, 90, 120], "sampled_pages": 512,
    "zero_pages": 100, "total_pages": 262144, "page_bytes": 4096,
}  # fmt: skip


@pytest.fixture
def curve(tmp_path: Path) -> Path:
    """Return the file of a curve."""
    path = tmp_path / "curve.json"
    path.write_text(json.dumps(CURVE), encoding="utf-8")
    return path


def run(*arguments: object) -> Result:
    """Run the command."""
    return CliRunner().invoke(main, [str(word) for word in arguments])


def test_json_has_the_promised_keys(curve: Path) -> None:
    """The probability, three values a number, and texts."""
    result = run("forecast", "--curve", curve, "--bandwidth-mbit-s", 9000, "--max-downtime-ms", 500,
                 "--format", "json")  # fmt: skip
    told = json.loads(result.stdout)
    assert told["ends"] == 1
    for name in ("total_s", "downtime_ms", "iterations"):
        assert list(told[name]) == ["low", "median", "high"]
    assert told["reasons"]
    assert told["not_modelled"]


def test_rule_and_memory_and_range_of_the_link_count(curve: Path) -> None:
    """By the rule per-iteration, 2 GiB without zeros over 8 to 9 Gbit/s take a second or two."""
    result = run("forecast", "--curve", curve, "--bandwidth-mbit-s", "8000:9000", "--memory-mib",
                 2048, "--zero-mib", 0, "--stop-rule", "per-iteration", "--max-downtime-ms", 900,
                 "--format", "json")  # fmt: skip
    told = json.loads(result.stdout)
    first_s = 2048 * 2**20 * 4104 / 4096 / (8500e6 / 8)
    assert first_s < told["total_s"]["median"] < first_s + 0.9
    assert told["total_s"]["low"] < told["total_s"]["median"] < told["total_s"]["high"]


def test_text_and_figure_are_for_people(curve: Path, tmp_path: Path) -> None:
    """The text says how sure it is; the figure is a picture."""
    picture = tmp_path / "forecast.png"
    result = run("forecast", "--curve", curve, "--bandwidth-mbit-s", 9000, "-o", picture)
    assert result.exit_code == 0
    assert result.stdout.startswith("It ends with a probability of ")
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_advice_is_ranked_with_virsh_lines(curve: Path) -> None:
    """Exit status 0 with plans."""
    goal = ("--downtime-ms", 400, "--within-s", 60)
    result = run("advise", "web1", "--curve", curve, "--bandwidth-mbit-s", 9000, *goal)
    assert result.exit_code == 0
    assert result.stdout.startswith("1. Plan(")
    assert "--domain web1" in result.stdout


def test_goal_that_cannot_be_met_exits_with_1(curve: Path) -> None:
    """The nearest plan, and what would have to change, are in the answer."""
    result = run("advise", "--curve", curve, "--bandwidth-mbit-s", 50, "--downtime-ms", 100,
                 "--within-s", 5, "--format", "json")  # fmt: skip
    assert result.exit_code == 1
    found = json.loads(result.stdout)
    assert found["plans"] == []
    assert found["nearest"]["meets"] is False
    assert found["changes"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--bandwidth-mbit-s", "0"), "bandwidth_mbit_s must be from 0.001"),
        (("--bandwidth-mbit-s", "fast"), "--bandwidth-mbit-s must be a number, or LOW:HIGH"),
        (("--bandwidth-mbit-s", "100", "--memory-mib", "10"), "memory must be at least"),
        (("--bandwidth-mbit-s", "100", "--max-downtime-ms", "0"), "--max-downtime-ms must be"),
    ],
)
def test_mistakes_exit_with_2(curve: Path, options: tuple[str, ...], said: str) -> None:
    """The error names the value, and there is a hint."""
    result = run("forecast", "--curve", curve, *options)
    assert result.exit_code == 2
    assert said in result.stderr
    assert "hint: " in result.stderr


def test_file_that_is_no_curve_exits_with_2(tmp_path: Path) -> None:
    """A missing file, and one with other JSON."""
    missing = run("forecast", "--curve", tmp_path / "none", "--bandwidth-mbit-s", 100)
    assert missing.exit_code == 2
    assert "--curve must be a file that can be read" in missing.stderr
    (tmp_path / "other").write_text('{"a": 1}', encoding="utf-8")
    other = run("forecast", "--curve", tmp_path / "other", "--bandwidth-mbit-s", 100)
    assert other.exit_code == 2
    assert "the curve must have period_ms" in other.stderr


def test_advice_needs_a_curve_or_two_hosts() -> None:
    """Nothing is measured without hosts."""
    result = run("advise", "web1", "--downtime-ms", 100, "--within-s", 5)
    assert result.exit_code == 2
    assert "--curve, or --from and --to, must be given" in result.stderr


def test_advice_from_a_curve_needs_a_bandwidth(curve: Path) -> None:
    """No host is asked for its links."""
    result = run("advise", "--curve", curve, "--downtime-ms", 100, "--within-s", 5)
    assert result.exit_code == 2
    assert "--bandwidth-mbit-s must be given" in result.stderr


def test_calibrated_constants_are_used(curve: Path, tmp_path: Path) -> None:
    """Constants of recorded runs, with their numbers of runs; then of a forecast."""
    file = tmp_path / "constants.json"
    recorded = run("calibrate", DATA / "experiments" / "modes", "-o", file, "--format", "json")
    found = json.loads(recorded.stdout)
    assert found == json.loads(file.read_text(encoding="utf-8"))
    assert found["before_s"]["runs"] >= 9
    assert found["postcopy_s"]["runs"] == 0
    words = ("forecast", "--curve", curve, "--bandwidth-mbit-s", 9000, "--format", "json")
    plain = json.loads(run(*words).stdout)["total_s"]["median"]
    slow = tmp_path / "slow.json"
    slow.write_text('{"before_s": 10.46}', encoding="utf-8")
    later = json.loads(run(*words, "--constants", slow).stdout)["total_s"]["median"]
    assert later == pytest.approx(plain + 10, abs=0.01)


def test_unknown_constant_is_refused(curve: Path, tmp_path: Path) -> None:
    """The nearest name is the hint."""
    file = tmp_path / "constants.json"
    file.write_text('{"befor_s": 1}', encoding="utf-8")
    words = ("forecast", "--curve", curve, "--bandwidth-mbit-s", 9000, "--constants", file)
    result = run(*words)
    assert result.exit_code == 2
    assert "the constants must be known ones (got 'befor_s')" in result.stderr
    assert "hint: Write before_s." in result.stderr
