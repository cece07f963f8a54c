"""The dirty rate of a real domain, by libvirt's API; and what is refused."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from migrationlab.cli import main
from migrationlab.errors import GuestError, UsageError
from migrationlab.forecast.curve import DirtyCurve
from migrationlab.hosts.poll import wait_until
from migrationlab.lab.guest import Guest
from migrationlab.lab.lab import Lab
from migrationlab.migrate.dirty_rate import measure_dirty_rate
from migrationlab.migrate.start import start
from migrationlab.plan.plan import Plan
from migrationlab.runs.run import Outcome
from migrationlab.steps import Step

pytestmark = pytest.mark.lab


@pytest.fixture(scope="module")
def writer(lab: Lab) -> Iterator[Guest]:
    """Give a guest that writes 40 MiB/s at random."""
    made = lab.boot("writer", working_set_mib=64, dirty_mib_s=40, pattern="random")
    yield made
    made.destroy()


@pytest.mark.thorough
def test_command_measures_a_curve(writer: Guest, tmp_path: Path) -> None:
    """A guest of 256 MiB has a sample of 128 pages: the rate of a second is right to a factor."""
    file = tmp_path / "curve.json"
    words = ["dirty-rate", writer.name, "--on", writer.host.uri, "-o", str(file)]
    result = CliRunner().invoke(main, [*words, "--seconds", "1,2", "--format", "json"])
    assert result.exit_code == 0, result.stderr
    curve = DirtyCurve.from_json(file.read_text(encoding="utf-8"))
    assert json.loads(result.stdout)["curve"] == json.loads(curve.to_json())
    assert curve.period_ms == (1000, 2000)
    assert curve.sampled_pages == 128
    assert curve.total_pages == 256 * 256
    assert 5 < curve.rate_mib_s() < 80


def test_progress_rises_to_the_end(writer: Guest) -> None:
    """The steps say how much of the time is over."""
    steps: list[Step] = []
    measure_dirty_rate(writer.name, host=writer.host, seconds=(1,), on_step=steps.append)
    shares = [step.fraction for step in steps if step.fraction is not None]
    assert shares == sorted(shares)
    assert shares[-1] == 1
    assert steps[-1].state == "done"


def test_migrating_domain_is_refused(writer: Guest, lab: Lab) -> None:
    """The error says what knows more; the migration goes on."""
    host = writer.host
    migration = start(writer, to=lab.host_b, plan=Plan(bandwidth_mib_s=4))
    wait_until(lambda: host.is_busy(writer.name), 20)
    with pytest.raises(UsageError, match="must not migrate while its dirty rate is measured"):
        measure_dirty_rate(writer.name, host=host, seconds=(1,))
    migration.cancel()
    assert migration.wait().outcome is Outcome.CANCELLED


def test_paused_and_unknown_domains_are_refused(writer: Guest) -> None:
    """The error names the domain."""
    domain = writer.host.domain(writer.name)
    domain.suspend()
    try:
        with pytest.raises(UsageError, match="the domain must be running"):
            measure_dirty_rate(writer.name, host=writer.host)
    finally:
        domain.resume()
    with pytest.raises(GuestError, match="has no guest 'nobody'"):
        measure_dirty_rate("nobody", host=writer.host)


@pytest.mark.parametrize("seconds", [(0,), (61,), (1.5,), ()])
def test_impossible_times_are_refused(writer: Guest, seconds: tuple[int, ...]) -> None:
    """libvirt takes whole seconds from 1 to 60."""
    with pytest.raises(UsageError, match="seconds must"):
        measure_dirty_rate(writer.name, host=writer.host, seconds=seconds)


@pytest.mark.thorough
def test_advice_for_a_domain_measures_it(writer: Guest, lab: Lab) -> None:
    """With a link that is given: plans with lines for virsh, the destination's name in them."""
    hosts = ("--from", writer.host.uri, "--to", lab.host_b.uri)
    goal = ("--downtime-ms", "1500", "--within-s", "60", "--bandwidth-mbit-s", "900")
    result = CliRunner().invoke(main, ["advise", writer.name, *hosts, *goal])
    assert result.exit_code == 0, result.stderr
    assert result.stdout.startswith("1. Plan(max_downtime_ms=")
    assert f"--domain {writer.name}" in result.stdout
    assert lab.host_b.name in result.stdout
