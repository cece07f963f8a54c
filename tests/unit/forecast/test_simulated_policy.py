"""Policies by name in forecasts: each acts on the simulated job as on a real one."""

from __future__ import annotations

from typing import Any

import pytest

from migrationlab import DirtyCurve, Forecast, Plan, forecast
from migrationlab.forecast.lab_guest import lab_memory

#: Written at 80 MiB/s over a link of 57 MiB/s: this never ends by itself.
BUSY = DirtyCurve.constant(80, 64)


def told(plan: Plan) -> Forecast:
    """Forecast the busy guest's migration."""
    return forecast(plan, BUSY, memory=lab_memory(256, 64), bandwidth_mbit_s=478, draws=0)


def by_rule(**rule: Any) -> Forecast:
    """Forecast it with a policy of one rule."""
    return told(Plan(policy="rules", policy_options={"rules": [rule]}, postcopy=True))


def test_rule_for_postcopy_equals_the_plan_for_it() -> None:
    """After iteration 2, whoever asks for it: the policy at its next look, 0.5 s later at most."""
    policy = by_rule(do="start_postcopy", after_iteration=2)
    plan = told(Plan(postcopy=True, postcopy_after_iteration=2))
    assert policy.path.end == plan.path.end == "post-copy"
    assert policy.total_s.median == pytest.approx(plan.total_s.median, abs=0.5)


def test_longer_limit_ends_it_soon_after_it_is_set() -> None:
    """Within an iteration or two."""
    found = by_rule(do="set_max_downtime", value=1500, after_s=10)
    assert found.total_s.median == pytest.approx(11.5, abs=1.5)
    assert "sets the downtime limit to 1500 ms after 10 s" in " ".join(found.reasons)


def test_cancelled_migration_does_not_end() -> None:
    """Its reason says when and why."""
    found = by_rule(do="cancel", after_s=20)
    assert (found.ends, found.total_s.median, found.path.end) == (0.0, None, "cancelled")
    assert "cancels it after 20 s" in " ".join(found.reasons)


def test_slower_bandwidth_takes_longer() -> None:
    """A rule that cuts the rate for a guest that writes nothing."""
    idle = DirtyCurve.constant(0, 64)
    rule = {"do": "set_bandwidth", "value": 10}
    plans = (Plan(), Plan(policy="rules", policy_options={"rules": [rule]}))
    fast, slow = (
        forecast(plan, idle, memory=lab_memory(256, 64), bandwidth_mbit_s=478, draws=0)
        for plan in plans
    )
    assert fast.total_s.median is not None
    assert slow.total_s.median is not None
    assert slow.total_s.median > 3 * fast.total_s.median


@pytest.mark.parametrize(
    ("name", "end", "after_s"),
    [
        ("kubevirt", "cancelled", 150), ("nova", "cancelled", 1600),
        ("ovirt-legacy", "cancelled", 71), ("kubevirt-downtime-ramp", "switchover", 64),
        ("kubevirt-stall-detection", "switchover", 44), ("proxmox", "switchover", 11),
    ],
)  # fmt: skip
def test_platforms_end_it_at_their_times(name: str, end: str, after_s: float) -> None:
    """Timeouts are met to 2 %, although the time between is not simulated as a whole."""
    found = told(Plan(policy=name))
    assert found.path.end == end
    assert found.path.sending_s == pytest.approx(after_s, rel=0.03, abs=1)


def test_rule_per_iteration_says_that_it_knows_no_policy() -> None:
    """QEMU's rule does."""
    plan = Plan(policy="nova")
    exact = forecast(
        plan, BUSY, memory=256, bandwidth_mbit_s=478, stop_rule="per-iteration", draws=0
    )
    assert any("policy" in text for text in exact.not_modelled)
    assert not any("policy" in text for text in told(plan).not_modelled)
