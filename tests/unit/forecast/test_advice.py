"""Advice: the plans that meet a goal, in order; and what would have to change."""

from __future__ import annotations

from typing import Any

import pytest

from migrationlab import Advice, DirtyCurve, Plan, advise, forecast
from migrationlab.errors import UsageError

BUSY = DirtyCurve.constant(40, 64, memory_mib=256, zero_mib=130)
GOAL: dict[str, Any] = {"downtime_ms": 500, "within_s": 30}


def asked(mbit_s: float, **changed: Any) -> Advice:
    """Return the advice for a guest that writes 40 MiB/s in 64 MiB."""
    return advise(BUSY, None, mbit_s, **GOAL | changed)


def test_plain_precopy_is_first_where_it_meets_the_goal() -> None:
    """A fast link needs nothing; post-copy, the riskiest, comes last."""
    found = asked(1000)
    assert not found.plans[0].plan.auto_converge
    assert not found.plans[0].plan.postcopy
    assert found.plans[-1].plan.postcopy
    assert found.nearest is None
    assert found.changes == ()


@pytest.mark.parametrize("mbit_s", [250, 500, 1000])
def test_every_plan_meets_the_goal_by_its_own_forecast(mbit_s: float) -> None:
    """Its forecast, made again, is within the goal."""
    found = asked(mbit_s)
    assert found.plans
    for one in found.plans:
        told = forecast(one.plan, BUSY, bandwidth_mbit_s=mbit_s, deadline_s=30)
        assert told.ends >= 0.9
        assert told.to_dict() == one.forecast.to_dict()
        assert told.downtime_ms.high is not None
        assert told.downtime_ms.high <= 500
        assert told.total_s.high is not None
        assert told.total_s.high <= 30


def test_slow_link_needs_a_remedy() -> None:
    """At 30 MiB/s plain pre-copy never ends."""
    assert all(one.plan.auto_converge or one.plan.postcopy for one in asked(250).plans)


def test_guest_that_may_not_be_slowed_down_is_not() -> None:
    """Auto-converge is no advice then."""
    assert all(not one.plan.auto_converge for one in asked(250, max_slowdown=0).plans)


def test_goal_that_no_plan_meets_has_a_nearest_and_changes() -> None:
    """The link that is said to be enough is enough, for plain pre-copy."""
    found = asked(100, within_s=6)
    assert found.plans == ()
    assert found.nearest is not None
    assert not found.nearest.meets
    (link,) = [text for text in found.changes if "With a link of" in text]
    enough = float(link.split()[4])
    assert asked(enough * 1.05, within_s=6).plans


def test_virsh_line_sets_what_the_plan_says() -> None:
    """The domain, the destination and the limit are in it; odd names are quoted."""
    found = asked(1000, domain="web 1", destination="node2")
    first = found.plans[0]
    assert "'web 1'" in first.virsh[0]
    assert "node2" in first.virsh[0]
    assert first.virsh[1] == f"virsh migrate-setmaxdowntime 'web 1' {first.plan.max_downtime_ms}"


def test_later_switch_to_postcopy_has_a_line_of_its_own() -> None:
    """virsh migrate switches after the first iteration only."""
    lines = {one.plan.postcopy_after_iteration: one.virsh for one in asked(250).plans}
    assert "virsh migrate-postcopy DOMAIN" not in lines[1]
    assert lines[2][-1] == "virsh migrate-postcopy DOMAIN"


def test_plan_to_begin_with_is_kept() -> None:
    """Its mode is that of every advised plan."""
    found = asked(1000, plan=Plan(mode="peer2peer"))  # type: ignore[arg-type]
    assert {one.plan.mode for one in found.plans} == {"peer2peer"}


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"downtime_ms": 0}, "downtime_ms must be more than 0"),
        ({"within_s": -1}, "within_s must be more than 0, and at most 604800 (got '-1')"),
        ({"max_slowdown": 2}, r"max_slowdown must be from 0 to 1 \(got '2'\)"),
    ],
)
def test_impossible_goals_are_refused(changed: dict[str, Any], said: str) -> None:
    """The error names the value."""
    with pytest.raises(UsageError, match=said.replace("(got '-1')", r"\(got '-1'\)")):
        asked(1000, **changed)


def test_texts_are_short() -> None:
    """A repr is one line; the text has a line for each plan and its virsh lines."""
    found = asked(1000)
    assert repr(found) == f"Advice({len(found.plans)} plans for 500 ms)"
    assert str(found).startswith("1. Plan(")
    assert "meets the goal" in repr(found.plans[0])
